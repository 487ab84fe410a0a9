"""Encode whole Zarr v3 shards, reproducibly to the byte.

`c2s_data.store.shard` says what a shard consists of, and decodes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import google_crc32c
import numpy as np
from numba import njit
from numcodecs import blosc
from numpy.typing import NDArray

from c2s_data.store.shard_spec import CLEVEL, CRC_NBYTES, ShardSpec
from c2s_data.transforms.paging import release

# One context a call: safe from several threads, free of the global lock, and reproducible.
blosc.use_threads = False

_BYTE_SHUFFLE: Final = 1


class ShardEncoder:
    """Encodes shards, one after another, into one buffer.

    A fresh buffer for every shard of some 20 MB would cost a page fault for every 4 KiB, a fifth
    of the time that encoding takes. An encoder belongs to one thread.
    """

    def __init__(self) -> None:
        self._shard = np.empty(0, np.uint8)

    def encode(self, values: NDArray[Any], spec: ShardSpec) -> memoryview:
        """Encode one whole shard.

        Parameters
        ----------
        values
            Array of `spec.dtype`, on no axis longer than the shard; what is missing is stored as
            zeros.
        spec
            Shape and codecs.

        Returns
        -------
        memoryview
            The object to store, valid until the next call. The same values give the same bytes,
            on any number of threads.

        Raises
        ------
        ValueError
            Dtype or shape do not fit the spec.
        """
        check_fits(values, spec)
        return self.encode_chunks(_chunks_of(values, spec), spec)

    def encode_sparse(
        self, index: NDArray[np.integer[Any]], value: NDArray[Any], spec: ShardSpec
    ) -> memoryview:
        """Encode a shard that is zero but for some voxels, without making it.

        Parameters
        ----------
        index
            (m, axes) voxels in the shard, unique, in any order.
        value
            (m,) their values, of `spec.dtype`.
        spec
            Shape and codecs.

        Returns
        -------
        memoryview
            What `encode` returns for the whole array, valid until the next call.

        Raises
        ------
        ValueError
            Dtype or shapes do not fit, or a voxel lies outside the shard.
        """
        shape = (len(value), len(spec.shard_shape))
        if value.dtype != spec.dtype or value.ndim != 1 or index.shape != shape:
            raise ValueError(
                f"voxels {index.shape} and values {value.shape} {value.dtype} do not fit a shard "
                f"{spec.shard_shape} {spec.dtype}"
            )
        return self.encode_chunks(_chunks_with(index, value, spec), spec)

    def encode_chunks(self, chunks: Iterable[NDArray[Any] | None], spec: ShardSpec) -> memoryview:
        """Encode a shard from its chunks, which may all be the same buffer, filled anew.

        Parameters
        ----------
        chunks
            Every chunk in C order of the grid, contiguous, of `spec.chunk_shape`; None for one
            that is all zeros.
        spec
            Shape and codecs.

        Returns
        -------
        memoryview
            What `encode` returns for the whole array, valid until the next call.

        Raises
        ------
        ValueError
            Too few or too many chunks, or one of them does not fit.
        """
        overhead = CRC_NBYTES if spec.is_plain else blosc.MAX_OVERHEAD + CRC_NBYTES
        most = spec.n_chunks * (spec.chunk_nbytes + overhead)
        if self._shard.size < most + spec.index_nbytes:
            self._shard = np.empty(most + spec.index_nbytes, np.uint8)
        shard = self._shard.data
        ends = np.zeros(spec.n_chunks + 1, "<u8")
        position = 0
        for number, chunk in zip(range(1, spec.n_chunks + 1), chunks, strict=True):
            encoded = _encoded_zeros(spec)
            if chunk is not None and _has_set_bits(chunk):
                encoded = _encode(chunk, spec)
            for part in encoded:
                shard[position : position + len(part)] = part
                position += len(part)
            ends[number] = position
        table = np.stack((ends[:-1], np.diff(ends)), axis=1).tobytes()
        for part in (table, crc_bytes(table)):
            shard[position : position + len(part)] = part
            position += len(part)
        return shard[:position].toreadonly()


def encode_shard(values: NDArray[Any], spec: ShardSpec) -> bytes:
    """Encode one whole shard on its own; parameters and errors as `ShardEncoder.encode`."""
    return bytes(ShardEncoder().encode(values, spec))


def encode_chunk(values: NDArray[Any], spec: ShardSpec) -> bytes:
    """Encode one whole chunk outside a shard, as an array of plain chunks stores it.

    Parameters
    ----------
    values
        Array of `spec.chunk_shape` and `spec.dtype`.
    spec
        Shape and codecs.
    """
    return b"".join(_encode(np.ascontiguousarray(values), spec))


def check_fits(values: NDArray[Any], spec: ShardSpec) -> None:
    """Raise ValueError where values have another dtype than the shard or are larger."""
    fits = values.ndim == len(spec.shard_shape) and all(
        side <= shard for side, shard in zip(values.shape, spec.shard_shape, strict=True)
    )
    if values.dtype != spec.dtype or not fits:
        raise ValueError(
            f"values {values.shape} {values.dtype} do not fit a shard "
            f"{spec.shard_shape} {spec.dtype}; cut and cast them first"
        )


def chunk_places(spec: ShardSpec) -> Iterator[tuple[slice, ...]]:
    """Yield the slices of each chunk of a shard, in C order of the chunk grid."""
    for corner in np.ndindex(*spec.grid_shape):
        yield tuple(
            slice(i * side, (i + 1) * side)
            for i, side in zip(corner, spec.chunk_shape, strict=True)
        )


def crc_bytes(data: Any) -> bytes:  # noqa: ANN401 - bytes or array, whatever crc32c takes
    """Return the crc32c of some bytes as it is stored."""
    return int(google_crc32c.value(data)).to_bytes(CRC_NBYTES, "little")


def _encode(chunk: NDArray[Any], spec: ShardSpec) -> tuple[bytes | memoryview, bytes]:
    if chunk.dtype != spec.dtype or chunk.shape != spec.chunk_shape:
        raise ValueError(f"values {chunk.shape} {chunk.dtype} are no chunk {spec.chunk_shape}")
    if spec.is_plain:  # a view, so that the values are copied once, into the shard
        values = chunk.reshape(-1).view(np.uint8)
        return values.data, crc_bytes(values)
    body: bytes = blosc.compress(
        chunk,
        spec.compressor.encode(),
        CLEVEL[spec.compressor],
        _BYTE_SHUFFLE,
        0,
        spec.dtype.itemsize,
    )
    return body, crc_bytes(body)


@lru_cache(maxsize=32)
def _encoded_zeros(spec: ShardSpec) -> tuple[bytes | memoryview, bytes]:
    return _encode(np.zeros(spec.chunk_shape, spec.dtype), spec)


def _chunks_of(values: NDArray[Any], spec: ShardSpec) -> Iterator[NDArray[Any] | None]:
    """Yield each chunk in C order as a contiguous array, None where it is outside the values."""
    scratch = np.empty(spec.chunk_shape, spec.dtype)
    for place in chunk_places(spec):
        if not any(side.start for side in place[1:]):  # a new layer along the first axis
            release(values)
        part = values[place]
        if not part.size:
            yield None
            continue
        if part.shape == spec.chunk_shape and part.flags.c_contiguous:
            chunk = part
        else:
            chunk = scratch
            if part.shape != spec.chunk_shape:
                chunk[...] = 0
            chunk[tuple(slice(side) for side in part.shape)] = part
        yield chunk


def _chunks_with(
    index: NDArray[np.integer[Any]], value: NDArray[Any], spec: ShardSpec
) -> Iterator[NDArray[Any] | None]:
    """Yield each chunk in C order with its voxels set, or None where it has none."""
    number = np.ravel_multi_index(tuple((index // spec.chunk_shape).T), spec.grid_shape)
    voxel = np.ravel_multi_index(tuple((index % spec.chunk_shape).T), spec.chunk_shape)
    order = np.argsort(number, kind="stable")
    starts = np.searchsorted(number[order], np.arange(spec.n_chunks + 1))
    chunk = np.empty(spec.chunk_shape, spec.dtype)
    for first, stop in pairwise(starts.tolist()):
        if first == stop:
            yield None
            continue
        rows = order[first:stop]
        chunk[...] = 0
        chunk.reshape(-1)[voxel[rows]] = value[rows]
        yield chunk


def _has_set_bits(chunk: NDArray[Any]) -> bool:
    flat = chunk.reshape(-1).view(np.uint8)
    return bool(_any(flat.view(np.uint64) if flat.size % 8 == 0 else flat))


@njit(cache=True, nogil=True)
def _any(words: NDArray[Any]) -> bool:
    # Most chunks that hold anything show it at once; numpy would read them to the end.
    for i in range(words.size):  # noqa: SIM110 - a generator would be slow here
        if words[i] != 0:
            return True
    return False
