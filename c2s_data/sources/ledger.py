"""What was fetched into a folder: sha256 and size of every file, recorded once, enforced later.

One line of JSON a file, sealed by a digest of its own, appended and flushed before the file gets
its final name. So a file under its final name is always recorded; a record whose file is missing
says what must come when it is fetched again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from c2s_data.errors import C2SError

LEDGER_NAME: Final = "fetched.jsonl"
LOCK_NAME: Final = ".fetching.lock"
_MAX_LEDGER_BYTES: Final = 2**30


class LedgerError(C2SError):
    """The record of what was fetched is damaged, or another process writes to it."""


@dataclass(frozen=True)
class Record:
    """One fetched file.

    ``path`` is relative to the folder; ``published`` the digest that the archive itself gives, as
    ``md5:...``, or empty; ``mtime_ns`` the time of the file's last change, which tells whether it
    must be read again to know that it is the same.
    """

    path: str
    nbytes: int
    sha256: str
    mtime_ns: int
    url: str
    fetched: str
    published: str = ""


class Ledger:
    """The records of a folder; safe to use from several threads.

    Parameters
    ----------
    folder
        Must exist.

    Raises
    ------
    LedgerError
        A line other than an unfinished last one is not as it was written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER_NAME
        self._lock = threading.Lock()
        self._records = {record.path: record for record in self._read()}

    def get(self, path: str) -> Record | None:
        """Return the newest record of a file."""
        return self._records.get(path)

    def add(self, record: Record) -> None:
        """Append a record and make it durable."""
        line = _seal(asdict(record)) + b"\n"
        with self._lock:
            with self.path.open("ab", buffering=0) as file:
                size = file.tell()
                try:
                    if file.write(line) != len(line):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(size)  # half a line would spoil the next one
                    raise
            self._records[record.path] = record

    def _read(self) -> Iterator[Record]:
        if not self.path.exists():
            return
        if self.path.stat().st_size > _MAX_LEDGER_BYTES:
            raise LedgerError(f"{self.path}: larger than any record of fetched files; look at it")
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):  # a writer was killed in the middle of its last line
            with self.path.open("r+b") as file:
                file.truncate(whole)
        for number, line in enumerate(data[:whole].splitlines(), 1):
            try:
                yield _unseal(line)
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise LedgerError(
                    f"{self.path}: line {number} is not as it was written; remove that line, and "
                    "the file that it names, to fetch it anew"
                ) from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder, so that no other process fetches into it.

    Raises
    ------
    LedgerError
        Another process does.
    """
    with (folder / LOCK_NAME).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LedgerError(
                f"{folder}: another process fetches into this folder; wait for it or stop it"
            ) from error
        yield


def _seal(fields: dict[str, object]) -> bytes:
    text = json.dumps(fields, sort_keys=True)
    seal = hashlib.sha256(text.encode()).hexdigest()[:16]
    return json.dumps(fields | {"seal": seal}, sort_keys=True).encode()


def _unseal(line: bytes) -> Record:
    fields = json.loads(line)
    if not isinstance(fields, dict):
        raise ValueError("no record")
    fields.pop("seal")
    if _seal(fields) != line:
        raise ValueError("changed after it was written")
    return Record(**fields)
