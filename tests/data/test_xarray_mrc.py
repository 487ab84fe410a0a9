"""The xarray engine for map files: any header, only what is indexed, coordinates in Angstrom."""

from __future__ import annotations

import gzip
import pickle
import tomllib
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from mrc_files import STAMPS, header_bytes, stored_order

from c2s_data.errors import MapError, MapReason
from c2s_data.explore.mrc_engine import MapFileBoxes, MrcBackend
from c2s_data.sources.density_map import read_density_map

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
VALUES_ZYX = np.random.default_rng(5).normal(size=(5, 6, 8)).astype(np.float32)
DTYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
HEADERS = {
    "plain": {},
    "big-endian": {"byte_order": ">"},
    "zxy": {"axes": (3, 1, 2)},
    "yzx": {"axes": (2, 3, 1), "origin": (3.5, -2.0, 7.25)},
    "nstart": {"axes": (2, 1, 3), "nstart": (4, -3, 11)},
    "extended header": {"nsymbt": 160},
    "int16": {"mode": 1},
    "float16": {"mode": 12, "axes": (3, 2, 1)},
    "sub-volume": {"m": (16, 6, 10), "cell": (24.0, 7.5, 20.0)},
}


def write_map(path: Path, values_zyx=VALUES_ZYX, byte_order="<", **words) -> Path:
    """A map of 8 x 6 x 5 voxels (x, y, z) of 1.5, 1.25 and 2 A unless words say otherwise."""
    axes = words.get("axes", (1, 2, 3))
    stored = stored_order(values_zyx, axes)
    mode = words.get("mode", 2)
    if mode not in (2, 12):
        stored = np.rint(50 * stored)
    words.setdefault("n", stored.shape[::-1])
    raw = header_bytes(byte_order, **words) + bytes(words.get("nsymbt", 0))
    data = raw + stored.astype(np.dtype(DTYPES[mode]).newbyteorder(byte_order)).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("suffix", [".mrc", ".map.gz"])
@pytest.mark.parametrize("name", HEADERS)
def test_every_header_gives_what_the_reader_gives(tmp_path: Path, name: str, suffix: str) -> None:
    path = write_map(tmp_path / f"a{suffix}", **HEADERS[name])
    read, opened = read_density_map(path), xr.open_dataset(path, engine=MrcBackend)
    assert opened["density"].dims == ("z", "y", "x")
    np.testing.assert_array_equal(opened["density"].values, read.values_zyx)
    for axis, size, origin, n in zip(
        "zyx", read.voxel_size_zyx_A, read.origin_xyz_A[::-1], read.values_zyx.shape, strict=True
    ):
        np.testing.assert_allclose(opened[axis], origin + size * np.arange(n), atol=1e-9)
        assert opened[axis].attrs["units"] == "angstrom"


def test_positions_are_those_of_the_header_words(tmp_path: Path) -> None:
    path = write_map(tmp_path / "a.mrc", axes=(2, 1, 3), nstart=(4, -3, 11))
    opened = xr.open_dataset(path, engine=MrcBackend)
    # Columns run along y here, so the first nstart word is y's: 4 x 1.25, -3 x 1.5, 11 x 2 A.
    assert opened["y"].values[0] == pytest.approx(4 * 1.25)
    assert opened["x"].values[:2] == pytest.approx([-4.5, -3.0])
    assert opened["z"].values[-1] == pytest.approx(11 * 2 + 4 * 2)
    at = opened["density"].sel(z=24.0, y=5.0 + 2.5, x=-3.0)
    assert float(at) == VALUES_ZYX[1, 2, 1]


@pytest.mark.parametrize("suffix", [".mrc", ".map.gz"])
@pytest.mark.parametrize(
    "key",
    [
        (slice(None), 3, slice(1, 7, 2)),
        (slice(None, None, -1), slice(4, 1, -2), -1),
        (np.array([3, 0, 0]), slice(2, 2), slice(None)),
        (np.array([4, 1]), np.array([5, 0, 2]), np.array([7, 7])),
        (2, -6, 0),
    ],
)
def test_indexing_is_that_of_an_array(tmp_path: Path, suffix: str, key: tuple) -> None:
    path = write_map(tmp_path / f"a{suffix}", axes=(3, 1, 2))
    opened = xr.open_dataset(path, engine=MrcBackend)["density"]
    held = xr.DataArray(VALUES_ZYX, dims=("z", "y", "x"))
    np.testing.assert_array_equal(opened[key].values, held[key].values)
    points = {axis: xr.DataArray([1, 4, 2], dims="p") for axis in "zyx"}
    np.testing.assert_array_equal(opened.isel(points), held.isel(points))


def test_only_what_is_asked_for_is_read(tmp_path: Path, monkeypatch) -> None:
    asked = []
    read = MapFileBoxes.read
    monkeypatch.setattr(
        MapFileBoxes, "read", lambda self, window: asked.append(window) or read(self, window)
    )
    opened = xr.open_dataset(write_map(tmp_path / "a.map"), engine=MrcBackend)
    assert opened.sizes == {"z": 5, "y": 6, "x": 8}
    assert asked == []
    opened["density"].isel(z=3, x=slice(2, 7, 2)).load()
    assert asked == [(slice(3, 4), slice(0, 6), slice(2, 7))]


@pytest.mark.parametrize("suffix", [".mrc", ".mrc.gz"])
def test_a_lazy_dataset_can_be_sent_to_a_worker(tmp_path: Path, suffix: str) -> None:
    opened = xr.open_dataset(write_map(tmp_path / f"a{suffix}"), engine=MrcBackend)
    opened["density"].isel(z=0).load()
    there = pickle.loads(pickle.dumps(opened))
    np.testing.assert_array_equal(there["density"], VALUES_ZYX)


def test_the_engine_is_declared_and_found_by_name(tmp_path: Path, monkeypatch) -> None:
    declared = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["entry-points"]
    assert list(declared) == ["xarray.backends"]
    lines = [f"{name} = {value}" for name, value in declared["xarray.backends"].items()]
    info = tmp_path / "declared-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: declared\nVersion: 1\n")
    (info / "entry_points.txt").write_text("\n".join(["[xarray.backends]", *lines]))
    monkeypatch.syspath_prepend(tmp_path)
    xr.backends.refresh_engines()
    try:
        path = write_map(tmp_path / "emd_1234.map.gz")
        np.testing.assert_array_equal(xr.open_dataset(path, engine="mrc")["density"], VALUES_ZYX)
        np.testing.assert_array_equal(xr.open_dataset(path)["density"], VALUES_ZYX)
    finally:
        monkeypatch.undo()
        xr.backends.refresh_engines()


@pytest.mark.parametrize(
    ("name", "guess"),
    [("emd_1.map.gz", True), ("A.MRC", True), ("a.ccp4", True), ("a.nc", False), ("a.gz", False)],
)
def test_names_of_maps_are_known(name: str, guess: bool) -> None:
    assert MrcBackend().guess_can_open(name) is guess
    assert MrcBackend().guess_can_open(Path(name)) is guess
    assert MrcBackend().guess_can_open(b"MAP ") is False


def test_what_is_no_map_is_refused_with_its_reason(tmp_path: Path) -> None:
    cut = write_map(tmp_path / "cut.mrc")
    cut.write_bytes(cut.read_bytes()[:-4])
    for path, reason in (
        (tmp_path / "none.mrc", MapReason.NOT_FOUND),
        (cut, MapReason.TRUNCATED),
        (write_map(tmp_path / "axes.mrc", axes=(1, 2, 3), mode=2, cell=(0.0, 0.0, 0.0)),
         MapReason.BAD_CELL),
    ):  # fmt: skip
        with pytest.raises(MapError) as told:
            xr.open_dataset(path, engine=MrcBackend)
        assert told.value.reason is reason


@pytest.mark.parametrize("suffix", [".mrc", ".mrc.gz"])
def test_values_that_are_not_finite_are_refused_or_zero(tmp_path: Path, suffix: str) -> None:
    values = VALUES_ZYX.copy()
    values[2, 3, 4], values[2, 3, 5] = np.nan, np.inf
    path = write_map(tmp_path / f"a{suffix}", values)
    with pytest.raises(MapError, match="non_finite"):
        xr.open_dataset(path, engine=MrcBackend)["density"].load()
    zeroed = xr.open_dataset(path, engine=MrcBackend, non_finite="zero")["density"].values
    values[2, 3, 4:6] = 0
    np.testing.assert_array_equal(zeroed, values)


def test_options_reach_the_reader(tmp_path: Path) -> None:
    path = write_map(tmp_path / "a.mrc", origin=(30.0, 20.0, 10.0), nstart=(2, 2, 2))
    found = {
        rule: xr.open_dataset(path, engine=MrcBackend, origin=rule)["x"].values[0]
        for rule in ("auto", "nstart", "sum", "zero")
    }
    assert found == pytest.approx({"auto": 30.0, "nstart": 3.0, "sum": 33.0, "zero": 0.0})
    with pytest.raises(MapError, match="max_voxels"):
        xr.open_dataset(path, engine=MrcBackend, max_voxels=100)
    without = xr.open_dataset(path, engine=MrcBackend, drop_variables="density")
    assert list(without.data_vars) == []
    assert STAMPS["<"] == path.read_bytes()[212:216]
