"""Named byte strings at one place: a local folder or any fsspec URL.

A store is a set of objects. This module is how they are written and read; it knows nothing of
what is in them. A local object appears whole or not at all: it is written beside its name and
renamed. It is on the disk, safe from a power cut, once `flush` returns or with ``durable=True``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

import fsspec

from c2s_data.errors import MissingChunkError, StoreError

Data = bytes | bytearray | memoryview
_FLUSHING_THREADS: Final = 8
_PIECE_BYTES: Final = 2**20


class Objects(Protocol):
    """What the rest of the store package asks of a place."""

    url: str

    def put(self, key: str, data: Data, *, durable: bool = True) -> None:
        """Write an object whole, replacing an older one; wait for the disk if ``durable``."""

    def flush(self, keys: Iterable[str]) -> None:
        """Wait until these objects and their folders are on the disk."""

    def create(self, key: str, data: Data) -> bool:
        """Write an object unless one of that name exists; say whether this call wrote it."""

    def get(self, key: str) -> bytes:
        """Return an object; `MissingChunkError` if there is none."""

    def holds(self, key: str, data: Data) -> bool:
        """Read an object back and say whether it is these bytes; raises as `get`."""

    def size(self, key: str) -> int | None:
        """Return an object's bytes, or None if there is none."""

    def delete(self, key: str) -> None:
        """Remove an object if it exists."""

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names directly below ``prefix``, sorted."""


def open_objects(url: str | os.PathLike[str]) -> Objects:
    """Return the place that ``url`` names: a path, ``file://`` or any other fsspec URL."""
    text = os.fspath(url)
    if "://" not in text:
        return LocalObjects(Path(text).expanduser())
    parts = urlsplit(text)
    if parts.scheme != "file":
        return RemoteObjects(text)
    if parts.netloc not in ("", "localhost"):
        raise StoreError(f"{text}: a file URL has three slashes, file:///folder/store.zarr")
    return LocalObjects(Path(unquote(parts.path)))


class LocalObjects:
    """Objects as files below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.url = str(self.root)

    def _path(self, key: str) -> Path:
        if ".." in key.split("/") or key.startswith("/"):
            raise StoreError(f"object name {key!r} would leave the store {self.url}")
        return self.root / key

    def put(self, key: str, data: Data, *, durable: bool = True) -> None:
        """Write beside and rename; ``durable`` flushes the file before and the folder after."""
        path = self._path(key)
        with _faults_of_the_place(path):
            beside = self._write_beside(path, data, durable=durable)
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
            beside = self._write_beside(path, data, durable=True)
            try:
                os.link(beside, path)
            except FileExistsError:
                return False
            finally:
                beside.unlink()
            _sync(path.parent)
        return True

    def _write_beside(self, path: Path, data: Data, *, durable: bool) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        # pid and random bytes: two writers of one object never share a half-written file.
        beside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.part")
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

    def get(self, key: str) -> bytes:
        """Read a whole file."""
        with self._open(key) as stream:
            return stream.read()

    def holds(self, key: str, data: Data) -> bool:
        """Compare piece by piece: to read 20 MB at once costs thousands of page faults."""
        left = memoryview(data).cast("B")
        piece = bytearray(min(len(left) + 1, _PIECE_BYTES))
        with self._open(key) as stream:
            while n := stream.readinto(piece):
                if n > len(left) or not piece.startswith(left[:n]):
                    return False
                left = left[n:]
        return not left

    def _open(self, key: str) -> FileIO:
        try:
            return self._path(key).open("rb", buffering=0)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise MissingChunkError(f"{self.url}: object {key!r} is missing") from error

    def size(self, key: str) -> int | None:
        """Ask the file system."""
        try:
            return self._path(key).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def delete(self, key: str) -> None:
        """Unlink the file."""
        self._path(key).unlink(missing_ok=True)

    def names(self, prefix: str) -> Iterator[str]:
        """List a folder, leaving out what a killed writer left beside."""
        folder = self._path(prefix)
        if folder.is_dir():
            yield from sorted(p.name for p in folder.iterdir() if not p.name.endswith(".part"))


class RemoteObjects:
    """Objects behind an fsspec file system."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            self.fs, self.root = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise StoreError(
                f"{self.url}: this kind of address cannot be opened: {error}"
            ) from error

    def _path(self, key: str) -> str:
        if ".." in key.split("/") or key.startswith("/"):
            raise StoreError(f"object name {key!r} would leave the store {self.url}")
        return f"{self.root}/{key}"

    def put(self, key: str, data: Data, *, durable: bool = True) -> None:
        """Write in one request; what a service has acknowledged is durable."""
        self.fs.pipe_file(self._path(key), bytes(data))

    def flush(self, keys: Iterable[str]) -> None:
        """Nothing is left to wait for."""

    def create(self, key: str, data: Data) -> bool:
        """Write in one request that the service refuses where the name is taken."""
        try:
            self.fs.pipe_file(self._path(key), bytes(data), mode="create")
        except FileExistsError:
            return False
        return True

    def get(self, key: str) -> bytes:
        """Read a whole object."""
        try:
            return bytes(self.fs.cat_file(self._path(key)))
        except FileNotFoundError as error:
            raise MissingChunkError(f"{self.url}: object {key!r} is missing") from error

    def holds(self, key: str, data: Data) -> bool:
        """Read a whole object."""
        return self.get(key) == bytes(data)

    def size(self, key: str) -> int | None:
        """Ask the service, never a cached listing."""
        self.fs.invalidate_cache()
        try:
            return int(self.fs.info(self._path(key))["size"])
        except FileNotFoundError:
            return None

    def delete(self, key: str) -> None:
        """Remove the object."""
        if self.size(key) is not None:
            self.fs.rm_file(self._path(key))

    def names(self, prefix: str) -> Iterator[str]:
        """List below a prefix."""
        self.fs.invalidate_cache()
        try:
            found = self.fs.ls(self._path(prefix), detail=False)
        except FileNotFoundError:
            return
        yield from sorted(str(name).rstrip("/").rsplit("/", 1)[-1] for name in found)


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
