"""Predictions in Zarr: read back by three readers, never taken for finished before they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr

from c2s_data.errors import (
    ConfigError,
    CorruptChunkError,
    MissingChunkError,
    NotCommittedError,
    StoreError,
)
from c2s_data.schema import CLASS_NAMES
from c2s_data.store import prediction_facts
from c2s_data.store.prediction_facts import PredictionFacts
from c2s_data.store.prediction_store import PredictionWriter, open_prediction

SHAPE_ZYX = (45, 33, 62)
TARGETS = ("atom", "amino")
FACTS = PredictionFacts(
    shape_zyx=SHAPE_ZYX,
    origin_xyz_A=(-11.5, 7.25, 103.0),
    classes={target: CLASS_NAMES[target] for target in TARGETS},
    preset="paper",
    label_rule="formula1",
    decode_offset_voxel=0.5,
    core=20,
    options={"overlap": 1, "skipped": 3},
    sources={"network": {"sha256": "12" * 32}, "map": {"file": "a.map", "sha256": "34" * 32}},
    identity="56" * 32,
)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_facts, "TILE_VOXELS", 40)


def blocks_of(facts: PredictionFacts) -> list[prediction_facts.Block]:
    return [block for column in facts.columns() for block in facts.blocks(column)]


def values_of(facts: PredictionFacts) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.random((facts.n_classes, *facts.shape_zyx), np.float32).astype(np.float16)


def write(url: Path, facts: PredictionFacts = FACTS, *, finish: bool = True) -> np.ndarray:
    writer, values = PredictionWriter(str(url), facts), values_of(facts)
    for block in reversed(blocks_of(facts)):
        writer.put(block, values[:, block.z, block.y, block.x])
    if finish:
        writer.finish()
    return values


def test_blocks_cover_every_voxel_once() -> None:
    count = np.zeros(SHAPE_ZYX, int)
    for block in blocks_of(FACTS):
        count[block.z, block.y, block.x] += 1
        assert block.shape_zyx == count[block.z, block.y, block.x].shape
        assert max(block.shape_zyx) <= 40
    assert (count == 1).all()
    assert len(blocks_of(FACTS)) == 3 * 1 * 2


def test_every_reader_gives_the_values_back(tmp_path: Path) -> None:
    values = write(tmp_path / "a.zarr")
    of_target = {"atom": values[:4], "amino": values[4:]}
    stored = open_prediction(str(tmp_path / "a.zarr"))
    assert stored.facts == FACTS
    assert (stored.shape_zyx, stored.origin_xyz_A) == (SHAPE_ZYX, (-11.5, 7.25, 103.0))
    assert (stored.decode_offset_voxel, stored.label_rule) == (0.5, "formula1")
    assert (stored.preset, stored.targets, stored.voxel_size_A) == ("paper", TARGETS, 1.0)
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    dataset = xarray.open_zarr(tmp_path / "a.zarr")
    for target, expected in of_target.items():
        np.testing.assert_array_equal(stored.read(target), expected)
        np.testing.assert_array_equal(np.asarray(group[target]), expected)
        np.testing.assert_array_equal(dataset[target], expected)
        assert dataset[target].dims == (f"{target}_class", "z", "y", "x")
        assert group[target].attrs["classes"] == list(CLASS_NAMES[target])
    for start, stop in ((0, 20), (19, 41), (7, 8), (44, 45), (3, 3)):
        np.testing.assert_array_equal(stored.read("amino", start, stop), values[4:, start:stop])
    for axis, n, origin in zip("zyx", SHAPE_ZYX, (103.0, 7.25, -11.5), strict=True):
        np.testing.assert_array_equal(dataset[axis], origin + np.arange(n))
        assert dataset[axis].attrs["units"] == "angstrom"
    assert dataset.attrs["c2s_prediction"]["sources"] == FACTS.sources
    with pytest.raises(StoreError, match="no prediction of 'secondary'; it has atom, amino"):
        stored.read("secondary")
    with pytest.raises(ValueError, match="planes 3 to 46 of a map of 45"):
        stored.read("atom", 3, 46)


def test_unfinished_is_never_read_as_complete(tmp_path: Path) -> None:
    url = tmp_path / "a.zarr"
    values, blocks = values_of(FACTS), blocks_of(FACTS)
    first = PredictionWriter(str(url), FACTS)
    assert not first.is_finished
    for block in blocks[:4]:
        first.put(block, values[:, block.z, block.y, block.x])
    for opener in (zarr.open_group, xarray.open_zarr):
        with pytest.raises((FileNotFoundError, KeyError)):
            opener(str(url), **({"mode": "r"} if opener is zarr.open_group else {}))
    with pytest.raises(NotCommittedError, match="not finished; run the `c2s-model predict`"):
        open_prediction(str(url))
    with pytest.raises(StoreError, match=r"block at z, y, x = \[20, 0, 40\] is missing"):
        first.finish()
    again = PredictionWriter(str(url), replace(FACTS, options={"overlap": 1}))
    assert [again.has(block) for block in blocks] == [True] * 4 + [False] * 2
    # A block counts once all its targets are there.
    (url / FACTS.key("amino", blocks[0])).unlink()
    assert not again.has(blocks[0])
    for block in (blocks[0], *blocks[4:]):
        again.put(block, values[:, block.z, block.y, block.x])
    again.finish()
    np.testing.assert_array_equal(open_prediction(str(url)).read("atom"), values[:4])
    assert PredictionWriter(str(url), FACTS).is_finished


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "a.zarr")
    other = replace(FACTS, identity="78" * 32, options={"overlap": 2, "skipped": 3})
    with pytest.raises(ConfigError, match=r"a finished prediction of a\.map \(other options: ov"):
        PredictionWriter(str(tmp_path / "a.zarr"), other)
    PredictionWriter(str(tmp_path / "b.zarr"), other)
    with pytest.raises(ConfigError, match="that was not finished"):
        PredictionWriter(str(tmp_path / "b.zarr"), FACTS)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match=r"holds 'thesis\.tex' and no prediction"):
        PredictionWriter(str(tmp_path / "c"), FACTS)
    zarr.create_group(tmp_path / "d.zarr")
    with pytest.raises(StoreError, match="not that of a prediction"):
        PredictionWriter(str(tmp_path / "d.zarr"), FACTS)
    with pytest.raises(NotCommittedError, match="no prediction; make one"):
        open_prediction(str(tmp_path / "e.zarr"))


def test_damage_is_found(tmp_path: Path) -> None:
    write(tmp_path / "a.zarr")
    stored, blocks = open_prediction(str(tmp_path / "a.zarr")), blocks_of(FACTS)
    path = tmp_path / "a.zarr" / FACTS.key("atom", blocks[1])
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptChunkError, match=r"atom/c/0/1/0/0.* fails its crc32c; remove"):
        stored.read("atom", 20, 21)
    assert stored.read("atom", 40, 45).shape == (4, 5, 33, 62)
    path.unlink()
    with pytest.raises(MissingChunkError, match=r"is missing; remove .* and predict the map again"):
        stored.read("atom", 20, 21)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"format": 2}, "format 2 of a prediction"),
        ({"shape_zyx": [45, 33]}, "shape"),
        ({"shape_zyx": [45, 33, 10**9]}, "shape"),
        ({"shape_zyx": [45, 33, 6.5]}, "shape"),
        ({"core": 0}, "core 0"),
        ({"core": "20"}, "core"),
        ({"origin_xyz_A": [1, 2]}, "origin"),
        ({"classes": {"atom": ["none", "C-alpha", "C", "N"]}}, "classes of"),
        ({"classes": {"../../etc": ["none"]}}, "classes of"),
        ({"classes": {}}, "classes of"),
        ({"decode_offset_voxel": "much"}, "damaged"),
        ({"identity": None}, "damaged"),
        ({"options": 3}, "damaged"),
    ],
)
def test_damaged_facts_are_refused(change: dict[str, object], what: str, tmp_path: Path) -> None:
    write(tmp_path / "a.zarr")
    path = tmp_path / "a.zarr" / "zarr.json"
    document = json.loads(path.read_text())
    document["attributes"]["c2s_prediction"] |= change
    path.write_text(json.dumps(document))
    with pytest.raises(StoreError, match=what):
        open_prediction(str(tmp_path / "a.zarr"))


def test_values_of_another_shape_are_refused(tmp_path: Path) -> None:
    writer = PredictionWriter(str(tmp_path / "a.zarr"), FACTS)
    block = blocks_of(FACTS)[0]
    with pytest.raises(ValueError, match="do not fit"):
        writer.put(block, np.zeros((4, *block.shape_zyx), np.float16))
    with pytest.raises(ValueError, match="do not fit"):
        writer.put(block, np.zeros((25, *block.shape_zyx), np.float32))


def test_without_tiles_a_block_is_as_wide_as_the_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_facts, "TILE_VOXELS", 240)
    values = write(tmp_path / "a.zarr")
    assert [block.shape_zyx for block in blocks_of(FACTS)] == [
        (20, 33, 62),
        (20, 33, 62),
        (5, 33, 62),
    ]
    np.testing.assert_array_equal(
        open_prediction(str(tmp_path / "a.zarr")).read("atom"), values[:4]
    )
