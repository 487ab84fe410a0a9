"""Read a box out of one array of a map: only the chunks that it touches, never the whole object."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.store.chunk_reader import Bounds, ChunkReader
from c2s_data.store.objects import LocalObjects, Objects
from c2s_data.store.shard import ShardSpec

Window = tuple[slice, slice, slice]
Triple = tuple[int, int, int]
Place = tuple[int, ...]
"""Which shard, counted along z, y and x."""

REQUESTS_AT_ONCE: Final = 16
"""Ranges that are asked of a bucket at a time; a plane across the chunks' order needs many."""


class MapArray:
    """One array of one level of a map, (z, y, x), read by boxes.

    Parameters
    ----------
    objects
        The store.
    folder
        Folder of the array in it.
    shape_zyx
        Shape of the array.
    spec
        Its dtype, shards, chunks and codecs.
    """

    def __init__(self, objects: Objects, folder: str, shape_zyx: Triple, spec: ShardSpec) -> None:
        self.shape_zyx = shape_zyx
        self._spec = spec
        self._is_local = isinstance(objects, LocalObjects)
        self._chunks = ChunkReader(objects, folder, spec)

    def read(self, window: Window) -> NDArray[Any]:
        """Return the voxels of ``window`` (z, y, x slices without steps), cut at the map's border.

        Raises
        ------
        MissingChunkError, CorruptChunkError
            If the object or a chunk of it is not there, or has changed.
        """
        bounds = [part.indices(n)[:2] for part, n in zip(window, self.shape_zyx, strict=True)]
        low = np.array([start for start, _ in bounds])
        out = np.empty([max(0, stop - start) for start, stop in bounds], self._spec.dtype)
        if out.size == 0:
            return out
        pieces = list(self._pieces(low, low + out.shape))
        if self._is_local or len(pieces) == 1:
            for piece in pieces:
                self._copy(*piece, low, out)
            return out
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            for done in [pool.submit(self._copy, *piece, low, out) for piece in pieces]:
                done.result()
        return out

    def _pieces(
        self, low: NDArray[np.int64], high: NDArray[np.int64]
    ) -> Iterator[tuple[Place, list[Bounds]]]:
        """Yield shard and stretch of chunks in it that cover a box."""
        chunk, shard = np.array(self._spec.chunk_shape), np.array(self._spec.shard_shape)
        n_chunks = shard // chunk
        first, last = low // chunk, (high - 1) // chunk
        shards = [range(a, b + 1) for a, b in zip(low // shard, (high - 1) // shard, strict=True)]
        for place in product(*shards):
            base = np.array(place) * n_chunks
            start = np.maximum(first - base, 0)
            stop = np.minimum(last - base, n_chunks - 1) + 1
            indices = np.arange(n_chunks.prod()).reshape(n_chunks)
            box = indices[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))].ravel()
            for bounds in self._chunks.stretches(place, box.tolist()):
                yield place, bounds

    def _copy(
        self, place: Place, bounds: list[Bounds], low: NDArray[np.int64], out: NDArray[Any]
    ) -> None:
        """Fetch and decode a stretch of a shard, and copy what lies in the box."""
        grid = self._spec.grid_shape
        for stored in self._chunks.stretch(place, bounds):
            corner = np.multiply(np.unravel_index(stored.number, grid), self._spec.chunk_shape)
            corner += np.multiply(place, self._spec.shard_shape)
            _paste(stored.decoded(self._spec), corner - low, out)


def _paste(values: NDArray[Any], corner: NDArray[np.int64], out: NDArray[Any]) -> None:
    """Copy the part of a chunk at ``corner``, counted from the box, that lies in the box."""
    start = np.maximum(corner, 0)
    stop = np.minimum(corner + values.shape, out.shape)
    there = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    here = tuple(slice(a, b) for a, b in zip(start - corner, stop - corner, strict=True))
    out[there] = values[here]
