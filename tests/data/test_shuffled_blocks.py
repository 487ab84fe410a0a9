"""Chunks decoded straight to the rows of batches hold what blosc says, whatever their blocks."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from numcodecs import blosc
from numpy.typing import NDArray

from c2s_data.errors import CorruptChunkError
from c2s_data.store import native_codec
from c2s_data.store.native_codec import Rows, decode_and_scatter, find_functions
from c2s_data.store.shard import ShardSpec, decode_chunk
from c2s_data.store.shard_encoder import crc_bytes, encode_chunk

pytestmark = pytest.mark.skipif(
    find_functions() is None, reason="the libraries of numcodecs and google-crc32c hide functions"
)

ROWS = 5
KINDS = ("noise", "few values", "zeros", "smooth")


def spec_of(dtype: str, row: tuple[int, ...]) -> ShardSpec:
    return ShardSpec((2 * ROWS, *row), (ROWS, *row), np.dtype(dtype))


def values_of(kind: str, spec: ShardSpec, seed: int = 3) -> NDArray[np.generic]:
    """Return a chunk whose planes LZ4 packs: neither, both, to nothing, the high bytes alone."""
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.integers(0, 256, spec.chunk_nbytes, np.uint8).view(spec.dtype).reshape(
            spec.chunk_shape
        )  # fmt: skip
    if kind == "few values":
        return rng.choice([0, 0, 0, 1, 2], spec.chunk_shape).astype(spec.dtype)
    if kind == "zeros":
        return np.zeros(spec.chunk_shape, spec.dtype)
    return (1 + rng.random(spec.chunk_shape) / 4).astype(spec.dtype)


def stored(values: NDArray[np.generic], spec: ShardSpec, block: int = 0) -> NDArray[np.uint8]:
    """Encode a chunk, with blocks of so many bytes instead of those that a store has."""
    if not block:
        return np.frombuffer(encode_chunk(values, spec), np.uint8)
    body = blosc.compress(values, b"lz4", 9, blosc.SHUFFLE, block, spec.dtype.itemsize)
    return np.frombuffer(body + crc_bytes(np.frombuffer(body, np.uint8)), np.uint8)


def scattered(
    blob: NDArray[np.uint8], spec: ShardSpec, which: list[int], shift: int = 0
) -> tuple[bool, list[NDArray[np.generic]], NDArray[np.int64]]:
    """Decode one chunk to two arenas; ``shift`` moves them off addresses that vectors need."""
    arenas = []
    for n in (ROWS + 2, ROWS + 1):
        memory = np.full(n * spec.chunk_nbytes // ROWS + 64, 0x77, np.uint8)
        start = -memory.__array_interface__["data"][0] % 16 + shift
        used = memory[start : start + n * spec.chunk_nbytes // ROWS]
        arenas.append(used.view(spec.dtype).reshape(n, *spec.chunk_shape[1:]))
    place = np.array([4, 1, 0, 5, 2])
    to = Rows(np.array([0]), arenas, np.array(which), place)
    bounds = np.array([(0, len(blob))])
    return (
        decode_and_scatter(blob, bounds, np.empty(spec.chunk_shape, spec.dtype), to),
        arenas,
        place,
    )


@pytest.mark.parametrize("which", [[0, 1, 0, 1, 0], [-1, 2, -1, 0, -1], [-1] * 5])
@pytest.mark.parametrize("shift", [0, 8], ids=["aligned", "not aligned"])
@pytest.mark.parametrize("block", [0, 4096, 20_000, 1 << 20])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("dtype", "row"),
    [("f2", (8, 12, 16)), ("f2", (6, 10, 14)), ("u1", (8, 24, 16)), ("u1", (8, 5, 7)),
     ("f4", (4, 6, 8)), ("f2", (32, 32, 32))],
    ids=str,
)  # fmt: skip
def test_rows_reach_their_arenas_and_nothing_else_changes(
    dtype: str, row: tuple[int, ...], kind: str, block: int, shift: int, which: list[int]
) -> None:
    spec = spec_of(dtype, row)
    values = values_of(kind, spec)
    done, arenas, place = scattered(stored(values, spec, block), spec, which, shift)
    assert done
    for number, arena in enumerate(arenas):
        expected = np.full(arena.nbytes, 0x77, np.uint8).view(spec.dtype).reshape(arena.shape)
        for k in range(ROWS):
            if which[k] == number:
                expected[place[k]] = values[k]
        assert arena.tobytes() == expected.tobytes()


def test_an_arena_at_an_odd_address_is_left_to_others() -> None:
    spec = spec_of("f2", (4, 4, 4))
    done, arenas, _ = scattered(stored(values_of("noise", spec), spec), spec, [0] * 5, shift=2)
    assert not done
    assert (arenas[0].view(np.uint8) == 0x77).all()


@pytest.mark.parametrize("block", [0, 4096, 20_000])
@pytest.mark.parametrize("kind", ["noise", "few values", "smooth"])
@pytest.mark.parametrize("dtype", ["f2", "u1"])
def test_damage_under_a_right_checksum_is_refused_or_means_what_blosc_says(
    dtype: str, kind: str, block: int
) -> None:
    spec = spec_of(dtype, (16, 20, 24))
    blob = stored(values_of(kind, spec), spec, block)
    rng = np.random.default_rng(4)
    n_starts = 16 + 4 * -(-spec.chunk_nbytes // int(blob[8:12].view("<u4")[0]))
    anywhere = rng.integers(0, len(blob) - 4, 200)
    outcomes = {"refused": 0, "same": 0}
    for at, change in itertools.chain(
        itertools.product(range(n_starts + 8), (1, 0x80, 0xFF)),
        ((at, int(rng.integers(1, 256))) for at in anywhere),
    ):
        forged = blob.copy()
        forged[at] ^= change
        forged[-4:] = np.frombuffer(crc_bytes(forged[:-4]), np.uint8)
        done, arenas, place = scattered(forged, spec, [0] * 5)
        alone = np.zeros(spec.chunk_shape, spec.dtype)
        try:
            decode_chunk(forged, spec, alone)
        except CorruptChunkError:
            assert not done, at
        else:
            # blosc passes over some fields; what is decoded here is then what it decodes.
            if done:
                assert arenas[0][place].tobytes() == alone.tobytes(), at
        outcomes["same" if done else "refused"] += 1
    assert outcomes["refused"]
    assert outcomes["same"]


def test_chunks_are_read_from_a_file_and_what_is_cut_off_is_refused(tmp_path: Path) -> None:
    spec = spec_of("f2", (8, 12, 16))
    values = [values_of(kind, spec) for kind in KINDS]
    blobs = [stored(one, spec) for one in values]
    ends = np.cumsum([7, *map(len, blobs)])
    bounds = np.stack((ends[:-1], ends[1:]), axis=1)
    path = tmp_path / "chunks"
    path.write_bytes(b"before!" + b"".join(blob.tobytes() for blob in blobs))
    buffer = np.empty(max(map(len, blobs)), np.uint8)
    chunk = np.empty(spec.chunk_shape, spec.dtype)
    n = len(blobs) * ROWS
    place = np.random.default_rng(1).permutation(n)
    for cut in (0, 1):
        os.truncate(path, int(ends[-1]) - cut)
        arena = np.zeros((n, *spec.chunk_shape[1:]), spec.dtype)
        to = Rows(ROWS * np.arange(len(blobs)), [arena], np.zeros(n, np.int64), place)
        with path.open("rb") as file:
            done = decode_and_scatter(buffer, bounds, chunk, to, file.fileno())
            short = decode_and_scatter(buffer[:-1], bounds, chunk, to, file.fileno())
        assert done is not bool(cut)
        assert not short  # a chunk larger than the memory for it
        if done:
            assert arena[place].tobytes() == np.concatenate(values).tobytes()


def test_without_the_functions_nothing_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_codec, "functions", None)
    spec = spec_of("f2", (8, 12, 16))
    assert not scattered(stored(values_of("noise", spec), spec), spec, [0] * 5)[0]
