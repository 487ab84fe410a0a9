from __future__ import annotations

import json
import struct
import threading
from itertools import chain
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import zarr

from c2s_data.errors import CorruptChunkError, MissingChunkError, StoreError
from c2s_data.store.shard import (
    ShardEncoder,
    ShardSpec,
    chunk_bounds,
    decode_chunk,
    decode_chunks,
    decode_shard,
    encode_shard,
    shard_index,
)

ROWS = ShardSpec((12, 5, 4, 3), (4, 5, 4, 3), np.dtype("f2"))
BOX = ShardSpec((8, 12, 6), (4, 4, 3), np.dtype("f4"), "zstd")
MASK = ShardSpec((8, 6, 7, 5), (2, 6, 7, 5), np.dtype("u1"))
PLAIN = ShardSpec((6, 10, 9), (3, 5, 9), np.dtype("f2"), "none")
SPECS = [ROWS, BOX, MASK, PLAIN]


def noise(shape: tuple[int, ...], dtype: np.dtype, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype == np.uint8:
        return rng.integers(0, 4, shape, dtype=np.uint8)
    return np.clip(rng.standard_normal(shape), 0, 1).astype(dtype)


def zarr_array(folder: Path, shape: tuple[int, ...], spec: ShardSpec) -> zarr.Array:
    return zarr.create_array(folder, shape=shape, **spec.zarr_codecs())


def put_shard(folder: Path, spec: ShardSpec, values: np.ndarray, *coordinates: int) -> None:
    path = folder / spec.shard_key(*coordinates)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_shard(values, spec))


@pytest.mark.parametrize("spec", SPECS)
def test_zarr_reads_what_is_encoded(tmp_path, spec):
    values = noise(spec.shard_shape, spec.dtype)
    array = zarr_array(tmp_path, spec.shard_shape, spec)
    put_shard(tmp_path, spec, values)
    np.testing.assert_array_equal(array[...], values)
    np.testing.assert_array_equal(zarr.open_array(tmp_path, mode="r")[1:3], values[1:3])


@pytest.mark.parametrize("spec", SPECS)
def test_what_zarr_writes_is_decoded(tmp_path, spec):
    values = noise(spec.shard_shape, spec.dtype)
    zarr_array(tmp_path, spec.shard_shape, spec)[...] = values
    out = np.empty_like(values)
    decode_shard((tmp_path / spec.shard_key()).read_bytes(), spec, out)
    np.testing.assert_array_equal(out, values)


def test_a_map_with_three_unequal_sides_is_padded_to_whole_chunks(tmp_path):
    shape = (7, 10, 5)
    values = noise(shape, BOX.dtype) + 1
    array = zarr_array(tmp_path, shape, BOX)
    blob = encode_shard(values, BOX)
    put_shard(tmp_path, BOX, values)
    np.testing.assert_array_equal(array[...], values)
    short, whole = np.empty(shape, "f4"), np.empty(BOX.shard_shape, "f4")
    decode_shard(blob, BOX, short)
    decode_shard(blob, BOX, whole)
    np.testing.assert_array_equal(short, values)
    np.testing.assert_array_equal(whole[:7, :10, :5], values)
    assert whole.sum() == pytest.approx(values.sum())


def test_several_shards_along_rows(tmp_path):
    values = noise((30, 5, 4, 3), ROWS.dtype)
    array = zarr_array(tmp_path, values.shape, ROWS)
    for shard in range(3):
        put_shard(tmp_path, ROWS, values[shard * 12 : shard * 12 + 12], shard)
    assert ROWS.shard_key(2) == "c/2/0/0/0"
    np.testing.assert_array_equal(array[...], values)


@pytest.mark.parametrize("spec", SPECS)
def test_every_chunk_is_written_and_the_layout_is_that_of_the_specification(spec):
    blob = encode_shard(np.zeros(spec.shard_shape, spec.dtype), spec)
    n = spec.n_chunks
    assert spec.index_nbytes == 16 * n + 4
    table = np.frombuffer(blob[-spec.index_nbytes : -4], "<u8").reshape(n, 2)
    assert table[0, 0] == 0
    np.testing.assert_array_equal(np.cumsum(table[:, 1])[:-1], table[1:, 0])
    assert table.sum(axis=0)[1] + spec.index_nbytes == len(blob)
    assert struct.unpack("<I", blob[-4:])[0] == google_crc32c.value(blob[-spec.index_nbytes : -4])
    for _, start, stop in chunk_bounds(shard_index(blob, spec), range(n)):
        (stored,) = struct.unpack("<I", blob[stop - 4 : stop])
        assert stored == google_crc32c.value(blob[start : stop - 4])


def test_zero_chunks_between_others_keep_their_place():
    values = noise(MASK.shard_shape, MASK.dtype)
    values[2:6] = 0
    values[7] = 0
    out = np.full_like(values, 9)
    decode_shard(encode_shard(values, MASK), MASK, out)
    np.testing.assert_array_equal(out, values)


def test_negative_zero_survives():
    values = np.full(BOX.shard_shape, -0.0, "f4")
    out = np.zeros_like(values)
    decode_shard(encode_shard(values, BOX), BOX, out)
    assert np.signbit(out).all()


@pytest.mark.parametrize("spec", SPECS)
def test_an_encoder_gives_the_same_bytes_whatever_it_encoded_before(spec):
    encoder = ShardEncoder()
    for other in SPECS:
        encoder.encode(noise(other.shard_shape, other.dtype, seed=1), other)
    values = noise(spec.shard_shape, spec.dtype)[: spec.shard_shape[0] - 1]
    assert bytes(encoder.encode(values, spec)) == encode_shard(values, spec)


def test_sparse_voxels_encode_as_the_whole_array_does():
    rng = np.random.default_rng(5)
    values = np.zeros(MASK.shard_shape, np.uint8)
    # Chunks 0 and 2 of the four stay empty; first and last voxel of a chunk are labeled.
    places = [(2, 0, 0, 0), (3, 5, 6, 4), (6, 3, 0, 4), (7, 5, 6, 4), (7, 0, 1, 0)]
    index = np.array(places, np.int32)[rng.permutation(5)]
    value = np.array([1, 20, 255, 3, 7], np.uint8)
    values[tuple(index.T)] = value
    encoder = ShardEncoder()
    assert bytes(encoder.encode_sparse(index, value, MASK)) == encode_shard(values, MASK)
    none = encoder.encode_sparse(index[:0], value[:0], MASK)
    assert bytes(none) == encode_shard(np.zeros_like(values), MASK)


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (np.array([[0, 0, 0, 5]]), np.ones(1, np.uint8)),
        (np.array([[8, 0, 0, 0]]), np.ones(1, np.uint8)),
        (np.array([[-1, 0, 0, 0]]), np.ones(1, np.uint8)),
        (np.zeros((1, 3), int), np.ones(1, np.uint8)),
        (np.zeros((2, 4), int), np.ones(1, np.uint8)),
        (np.zeros((1, 4), int), np.ones(1, np.int8)),
    ],
)
def test_voxels_that_do_not_fit_a_shard_are_refused(index, value):
    with pytest.raises(ValueError, match=r"do not fit a shard|invalid entry"):
        ShardEncoder().encode_sparse(index, value, MASK)


def test_chunks_may_share_one_buffer_and_are_counted():
    values = noise(MASK.shard_shape, MASK.dtype)
    values[2:4] = 0
    buffer = np.empty(MASK.chunk_shape, np.uint8)

    def chunks(n):
        for number in range(n):
            buffer[...] = values[2 * number : 2 * number + 2]
            yield None if number == 1 else buffer

    encoder = ShardEncoder()
    assert bytes(encoder.encode_chunks(chunks(4), MASK)) == encode_shard(values, MASK)
    with pytest.raises(ValueError, match="shorter"):
        encoder.encode_chunks(chunks(3), MASK)
    with pytest.raises(ValueError, match="longer"):
        encoder.encode_chunks(chain(chunks(4), [buffer]), MASK)
    with pytest.raises(ValueError, match="no chunk"):
        encoder.encode_chunks([buffer[:1] + 1] * 4, MASK)


def test_encoding_does_not_depend_on_threads_or_memory_layout():
    spec = ShardSpec((64, 32, 32, 32), (16, 32, 32, 32), np.dtype("f2"))
    values = noise(spec.shard_shape, spec.dtype)
    blobs: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: blobs.append(encode_shard(values, spec))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    blobs.append(encode_shard(np.asfortranarray(values), spec))
    assert len(blobs) == 5
    assert len(set(blobs)) == 1


def test_threads_decode_the_same_shard():
    spec = ShardSpec((32, 16, 16, 16), (4, 16, 16, 16), np.dtype("f2"))
    values = noise(spec.shard_shape, spec.dtype)
    blob = encode_shard(values, spec)
    outs = [np.empty_like(values) for _ in range(4)]
    threads = [threading.Thread(target=decode_shard, args=(blob, spec, out)) for out in outs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(out, values) for out in outs)


def test_a_run_of_chunks_is_decoded_from_part_of_the_object():
    values = noise(MASK.shard_shape, MASK.dtype)
    blob = encode_shard(values, MASK)
    index = shard_index(blob[-MASK.index_nbytes :], MASK)
    base = int(index.offset[1])
    out = np.empty((2, *MASK.chunk_shape), np.uint8)
    piece = memoryview(blob)[base : int(index.offset[3])]
    decode_chunks(piece, index, range(1, 3), MASK, out, base=base)
    np.testing.assert_array_equal(out.reshape(4, 6, 7, 5), values[2:6])
    scattered = np.empty((3, *MASK.chunk_shape), np.uint8)
    decode_chunks(blob, index, [2, 0, 1], MASK, scattered)
    np.testing.assert_array_equal(scattered[[1, 2]].reshape(4, 6, 7, 5), values[:4])
    np.testing.assert_array_equal(scattered[0], values[4:6])
    decode_chunks(blob, index, range(1, 1), MASK, out)  # no chunk: nothing is touched
    np.testing.assert_array_equal(out.reshape(4, 6, 7, 5), values[2:6])


@pytest.mark.parametrize("compressor", ["lz4", "zstd", "none"])
def test_every_flipped_byte_is_found(compressor):
    spec = ShardSpec((4, 3, 2), (2, 3, 2), np.dtype("f2"), compressor)
    blob = encode_shard(noise(spec.shard_shape, spec.dtype), spec)
    out = np.empty(spec.shard_shape, spec.dtype)
    for position in range(len(blob)):
        changed = bytearray(blob)
        changed[position] ^= 1 << (position % 8)
        with pytest.raises(CorruptChunkError):
            decode_shard(changed, spec, out)
    for end in range(len(blob)):
        with pytest.raises(CorruptChunkError):
            decode_shard(blob[:end], spec, out)


def test_errors_name_object_and_chunk():
    blob = bytearray(encode_shard(noise(ROWS.shard_shape, ROWS.dtype), ROWS))
    out = np.empty(ROWS.shard_shape, ROWS.dtype)
    offset = int(shard_index(blob, ROWS).offset[2])
    blob[offset + 20] ^= 4
    with pytest.raises(CorruptChunkError, match=r"density/c/0: chunk 2 fails its crc32c"):
        decode_shard(blob, ROWS, out, "density/c/0")
    with pytest.raises(CorruptChunkError, match="cut off"):
        shard_index(blob[:10], ROWS)
    with pytest.raises(CorruptChunkError, match="shard index fails"):
        shard_index(blob[:-1], ROWS)


def reindexed(blob: bytes, spec: ShardSpec, row: int, offset: int, nbytes: int) -> bytes:
    table = np.frombuffer(blob[-spec.index_nbytes : -4], "<u8").reshape(-1, 2).copy()
    table[row] = offset, nbytes
    raw = table.tobytes()
    return blob[: -spec.index_nbytes] + raw + struct.pack("<I", google_crc32c.value(raw))


def test_a_chunk_that_was_never_written_is_an_error_and_not_zeros():
    blob = encode_shard(noise(ROWS.shard_shape, ROWS.dtype), ROWS)
    absent = reindexed(blob, ROWS, 1, 2**64 - 1, 2**64 - 1)
    out = np.zeros(ROWS.shard_shape, ROWS.dtype)
    with pytest.raises(MissingChunkError, match="chunk 1 was never written"):
        decode_shard(absent, ROWS, out)


@pytest.mark.parametrize(("offset", "nbytes"), [(10**9, 50), (0, 10**9), (2**63, 2**63), (0, 3)])
def test_an_index_that_lies_with_a_valid_checksum_is_refused(offset, nbytes):
    blob = reindexed(encode_shard(noise(ROWS.shard_shape, "f2"), ROWS), ROWS, 1, offset, nbytes)
    with pytest.raises(CorruptChunkError, match="chunk 1"):
        decode_shard(blob, ROWS, np.zeros(ROWS.shard_shape, "f2"))


@pytest.mark.parametrize("field", [4, 12])
def test_a_blosc_header_that_lies_with_a_valid_checksum_is_refused(field):
    blob = encode_shard(noise(ROWS.shard_shape, "f2"), ROWS)
    _, start, stop = next(chunk_bounds(shard_index(blob, ROWS), range(1)))
    body = bytearray(blob[start : stop - 4])
    body[field : field + 4] = struct.pack("<I", 2**31)
    chunk = bytes(body) + struct.pack("<I", google_crc32c.value(bytes(body)))
    with pytest.raises(CorruptChunkError, match="holds"):
        decode_chunk(chunk, ROWS, np.empty(ROWS.chunk_shape, "f2"))


def test_the_spec_comes_back_from_the_metadata_that_zarr_wrote(tmp_path):
    for number, spec in enumerate(SPECS):
        zarr_array(tmp_path / str(number), spec.shard_shape, spec)
        document = json.loads((tmp_path / str(number) / "zarr.json").read_text())
        assert ShardSpec.from_metadata(document) == spec
        (sharding,) = document["codecs"]
        if spec is PLAIN:
            names = [codec["name"] for codec in sharding["configuration"]["codecs"]]
            assert names == ["bytes", "crc32c"]
            continue
        blosc = sharding["configuration"]["codecs"][1]
        assert blosc["configuration"]["shuffle"] == "shuffle"
        assert blosc["configuration"]["typesize"] == spec.dtype.itemsize
        assert sharding["configuration"]["codecs"][-1]["name"] == "crc32c"


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("shards", None),
        ("compressors", ()),
        ("compressors", BOX.zarr_codecs()["compressors"][:1]),
        ("compressors", ({"name": "crc32c"},) * 2),
        ("compressors", ({"name": "gzip", "configuration": {"level": 1}},)),
        ("serializer", {"name": "bytes", "configuration": {"endian": "big"}}),
    ],
)
def test_other_encodings_are_refused(tmp_path, change, value):
    options = {**ROWS.zarr_codecs(), change: value}
    zarr.create_array(tmp_path, shape=ROWS.shard_shape, **options)
    with pytest.raises(StoreError):
        ShardSpec.from_metadata(json.loads((tmp_path / "zarr.json").read_text()))


@pytest.mark.parametrize("document", [{}, {"codecs": [{}]}, {"codecs": 3}, {"codecs": []}])
def test_metadata_that_is_no_array_is_refused(document):
    with pytest.raises(StoreError, match="no c2s_data wrote"):
        ShardSpec.from_metadata(document)


@pytest.mark.parametrize(
    ("shard", "chunk", "dtype"),
    [((10, 4), (4, 4), "f2"), ((8,), (4, 4), "f2"), ((8, 4), (0, 4), "f2"), ((8,), (4,), "O")],
)
def test_shapes_and_dtypes_that_do_not_fit_are_refused(shard, chunk, dtype):
    with pytest.raises(ValueError, match="shard"):
        ShardSpec(shard, chunk, np.dtype(dtype))


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((13, 5, 4, 3), "f2"),
        np.zeros((12, 5, 4), "f2"),
        np.zeros((12, 5, 4, 3), "f4"),
    ],
)
def test_values_that_do_not_fit_are_refused(values):
    with pytest.raises(ValueError, match="do not fit a shard"):
        encode_shard(values, ROWS)
