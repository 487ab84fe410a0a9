"""Map files become the same float32 (z, y, x) array however they are stored, or are refused."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import tracemalloc
import warnings
import zlib

import mrcfile
import numpy as np
import pytest
from mrc_files import header_bytes, map_bytes, write

from c2s_data.errors import MapError, MapReason
from c2s_data.sources import density_map
from c2s_data.sources.density_map import DensityMap, read_density_map, read_map_header

AXIS_ORDERS = list(itertools.permutations((1, 2, 3)))
MIB = 2**20


@pytest.fixture
def values() -> np.ndarray:
    """Integers of either sign, exact in every mode; no two neighbours alike."""
    return np.random.default_rng(7).permutation(5 * 6 * 7).reshape(5, 6, 7).astype("f4") - 100


def refusal(path, **options) -> MapReason:
    with pytest.raises(MapError) as caught:
        read_density_map(path, **options)
    assert str(path) in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("axes", AXIS_ORDERS)
@pytest.mark.parametrize("byte_order", "<>")
@pytest.mark.parametrize("mode", [0, 1, 2, 6, 12])
@pytest.mark.parametrize("suffix", ["map", "map.gz"])
def test_every_storage_gives_the_same_array(tmp_path, values, *, axes, byte_order, mode, suffix):
    values = np.clip(values, 0 if mode == 6 else -128, 127)
    content = map_bytes(
        values, axes=axes, byte_order=byte_order, mode=mode, extended=b"symmetry" * 20
    )
    path = write(tmp_path / f"x.{suffix}", content)
    density = read_density_map(path)
    assert density.values_zyx.dtype == np.float32
    assert density.values_zyx.flags.c_contiguous
    np.testing.assert_array_equal(density.values_zyx, values)
    with mrcfile.open(path) as reference:
        stored_axis_of_zyx = [axes[::-1].index(code) for code in (3, 2, 1)]
        expected = reference.data.transpose(stored_axis_of_zyx)
        np.testing.assert_array_equal(density.values_zyx, expected)


@pytest.mark.parametrize("axes", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
@pytest.mark.parametrize("mode", [0, 2, 12])
@pytest.mark.parametrize("block_bytes", [4, 100, 1000])
def test_block_size_changes_nothing(tmp_path, values, monkeypatch, *, axes, mode, block_bytes):
    monkeypatch.setattr(density_map, "_MIN_BLOCK_BYTES", block_bytes)
    values = np.clip(values, -128, 127)
    path = write(tmp_path / "x.map.gz", map_bytes(values, axes=axes, mode=mode))
    np.testing.assert_array_equal(read_density_map(path).values_zyx, values)


def test_unsigned_bytes_by_the_imod_stamp(tmp_path):
    values = np.arange(210, dtype="f4").reshape(5, 6, 7) + 40
    content = map_bytes(values, mode=0, dtype="u1", imod=(1146047817, 0))
    density = read_density_map(write(tmp_path / "x.mrc", content))
    np.testing.assert_array_equal(density.values_zyx, values)
    assert density.source_dtype == np.dtype(np.uint8)


def test_geometry_and_provenance(tmp_path, values):
    content = map_bytes(
        values, axes=(3, 1, 2), m=(14, 12, 10), cell=(21.0, 15.0, 20.0), nstart=(3, -4, 10)
    )
    path = write(tmp_path / "x.map.gz", content)
    density = read_density_map(path, sha256=True)
    assert density.voxel_size_zyx_A == (2.0, 1.25, 1.5)
    assert density.origin_xyz_A == (-6.0, 12.5, 6.0)
    assert density.source_dtype == np.dtype(np.float32)
    assert density.file_bytes == path.stat().st_size
    assert density.file_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_density_map(path).file_sha256 is None
    assert read_map_header(path).shape_zyx == density.values_zyx.shape


def test_digest_of_a_plain_file_covers_header_and_extended_header(tmp_path, values):
    path = write(tmp_path / "x.map", map_bytes(values, extended=b"s" * 160))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_density_map(path, sha256=True).file_sha256 == digest


def test_gzip_is_told_by_content_not_by_name(tmp_path, values):
    plain, packed = tmp_path / "plain.map.gz", tmp_path / "packed.map"
    plain.write_bytes(map_bytes(values))
    packed.write_bytes(gzip.compress(map_bytes(values)))
    for path in (plain, packed):
        np.testing.assert_array_equal(read_density_map(path).values_zyx, values)


def test_gzip_of_several_members_and_padding(tmp_path, values):
    content = map_bytes(values)
    parts = [content[:500], content[500:1500], content[1500:]]
    path = tmp_path / "x.map.gz"
    path.write_bytes(b"".join(gzip.compress(part) for part in parts) + bytes(512))
    np.testing.assert_array_equal(read_density_map(path).values_zyx, values)


def test_leniencies_reach_the_map(tmp_path, values):
    path = write(tmp_path / "x.map", map_bytes(values, stamp=b"\0\0\0\0"))
    assert read_density_map(path).leniencies == ("machine-stamp",)


@pytest.mark.parametrize("suffix", ["map", "map.gz"])
@pytest.mark.parametrize("keep", [0, 3, 700, 1023, 1024, 1100, 1863])
def test_file_that_ends_early(tmp_path, values, suffix, keep):
    path = write(tmp_path / f"x.{suffix}", map_bytes(values)[:keep])
    assert refusal(path) == MapReason.TRUNCATED


@pytest.mark.parametrize("keep", [2, 10, 200, -9, -1])
def test_truncated_gzip(tmp_path, values, keep):
    path = tmp_path / "x.map.gz"
    path.write_bytes(gzip.compress(map_bytes(values))[:keep])
    assert refusal(path) == MapReason.TRUNCATED


@pytest.mark.parametrize("at", [-5, -8, 300, 12])
def test_damaged_gzip(tmp_path, values, at):
    content = bytearray(gzip.compress(map_bytes(values)))
    content[at] ^= 0xFF
    path = tmp_path / "x.map.gz"
    path.write_bytes(content)
    assert refusal(path) in (MapReason.BAD_GZIP, MapReason.TRUNCATED)


def test_wrong_checksum_with_the_right_length(tmp_path, values):
    content = bytearray(gzip.compress(map_bytes(values)))
    content[-8] ^= 1
    path = tmp_path / "x.map.gz"
    path.write_bytes(content)
    assert refusal(path) == MapReason.BAD_GZIP


@pytest.mark.parametrize("suffix", ["map", "map.gz"])
def test_bytes_after_the_data(tmp_path, values, suffix):
    path = write(tmp_path / f"x.{suffix}", map_bytes(values) + b"\0")
    assert refusal(path) == MapReason.TOO_LONG


def test_missing_file_and_directory(tmp_path):
    assert refusal(tmp_path / "none.map") == MapReason.NOT_FOUND
    assert refusal(tmp_path) == MapReason.UNREADABLE


def test_not_a_map(tmp_path):
    path = write(tmp_path / "x.map", b"ATOM      1  N   MET A   1 " * 60)
    assert refusal(path) == MapReason.NOT_MRC


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, "signalling"])
@pytest.mark.parametrize(("mode", "axes"), [(2, (1, 2, 3)), (2, (3, 2, 1)), (12, (1, 2, 3))])
@pytest.mark.parametrize("byte_order", "<>")
def test_not_finite(tmp_path, values, *, bad, mode, axes, byte_order):
    content = bytearray(map_bytes(values, mode=mode, axes=axes, byte_order=byte_order))
    size = 4 if mode == 2 else 2
    if bad == "signalling":
        bits = 0x7F800001 if mode == 2 else 0x7C01
        word = bits.to_bytes(size, "little" if byte_order == "<" else "big")
    else:
        word = np.array(bad, f"{byte_order}f{size}").tobytes()
    content[-3 * size : -2 * size] = word
    assert refusal(write(tmp_path / "x.map", bytes(content))) == MapReason.NOT_FINITE


@pytest.mark.parametrize(
    ("fill", "reason"),
    [
        (0.0, MapReason.CONSTANT),
        (2.5, MapReason.CONSTANT),
        (-1.0, MapReason.CONSTANT),
    ],
)
def test_constant(tmp_path, values, fill, reason):
    path = write(tmp_path / "x.map", map_bytes(np.full_like(values, fill)))
    assert refusal(path) == reason


def test_no_positive_density(tmp_path, values):
    path = write(tmp_path / "x.map", map_bytes(values - values.max()))
    assert refusal(path) == MapReason.NOT_POSITIVE


def test_one_odd_voxel_at_the_end_is_seen(tmp_path, values):
    values = np.zeros_like(values)
    values[-1, -1, -1] = 1e-30
    density = read_density_map(write(tmp_path / "x.map", map_bytes(values)))
    assert np.count_nonzero(density.values_zyx) == 1


def peak_bytes(path, reason: MapReason) -> int:
    tracemalloc.start()
    try:
        assert refusal(path) == reason
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"n": (1024, 1024, 1024)}, MapReason.TRUNCATED),
        ({"n": (2**31 - 1, 2**31 - 1, 2**31 - 1)}, MapReason.TOO_LARGE),
        ({"nsymbt": 60 * MIB}, MapReason.TRUNCATED),
        ({"mode": 4}, MapReason.COMPLEX_MODE),
    ],
)
@pytest.mark.parametrize("suffix", ["map", "map.gz"])
def test_lying_header_allocates_nothing(tmp_path, words, reason, suffix):
    path = write(tmp_path / f"x.{suffix}", header_bytes(**words) + bytes(960))
    assert peak_bytes(path, reason) < 2 * MIB


@pytest.mark.parametrize("axes", [(1, 2, 3), (3, 2, 1)])
def test_lying_header_over_a_stream_that_could_be_as_long(tmp_path, axes):
    """64 MiB of zeros leave room, by the deflate ratio, for the 1 GiB that the header declares."""
    header = header_bytes(n=(1024, 1024, 256), m=(1024, 1024, 256), cell=(1e3, 1e3, 1e3), axes=axes)
    path = tmp_path / "x.map.gz"
    incompressible = np.random.default_rng(0).bytes(MIB)
    path.write_bytes(gzip.compress(header + bytes(64 * MIB) + incompressible, 1))
    assert peak_bytes(path, MapReason.TRUNCATED) < 16 * MIB


def test_gzip_bomb_stops_at_the_declared_length(tmp_path, values):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    content = packer.compress(map_bytes(values))
    content += b"".join(packer.compress(bytes(MIB)) for _ in range(256)) + packer.flush()
    path = tmp_path / "x.map.gz"
    path.write_bytes(content)
    assert peak_bytes(path, MapReason.TOO_LONG) < 2 * MIB


@pytest.mark.parametrize("axes", AXIS_ORDERS)
@pytest.mark.parametrize(("mode", "byte_order"), [(2, "<"), (2, ">"), (12, "<"), (0, "<")])
def test_peak_memory_is_the_array_and_a_tenth(tmp_path, axes, mode, byte_order):
    side = 256
    words = {"n": (side,) * 3, "m": (side,) * 3, "cell": (300.0,) * 3, "axes": axes, "mode": mode}
    n_bytes = side**3 * {0: 1, 2: 4, 12: 2}[mode]
    data = bytearray(n_bytes)
    data[n_bytes // 2 : n_bytes // 2 + 4] = b"\x11\x11\x11\x11"
    path = tmp_path / "x.map.gz"
    path.write_bytes(gzip.compress(header_bytes(byte_order, **words) + data, 1))
    tracemalloc.start()
    try:
        density = read_density_map(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert density.values_zyx.max() > 0
    assert peak <= 1.1 * density.values_zyx.nbytes + 16 * MIB


def test_header_of_a_gzip_needs_its_start_only(tmp_path):
    values = np.random.default_rng(3).standard_normal((90, 80, 70), dtype=np.float32)
    content = gzip.compress(map_bytes(values), 1)
    path = tmp_path / "x.map.gz"
    path.write_bytes(content[:-8] + bytes(8))
    assert read_map_header(path).shape_zyx == (90, 80, 70)
    assert refusal(path) == MapReason.BAD_GZIP


def test_density_map_checks_its_array(values):
    geometry = ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    assert DensityMap(values, *geometry).source_dtype == np.dtype(np.float32)
    for wrong in (values.astype("f8"), values[0], values.transpose(2, 1, 0)):
        with pytest.raises(ValueError, match="C-contiguous float32"):
            DensityMap(wrong, *geometry)


def test_no_warning_reaches_the_caller(tmp_path, values):
    path = write(tmp_path / "x.map", map_bytes(values))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_density_map(path)
    assert caught == []
