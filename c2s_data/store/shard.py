"""Encode and decode whole Zarr v3 shards, byte for byte what ``sharding_indexed`` says.

A shard is its encoded chunks one after another, then the index: for every chunk of the grid, in
C order, its offset and its size as little-endian uint64, then the crc32c of the index (Zarr v3
core specification, sharding codec). Each chunk is little-endian bytes, blosc unless they are
stored plain, crc32c last, so a changed byte is found before it is decompressed. All chunks are
written, empty ones too: a missing chunk is then always an error and never zeros.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from c2s_data.errors import CorruptChunkError, MissingChunkError
from c2s_data.store.native_codec import decode_chunks_to
from c2s_data.store.shard_encoder import (
    ShardEncoder,
    check_fits,
    chunk_places,
    crc_bytes,
    encode_chunk,
    encode_shard,
)
from c2s_data.store.shard_spec import CRC_NBYTES, Compressor, ShardSpec

__all__ = [
    "REMEDY",
    "Compressor",
    "ShardEncoder",
    "ShardIndex",
    "ShardSpec",
    "chunk_bounds",
    "decode_chunk",
    "decode_chunks",
    "decode_shard",
    "encode_chunk",
    "encode_shard",
    "shard_index",
]

Buffer = bytes | bytearray | memoryview | NDArray[np.uint8]

MISSING: Final = 2**64 - 1
_BLOSC_HEADER: Final = struct.Struct("<4B3I")
_SCRATCH_NBYTES: Final = 2**19
"""Chunks that are decoded in one call before they are put together: they stay in the cache."""
REMEDY: Final = (
    "restore the object from a copy, or delete the entry's receipt in _c2s/receipts and build again"
)


class ShardIndex(NamedTuple):
    """Where each chunk of a shard lies: byte ``offset`` and size ``nbytes``, uint64 (n_chunks,)."""

    offset: NDArray[np.uint64]
    nbytes: NDArray[np.uint64]


def shard_index(tail: Buffer, spec: ShardSpec, where: str = "shard") -> ShardIndex:
    """Read the index from the end of a shard.

    Parameters
    ----------
    tail
        The whole object or at least its last `spec.index_nbytes` bytes.
    spec
        Shape and codecs.
    where
        Names the object in errors.

    Raises
    ------
    CorruptChunkError
        The object is shorter than its index, or the checksum does not match.
    """
    data = _as_bytes(tail)
    if data.size < spec.index_nbytes:
        raise CorruptChunkError(f"{where}: cut off, {data.size} bytes are left; {REMEDY}")
    data = data[data.size - spec.index_nbytes :]
    table, crc = data[:-CRC_NBYTES], data[-CRC_NBYTES:]
    if crc.tobytes() != crc_bytes(table):
        raise CorruptChunkError(f"{where}: the shard index fails its crc32c; {REMEDY}")
    entries = np.frombuffer(table, "<u8").reshape(-1, 2)
    return ShardIndex(entries[:, 0], entries[:, 1])


def decode_chunk(
    blob: Buffer, spec: ShardSpec, out: NDArray[Any], where: str = "shard", number: int = 0
) -> None:
    """Check and decode one stored chunk into `out`.

    Parameters
    ----------
    blob
        The chunk's bytes, checksum included.
    spec
        Shape and codecs.
    out
        C-contiguous, `spec.chunk_nbytes` bytes.
    where, number
        Name the object and the chunk in errors.

    Raises
    ------
    CorruptChunkError
        Checksum, sizes or codec say that the bytes changed.
    """
    data = _as_bytes(blob)
    body, crc = data[:-CRC_NBYTES], data[-CRC_NBYTES:]
    least = 0 if spec.is_plain else _BLOSC_HEADER.size
    if body.size < least or crc.tobytes() != crc_bytes(body):
        raise CorruptChunkError(f"{where}: chunk {number} fails its crc32c; {REMEDY}")
    nbytes = cbytes = body.size
    if not spec.is_plain:
        *_, nbytes, _, cbytes = _BLOSC_HEADER.unpack_from(body.data)
    if nbytes != spec.chunk_nbytes or cbytes != body.size or out.nbytes != nbytes:
        raise CorruptChunkError(
            f"{where}: chunk {number} holds {nbytes} bytes, not {spec.chunk_nbytes}; {REMEDY}"
        )
    if spec.is_plain:
        out.reshape(-1, copy=False).view(np.uint8)[...] = body
        return
    try:
        blosc.decompress(body, out)
    except (RuntimeError, ValueError) as error:
        raise CorruptChunkError(f"{where}: chunk {number}: {error}; {REMEDY}") from error


def decode_chunks(
    blob: Buffer,
    index: ShardIndex,
    chunks: Sequence[int],
    spec: ShardSpec,
    out: NDArray[Any],
    *,
    base: int = 0,
    where: str = "shard",
) -> None:
    """Check and decode chunks, numbered in C order of the chunk grid.

    Parameters
    ----------
    blob
        Bytes of the object from offset `base` on; must cover all of `chunks`.
    index
        From `shard_index`.
    chunks
        Which chunks.
    spec
        Shape and codecs.
    out
        (len(chunks), *chunk_shape), C-contiguous, `spec.dtype`.
    base
        Offset of `blob` in the object.
    where
        Names the object in errors.

    Raises
    ------
    MissingChunkError
        A chunk was never written.
    CorruptChunkError
        A chunk lies outside the object or fails its checks.
    """
    data = _as_bytes(blob)
    found = list(chunk_bounds(index, chunks, where))
    if (
        found
        and not spec.is_plain
        and all(base <= start <= stop <= base + data.size for _, start, stop in found)
    ):
        bounds = np.array([(start - base, stop - base) for _, start, stop in found], np.int64)
        if decode_chunks_to(data, bounds.reshape(-1, 2), out[: len(found)], np.arange(len(found))):
            return
    for row, (number, start, stop) in enumerate(found):
        if start < base or stop - base > data.size:
            raise CorruptChunkError(
                f"{where}: chunk {number} lies outside the object; it was cut off; {REMEDY}"
            )
        decode_chunk(data[start - base : stop - base], spec, out[row], where, number)


def decode_shard(blob: Buffer, spec: ShardSpec, out: NDArray[Any], where: str = "shard") -> None:
    """Decode a whole object into `out`, which may be shorter than the shard on any axis.

    Raises
    ------
    MissingChunkError, CorruptChunkError
        As `decode_chunks`.
    ValueError
        `out` does not fit the spec.
    """
    check_fits(out, spec)
    data = _as_bytes(blob)
    index = shard_index(data, spec, where)
    parts = [(number, out[place]) for number, place in enumerate(chunk_places(spec))]
    pieces = []
    for number, part in parts:
        if part.shape == spec.chunk_shape and part.flags.c_contiguous:
            decode_chunks(data, index, [number], spec, part[np.newaxis], where=where)
        elif part.size:
            pieces.append((number, part))
    n = max(1, _SCRATCH_NBYTES // spec.chunk_nbytes)
    scratch = np.empty((min(n, len(pieces)), *spec.chunk_shape), spec.dtype)
    for first in range(0, len(pieces), n):
        numbers, targets = zip(*pieces[first : first + n], strict=True)
        decode_chunks(data, index, numbers, spec, scratch[: len(numbers)], where=where)
        for values, part in zip(scratch, targets, strict=False):
            part[...] = values[tuple(slice(side) for side in part.shape)]


def chunk_bounds(
    index: ShardIndex, numbers: Sequence[int], where: str = "shard"
) -> Iterator[tuple[int, int, int]]:
    """Yield (number, first byte, end byte) of each chunk; `MissingChunkError` for an absent one."""
    wanted = slice(numbers.start, numbers.stop) if isinstance(numbers, range) else list(numbers)
    offsets, sizes = index.offset[wanted].tolist(), index.nbytes[wanted].tolist()
    for number, offset, nbytes in zip(numbers, offsets, sizes, strict=True):
        if offset == MISSING:
            raise MissingChunkError(f"{where}: chunk {number} was never written; {REMEDY}")
        yield number, offset, offset + nbytes


def _as_bytes(blob: Buffer) -> NDArray[np.uint8]:
    # crc32c and blosc take arrays without a copy, but no memoryview.
    return blob if isinstance(blob, np.ndarray) else np.frombuffer(blob, np.uint8)
