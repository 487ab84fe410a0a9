"""Read runs of rows out of the shards of one subgrid array, decoded straight into place.

The array is an ordinary sharded Zarr v3 array whose chunks split rows only. A run of rows costs
one read of the shard's index and one of the chunks that hold the run; the index is kept.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import CorruptChunkError, StoreError
from c2s_data.store.address import local_folder
from c2s_data.store.objects import open_objects
from c2s_data.store.scatter import scatter_rows
from c2s_data.store.shard import (
    REMEDY,
    ShardIndex,
    ShardSpec,
    chunk_bounds,
    decode_chunk,
    shard_index,
)
from c2s_data.store.stored_shard import StoredShard, shard_opener, thread_buffer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from c2s_data.store.object_cache import ObjectCache

INDEXES_KEPT: Final = 4096
"""Shard indexes a reader remembers: about 0.5 KB each."""
WHOLE_AT: Final = 1.5
"""A shard is fetched whole if it has no more than so many times the chunks that are asked for."""
_BLOSC_OVERHEAD: Final = 16 + 4


class _StoredChunk(NamedTuple):
    """Bytes of one chunk, valid until the thread's next read, and where they are from."""

    data: NDArray[np.uint8]
    stored: StoredShard
    start: int
    where: str
    number: int

    def decode(self, spec: ShardSpec, out: NDArray[Any]) -> None:
        """Decode; bytes that came over a network and fail are fetched again before they count."""
        data, where = self.data, f"{self.where}, byte {self.start}"
        for left in reversed(range(self.stored.fetches)):
            try:
                return decode_chunk(data, spec, out, where, self.number)
            except CorruptChunkError:
                if not left:
                    raise
            data = self.stored.span(self.start, self.start + self.data.size, again=True)


class SubgridReader:
    """Reads rows of one sharded array; safe from several threads, not over a fork.

    Parameters
    ----------
    location
        Folder of the array: a path or an fsspec URL.
    spec
        Its shape and codecs; a shard is split into chunks along rows only.
    root
        The store that the array is in: below it a symbolic link is refused. By default the
        array's own folder, which may then be a link itself.
    rows_in_use
        Rows of each shard that are not padding; by default all. From object storage a shard comes
        whole, in one request, where at least two thirds of these are asked for.
    cache
        Keeps what comes over a network.

    Raises
    ------
    ValueError
        The chunks also split another axis, or the array is not in `root`.
    StoreError
        The kind of address cannot be opened, or not in this process.
    """

    def __init__(
        self,
        location: str | os.PathLike[str],
        spec: ShardSpec,
        *,
        root: str | os.PathLike[str] | None = None,
        rows_in_use: NDArray[np.int64] | None = None,
        cache: ObjectCache | None = None,
    ) -> None:
        if spec.chunk_shape[1:] != spec.shard_shape[1:]:
            raise ValueError(f"chunks {spec.chunk_shape} split more than rows; use decode_shard")
        self.location = os.fspath(location).rstrip("/")
        self.spec = spec
        self._pid = os.getpid()
        self._indexes: OrderedDict[int, tuple[object, ShardIndex]] = OrderedDict()
        self._lock = threading.Lock()
        place = self.location if root is None else os.fspath(root).rstrip("/")
        if not f"{self.location}/".startswith(f"{place}/"):
            raise ValueError(f"{self.location} is not in {place}")
        folder = self.location[len(place) + 1 :]
        self._rows_in_use = rows_in_use
        self._open = shard_opener(open_objects(place), folder, cache)

    def read_rows(self, shard: int, start: int, stop: int, out: NDArray[Any]) -> None:
        """Decode rows ``start`` to ``stop`` of a shard, counted inside it.

        Parameters
        ----------
        shard
            Number of the shard along rows.
        start, stop
            Rows inside the shard, 0 <= start <= stop <= rows of a shard.
        out
            (stop - start, *row shape), C-contiguous, of the array's dtype.

        Raises
        ------
        MissingChunkError
            The shard or a chunk of it does not exist.
        CorruptChunkError
            A checksum, the index or a length is wrong.
        ValueError
            Rows outside the shard, or an `out` that does not fit.
        """
        shape = (stop - start, *self.spec.chunk_shape[1:])
        if out.shape != shape or out.dtype != self.spec.dtype or not out.flags.c_contiguous:
            raise ValueError(f"out is {out.shape} {out.dtype}, not {shape} {self.spec.dtype}")
        rows = self.spec.chunk_shape[0]
        for number, stored in self._stored_chunks(shard, start, stop):
            low, high = max(start, number * rows), min(stop, (number + 1) * rows)
            if high - low == rows:
                stored.decode(self.spec, out[low - start : high - start])
            else:
                chunk = self._decoded(stored)
                out[low - start : high - start] = chunk[low - number * rows : high - number * rows]

    def scatter_rows(
        self,
        shard: int,
        start: int,
        stop: int,
        arenas: Sequence[NDArray[Any]],
        which: NDArray[np.int64],
        place: NDArray[np.int64],
    ) -> None:
        """Decode rows ``start`` to ``stop`` of a shard, each to a place of its own.

        A chunk is decoded into a buffer that stays in the processor's cache, so each row crosses
        the memory bus once.

        Parameters
        ----------
        shard, start, stop
            As for `read_rows`.
        arenas
            C-contiguous arrays (any, *row shape) of the array's dtype.
        which, place
            (stop - start,) arena and row in it, for each row.

        Raises
        ------
        MissingChunkError, CorruptChunkError
            As for `read_rows`.
        ValueError
            Rows outside the shard, or places that do not fit.
        """
        if not len(which) == len(place) == stop - start:
            raise ValueError(f"{len(which)} and {len(place)} places for rows {start} to {stop}")
        rows = self.spec.chunk_shape[0]
        for number, stored in self._stored_chunks(shard, start, stop):
            low, high = max(start, number * rows), min(stop, (number + 1) * rows)
            values = self._decoded(stored)[low - number * rows : high - number * rows]
            part = slice(low - start, high - start)
            scatter_rows(values, arenas, which[part], place[part])

    def _stored_chunks(
        self, shard: int, start: int, stop: int
    ) -> Iterator[tuple[int, _StoredChunk]]:
        self._check(start, stop)
        if start == stop:
            return
        rows = self.spec.chunk_shape[0]
        chunks = range(start // rows, -(-stop // rows))
        key = self.spec.shard_key(shard)
        where = f"{self.location}/{key}"
        with self._open(key) as stored:
            if WHOLE_AT * len(chunks) >= self._chunks_in_use(shard):
                stored.want_whole()
            index = self._index(shard, stored, where)
            for run in adjacent_runs(index, chunks, where, self.spec):
                bounds = list(chunk_bounds(index, run, where))
                base, end = bounds[0][1], bounds[-1][2]
                blob = stored.span(base, end)
                if blob.size != end - base:
                    raise CorruptChunkError(f"{where}: cut off before chunk {run[-1]}; {REMEDY}")
                for number, low, high in bounds:
                    data = blob[low - base : high - base]
                    yield number, _StoredChunk(data, stored, low, where, number)

    def _chunks_in_use(self, shard: int) -> int:
        rows, chunk = self.spec.shard_shape[0], self.spec.chunk_shape[0]
        used = rows if self._rows_in_use is None else int(self._rows_in_use[shard])
        return -(-used // chunk)

    def _decoded(self, stored: _StoredChunk) -> NDArray[Any]:
        chunk = thread_buffer("chunk", self.spec.chunk_nbytes)
        values = chunk.view(self.spec.dtype).reshape(self.spec.chunk_shape)
        stored.decode(self.spec, values)
        return values

    def _index(self, shard: int, stored: StoredShard, where: str) -> ShardIndex:
        with self._lock:
            kept = self._indexes.get(shard)
            if kept is not None and kept[0] == stored.identity:
                self._indexes.move_to_end(shard)
                return kept[1]
        index = self._read_index(stored, where)
        with self._lock:
            self._indexes[shard] = (stored.identity, index)
            while len(self._indexes) > INDEXES_KEPT:
                self._indexes.popitem(last=False)
        return index

    def _read_index(self, stored: StoredShard, where: str) -> ShardIndex:
        for left in reversed(range(stored.fetches)):
            again = left < stored.fetches - 1
            tail = np.array(stored.tail(self.spec.index_nbytes, again=again))
            try:
                return shard_index(tail, self.spec, where)
            except CorruptChunkError:
                if not left:
                    raise
        raise AssertionError("a shard is fetched at least once")

    def _check(self, start: int, stop: int) -> None:
        if os.getpid() != self._pid:
            raise StoreError(
                f"{self.location} was opened before a fork; open the store in the worker itself"
            )
        if not 0 <= start <= stop <= self.spec.shard_shape[0]:
            raise ValueError(f"rows {start} to {stop} are outside a shard {self.spec.shard_shape}")


def read_rows(
    location: str | os.PathLike[str],
    spec: ShardSpec,
    shard: int,
    start: int,
    stop: int,
    out: NDArray[Any],
    *,
    root: str | os.PathLike[str] | None = None,
) -> None:
    """Read one run of rows; a `SubgridReader` that is kept saves reading the index each time."""
    SubgridReader(location, spec, root=root).read_rows(shard, start, stop, out)


def adjacent_runs(index: ShardIndex, chunks: range, where: str, spec: ShardSpec) -> Iterator[range]:
    """Split chunks into runs that lie one after another in the object, of a size that can be.

    Raises
    ------
    CorruptChunkError, MissingChunkError
        If the index claims more bytes than chunks can have, or has no such chunk.
    """
    first, end, low = chunks.start, None, 0
    for number, start, stop in chunk_bounds(index, chunks, where):
        if end is None or start != end:
            if end is not None:
                yield range(first, number)
            first, low = number, start
        end = stop
        if end - low > (number + 1 - first) * (spec.chunk_nbytes + _BLOSC_OVERHEAD):
            raise CorruptChunkError(f"{where}: the index claims impossible sizes; {REMEDY}")
    yield range(first, chunks.stop)


def is_local(location: str) -> bool:
    """Say whether a path or URL is of this machine's files."""
    return local_folder(location) is not None
