"""Encode and decode whole Zarr v3 shards, byte for byte what ``sharding_indexed`` says.

A shard is its encoded chunks one after another, then the index: for every chunk of the grid, in
C order, its offset and its size as little-endian uint64, then the crc32c of the index (Zarr v3
core specification, sharding codec). Each chunk is little-endian bytes, blosc, crc32c last, so a
changed byte is found before it is decompressed. All chunks are written, empty ones too: a missing
chunk is then always an error and never zeros.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

import google_crc32c
import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from c2s_data.errors import CorruptChunkError, MissingChunkError
from c2s_data.store.shard_spec import CLEVEL, CRC_NBYTES, Compressor, ShardSpec

__all__ = [
    "REMEDY",
    "Compressor",
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

# One context a call: safe from several threads, free of the global lock, and reproducible.
blosc.use_threads = False

Buffer = bytes | bytearray | memoryview | NDArray[np.uint8]

MISSING: Final = 2**64 - 1
_BLOSC_HEADER: Final = struct.Struct("<4B3I")
_BYTE_SHUFFLE: Final = 1
REMEDY: Final = "restore the object from a copy or build the entry again"


class ShardIndex(NamedTuple):
    """Where each chunk of a shard lies: byte ``offset`` and size ``nbytes``, uint64 (n_chunks,)."""

    offset: NDArray[np.uint64]
    nbytes: NDArray[np.uint64]


def encode_shard(values: NDArray[Any], spec: ShardSpec) -> bytes:
    """Encode one whole shard.

    Parameters
    ----------
    values
        Array of `spec.dtype`, on no axis longer than the shard; what is missing is stored as zeros.
    spec
        Shape and codecs.

    Returns
    -------
    bytes
        The object to store. The same values give the same bytes, on any number of threads.

    Raises
    ------
    ValueError
        Dtype or shape do not fit the spec.
    """
    _check_fits(values, spec)
    pieces: list[bytes] = []
    index = np.empty((spec.n_chunks, 2), "<u8")
    position = 0
    for number, chunk in enumerate(_chunks_of(values, spec)):
        encoded = _encoded_zeros(spec) if chunk is None else _encode_chunk(chunk, spec)
        nbytes = sum(map(len, encoded))
        index[number] = position, nbytes
        pieces += encoded
        position += nbytes
    table = index.tobytes()
    return b"".join((*pieces, table, _crc_bytes(table)))


def encode_chunk(values: NDArray[Any], spec: ShardSpec) -> bytes:
    """Encode one whole chunk outside a shard, as an array of plain chunks stores it.

    Parameters
    ----------
    values
        Array of `spec.chunk_shape` and `spec.dtype`.
    spec
        Shape and codecs.
    """
    if values.dtype != spec.dtype or values.shape != spec.chunk_shape:
        raise ValueError(f"values {values.shape} {values.dtype} are no chunk {spec.chunk_shape}")
    return b"".join(_encode_chunk(np.ascontiguousarray(values), spec))


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
    if crc.tobytes() != _crc_bytes(table):
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
    if body.size < _BLOSC_HEADER.size or crc.tobytes() != _crc_bytes(body):
        raise CorruptChunkError(f"{where}: chunk {number} fails its crc32c; {REMEDY}")
    *_, nbytes, _, cbytes = _BLOSC_HEADER.unpack_from(body.data)
    if nbytes != spec.chunk_nbytes or cbytes != body.size or out.nbytes != nbytes:
        raise CorruptChunkError(
            f"{where}: chunk {number} holds {nbytes} bytes, not {spec.chunk_nbytes}; {REMEDY}"
        )
    try:
        blosc.decompress(body, out)
    except (RuntimeError, ValueError) as error:
        raise CorruptChunkError(f"{where}: chunk {number}: {error}; {REMEDY}") from error


def decode_chunks(
    blob: Buffer,
    index: ShardIndex,
    chunks: range,
    spec: ShardSpec,
    out: NDArray[Any],
    *,
    base: int = 0,
    where: str = "shard",
) -> None:
    """Check and decode a run of chunks, numbered in C order of the chunk grid.

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
    for row, (number, start, stop) in enumerate(chunk_bounds(index, chunks, where)):
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
    _check_fits(out, spec)
    data = _as_bytes(blob)
    index = shard_index(data, spec, where)
    scratch = np.empty((1, *spec.chunk_shape), spec.dtype)
    for number, place in enumerate(_places(spec)):
        part = out[place]
        if not part.size:
            continue
        whole = part.shape == spec.chunk_shape and part.flags.c_contiguous
        target = part[np.newaxis] if whole else scratch
        decode_chunks(data, index, range(number, number + 1), spec, target, where=where)
        if not whole:
            part[...] = scratch[0][tuple(slice(side) for side in part.shape)]


def chunk_bounds(
    index: ShardIndex, chunks: range, where: str = "shard"
) -> Iterator[tuple[int, int, int]]:
    """Yield (number, first byte, end byte) of each chunk; `MissingChunkError` for an absent one."""
    window = slice(chunks.start, chunks.stop)
    offsets, sizes = index.offset[window].tolist(), index.nbytes[window].tolist()
    for number, offset, nbytes in zip(chunks, offsets, sizes, strict=True):
        if offset == MISSING:
            raise MissingChunkError(f"{where}: chunk {number} was never written; {REMEDY}")
        yield number, offset, offset + nbytes


def _encode_chunk(chunk: NDArray[Any], spec: ShardSpec) -> tuple[bytes, bytes]:
    body: bytes = blosc.compress(
        chunk,
        spec.compressor.encode(),
        CLEVEL[spec.compressor],
        _BYTE_SHUFFLE,
        0,
        spec.dtype.itemsize,
    )
    return body, _crc_bytes(body)


@lru_cache(maxsize=32)
def _encoded_zeros(spec: ShardSpec) -> tuple[bytes, bytes]:
    return _encode_chunk(np.zeros(spec.chunk_shape, spec.dtype), spec)


def _chunks_of(values: NDArray[Any], spec: ShardSpec) -> Iterator[NDArray[Any] | None]:
    """Yield each chunk in C order as a contiguous array, or None where it is all zero bits."""
    for place in _places(spec):
        part = values[place]
        if not part.size:
            yield None
            continue
        if part.shape == spec.chunk_shape:
            chunk = np.ascontiguousarray(part)
        else:
            chunk = np.zeros(spec.chunk_shape, spec.dtype)
            chunk[tuple(slice(side) for side in part.shape)] = part
        yield chunk if _has_set_bits(chunk) else None


def _has_set_bits(chunk: NDArray[Any]) -> bool:
    flat = chunk.reshape(-1).view(np.uint8)
    return bool(flat.view(np.uint64).any() if flat.size % 8 == 0 else flat.any())


def _places(spec: ShardSpec) -> Iterator[tuple[slice, ...]]:
    for corner in np.ndindex(*spec.grid_shape):
        yield tuple(
            slice(i * side, (i + 1) * side)
            for i, side in zip(corner, spec.chunk_shape, strict=True)
        )


def _check_fits(values: NDArray[Any], spec: ShardSpec) -> None:
    fits = values.ndim == len(spec.shard_shape) and all(
        side <= shard for side, shard in zip(values.shape, spec.shard_shape, strict=True)
    )
    if values.dtype != spec.dtype or not fits:
        raise ValueError(
            f"values {values.shape} {values.dtype} do not fit a shard "
            f"{spec.shard_shape} {spec.dtype}; cut and cast them first"
        )


def _as_bytes(blob: Buffer) -> NDArray[np.uint8]:
    # crc32c and blosc take arrays without a copy, but no memoryview.
    return blob if isinstance(blob, np.ndarray) else np.frombuffer(blob, np.uint8)


def _crc_bytes(data: Any) -> bytes:  # noqa: ANN401 - bytes or array, whatever crc32c takes
    return int(google_crc32c.value(data)).to_bytes(CRC_NBYTES, "little")
