"""One shard that is open for reading: a file read by position, or an object read by ranges."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import MissingChunkError
from c2s_data.store.local_objects import open_file, refuse_links, regular_status
from c2s_data.store.object_cache import ObjectCache
from c2s_data.store.objects import LocalObjects, Objects
from c2s_data.store.remote_objects import FETCHES
from c2s_data.store.shard import REMEDY

FOLDERS_KEPT: Final = 4096
"""Folders a reader remembers to be no links."""
_BUFFERS: Final = threading.local()


class StoredShard(Protocol):
    """One stored object that is open for reading."""

    fetches: int
    """How often bytes that fail their checksum are worth reading: once from a disk."""
    descriptor: int | None
    """Of the open file; None for what is no file."""

    @property
    def identity(self) -> object:
        """What differs when the object was replaced."""

    def want_whole(self) -> None:
        """Say that most of it will be asked for: over a network it then comes in one request."""

    def tail(self, nbytes: int, *, again: bool = False) -> NDArray[np.uint8]:
        """Return the last bytes; ``again`` if those returned before failed their checksum."""

    def span(self, start: int, stop: int, *, again: bool = False) -> NDArray[np.uint8]:
        """Return bytes start to stop; they stay valid until the thread's next call."""


Opener = Callable[[str], AbstractContextManager[StoredShard]]
"""Opens the shard of a name; `MissingChunkError` if there is none."""


def shard_opener(objects: Objects, folder: str, cache: ObjectCache | None = None) -> Opener:
    """Return what opens the shards of one array.

    Parameters
    ----------
    objects
        The place that may hold symbolic links nowhere below its root.
    folder
        The array's folder in it; "" if the place is the array.
    cache
        Keeps what comes over a network; of files nothing is kept.
    """
    if isinstance(objects, LocalObjects):
        return _local_opener(objects.url, folder)
    return _remote_opener(objects, folder, cache)


def thread_buffer(name: str, nbytes: int) -> NDArray[np.uint8]:
    """Return memory that this thread used before: warm in its cache, and never fresh pages."""
    buffer: NDArray[np.uint8] | None = getattr(_BUFFERS, name, None)
    if buffer is None or buffer.size < nbytes:
        buffer = np.empty(nbytes + nbytes // 4, np.uint8)
        setattr(_BUFFERS, name, buffer)
    return buffer[:nbytes]


class _LocalFile:
    """A file read by position."""

    fetches = 1

    def __init__(self, descriptor: int, path: str) -> None:
        self.descriptor: int | None = descriptor
        self._descriptor = descriptor
        status = regular_status(descriptor, path)
        self._nbytes = status.st_size
        self.identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    def want_whole(self) -> None:
        pass

    def tail(self, nbytes: int, *, again: bool = False) -> NDArray[np.uint8]:
        return self.span(max(0, self._nbytes - nbytes), self._nbytes)

    def span(self, start: int, stop: int, *, again: bool = False) -> NDArray[np.uint8]:
        wanted = max(0, min(stop, self._nbytes) - start)
        view, done = thread_buffer("stored", wanted), 0
        while done < wanted:
            n = os.preadv(self._descriptor, [view[done:].data], start + done)
            if n == 0:
                break
            done += n
        return view[:done]


class _RemoteObject:
    """An object read by ranges, or whole. Committed shards never change."""

    identity = None
    fetches = FETCHES
    descriptor: int | None = None

    def __init__(self, objects: Objects, key: str, cache: ObjectCache | None) -> None:
        self._objects, self._key, self._cache = objects, key, cache
        self._is_wanted_whole = False
        self._whole: NDArray[np.uint8] | None = None

    def want_whole(self) -> None:
        self._is_wanted_whole = True

    def tail(self, nbytes: int, *, again: bool = False) -> NDArray[np.uint8]:
        if self._is_wanted_whole:
            whole = self._all(again=again)
            return whole[max(0, whole.size - nbytes) :]
        return self._read(
            f"tail {nbytes}", lambda: self._objects.tail(self._key, nbytes), again=again
        )

    def span(self, start: int, stop: int, *, again: bool = False) -> NDArray[np.uint8]:
        if self._is_wanted_whole:
            return self._all(again=again)[start:stop]
        return self._read(
            f"span {start} {stop}",
            lambda: self._objects.span(self._key, start, stop),
            again=again,
        )

    def _all(self, *, again: bool) -> NDArray[np.uint8]:
        if self._whole is None or again:
            self._whole = self._read("", lambda: self._objects.get(self._key), again=again)
        return self._whole

    def _read(self, what: str, fetch: Callable[[], bytes], *, again: bool) -> NDArray[np.uint8]:
        """Fetch, unless the cache has it; bytes that failed are fetched past the cache."""
        name = f"{self._key} {what}"
        if self._cache is not None:
            if again:
                self._cache.forget(name)
            elif (kept := self._cache.get(name)) is not None:
                return np.frombuffer(kept, np.uint8)
        with self._with_remedy():
            data = fetch()
        if self._cache is not None:
            self._cache.put(name, data)
        return np.frombuffer(data, np.uint8)

    @contextmanager
    def _with_remedy(self) -> Iterator[None]:
        try:
            yield
        except MissingChunkError as error:
            where = f"{self._objects.url}/{self._key}"
            raise MissingChunkError(f"{where}: shard is missing; {REMEDY}") from error


def _remote_opener(objects: Objects, folder: str, cache: ObjectCache | None) -> Opener:
    @contextmanager
    def open_remote(key: str) -> Iterator[StoredShard]:
        yield _RemoteObject(objects, f"{folder}/{key}".lstrip("/"), cache)

    return open_remote


def _local_opener(root: str, folder: str) -> Opener:
    seen: set[str] = set()

    @contextmanager
    def open_local(key: str) -> Iterator[StoredShard]:
        name = f"{folder}/{key}".lstrip("/")
        path = f"{root}/{name}"
        above = name.rpartition("/")[0]
        if above not in seen:  # Once each: a loader opens the same shards over and over.
            refuse_links(root, above)
            if len(seen) == FOLDERS_KEPT:
                seen.clear()
            seen.add(above)
        try:
            descriptor = open_file(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise MissingChunkError(f"{path}: shard is missing; {REMEDY}") from error
        try:
            yield _LocalFile(descriptor, path)
        finally:
            os.close(descriptor)

    return open_local
