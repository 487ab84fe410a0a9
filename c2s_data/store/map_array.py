"""Read a box out of one array of a map: only the chunks that it touches, never the whole object."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import CorruptChunkError
from c2s_data.store.objects import LocalObjects, Objects
from c2s_data.store.shard import ShardIndex, ShardSpec, chunk_bounds, decode_chunk, shard_index
from c2s_data.store.stored_shard import Opener, StoredShard, shard_opener
from c2s_data.store.subgrid_reader import adjacent_runs

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
        self._objects, self._folder = objects, folder
        self._indexes: dict[Place, ShardIndex] = {}

    @cached_property
    def _open(self) -> Opener:
        return shard_opener(self._objects, self._folder)

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
        if isinstance(self._objects, LocalObjects) or len(pieces) == 1:
            for piece in pieces:
                self._copy(*piece, low, out)
            return out
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            for done in [pool.submit(self._copy, *piece, low, out) for piece in pieces]:
                done.result()
        return out

    def _pieces(
        self, low: NDArray[np.int64], high: NDArray[np.int64]
    ) -> Iterator[tuple[Place, range]]:
        """Yield shard and run of chunks, adjacent in the object, that cover a box."""
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
            index, where = self._index_of(place), self._where(self._spec.shard_key(*place))
            for run in np.split(box, np.flatnonzero(np.diff(box) != 1) + 1):
                numbers = range(int(run[0]), int(run[-1]) + 1)
                for together in adjacent_runs(index, numbers, where, self._spec):
                    yield place, together

    def _index_of(self, place: Place) -> ShardIndex:
        if place not in self._indexes:
            key = self._spec.shard_key(*place)
            with self._open(key) as stored:
                self._indexes[place] = _read_index(stored, self._spec, self._where(key))
        return self._indexes[place]

    def _where(self, key: str) -> str:
        return f"{self._objects.url}/{self._folder}/{key}"

    def _copy(self, place: Place, run: range, low: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Fetch and decode a run of chunks of a shard, and copy what lies in the box."""
        spec, key = self._spec, self._spec.shard_key(*place)
        grid = tuple(n // m for n, m in zip(spec.shard_shape, spec.chunk_shape, strict=True))
        values = np.empty(spec.chunk_shape, spec.dtype)
        bounds = list(chunk_bounds(self._index_of(place), run, self._where(key)))
        base, end = bounds[0][1], bounds[-1][2]
        with self._open(key) as stored:
            for left in reversed(range(stored.fetches)):
                blob = stored.span(base, end, again=left < stored.fetches - 1)
                try:
                    for number, start, stop in bounds:
                        data = blob[start - base : stop - base]
                        decode_chunk(data, spec, values, self._where(key), number)
                        corner = np.multiply(np.unravel_index(number, grid), spec.chunk_shape)
                        corner = corner + np.multiply(place, spec.shard_shape)
                        _paste(values, corner - low, out)
                except CorruptChunkError:
                    if not left:
                        raise
                else:
                    return


def _read_index(stored: StoredShard, spec: ShardSpec, where: str) -> ShardIndex:
    for left in reversed(range(stored.fetches)):
        tail = np.array(stored.tail(spec.index_nbytes, again=left < stored.fetches - 1))
        try:
            return shard_index(tail, spec, where)
        except CorruptChunkError:
            if not left:
                raise
    raise AssertionError("a shard is fetched at least once")


def _paste(values: NDArray[Any], corner: NDArray[np.int64], out: NDArray[Any]) -> None:
    """Copy the part of a chunk at ``corner``, counted from the box, that lies in the box."""
    start = np.maximum(corner, 0)
    stop = np.minimum(corner + values.shape, out.shape)
    there = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    here = tuple(slice(a, b) for a, b in zip(start - corner, stop - corner, strict=True))
    out[there] = values[here]
