"""Objects as files below a folder.

An object appears whole or not at all: it is written beside its name and renamed. Nothing is read
or written through a symbolic link, so a store that was unpacked from anywhere gives and takes only
its own bytes; the folder of the store itself may be a link.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from c2s_data.errors import MissingChunkError, StoreError
from c2s_data.store.address import Data, checked_key, checked_prefix

_FLUSHING_THREADS: Final = 8
_PIECE_BYTES: Final = 2**20
_UNFINISHED: Final = ".part"
_LINKED: Final = (
    "a store must hold its own bytes; copy the file in the link's place, or delete the link"
)


class LocalObjects:
    """Objects as files below a folder.

    Parameters
    ----------
    root
        The folder; it need not exist before something is written.
    """

    confirms = False

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.url = str(self.root)

    def _path(self, key: str) -> Path:
        return self.root / checked_key(key, self.url)

    def put(self, key: str, data: Data, *, durable: bool = True) -> None:
        """Write beside and rename; ``durable`` flushes the file before and the folder after."""
        path = self._path(key)
        with _faults_of_the_place(path):
            beside = self._write_beside(key, path, data, durable=durable)
            beside.replace(path)
            if durable:
                _sync(path.parent)

    def flush(self, keys: Iterable[str]) -> None:
        """Flush many files at once: several waits share one commit of the file system's journal.

        One after another sixty small files cost half a second, from a few threads a tenth.
        """
        paths = [self._path(key) for key in keys]
        folders = {
            folder
            for path in paths
            for folder in path.parents
            if folder == self.root or self.root in folder.parents
        }
        with (
            _faults_of_the_place(self.root),
            ThreadPoolExecutor(_FLUSHING_THREADS) as pool,
        ):
            for several in (paths, folders):
                list(pool.map(_sync, several))

    def create(self, key: str, data: Data) -> bool:
        """Link a finished file to its name, which fails where the name is taken."""
        path = self._path(key)
        with _faults_of_the_place(path):
            beside = self._write_beside(key, path, data, durable=True)
            try:
                os.link(beside, path)
            except FileExistsError:
                return False
            finally:
                beside.unlink()
            _sync(path.parent)
        return True

    def _write_beside(self, key: str, path: Path, data: Data, *, durable: bool) -> Path:
        refuse_links(self.url, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        # pid and random bytes: two writers of one object never share a half-written file.
        beside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}{_UNFINISHED}")
        try:
            with beside.open("xb", buffering=0) as stream:
                view = memoryview(data).cast("B")
                while view:
                    view = view[stream.write(view) :]
                if durable:
                    os.fsync(stream.fileno())
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        return beside

    def get(self, key: str, *, check: Callable[[bytes], bool] | None = None) -> bytes:
        """Read a whole file; a disk has nothing better to give if ``check`` fails."""
        with self._open(key) as (descriptor, nbytes):
            return read_span(descriptor, 0, nbytes)

    def span(self, key: str, start: int, stop: int) -> bytes:
        """Read by position."""
        with self._open(key) as (descriptor, nbytes):
            return read_span(descriptor, start, min(stop, nbytes))

    def tail(self, key: str, nbytes: int) -> bytes:
        """Read by position."""
        with self._open(key) as (descriptor, size):
            return read_span(descriptor, max(0, size - nbytes), size)

    def holds(self, key: str, data: Data) -> bool:
        """Compare piece by piece: to read 20 MB at once costs thousands of page faults."""
        left = memoryview(data).cast("B")
        piece = bytearray(min(len(left) + 1, _PIECE_BYTES))
        with self._open(key) as (descriptor, _):
            while n := os.readv(descriptor, [piece]):
                if n > len(left) or not piece.startswith(left[:n]):
                    return False
                left = left[n:]
        return not left

    @contextlib.contextmanager
    def _open(self, key: str) -> Iterator[tuple[int, int]]:
        """Give a descriptor and the file's size."""
        path = self._path(key)
        refuse_links(self.url, key)
        try:
            descriptor = open_file(str(path))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise MissingChunkError(f"{self.url}: object {key!r} is missing") from error
        except OSError as error:
            raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
        try:
            yield descriptor, regular_status(descriptor, str(path)).st_size
        finally:
            os.close(descriptor)

    def size(self, key: str) -> int | None:
        """Ask the file system."""
        path = self._path(key)
        refuse_links(self.url, key)
        try:
            return path.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def delete(self, key: str) -> None:
        """Unlink the file, or a link in its place, but nothing behind a linked folder."""
        folder, _, _ = checked_key(key, self.url).rpartition("/")
        refuse_links(self.url, folder)
        with _faults_of_the_place(self._path(key)):
            self._path(key).unlink(missing_ok=True)

    def names(self, prefix: str) -> Iterator[str]:
        """List a folder, leaving out what a killed writer left beside."""
        folder = self.root / checked_prefix(prefix, self.url)
        refuse_links(self.url, prefix)
        if folder.is_dir():
            yield from sorted(p.name for p in folder.iterdir() if not _is_unfinished(p.name))

    def walk(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """List every file below a folder."""
        found = (
            (key, entry.stat(follow_symlinks=False).st_size)
            for key, entry in self._files(checked_prefix(prefix, self.url))
            if not _is_unfinished(entry.name)
        )
        yield from sorted(found)

    def leftovers(self) -> Iterator[tuple[str, float]]:
        """List what killed writers left beside, or living ones are writing, with its age."""
        now = time.time()
        found = (
            (key, now - entry.stat(follow_symlinks=False).st_mtime)
            for key, entry in self._files("")
            if _is_unfinished(entry.name)
        )
        yield from sorted(found)

    def _files(self, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        refuse_links(self.url, prefix)
        # Text, because a large store has millions of folders and a Path costs more than a look.
        pending, root = [prefix], os.fspath(self.root)
        while pending:
            folder = pending.pop()
            try:
                with os.scandir(f"{root}/{folder}") as found:
                    entries = list(found)
            except (FileNotFoundError, NotADirectoryError):
                continue  # Nothing there, or removed since it was listed.
            for entry in entries:
                key = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_symlink():
                    raise _linked(f"{self.url}/{key}")
                if entry.is_dir(follow_symlinks=False):
                    pending.append(key)
                else:
                    yield key, entry


def refuse_links(root: str, key: str) -> None:
    """Refuse a name that passes through, or ends at, a symbolic link below ``root``.

    Raises
    ------
    StoreError
        Names the link.
    """
    path = root
    for part in key.split("/"):
        path = f"{path}/{part}"
        try:
            mode = os.lstat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return  # What is not there leads nowhere.
        except OSError as error:
            raise StoreError(f"{path}: cannot be looked at: {error.strerror}") from error
        if stat.S_ISLNK(mode):
            raise _linked(path)


def open_file(path: str) -> int:
    """Open a file for reading, never through a link in its place, and return its descriptor.

    Raises
    ------
    StoreError
        The last component is a symbolic link.
    OSError
        As `os.open`.
    """
    try:
        # Non-blocking: to open a pipe that lies in a file's place would wait for ever.
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _linked(path) from error
        raise


def regular_status(descriptor: int, path: str) -> os.stat_result:
    """Return what is known of an open file; `StoreError` if it is no file but a pipe or folder."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(f"{path}: not a file; move it out of the store")
    return status


def read_span(descriptor: int, start: int, stop: int) -> bytes:
    """Return bytes ``start`` to ``stop`` of a file, fewer where it ends sooner."""
    pieces = []
    while start < stop and (piece := os.pread(descriptor, stop - start, start)):
        pieces.append(piece)
        start += len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _linked(path: str) -> StoreError:
    return StoreError(f"{path}: a symbolic link inside a store is refused; {_LINKED}")


def _is_unfinished(name: str) -> bool:
    return name.startswith(".") and name.endswith(_UNFINISHED)


@contextlib.contextmanager
def _faults_of_the_place(path: Path) -> Iterator[None]:
    """Tell a full disk or a lacking permission as what it is: no fault of what is written."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written: {error.strerror}; free space or choose another place, "
            "then run the same command again"
        ) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
