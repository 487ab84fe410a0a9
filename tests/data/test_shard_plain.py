"""Chunks that are not compressed: their bytes as they are, a checksum, and nothing else."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import zarr

from c2s_data.errors import CorruptChunkError, MissingChunkError
from c2s_data.store.shard import (
    ShardEncoder,
    ShardSpec,
    chunk_bounds,
    decode_chunk,
    decode_shard,
    encode_chunk,
    encode_shard,
    shard_index,
)
from c2s_data.store.subgrid_reader import SubgridReader

SPEC = ShardSpec((12, 5, 4, 3), (4, 5, 4, 3), np.dtype("f2"), "none")
CHUNK_NBYTES = 4 * 5 * 4 * 3 * 2
STORED_NBYTES = CHUNK_NBYTES + 4


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("f2")


def stored_shard(folder: Path, blob: bytes) -> SubgridReader:
    path = folder / SPEC.shard_key(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(blob)
    return SubgridReader(folder, SPEC)


def test_a_shard_by_hand() -> None:
    values = noise(SPEC.shard_shape)
    values[4:8] = 0
    chunks = b""
    for first in (0, 4, 8):
        body = values[first : first + 4].tobytes()
        chunks += body + struct.pack("<I", google_crc32c.value(body))
    index = b"".join(struct.pack("<QQ", k * STORED_NBYTES, STORED_NBYTES) for k in range(3))
    expected = chunks + index + struct.pack("<I", google_crc32c.value(index))
    assert SPEC.is_plain
    assert encode_shard(values, SPEC) == expected
    assert encode_chunk(values[:4], SPEC) == expected[:STORED_NBYTES]


@pytest.mark.parametrize("dtype", ["u1", "f2", "f4"])
def test_the_bytes_do_not_depend_on_what_the_values_are(dtype: str) -> None:
    spec = ShardSpec((6, 10, 9), (3, 5, 9), np.dtype(dtype), "none")
    whole = spec.n_chunks * (3 * 5 * 9 * spec.dtype.itemsize + 4) + spec.index_nbytes
    for values in (np.zeros(spec.shard_shape, dtype), noise(spec.shard_shape).astype(dtype)):
        blob = encode_shard(values, spec)
        assert len(blob) == whole
        assert set(shard_index(blob, spec).nbytes.tolist()) == {spec.chunk_nbytes + 4}


def test_bits_survive_that_are_no_ordinary_numbers() -> None:
    bits = np.random.default_rng(1).integers(0, 2**16, SPEC.shard_shape, np.uint16)
    bits[0, 0, 0] = [0x8000, 0x7E01, 0xFC00]  # -0, a nan with a payload, -infinity
    bits[4:8] = 0
    bits[5, 1, 2, 0] = 0x8000
    out = np.empty_like(bits)
    decode_shard(encode_shard(bits.view("f2"), SPEC), SPEC, out.view("f2"))
    np.testing.assert_array_equal(out, bits)


@pytest.mark.parametrize("compressor", ["lz4", "zstd"])
def test_one_encoder_for_plain_and_compressed_shards(compressor: str) -> None:
    values = noise(SPEC.shard_shape)
    other = ShardSpec(SPEC.shard_shape, SPEC.chunk_shape, SPEC.dtype, compressor)
    encoder = ShardEncoder()
    first = bytes(encoder.encode(values, SPEC))
    assert bytes(encoder.encode(values, other)) == encode_shard(values, other)
    assert bytes(encoder.encode(values, SPEC)) == first


def test_values_of_any_order_in_memory_are_encoded() -> None:
    values = noise(SPEC.shard_shape)
    assert encode_shard(np.asfortranarray(values), SPEC) == encode_shard(values, SPEC)
    index = np.argwhere(values)
    sparse = ShardEncoder().encode_sparse(index, values[tuple(index.T)], SPEC)
    assert bytes(sparse) == encode_shard(values, SPEC)


def test_zarr_reads_a_part_of_a_map_whose_sides_are_no_multiples(tmp_path: Path) -> None:
    spec = ShardSpec((8, 12, 6), (4, 4, 3), np.dtype("f4"), "none")
    shape = (15, 10, 11)
    values = noise(shape).astype("f4") + 1
    array = zarr.create_array(tmp_path, shape=shape, **spec.zarr_codecs())
    for z, x in np.ndindex(2, 2):
        path = tmp_path / spec.shard_key(z, 0, x)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_shard(values[8 * z : 8 * z + 8, :, 6 * x : 6 * x + 6], spec))
    np.testing.assert_array_equal(array[...], values)
    np.testing.assert_array_equal(array[5:11, 3:9, 4:10], values[5:11, 3:9, 4:10])


def test_our_bytes_are_those_that_zarr_writes(tmp_path: Path) -> None:
    values = noise(SPEC.shard_shape)
    zarr.create_array(tmp_path, shape=SPEC.shard_shape, **SPEC.zarr_codecs())[...] = values
    written = (tmp_path / SPEC.shard_key(0)).read_bytes()
    out = np.empty_like(values)
    decode_shard(written, SPEC, out)
    np.testing.assert_array_equal(out, values)
    ours = encode_shard(values, SPEC)
    # Zarr may write the chunks in another order; each is the same.
    for blob in (written, ours):
        bounds = chunk_bounds(shard_index(blob, SPEC), range(3))
        assert [blob[start:stop] for _, start, stop in bounds] == [
            encode_chunk(values[4 * k : 4 * k + 4], SPEC) for k in range(3)
        ]
    document = json.loads((tmp_path / "zarr.json").read_text())
    assert ShardSpec.from_metadata(document) == SPEC


def sealed(body: bytes) -> bytes:
    return body + struct.pack("<I", google_crc32c.value(body))


@pytest.mark.parametrize("nbytes", [0, 1, CHUNK_NBYTES - 2, CHUNK_NBYTES + 2, 2 * CHUNK_NBYTES])
def test_another_length_under_a_right_checksum_is_refused(nbytes: int) -> None:
    out = np.full(SPEC.chunk_shape, 7, "f2")
    expected = f"d/c/0: chunk 2 holds {nbytes} bytes, not {CHUNK_NBYTES}; restore"
    with pytest.raises(CorruptChunkError, match=expected):
        decode_chunk(sealed(b"\1" * nbytes), SPEC, out, "d/c/0", 2)
    assert (out == 7).all()


@pytest.mark.parametrize("blob", [b"", b"\0", b"\0\0\0", b"\1" * STORED_NBYTES])
def test_a_wrong_checksum_is_told_before_the_length(blob: bytes) -> None:
    out = np.full(SPEC.chunk_shape, 7, "f2")
    with pytest.raises(CorruptChunkError, match="d/c/0: chunk 1 fails its crc32c; restore"):
        decode_chunk(blob, SPEC, out, "d/c/0", 1)
    assert (out == 7).all()


def test_a_chunk_does_not_fit_memory_of_another_size_or_order() -> None:
    blob = encode_chunk(noise(SPEC.chunk_shape), SPEC)
    with pytest.raises(CorruptChunkError, match="holds"):
        decode_chunk(blob, SPEC, np.empty((3, 5, 4, 3), "f2"))
    with pytest.raises(ValueError, match="copy"):
        decode_chunk(blob, SPEC, np.empty((3, 4, 5, 4), "f2").T)


@pytest.mark.parametrize(
    ("byte", "message"),
    [
        (STORED_NBYTES, "chunk 1 fails its crc32c"),  # first of the values
        (2 * STORED_NBYTES - 5, "chunk 1 fails its crc32c"),  # last of them
        (2 * STORED_NBYTES - 1, "chunk 1 fails its crc32c"),  # of the checksum
        (3 * STORED_NBYTES + 16, "shard index fails its crc32c"),
        (3 * STORED_NBYTES + 51, "shard index fails its crc32c"),
    ],
)
def test_damage_is_placed_by_every_reader(tmp_path: Path, byte: int, message: str) -> None:
    values = noise(SPEC.shard_shape)
    blob = bytearray(encode_shard(values, SPEC))
    blob[byte] ^= 16
    out = np.empty_like(values)
    with pytest.raises(CorruptChunkError, match=message):
        decode_shard(blob, SPEC, out)
    reader = stored_shard(tmp_path, bytes(blob))
    with pytest.raises(CorruptChunkError, match=f"c/0/0/0/0.*{message}"):
        reader.read_rows(0, 0, 12, out)
    place = np.arange(12)
    with pytest.raises(CorruptChunkError, match=f"c/0/0/0/0.*{message}"):
        reader.scatter_rows(0, 0, 12, [out], np.zeros(12, np.int64), place)


def test_rows_of_a_file_reach_their_places(tmp_path: Path) -> None:
    values = noise(SPEC.shard_shape)
    reader = stored_shard(tmp_path, encode_shard(values, SPEC))
    out = np.empty((7, 5, 4, 3), "f2")
    reader.read_rows(0, 3, 10, out)
    np.testing.assert_array_equal(out, values[3:10])
    arenas = [np.full((9, 5, 4, 3), 7, "f2") for _ in range(2)]
    which, place = np.array([0, 1, 1, -1, 0, 0, 0]), np.array([8, 0, 3, 0, 2, 1, 5])
    reader.scatter_rows(0, 3, 10, arenas, which, place)
    reader.scatter_rows(0, 3, 10, arenas[:1], which, place)
    for row, (arena, at) in enumerate(zip(which, place, strict=True), 3):
        if arena >= 0:
            np.testing.assert_array_equal(arenas[arena][at], values[row])
    assert (arenas[0][[0, 3, 4, 6, 7]] == 7).all()
    assert (arenas[1][[1, 2, 4, 5, 6, 7, 8]] == 7).all()


def test_a_chunk_that_was_never_written_is_no_zeros() -> None:
    blob = encode_shard(noise(SPEC.shard_shape), SPEC)
    index = bytearray(blob[-SPEC.index_nbytes : -4])
    index[16:32] = b"\xff" * 16
    absent = blob[: -SPEC.index_nbytes] + sealed(bytes(index))
    with pytest.raises(MissingChunkError, match="chunk 1 was never written"):
        decode_shard(absent, SPEC, np.zeros(SPEC.shard_shape, "f2"))
