"""Read runs of rows out of the shards of one subgrid array, decoded straight into place.

The array is an ordinary sharded Zarr v3 array whose chunks split rows only. A run of rows costs
one read of the shard's index and one of the chunks that hold the run; the index is kept.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

import fsspec
import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import CorruptChunkError, MissingChunkError, StoreError
from c2s_data.store.scatter import scatter_rows
from c2s_data.store.shard import (
    REMEDY,
    ShardIndex,
    ShardSpec,
    chunk_bounds,
    decode_chunk,
    shard_index,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

INDEXES_KEPT: Final = 4096
"""Shard indexes a reader remembers: about 0.5 KB each."""
_BLOSC_OVERHEAD: Final = 16 + 4
_BUFFERS: Final = threading.local()


class _Object(Protocol):
    """One stored object that is open for reading."""

    @property
    def identity(self) -> object:
        """What differs when the object was replaced."""

    def tail(self, nbytes: int) -> NDArray[np.uint8]:
        """Return the last bytes."""

    def span(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return bytes start to stop; they stay valid until the thread's next call."""


class _StoredChunk(NamedTuple):
    """Bytes of one chunk, valid until the thread's next read."""

    data: NDArray[np.uint8]
    spec: ShardSpec
    where: str
    number: int

    def decode(self, out: NDArray[Any]) -> None:
        decode_chunk(self.data, self.spec, out, self.where, self.number)


class SubgridReader:
    """Reads rows of one sharded array; safe from several threads, not over a fork.

    Parameters
    ----------
    location
        Folder of the array: a path or an fsspec URL.
    spec
        Its shape and codecs; a shard is split into chunks along rows only.

    Raises
    ------
    ValueError
        The chunks also split another axis.
    StoreError
        The kind of address cannot be opened.
    """

    def __init__(self, location: str | os.PathLike[str], spec: ShardSpec) -> None:
        if spec.chunk_shape[1:] != spec.shard_shape[1:]:
            raise ValueError(f"chunks {spec.chunk_shape} split more than rows; use decode_shard")
        self.location = os.fspath(location).rstrip("/")
        self.spec = spec
        self._pid = os.getpid()
        self._indexes: OrderedDict[int, tuple[object, ShardIndex]] = OrderedDict()
        self._lock = threading.Lock()
        self._open = _opener(self.location)

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
                stored.decode(out[low - start : high - start])
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
            index = self._index(shard, stored, where)
            for run in _adjacent_runs(index, chunks, where):
                bounds = list(chunk_bounds(index, run, where))
                base, end = bounds[0][1], bounds[-1][2]
                if end - base > len(run) * (self.spec.chunk_nbytes + _BLOSC_OVERHEAD):
                    raise CorruptChunkError(f"{where}: the index claims impossible sizes; {REMEDY}")
                blob = stored.span(base, end)
                if blob.size != end - base:
                    raise CorruptChunkError(f"{where}: cut off before chunk {run[-1]}; {REMEDY}")
                for number, low, high in bounds:
                    data = blob[low - base : high - base]
                    yield number, _StoredChunk(data, self.spec, where, number)

    def _decoded(self, stored: _StoredChunk) -> NDArray[Any]:
        chunk = _thread_buffer("chunk", self.spec.chunk_nbytes)
        values = chunk.view(self.spec.dtype).reshape(self.spec.chunk_shape)
        stored.decode(values)
        return values

    def _index(self, shard: int, stored: _Object, where: str) -> ShardIndex:
        with self._lock:
            kept = self._indexes.get(shard)
            if kept is not None and kept[0] == stored.identity:
                self._indexes.move_to_end(shard)
                return kept[1]
        tail = np.array(stored.tail(self.spec.index_nbytes))
        index = shard_index(tail, self.spec, where)
        with self._lock:
            self._indexes[shard] = (stored.identity, index)
            while len(self._indexes) > INDEXES_KEPT:
                self._indexes.popitem(last=False)
        return index

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
) -> None:
    """Read one run of rows; a `SubgridReader` that is kept saves reading the index each time."""
    SubgridReader(location, spec).read_rows(shard, start, stop, out)


def _adjacent_runs(index: ShardIndex, chunks: range, where: str) -> Iterator[range]:
    """Split chunks into runs that lie one after another in the object."""
    first, end = chunks.start, None
    for number, start, stop in chunk_bounds(index, chunks, where):
        if end is not None and start != end:
            yield range(first, number)
            first = number
        end = stop
    yield range(first, chunks.stop)


def _thread_buffer(name: str, nbytes: int) -> NDArray[np.uint8]:
    """Return memory that this thread used before: warm in its cache, and never fresh pages."""
    buffer: NDArray[np.uint8] | None = getattr(_BUFFERS, name, None)
    if buffer is None or buffer.size < nbytes:
        buffer = np.empty(nbytes + nbytes // 4, np.uint8)
        setattr(_BUFFERS, name, buffer)
    return buffer[:nbytes]


class _LocalFile:
    """A file read by position."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        status = os.fstat(descriptor)
        self._nbytes = status.st_size
        self.identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    def tail(self, nbytes: int) -> NDArray[np.uint8]:
        return self.span(max(0, self._nbytes - nbytes), self._nbytes)

    def span(self, start: int, stop: int) -> NDArray[np.uint8]:
        wanted = max(0, min(stop, self._nbytes) - start)
        view, done = _thread_buffer("stored", wanted), 0
        while done < wanted:
            n = os.preadv(self._descriptor, [view[done:].data], start + done)
            if n == 0:
                break
            done += n
        return view[:done]


class _RemoteObject:
    """An object behind fsspec, read by ranges. Committed shards never change."""

    identity = None

    def __init__(self, fs: Any, path: str) -> None:  # noqa: ANN401 - fsspec has no types
        self._fs, self._path = fs, path

    def tail(self, nbytes: int) -> NDArray[np.uint8]:
        return np.frombuffer(self._fs.cat_file(self._path, start=-nbytes), np.uint8)

    def span(self, start: int, stop: int) -> NDArray[np.uint8]:
        return np.frombuffer(self._fs.cat_file(self._path, start=start, end=stop), np.uint8)


def is_local(location: str) -> bool:
    """Say whether a path or URL is of this machine's files."""
    return "://" not in location or urlsplit(location).scheme == "file"


def _opener(location: str) -> Any:  # noqa: ANN401 - a context manager factory
    if is_local(location):
        return _local_opener(urlsplit(location).path if "://" in location else location)
    try:
        fs, root = fsspec.core.url_to_fs(location)
    except (ImportError, ValueError) as error:
        raise StoreError(f"{location}: this kind of address cannot be opened: {error}") from error

    @contextmanager
    def open_remote(key: str) -> Iterator[_Object]:
        try:
            yield _RemoteObject(fs, f"{root}/{key}")
        except FileNotFoundError as error:
            raise MissingChunkError(f"{location}/{key}: shard is missing; {REMEDY}") from error

    return open_remote


def _local_opener(folder: str) -> Any:  # noqa: ANN401 - a context manager factory
    @contextmanager
    def open_local(key: str) -> Iterator[_Object]:
        path = f"{folder}/{key}"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise MissingChunkError(f"{path}: shard is missing; {REMEDY}") from error
        try:
            yield _LocalFile(descriptor)
        finally:
            os.close(descriptor)

    return open_local
