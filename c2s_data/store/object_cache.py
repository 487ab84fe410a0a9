"""A bounded folder of this machine's disk that keeps what was read from object storage.

Several processes share it, and any of them may be killed at any time: a file is written beside its
name and renamed, holds its own checksum, and is taken for nothing where that fails.

What one training reads it reads once an epoch, in a new order each time. To throw out what was used
longest ago would throw out what comes next, so what this process's time has used stays and a full
cache takes no more; only what nobody has used since then makes room.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import google_crc32c

from c2s_data.errors import ConfigError, StoreError

_SUM_BYTES: Final = 4
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", re.ASCII)
_UNITS: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_ENDING: Final = ".cached"
_PART: Final = ".part"
_LEDGER: Final = "bytes"
_STALE_PART_S: Final = 3600.0


@dataclass(frozen=True)
class CacheOptions:
    """Where the cache is, and the most it may hold.

    Raises
    ------
    ConfigError
        A size that is not positive.
    """

    folder: str
    nbytes: int = 20 * 10**9

    def __post_init__(self) -> None:
        """Refuse a size that makes no sense."""
        if self.nbytes <= 0:
            raise ConfigError(f"a cache of {self.nbytes} bytes; it is at least 1")


def parse_size(text: str) -> int:
    """Return the bytes of ``20GB``, ``500 MB`` or a plain number; units are powers of 1000."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"size {text!r}: write it as 20GB or 500MB")
    return int(float(found[1]) * _UNITS[found[2]])


class ObjectCache:
    """Bytes by name; safe from several threads and processes.

    Parameters
    ----------
    options
        Folder, made if need be, and bound.
    namespace
        What tells one store's content from every other's, such as the fingerprint of a generation.

    Raises
    ------
    StoreError
        The folder cannot be made or written.
    """

    def __init__(self, options: CacheOptions, namespace: str) -> None:
        self._folder, self._limit = Path(options.folder).expanduser(), options.nbytes
        self._namespace, self._opened_at = namespace, time.time()
        self._is_full = False
        with self._told(), self._locked() as ledger:
            self._remove_parts()
            self._write(ledger, sum(size for _, size, _ in self._files()))

    def get(self, name: str) -> bytes | None:
        """Return what is kept under a name, None if nothing whole is."""
        path = self._path(name)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        body, kept = data[:-_SUM_BYTES], data[-_SUM_BYTES:]
        if kept == _checksum(body):
            return body
        self.forget(name)
        return None

    def put(self, name: str, data: bytes) -> None:
        """Keep a copy if there is room, or room can be made."""
        path, nbytes = self._path(name), len(data) + _SUM_BYTES
        if self._is_full or nbytes > self._limit:
            return
        part = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}{_PART}")
        with self._told(), self._locked() as ledger:
            used = self._read(ledger)
            if used + nbytes > self._limit:
                used -= self._make_room(used + nbytes - self._limit)
            self._is_full = used + nbytes > self._limit
            if self._is_full or path.exists():
                self._write(ledger, used)
                return
            # Counted before it is there: who is killed between leaves too high a count, never one
            # that lets the folder grow beyond its bound.
            self._write(ledger, used + nbytes)
            try:
                part.write_bytes(data + _checksum(data))
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)

    def forget(self, name: str) -> None:
        """Remove what is kept under a name."""
        path = self._path(name)
        with self._told(), self._locked() as ledger, contextlib.suppress(FileNotFoundError):
            size = path.stat().st_size
            path.unlink()
            self._write(ledger, max(0, self._read(ledger) - size))

    def _path(self, name: str) -> Path:
        digest = hashlib.sha256(f"{self._namespace}\0{name}".encode()).hexdigest()
        return self._folder / f"{digest[:40]}{_ENDING}"

    def _files(self) -> Iterator[tuple[Path, int, float]]:
        for entry in os.scandir(self._folder):
            if entry.name.endswith(_ENDING):
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    yield Path(entry.path), status.st_size, status.st_mtime

    def _make_room(self, nbytes: int) -> int:
        """Remove files that nobody used since this cache was opened, oldest use first."""
        freed = 0
        for path, size, used_at in sorted(self._files(), key=lambda item: item[2]):
            if freed >= nbytes or used_at >= self._opened_at:
                break
            path.unlink(missing_ok=True)
            freed += size
        return freed

    def _remove_parts(self) -> None:
        for path in self._folder.glob(f"*{_PART}"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _STALE_PART_S:
                    path.unlink()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        """Give the open file that holds how many bytes the folder has."""
        self._folder.mkdir(parents=True, exist_ok=True)
        ledger = os.open(self._folder / _LEDGER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(ledger, fcntl.LOCK_EX)
            yield ledger
        finally:
            os.close(ledger)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"{self._folder}: the cache cannot be written: {error.strerror}; free space, give "
                "another --cache, or leave it out"
            ) from error

    @staticmethod
    def _read(ledger: int) -> int:
        text = os.pread(ledger, 32, 0)
        return int(text) if text.isdigit() else 0

    @staticmethod
    def _write(ledger: int, nbytes: int) -> None:
        os.ftruncate(ledger, 0)
        os.pwrite(ledger, str(nbytes).encode(), 0)


def _checksum(data: bytes) -> bytes:
    return int(google_crc32c.value(data)).to_bytes(_SUM_BYTES, "little")
