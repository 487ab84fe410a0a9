"""Every file that is written passes mrcfile.validate and is read back."""

from __future__ import annotations

import io

import mrcfile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2s_data.sources import density_map_writer
from c2s_data.sources.density_map import DensityMap, read_density_map, write_density_map

VOXEL_ZYX_A = (1.5, 0.75, 1.25)
ORIGIN_XYZ_A = (-12.5, 117.25, 0.0)


def density(values: np.ndarray) -> DensityMap:
    return DensityMap(np.ascontiguousarray(values, np.float32), VOXEL_ZYX_A, ORIGIN_XYZ_A)


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((5, 9, 7), dtype=np.float32)


@pytest.fixture
def classes() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 21, (5, 9, 7)).astype(np.float32)


def assert_valid(path) -> None:
    report = io.StringIO()
    assert mrcfile.validate(path, print_file=report), report.getvalue()


@pytest.mark.parametrize("name", ["x.mrc", "x.map", "x.map.gz", "x.MRC.GZ"])
def test_float32_round_trip(tmp_path, noise, name):
    path = tmp_path / name
    write_density_map(path, density(noise), labels=["made by a test", "second"])
    assert_valid(path)
    back = read_density_map(path)
    np.testing.assert_array_equal(back.values_zyx, noise)
    assert back.voxel_size_zyx_A == VOXEL_ZYX_A
    assert back.origin_xyz_A == ORIGIN_XYZ_A
    assert back.leniencies == ()
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == name.lower().endswith(".gz")


@pytest.mark.parametrize("suffix", ["mrc", "mrc.gz"])
@pytest.mark.parametrize(
    ("dtype", "mode", "stored"),
    [
        (None, 2, "f4"),
        (np.float32, 2, "f4"),
        (np.float16, 12, "f2"),
        (np.int8, 0, "i1"),
        (np.uint8, 0, "i1"),
        (np.int16, 1, "i2"),
        (np.uint16, 6, "u2"),
    ],
)
def test_types_and_header_words(tmp_path, classes, *, suffix, dtype, mode, stored):
    path = tmp_path / f"x.{suffix}"
    write_density_map(path, density(classes), dtype=dtype, labels=["amino"])
    assert_valid(path)
    with mrcfile.open(path) as reference:
        header = reference.header
        assert header.mode == mode
        assert reference.data.dtype == np.dtype(stored)
        np.testing.assert_array_equal(reference.data, classes)
        assert [int(header[name]) for name in ("nx", "ny", "nz")] == [7, 9, 5]
        assert [int(header[name]) for name in ("mx", "my", "mz")] == [7, 9, 5]
        assert [float(header.origin[axis]) for axis in "xyz"] == list(ORIGIN_XYZ_A)
        assert [int(header[name]) for name in ("nxstart", "nystart", "nzstart")] == [0, 0, 0]
        assert [float(header.cella[axis]) for axis in "xyz"] == [8.75, 6.75, 7.5]
        assert header.ispg == 1
        assert reference.get_labels() == ["amino"]
        assert float(header.dmean) == pytest.approx(classes.mean(), rel=1e-6)


def test_float16_rounds_to_nearest(tmp_path, noise):
    path = tmp_path / "x.mrc"
    write_density_map(path, density(noise), dtype=np.float16)
    np.testing.assert_array_equal(read_density_map(path).values_zyx, noise.astype(np.float16))


def test_empty_mask_may_be_written(tmp_path):
    path = tmp_path / "x.mrc"
    write_density_map(path, density(np.zeros((4, 5, 6))), dtype=np.int8)
    assert_valid(path)


@pytest.mark.parametrize("name", ["x.map", "x.map.gz"])
def test_bytes_are_reproducible(tmp_path, noise, name):
    first, second = tmp_path / "a" / name, tmp_path / "b" / name
    for path in (first, second):
        path.parent.mkdir()
        write_density_map(path, density(noise))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(128, np.int8), (128, np.uint8), (-1, np.uint16), (0.5, np.int16), (1e5, np.float16)],
)
def test_values_that_do_not_fit(tmp_path, classes, value, dtype):
    classes[2, 3, 4] = value
    with pytest.raises(ValueError, match="do not fit"):
        write_density_map(tmp_path / "x.mrc", density(classes), dtype=dtype)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": np.complex64}, "cannot hold complex64"),
        ({"dtype": np.int32}, "cannot hold int32"),
        ({"labels": ["x"] * 11}, "at most 10"),
        ({"labels": ["x" * 81]}, "at most 80"),
        ({"labels": ["5 \N{ANGSTROM SIGN}"]}, "ASCII"),
    ],
)
def test_options_that_cannot_stand_in_a_header(tmp_path, noise, change, message):
    with pytest.raises(ValueError, match=message):
        write_density_map(tmp_path / "x.mrc", density(noise), **change)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("voxel_zyx_A", "origin_xyz_A", "message"),
    [
        ((1.0, 0.0, 1.0), (0.0, 0.0, 0.0), "voxel size"),
        ((1.0, float("nan"), 1.0), (0.0, 0.0, 0.0), "voxel size"),
        ((1.0, 1.0, 1.0), (0.0, float("inf"), 0.0), "origin"),
    ],
)
def test_geometry_that_cannot_stand_in_a_header(
    tmp_path, noise, voxel_zyx_A, origin_xyz_A, message
):
    with pytest.raises(ValueError, match=message):
        write_density_map(tmp_path / "x.mrc", DensityMap(noise, voxel_zyx_A, origin_xyz_A))


def test_nan_is_not_written(tmp_path, noise):
    noise[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="nan"):
        write_density_map(tmp_path / "x.mrc", density(noise))


@pytest.mark.parametrize("name", ["x.map", "x.map.gz"])
def test_failed_write_leaves_the_old_file_and_nothing_beside(tmp_path, noise, monkeypatch, name):
    path = tmp_path / name
    write_density_map(path, density(noise))
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(density_map_writer.Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_density_map(path, density(noise + 1))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(*[st.integers(2, 9)] * 3),
    voxel_zyx_A=st.tuples(*[st.floats(0.2, 20.0)] * 3),
    origin_xyz_A=st.tuples(*[st.floats(-1e4, 1e4)] * 3),
)
def test_geometry_round_trip(tmp_path_factory, shape, voxel_zyx_A, origin_xyz_A):
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    path = tmp_path_factory.mktemp("round-trip") / "x.map"
    write_density_map(path, DensityMap(values, voxel_zyx_A, origin_xyz_A))
    assert_valid(path)
    back = read_density_map(path, origin="origin")
    np.testing.assert_array_equal(back.values_zyx, values)
    assert back.voxel_size_zyx_A == pytest.approx(voxel_zyx_A, rel=1e-6)
    assert back.origin_xyz_A == pytest.approx(origin_xyz_A, rel=1e-6, abs=1e-6)
