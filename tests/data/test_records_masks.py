"""Masks beside a map: every way of storing them, and every way of being wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mrc_files import map_bytes

from c2s_data.errors import MapError, MapReason
from c2s_data.records.masks import read_mask, read_record_masks

SHAPE_ZYX = (5, 7, 11)
ORIGIN_XYZ_A = (-3.5, 12.25, 40.0)
HEADER = {"cell": (11.0, 7.0, 5.0), "origin": ORIGIN_XYZ_A}


@pytest.fixture
def atom_zyx() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 4, SHAPE_ZYX, dtype=np.uint8)


def write(path: Path, values_zyx: np.ndarray, **words) -> Path:
    path.write_bytes(map_bytes(values_zyx, **(HEADER | words)))
    return path


@pytest.mark.parametrize("mode", [0, 1, 2, 6, 12])
@pytest.mark.parametrize(("byte_order", "axes"), [("<", (1, 2, 3)), (">", (3, 1, 2))])
def test_every_mode_and_axis_order_reads_the_same(
    tmp_path: Path, atom_zyx: np.ndarray, mode: int, byte_order: str, axes: tuple[int, int, int]
) -> None:
    path = write(
        tmp_path / "atom_m.mrc",
        atom_zyx,
        mode=mode,
        byte_order=byte_order,
        axes=axes,
        extended=b"x" * 80,
    )
    found = dict(read_record_masks(tmp_path / "m.mrc", SHAPE_ZYX, ORIGIN_XYZ_A))
    assert list(found) == ["atom"]
    assert found["atom"].dtype == np.uint8
    np.testing.assert_array_equal(found["atom"], atom_zyx)
    assert path.exists()


def test_small_blocks_read_the_same(
    tmp_path: Path, atom_zyx: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "mask.mrc", atom_zyx, axes=(2, 3, 1))
    for block_bytes in (1, 100, 200, 600):
        monkeypatch.setattr("c2s_data.records.masks._BLOCK_BYTES", block_bytes)
        np.testing.assert_array_equal(read_mask(path, "atom", SHAPE_ZYX, ORIGIN_XYZ_A), atom_zyx)


def test_each_mask_is_found_by_its_published_name(tmp_path: Path) -> None:
    blank = np.zeros(SHAPE_ZYX, np.uint8)  # a mask may hold nothing at all
    prefixes = {"atom": "atom", "ca": "atom_ca", "amino": "amino", "secondary": "sec_struc"}
    for number, prefix in enumerate(prefixes.values()):
        values = blank.copy()
        values[0, 1, 2 + number] = 1
        write(tmp_path / f"{prefix}_emd_normalized_map.mrc", values, mode=0)
    found = dict(read_record_masks(tmp_path / "emd_normalized_map.mrc", SHAPE_ZYX, ORIGIN_XYZ_A))
    assert {name: np.argwhere(mask).tolist() for name, mask in found.items()} == {
        name: [[0, 1, 2 + number]] for number, name in enumerate(prefixes)
    }
    assert not read_mask(
        write(tmp_path / "x.mrc", blank, mode=0), "ignore", SHAPE_ZYX, ORIGIN_XYZ_A
    ).any()


def test_a_mask_that_is_a_link_is_not_read(tmp_path: Path, atom_zyx: np.ndarray) -> None:
    outside = write(tmp_path / "secret.mrc", atom_zyx)
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / "atom_m.mrc").symlink_to(outside)
    assert not list(read_record_masks(folder / "m.mrc", SHAPE_ZYX, ORIGIN_XYZ_A))


@pytest.mark.parametrize(
    ("mask", "value", "mode", "is_class"),
    [
        ("atom", 3, 2, True),
        ("atom", 4, 2, False),
        ("atom", 255, 1, False),
        ("ca", 2, 0, False),
        ("amino", 20, 0, True),
        ("amino", 21, 0, False),
        ("amino", 255, 1, True),
        ("amino", 255, 2, True),
        ("amino", -1, 0, False),
        ("amino", 256, 1, False),
        ("secondary", 3, 12, True),
        ("secondary", 255, 6, False),
        ("secondary", 0.5, 2, False),
        ("secondary", np.nan, 2, False),
        ("secondary", np.inf, 12, False),
    ],
)
def test_only_classes_are_values(
    tmp_path: Path, mask: str, value: float, mode: int, is_class: bool
) -> None:
    values = np.zeros(SHAPE_ZYX)
    values[4, 6, 10] = value
    path = write(tmp_path / "mask.mrc", values, mode=mode)
    if is_class:
        found = read_mask(path, mask, SHAPE_ZYX, ORIGIN_XYZ_A)
        assert (found[4, 6, 10], np.count_nonzero(found)) == (value, 1)
    else:
        with pytest.raises(MapError, match="is no class") as refused:
            read_mask(path, mask, SHAPE_ZYX, ORIGIN_XYZ_A)
        assert refused.value.reason == MapReason.NOT_A_MASK


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"origin": (-3.5, 12.25, 40.5)}, MapReason.BAD_ORIGIN),
        ({"nstart": (1, 0, 0), "origin": (0.0, 0.0, 0.0)}, MapReason.BAD_ORIGIN),
        ({"cell": (22.0, 14.0, 10.0)}, MapReason.BAD_CELL),
        ({"cell": (11.0, 7.0, 5.1)}, MapReason.BAD_CELL),
    ],
)
def test_a_mask_of_another_grid_is_refused(
    tmp_path: Path, atom_zyx: np.ndarray, words: dict, reason: MapReason
) -> None:
    with pytest.raises(MapError) as refused:
        read_mask(write(tmp_path / "m.mrc", atom_zyx, **words), "atom", SHAPE_ZYX, ORIGIN_XYZ_A)
    assert refused.value.reason == reason


def test_a_mask_of_another_shape_is_refused(tmp_path: Path, atom_zyx: np.ndarray) -> None:
    for shape_zyx in ((7, 5, 11), (5, 7, 12), (5, 6, 11)):
        with pytest.raises(MapError) as refused:
            read_mask(write(tmp_path / "m.mrc", atom_zyx), "atom", shape_zyx, ORIGIN_XYZ_A)
        assert refused.value.reason in (MapReason.BAD_DIMENSIONS, MapReason.TOO_LARGE)


def test_a_mask_without_an_origin_lies_where_its_map_does(
    tmp_path: Path, atom_zyx: np.ndarray
) -> None:
    path = write(tmp_path / "m.mrc", atom_zyx, origin=(0.0, 0.0, 0.0))
    np.testing.assert_array_equal(read_mask(path, "atom", SHAPE_ZYX, ORIGIN_XYZ_A), atom_zyx)


def test_a_cut_off_mask_is_refused(tmp_path: Path, atom_zyx: np.ndarray) -> None:
    path = write(tmp_path / "m.mrc", atom_zyx)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(MapError) as refused:
        read_mask(path, "atom", SHAPE_ZYX, ORIGIN_XYZ_A)
    assert refused.value.reason == MapReason.TRUNCATED
