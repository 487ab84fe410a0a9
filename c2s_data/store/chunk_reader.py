"""Read chosen chunks out of the shards of one array: a few large reads, each chunk checked.

A shard costs one read of its index, which is kept, and one of each stretch of it that is wanted.
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
from c2s_data.store.native_codec import Rows, decode_and_scatter, decode_chunks_to
from c2s_data.store.objects import Objects, open_objects
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
Bounds = tuple[int, int, int]
"""Number, first byte and end byte of a chunk."""


class Stretch(NamedTuple):
    """What is read in one go: at most ``nbytes``, over gaps of at most ``gap`` unwanted bytes."""

    nbytes: int
    gap: int


UNBOUNDED: Final = Stretch(2**62, 0)


class StoredChunk(NamedTuple):
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

    def decoded(self, spec: ShardSpec) -> NDArray[Any]:
        """Return the values in memory of this thread, valid until its next chunk."""
        values = chunk_memory(spec)
        self.decode(spec, values)
        return values


class StoredRun(NamedTuple):
    """Chunks that were read in one go, valid until the thread's next read."""

    data: NDArray[np.uint8]
    stored: StoredShard
    bounds: list[Bounds]
    where: str

    def chunks(self) -> Iterator[StoredChunk]:
        """Yield the chunks in the order of their bytes."""
        base = self.bounds[0][1]
        for number, low, high in self.bounds:
            yield StoredChunk(
                self.data[low - base : high - base], self.stored, low, self.where, number
            )

    def decode(self, spec: ShardSpec, out: NDArray[Any], place: NDArray[np.int64]) -> None:
        """Decode each chunk to a place of its own.

        Parameters
        ----------
        spec
            Of the array.
        out
            (any, *chunk shape), C-contiguous, of the array's dtype.
        place
            (k,) where in `out` each of the `bounds` goes.

        Raises
        ------
        CorruptChunkError
            A checksum or a length is wrong.
        """
        if spec.is_plain or not decode_chunks_to(self.data, self._inside(), out, place):
            for stored, here in zip(self.chunks(), place.tolist(), strict=True):
                stored.decode(spec, out[here])

    def scatter(
        self,
        spec: ShardSpec,
        start: int,
        arenas: Sequence[NDArray[Any]],
        which: NDArray[np.int64],
        place: NDArray[np.int64],
    ) -> None:
        """Decode the chunks and copy each row from ``start`` on to a place of its own.

        A chunk is decoded into a buffer that stays in the processor's cache, so each row crosses
        the memory bus once.

        Parameters
        ----------
        spec
            Of the array, whose chunks split rows only.
        start
            Row of the shard that the first of `which` is about.
        arenas, which, place
            As for `c2s_data.store.scatter.scatter_rows`.

        Raises
        ------
        CorruptChunkError
            A checksum or a length is wrong.
        ValueError
            Places do not fit.
        """
        rows = spec.chunk_shape[0]
        first = np.array([number * rows - start for number, _, _ in self.bounds])
        to = Rows(first, arenas, which, place)
        chunk = chunk_memory(spec)
        if decode_and_scatter(self.data, self._inside(), chunk, to, is_plain=spec.is_plain):
            return
        for stored in self.chunks():
            first_row = stored.number * rows - start
            low, high = max(0, first_row), min(len(which), first_row + rows)
            values = stored.decoded(spec)[low - first_row : high - first_row]
            scatter_rows(values, arenas, which[low:high], place[low:high])

    def _inside(self) -> NDArray[np.int64]:
        base = self.bounds[0][1]
        return np.array([(low - base, high - base) for _, low, high in self.bounds], np.int64)


class ChunkReader:
    """Reads chunks of one sharded array; safe from several threads, not over a fork.

    Parameters
    ----------
    objects
        The place that may hold symbolic links nowhere below its root.
    folder
        The array's folder in it; "" if the place is the array.
    spec
        Its shape and codecs.
    cache
        Keeps what comes over a network.
    stretch
        How much is read in one go.
    """

    def __init__(
        self,
        objects: Objects,
        folder: str,
        spec: ShardSpec,
        *,
        cache: ObjectCache | None = None,
        stretch: Stretch = UNBOUNDED,
    ) -> None:
        self.location = f"{objects.url}/{folder}".rstrip("/")
        self.spec = spec
        self._stretch = stretch
        self._most_nbytes = spec.chunk_nbytes + _BLOSC_OVERHEAD
        self._pid = os.getpid()
        self._indexes: OrderedDict[str, tuple[object, ShardIndex]] = OrderedDict()
        self._lock = threading.Lock()
        self._open = shard_opener(objects, folder, cache)

    def runs(
        self, shard: Sequence[int], numbers: Sequence[int], n_in_use: int | None = None
    ) -> Iterator[StoredRun]:
        """Yield chunks of a shard in the order of their bytes, as many at once as are read so.

        Parameters
        ----------
        shard
            Place of the shard in the array; further coordinates are 0.
        numbers
            Which chunks, counted in C order inside the shard.
        n_in_use
            Chunks of the shard that hold anything, by default all: over a network it comes whole,
            in one request, where at least two thirds of them are asked for.

        Raises
        ------
        MissingChunkError
            The shard or a chunk of it does not exist.
        CorruptChunkError
            A checksum, the index or a length is wrong.
        """
        for stored, bounds, where in self._found(shard, numbers, n_in_use):
            yield self._read(stored, bounds, where)

    def scatter(
        self,
        shard: Sequence[int],
        numbers: Sequence[int],
        start: int,
        arenas: Sequence[NDArray[Any]],
        which: NDArray[np.int64],
        place: NDArray[np.int64],
        n_in_use: int | None = None,
    ) -> None:
        """Decode chunks that split rows only, each row to a place of its own.

        From a file each chunk is read, checked, decoded and copied before the next, in one call,
        while it is in the processor's cache.

        Parameters
        ----------
        shard, numbers, n_in_use
            As for `runs`.
        start, arenas, which, place
            As for `StoredRun.scatter`.

        Raises
        ------
        MissingChunkError, CorruptChunkError, ValueError
            As `runs` and `StoredRun.scatter`.
        """
        rows = self.spec.chunk_shape[0]
        for stored, bounds, where in self._found(shard, numbers, n_in_use):
            # A forged index may claim places that no file has; what reads next refuses them.
            if stored.descriptor is not None and max(high for _, _, high in bounds) < 2**63:
                first = np.array([number * rows - start for number, _, _ in bounds])
                if decode_and_scatter(
                    thread_buffer("stored", self._most_nbytes),
                    np.array([(low, high) for _, low, high in bounds], np.int64),
                    chunk_memory(self.spec),
                    Rows(first, arenas, which, place),
                    stored.descriptor,
                    is_plain=self.spec.is_plain,
                ):
                    continue
            self._read(stored, bounds, where).scatter(self.spec, start, arenas, which, place)

    def stretches(self, shard: Sequence[int], numbers: Sequence[int]) -> list[list[Bounds]]:
        """Say in how many reads, and which, chunks of a shard come, for who reads several at once.

        Raises
        ------
        MissingChunkError, CorruptChunkError
            As `runs`.
        """
        self._check_process()
        key = self.spec.shard_key(*shard)
        where = f"{self.location}/{key}"
        with self._open(key) as stored:
            return list(_stretches(self._index(key, stored, where), numbers, where, self._stretch))

    def stretch(self, shard: Sequence[int], bounds: list[Bounds]) -> Iterator[StoredChunk]:
        """Yield the chunks of one of the `stretches` of a shard; raises as `runs`."""
        self._check_process()
        key = self.spec.shard_key(*shard)
        with self._open(key) as stored:
            yield from self._read(stored, bounds, f"{self.location}/{key}").chunks()

    def _found(
        self, shard: Sequence[int], numbers: Sequence[int], n_in_use: int | None
    ) -> Iterator[tuple[StoredShard, list[Bounds], str]]:
        """Yield where the chunks lie, as many at once as are read so."""
        self._check_process()
        if not len(numbers):
            return
        key = self.spec.shard_key(*shard)
        where = f"{self.location}/{key}"
        n_in_use = self.spec.n_chunks if n_in_use is None else n_in_use
        with self._open(key) as stored:
            if WHOLE_AT * len(numbers) >= n_in_use:
                stored.want_whole()
            index = self._index(key, stored, where)
            for bounds in _stretches(index, numbers, where, self._stretch):
                yield stored, bounds, where

    def _read(self, stored: StoredShard, bounds: list[Bounds], where: str) -> StoredRun:
        base, end = bounds[0][1], bounds[-1][2]
        for number, low, high in bounds:
            if high - low > self._most_nbytes:
                raise CorruptChunkError(
                    f"{where}: the index claims impossible sizes of chunk {number}; {REMEDY}"
                )
        blob = stored.span(base, end)
        if blob.size != end - base:
            raise CorruptChunkError(f"{where}: cut off before chunk {bounds[-1][0]}; {REMEDY}")
        return StoredRun(blob, stored, bounds, where)

    def _index(self, key: str, stored: StoredShard, where: str) -> ShardIndex:
        with self._lock:
            kept = self._indexes.get(key)
            if kept is not None and kept[0] == stored.identity:
                self._indexes.move_to_end(key)
                return kept[1]
        index = self._read_index(stored, where)
        with self._lock:
            self._indexes[key] = (stored.identity, index)
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

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise StoreError(
                f"{self.location} was opened before a fork; open the store in the worker itself"
            )


def chunk_memory(spec: ShardSpec) -> NDArray[Any]:
    """Return memory of this thread for one chunk, which the next call uses again."""
    return thread_buffer("chunk", spec.chunk_nbytes).view(spec.dtype).reshape(spec.chunk_shape)


def _stretches(
    index: ShardIndex, numbers: Sequence[int], where: str, limit: Stretch
) -> Iterator[list[Bounds]]:
    """Group chunks by where they lie; every group is one read."""
    bounds = sorted(chunk_bounds(index, numbers, where), key=lambda one: one[1])
    group: list[Bounds] = []
    for one in bounds:
        if group and not (
            0 <= one[1] - group[-1][2] <= limit.gap and one[2] - group[0][1] <= limit.nbytes
        ):
            yield group
            group = []
        group.append(one)
    yield group


def place_of_array(
    location: str | os.PathLike[str], root: str | os.PathLike[str] | None = None
) -> tuple[Objects, str]:
    """Return the place that an array is in, and its folder there.

    Parameters
    ----------
    location
        Folder of the array: a path or an fsspec URL.
    root
        The store that the array is in: below it a symbolic link is refused. By default the
        array's own folder, which may then be a link itself.

    Raises
    ------
    ValueError
        The array is not in `root`.
    StoreError
        The kind of address cannot be opened, or not in this process.
    """
    folder = os.fspath(location).rstrip("/")
    place = folder if root is None else os.fspath(root).rstrip("/")
    if not f"{folder}/".startswith(f"{place}/"):
        raise ValueError(f"{folder} is not in {place}")
    return open_objects(place), folder[len(place) + 1 :]


def is_local(location: str) -> bool:
    """Say whether a path or URL is of this machine's files."""
    return local_folder(location) is not None
