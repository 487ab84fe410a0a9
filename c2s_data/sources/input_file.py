"""An input file, on a disk or in a bucket, read through one kind of stream.

A map, a model or a table may be named by a path or by a URL (``s3://``, ``gs://``, ``az://``).
What is in a bucket is read by ranges as it is asked for, so that a header costs one small request
and a whole map a few large ones, and nothing is ever copied to a disk first.
"""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from c2s_data.errors import MissingChunkError, StoreError
from c2s_data.store.address import checked_url, local_folder
from c2s_data.store.objects import open_objects

Address = str | os.PathLike[str]

SCHEMES: Final = ("s3", "gs", "az", "memory")
"""Kinds of addresses that an input may have; ``memory`` is for tests."""
_FIRST_BYTES: Final = 2**16
_MOST_BYTES: Final = 2**23


def is_url(address: Address) -> bool:
    """Say whether an input is reached over a network."""
    return local_folder(address) is None


def local_path(address: Address) -> Path:
    """Return an input's path; of a URL only for its name, which is all that is recorded of it."""
    return local_folder(address) or Path(os.fspath(address))


def beside(address: Address, name: str) -> str:
    """Return the address of ``name`` as it is meant in a file at ``address``.

    Parameters
    ----------
    address
        A file, such as a catalog.
    name
        A URL or an absolute path, which stays; or relative to the file's folder.

    Raises
    ------
    StoreError
        The result is a URL with a credential, or leads out of its bucket.
    """
    if "://" in name:
        return _checked(name) if is_url(name) else str(local_path(name).absolute())
    if name.startswith("/") or not is_url(address):
        return str((local_path(address).parent / name).absolute())
    folder = os.fspath(address).rpartition("/")[0]
    if ".." in name.split("/"):
        raise StoreError(f"{name}: a name relative to {folder} may not hold '..'")
    return _checked(f"{folder}/{PurePosixPath(name)}")


def open_input(address: Address) -> io.BufferedReader:
    """Open a file for reading; raises as `open_unbuffered`."""
    return io.BufferedReader(open_unbuffered(address))


def open_unbuffered(address: Address) -> io.FileIO | RemoteFile:
    """Open the stored bytes, seekable, for who reads them in large pieces.

    Raises
    ------
    OSError
        There is no such file, it is none (to open a pipe would wait for ever), or may not be read.
    StoreError
        The service does not answer or refuses.
    """
    if is_url(address):
        return RemoteFile(os.fspath(address))
    path = local_path(address)
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is no regular file")
    return path.open("rb", buffering=0)


def input_bytes(address: Address) -> int:
    """Return the size of an input; raises as `open_unbuffered`."""
    if is_url(address):
        return RemoteFile(os.fspath(address)).nbytes
    return local_path(address).stat().st_size


def is_input(address: Address) -> bool:
    """Say whether there is such a file; `StoreError` where a service cannot tell."""
    if not is_url(address):
        return local_path(address).is_file()
    try:
        return RemoteFile(os.fspath(address)).nbytes >= 0
    except FileNotFoundError:
        return False


class RemoteFile(io.RawIOBase):
    """An object as a file: a range that is read on is fetched in larger and larger pieces.

    Parameters
    ----------
    address
        URL of the object.

    Raises
    ------
    FileNotFoundError
        There is none.
    StoreError
        The service does not answer, or refuses.
    """

    def __init__(self, address: str) -> None:
        super().__init__()
        folder, _, self._key = _checked(address).rpartition("/")
        self.name = address
        self._objects = open_objects(folder)
        size = self._objects.size(self._key)
        if size is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), address)
        self.nbytes = size
        self._place = 0
        self._piece, self._piece_start, self._next_bytes = b"", 0, _FIRST_BYTES

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place in the file."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; nothing is read."""
        origins = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self.nbytes}
        if origins[whence] + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self.name)
        self._place = origins[whence] + offset
        return self._place

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Fill the buffer from its start, from one piece; 0 at the end."""
        view = memoryview(buffer).cast("B")
        at = self._place - self._piece_start
        if not 0 <= at < len(self._piece):
            self._fetch()
            at = 0
        part = self._piece[at : at + len(view)]
        view[: len(part)] = part
        self._place += len(part)
        return len(part)

    def _fetch(self) -> None:
        end = self._piece_start + len(self._piece)
        going_on = self._place == end and self._piece
        self._next_bytes = min(_MOST_BYTES, 4 * self._next_bytes) if going_on else _FIRST_BYTES
        stop = min(self._place + self._next_bytes, self.nbytes)
        self._piece_start = self._place
        self._piece = b""
        if self._place < stop:
            try:
                self._piece = self._objects.span(self._key, self._place, stop)
            except MissingChunkError as error:
                raise FileNotFoundError(errno.ENOENT, "removed while it was read", self.name) from (
                    error
                )
        if len(self._piece) < stop - self._place:
            raise OSError(errno.EIO, "became shorter while it was read", self.name)


def _checked(address: str) -> str:
    """Return the address of an input if it is of a known kind and carries no credential."""
    scheme = urlsplit(checked_url(address)).scheme
    if scheme not in SCHEMES:
        raise StoreError(
            f"{address}: inputs are read from paths, s3://, gs:// and az://; `c2s-data fetch` "
            "downloads what is on the web"
        )
    return address
