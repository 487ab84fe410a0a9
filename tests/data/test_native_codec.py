"""Chunks decoded in one call are the same as one by one, and nothing damaged passes."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from c2s_data.errors import CorruptChunkError
from c2s_data.store import native_codec
from c2s_data.store.native_codec import (
    Rows,
    decode_and_scatter,
    decode_chunks_to,
    find_functions,
)
from c2s_data.store.shard import ShardSpec, decode_chunk, encode_shard
from c2s_data.store.shard_encoder import crc_bytes, encode_chunk
from c2s_data.store.subgrid_reader import SubgridReader

SHAPE = (3, 4, 6, 2)  # rows of 96 bytes as f2, of 48 as u1

pytestmark = pytest.mark.skipif(
    find_functions() is None, reason="the libraries of numcodecs and google-crc32c hide functions"
)


def spec_of(dtype: str, compressor: str = "lz4", shape: tuple[int, ...] = SHAPE) -> ShardSpec:
    return ShardSpec((4 * shape[0], *shape[1:]), shape, np.dtype(dtype), compressor)


def chunks_of(
    spec: ShardSpec, n: int = 4, seed: int = 5
) -> tuple[NDArray[np.uint8], NDArray[np.int64], list[NDArray[np.generic]]]:
    """Return stored bytes with gaps between the chunks, their bounds, and their values."""
    rng = np.random.default_rng(seed)
    values = [rng.integers(0, 9, spec.chunk_shape).astype(spec.dtype) for _ in range(n)]
    blob, bounds = b"", []
    for one in values:
        blob += b"gap"
        stored = bytes(encode_chunk(one, spec))
        bounds.append((len(blob), len(blob) + len(stored)))
        blob += stored
    return np.frombuffer(blob, np.uint8), np.array(bounds), values


@pytest.mark.parametrize("compressor", ["lz4", "zstd"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "u1"])
def test_chunks_reach_their_places_and_nothing_else_changes(dtype: str, compressor: str) -> None:
    spec = spec_of(dtype, compressor)
    blob, bounds, values = chunks_of(spec)
    assert not blob.flags.writeable  # as bytes of a network are
    out, place = np.full((6, *SHAPE), 77, dtype), np.array([5, 0, 3, 2])
    assert decode_chunks_to(blob, bounds, out, place)
    for one, at, (start, stop) in zip(values, place, bounds, strict=True):
        alone = np.empty(SHAPE, dtype)
        decode_chunk(blob[start:stop], spec, alone)
        np.testing.assert_array_equal(out[at], alone)
        np.testing.assert_array_equal(out[at], one)
    assert (out[[1, 4]] == 77).all()


def test_rows_reach_their_places_and_nothing_else_changes() -> None:
    spec = spec_of("f2")
    blob, bounds, values = chunks_of(spec)
    arena, chunk = np.full((20, *SHAPE[1:]), 77, "f2"), np.empty(SHAPE, "f2")
    # Rows 2 to 10 of twelve are asked for; the chunks lie in another order; two rows go nowhere.
    which, place = np.zeros(8, np.int64), np.array([19, 3, 0, 8, 7, 1, 2, 12])
    which[[2, 5]] = -1
    order = [1, 0, 3, 2]
    first_row = np.array([3 * number - 2 for number in order])
    assert decode_and_scatter(blob, bounds, chunk, Rows(first_row, [arena], which, place))
    rows = np.concatenate([values[order.index(number)] for number in range(4)])[2:10]
    expected = np.full_like(arena, 77)
    expected[place[which == 0]] = rows[which == 0]
    np.testing.assert_array_equal(arena, expected)


def test_no_changed_byte_passes() -> None:
    spec = spec_of("u1", shape=(1, 2, 4, 8))
    blob, bounds, _ = chunks_of(spec, 1)
    out, place = np.empty((1, *spec.chunk_shape), "u1"), np.array([0])
    assert decode_chunks_to(blob, bounds, out, place)
    for at in range(*bounds[0].tolist()):
        for bit in range(8):
            damaged = blob.copy()
            damaged[at] ^= 1 << bit
            assert not decode_chunks_to(damaged, bounds, out, place)


@pytest.mark.parametrize("field", [4, 12], ids=["bytes decoded", "bytes stored"])
@pytest.mark.parametrize("change", [-1, 1, 10**6])
def test_forged_lengths_are_refused_though_the_checksum_is_right(field: int, change: int) -> None:
    spec = spec_of("f2")
    blob, bounds, _ = chunks_of(spec, 1)
    start, stop = bounds[0].tolist()
    forged = bytearray(blob.tobytes())
    (before,) = struct.unpack_from("<I", forged, start + field)
    struct.pack_into("<I", forged, start + field, before + change)
    forged[stop - 4 : stop] = crc_bytes(np.frombuffer(forged[start : stop - 4], np.uint8))
    out = np.empty((1, *SHAPE), "f2")
    assert not decode_chunks_to(np.frombuffer(forged, np.uint8), bounds, out, np.array([0]))


@pytest.mark.parametrize("compressor", ["lz4", "zstd"])
def test_damage_under_a_right_checksum_ends_as_it_does_one_by_one(compressor: str) -> None:
    spec = spec_of("f2", compressor, (16, 8, 8, 8))
    blob, bounds, _ = chunks_of(spec, 1)
    start, stop = bounds[0].tolist()
    rng = np.random.default_rng(9)
    refused = 0
    for at in (*range(start, start + 32), *rng.integers(start, stop - 4, 600)):
        forged = blob.copy()
        forged[at] ^= rng.integers(1, 256)
        forged[stop - 4 : stop] = np.frombuffer(crc_bytes(forged[start : stop - 4]), np.uint8)
        at_once, alone = np.zeros((1, *spec.chunk_shape), "f2"), np.zeros(spec.chunk_shape, "f2")
        decoded = decode_chunks_to(forged, bounds, at_once, np.array([0]))
        try:
            decode_chunk(forged[start:stop], spec, alone)
        except CorruptChunkError:
            assert not decoded
            refused += 1
        else:
            assert decoded
            assert at_once[0].tobytes() == alone.tobytes()
    assert refused


@pytest.mark.parametrize("move", [(-100, 0), (0, 10**6), (10**6, 10**6), (0, -(10**6)), (30, 0)])
def test_bounds_outside_the_bytes_are_refused(move: tuple[int, int]) -> None:
    blob, bounds, _ = chunks_of(spec_of("f2"))
    out = np.empty((4, *SHAPE), "f2")
    bounds[2] += move
    assert not decode_chunks_to(blob, bounds, out, np.arange(4))


@pytest.mark.parametrize("place", [4, -1])
def test_places_outside_are_refused(place: int) -> None:
    blob, bounds, _ = chunks_of(spec_of("f2"))
    chunk, out = np.empty(SHAPE, "f2"), np.zeros((4, *SHAPE), "f2")
    assert not decode_chunks_to(blob, bounds, out, np.array([0, 1, 2, place]))
    rows, which = np.array([0, 1, place]), np.zeros(3, np.int64)
    arena = np.zeros((4, *SHAPE[1:]), "f2")
    to = Rows(np.array([0]), [arena], which, rows)
    assert not decode_and_scatter(blob, bounds[:1], chunk, to)
    assert not arena.any()


@pytest.mark.parametrize("is_file", [False, True])
def test_plain_rows_reach_their_places_and_no_changed_byte_passes(
    tmp_path: Path, is_file: bool
) -> None:
    spec = spec_of("f2", "none")
    blob, bounds, values = chunks_of(spec)
    arena, chunk = np.full((13, *SHAPE[1:]), 77, "f2"), np.empty(SHAPE, "f2")
    place = np.random.default_rng(3).permutation(12)
    to = Rows(3 * np.arange(4), [arena], np.zeros(12, np.int64), place)
    path = tmp_path / "chunks"

    def scattered(stored: NDArray[np.uint8]) -> bool:
        if not is_file:
            return decode_and_scatter(stored, bounds, chunk, to, is_plain=True)
        path.write_bytes(stored.tobytes())
        with path.open("rb") as file:
            memory = np.empty(spec.chunk_nbytes, np.uint8)
            return decode_and_scatter(memory, bounds, chunk, to, file.fileno(), is_plain=True)

    assert scattered(blob)
    np.testing.assert_array_equal(arena[place], np.concatenate(values))
    assert (arena[12] == 77).all()
    assert not scattered(blob[:-1])
    for at in range(*bounds[2].tolist()):
        damaged = blob.copy()
        damaged[at] ^= 1 << at % 8
        assert not scattered(damaged)
    bounds[1, 1] -= 8  # whole words, and none that a checksum ends
    assert not scattered(blob)


@pytest.mark.parametrize("compressor", ["lz4", "zstd", "none"])
@pytest.mark.parametrize("shape", [SHAPE, (3, 5, 1, 1)], ids=["words", "no words"])
def test_a_reader_gives_the_same_with_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], compressor: str
) -> None:
    spec = spec_of("f2", compressor, shape)
    values = np.random.default_rng(2).random(spec.shard_shape).astype("f2")
    path = tmp_path / "a/c/0/0/0/0"
    path.parent.mkdir(parents=True)
    path.write_bytes(encode_shard(values, spec))
    place, which = np.array([8, 1, 0, 4, 5, 6, 2, 3]), np.zeros(8, np.int64)
    found = []
    for functions in (native_codec.functions, None):
        monkeypatch.setattr(native_codec, "functions", functions)
        arena = np.zeros((9, *shape[1:]), "f2")
        SubgridReader(tmp_path / "a", spec).scatter_rows(0, 2, 10, [arena], which, place)
        np.testing.assert_array_equal(arena[place], values[2:10])
        found.append(arena)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("compressor", ["lz4", "none"])
def test_a_damaged_chunk_is_named_as_it_is_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compressor: str
) -> None:
    spec = spec_of("f2", compressor)
    path = tmp_path / "a/c/0/0/0/0"
    path.parent.mkdir(parents=True)
    stored = bytearray(encode_shard(np.ones(spec.shard_shape, "f2"), spec))
    stored[len(stored) // 2] ^= 1
    path.write_bytes(stored)
    said = set()
    for functions in (native_codec.functions, None):
        monkeypatch.setattr(native_codec, "functions", functions)
        arena, rows = np.zeros((12, *SHAPE[1:]), "f2"), np.arange(12)
        with pytest.raises(CorruptChunkError, match="fails its crc32c") as refused:
            SubgridReader(tmp_path / "a", spec).scatter_rows(
                0, 0, 12, [arena], np.zeros(12, np.int64), rows
            )
        said.add(str(refused.value))
    assert len(said) == 1
