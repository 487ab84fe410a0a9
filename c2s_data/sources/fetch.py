"""Fetch a file into a folder: resumed, checked, recorded, and only then given its final name.

A body goes to ``NAME.part``, beside it ``NAME.part.json`` says which content of which server that
is, so that the next try asks for the rest alone. Once it is whole and has passed its checks it is
flushed to the disk, recorded in the folder's ledger, and renamed. What is there already is held
against its record; where either has changed, both are left alone and the difference is an error.
"""

from __future__ import annotations

import errno
import http
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from c2s_data.sources.download import ALLOWED_ORIGINS, Body, DownloadError, open_url
from c2s_data.sources.fetched_bytes import (
    CHUNK,
    ContentError,
    Expected,
    check_first_bytes,
    digest_of,
)
from c2s_data.sources.ledger import Ledger, Record
from c2s_data.sources.part_file import PartFile
from c2s_data.sources.politeness import Hosts, StoppedError

_GZIP_NAMES: Final = ("gzip", "x-gzip")
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_RANGE_REFUSED: Final = http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE


class ChangedError(DownloadError):
    """A file is not the one that was recorded when it was first fetched."""


@dataclass(frozen=True)
class Wanted:
    """A file to fetch.

    Parameters
    ----------
    path
        Where to, relative to the folder; made of names that were checked.
    urls
        Where from, in the order in which they are asked.
    expected
        What it must be.
    pace_s
        Seconds between two requests to one host; None for the policy's pace of stored files.
    """

    path: str
    urls: tuple[str, ...]
    expected: Expected
    pace_s: float | None = None


@dataclass(frozen=True)
class Fetched:
    """A file that lies in the folder under its final name."""

    record: Record
    was_there: bool


class Fetcher:
    """Fetches files into one folder; its methods may run in several threads.

    Parameters
    ----------
    folder
        Exists and is held (`c2s_data.sources.ledger.locked`).
    hosts
        Pace, retries and the order to stop.
    origins
        Allowed origins.
    accept_changed
        Fetch anew, and record, what differs from its record.
    reread
        Read files that are there again even if size and time have not changed.
    """

    def __init__(
        self,
        folder: Path,
        hosts: Hosts,
        origins: Sequence[str] = ALLOWED_ORIGINS,
        *,
        accept_changed: bool = False,
        reread: bool = False,
    ) -> None:
        self.folder, self.hosts, self.origins = folder, hosts, tuple(origins)
        self.ledger = Ledger(folder)
        self._accept_changed, self._reread = accept_changed, reread

    def fetch(self, wanted: Wanted) -> Fetched:
        """Return the file, fetching it unless it is there.

        Raises
        ------
        ChangedError
            The file here, or what the archive sends, is not what was recorded.
        DownloadError
            No address gave it; `says_missing` if all of them say that there is no such file.
        StoppedError
            The user stopped, or the disk is full.
        """
        try:
            record = self._present(wanted)
            if record is not None:
                return Fetched(record, was_there=True)
            return Fetched(self._from_any(wanted), was_there=False)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            self.hosts.stop()
            raise StoppedError(
                f"{self.folder}: the disk is full; free space, and the same command goes on"
            ) from error

    def _present(self, wanted: Wanted) -> Record | None:
        """Return the record of a file that is there and as it was recorded."""
        path, record = self.folder / wanted.path, self.ledger.get(wanted.path)
        if not os.path.lexists(path):
            return None
        fact = "it was not fetched by this program, or its record was removed"
        if path.is_symlink() or not path.is_file():
            raise ChangedError(f"{path}: no regular file; move it away", transient=False)
        if record is not None:
            fact = self._difference(path, record, wanted.expected)
            if not fact:
                return self.ledger.get(wanted.path)
        if self._accept_changed:
            return None
        raise ChangedError(
            f"{path}: {fact}; move it away to fetch it again, or give --accept-changed to replace "
            "it by what the archive has now",
            transient=False,
        )

    def _difference(self, path: Path, record: Record, expected: Expected) -> str:
        if expected.digest and record.published and expected.digest != record.published:
            return f"the archive now publishes {expected.digest} instead of {record.published}"
        stat = path.stat()
        if stat.st_size != record.nbytes:
            return f"it has {stat.st_size:,} bytes instead of the recorded {record.nbytes:,}"
        if stat.st_mtime_ns == record.mtime_ns and not self._reread:
            return ""
        sha256 = digest_of(path, Expected(max_bytes=record.nbytes), self.hosts.check)
        if sha256 != record.sha256:
            return f"its sha256 is {sha256} instead of the recorded {record.sha256}"
        if stat.st_mtime_ns != record.mtime_ns:
            self.ledger.add(replace(record, mtime_ns=stat.st_mtime_ns))
        return ""

    def _from_any(self, wanted: Wanted) -> Record:
        faults: list[DownloadError] = []
        for url in wanted.urls:
            try:
                return self._from(url, wanted)
            except DownloadError as error:
                faults.append(error)
        if len(faults) == 1:
            raise faults[0]
        status = faults[0].status if all(fault.says_missing for fault in faults) else None
        kind = ChangedError if any(isinstance(f, ChangedError) for f in faults) else DownloadError
        raise kind("; ".join(map(str, faults)), status, transient=False)

    def _from(self, url: str, wanted: Wanted) -> Record:
        part = PartFile(self.folder / f"{wanted.path}.part")
        part.path.parent.mkdir(parents=True, exist_ok=True)
        policy = self.hosts.policy
        while True:
            resumed = self._is_resumed(part, url, wanted)
            self.hosts.ask(
                url,
                lambda: self._attempt(url, wanted, part),
                pace_s=policy.file_pace_s if wanted.pace_s is None else wanted.pace_s,
                progress=lambda: part.start(url)[0],
            )
            try:
                return self._finish(url, wanted, part)
            except ContentError as error:
                part.remove()
                if not resumed:  # a fresh copy is wrong as well: asking again will not help
                    raise DownloadError(f"{url}: {error}; not kept", transient=False) from error

    def _is_resumed(self, part: PartFile, url: str, wanted: Wanted) -> bool:
        start = part.start(url)[0]
        if start > wanted.expected.max_bytes:
            part.remove()
            return False
        return start > 0

    def _attempt(self, url: str, wanted: Wanted, part: PartFile) -> None:
        start, validator = part.start(url)
        expected, policy = wanted.expected, self.hosts.policy
        if part.is_complete(url):
            return
        try:
            with open_url(
                url,
                max_bytes=expected.max_bytes,
                allowed_origins=self.origins,
                timeout_s=policy.timeout_s,
                deadline_s=policy.deadline_s,
                start=start,
                validator=validator,
                encodings=_GZIP_NAMES if expected.gzipped else (),
            ) as body:
                self._store(body, url, expected, part)
        except DownloadError as error:
            if error.status == _RANGE_REFUSED and start > 0:
                part.remove()
                raise DownloadError(f"{error}; beginning anew") from error
            raise
        except ContentError as error:
            part.remove()
            raise DownloadError(f"{url}: {error}; not kept", transient=False) from error

    def _store(self, body: Body, url: str, expected: Expected, part: PartFile) -> None:
        if not (body.is_framed or expected.tells_a_cut):
            raise DownloadError(f"{url}: its length is not told, so a cut would not be noticed")
        free = shutil.disk_usage(part.path.parent).free
        if body.nbytes is not None and body.nbytes > free:
            fact = f"{body.nbytes / 1e9:,.2f} GB do not fit into the {free / 1e9:,.2f} GB free here"
            raise DownloadError(f"{url}: {fact}", transient=False)
        with part.opened(url, body) as file:
            is_first = body.start == 0
            while data := body.read(CHUNK):
                self.hosts.check()
                if is_first:
                    check_first_bytes(data, expected)
                    is_first = False
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.complete(url, body)

    def _finish(self, url: str, wanted: Wanted, part: PartFile) -> Record:
        sha256 = digest_of(part.path, wanted.expected, self.hosts.check)
        stat = part.path.stat()
        old = self.ledger.get(wanted.path)
        if old is not None and old.sha256 != sha256 and not self._accept_changed:
            part.remove()
            raise ChangedError(
                f"{url}: the archive now has other content (sha256 {sha256}, {stat.st_size:,} "
                f"bytes) than was recorded on {old.fetched} ({old.sha256}, {old.nbytes:,} bytes); "
                "give --accept-changed to take it",
                transient=False,
            )
        record = Record(
            path=wanted.path,
            nbytes=stat.st_size,
            sha256=sha256,
            mtime_ns=stat.st_mtime_ns,
            url=url,
            fetched=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            published=wanted.expected.digest,
        )
        self.ledger.add(record)
        final = self.folder / wanted.path
        part.path.replace(final)
        _sync_folder(final.parent)
        part.remove()
        return record


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
