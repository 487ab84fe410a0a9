"""Whether bytes that came are what was asked for: length, gzip, first characters, digests."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zlib_ng import zlib_ng

CHUNK: Final = 2**20
_GZIP_WINDOW: Final = 31
_GZIP_MAGIC: Final = b"\x1f\x8b"
_BEGIN: Final = 4096
_ALGORITHMS: Final = {"md5": "md5", "sha-1": "sha1", "sha-256": "sha256", "sha-512": "sha512"}


class ContentError(ValueError):
    """The bytes are not what was asked for; the message says how."""


@dataclass(frozen=True)
class Expected:
    """What is known of a file before it is fetched.

    Parameters
    ----------
    max_bytes
        Most bytes that are stored.
    gzipped
        Whether it is gzip all through, one layer of it.
    begins
        What the (inflated) text begins with.
    nbytes, digest
        Size and ``algorithm:hex`` that the archive publishes.
    """

    max_bytes: int
    gzipped: bool = False
    begins: re.Pattern[bytes] | None = None
    nbytes: int | None = None
    digest: str = ""

    @property
    def tells_a_cut(self) -> bool:
        """Whether a body that ends early is noticed, whatever the server says of its length."""
        return self.gzipped or self.nbytes is not None or bool(self.digest)


def check_first_bytes(data: bytes, expected: Expected) -> None:
    """Refuse a body by its first bytes, before the rest of it is fetched.

    Raises
    ------
    ContentError
        A page of text instead of a gzipped file.
    """
    if expected.gzipped and not data.startswith(_GZIP_MAGIC[: len(data)]):
        raise ContentError(f"no gzip file: it begins with {data[:16]!a}")


def digest_of(path: Path, expected: Expected, check: Callable[[], None]) -> str:
    """Read a file once and return its sha256, as hex, if the content is as expected.

    Parameters
    ----------
    path
        A local file.
    expected
        What it must be.
    check
        Called now and then; may raise to stop.

    Raises
    ------
    ContentError
        Another size, digest or begin; gzip that is cut off, damaged, followed by something else,
        or wrapped twice.
    """
    sha256 = hashlib.sha256()
    published = _published(expected.digest)
    content = _Inflated() if expected.gzipped else _Plain()
    nbytes = 0
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            check()
            nbytes += len(data)
            sha256.update(data)
            if published is not None:
                published.update(data)
            content.feed(data)
    if expected.nbytes is not None and nbytes != expected.nbytes:
        raise ContentError(f"{nbytes:,} bytes instead of {expected.nbytes:,}")
    content.end()
    if expected.begins is not None and not expected.begins.match(content.begin):
        raise ContentError(f"not the format asked for: it begins with {content.begin[:40]!a}")
    if published is not None and published.hexdigest() != expected.digest.partition(":")[2]:
        raise ContentError(
            f"its digest {published.hexdigest()} is not the published {expected.digest}"
        )
    return sha256.hexdigest()


def published_digest(algorithm: str, value: str) -> str:
    """Return a digest that an archive gives as ``algorithm:hex``.

    Raises
    ------
    ContentError
        If it is of a kind that is not known, or no digest.
    """
    name = _ALGORITHMS.get(algorithm.lower())
    if name is None or not re.fullmatch(r"[0-9A-Fa-f]{16,128}", value):
        raise ContentError(f"no digest that can be checked: {algorithm!a} {ascii(value)[:80]}")
    return f"{name}:{value.lower()}"


def _published(digest: str) -> hashlib._Hash | None:
    if not digest:
        return None
    return hashlib.new(digest.partition(":")[0], usedforsecurity=False)


class _Plain:
    def __init__(self) -> None:
        self.begin = b""

    def feed(self, data: bytes) -> None:
        if len(self.begin) < _BEGIN:
            self.begin += data[: _BEGIN - len(self.begin)]

    def end(self) -> None:
        pass


class _Inflated:
    """Inflates in pieces of bounded size and keeps only the beginning."""

    def __init__(self) -> None:
        self.begin = b""
        self._members = 0
        self._inflater = zlib_ng.decompressobj(_GZIP_WINDOW)

    def feed(self, data: bytes) -> None:
        try:
            while data:
                data = self._step(data)
        except zlib_ng.error as error:  # type: ignore[misc]
            raise ContentError(f"damaged gzip: {error}") from error

    def _step(self, data: bytes) -> bytes:
        if self._inflater.eof:
            data = data.lstrip(b"\0")  # tapes and some servers pad with zeros
            if not data:
                return b""
            self._inflater = zlib_ng.decompressobj(_GZIP_WINDOW)
        out = self._inflater.decompress(data, CHUNK)
        if len(self.begin) < _BEGIN:
            self.begin += out[: _BEGIN - len(self.begin)]
        if self._inflater.eof:
            self._members += 1
            return bytes(self._inflater.unused_data)
        return bytes(self._inflater.unconsumed_tail)

    def end(self) -> None:
        if self._members == 0 or not self._inflater.eof:
            raise ContentError("cut off gzip: it ends before its checksum")
        if self.begin.startswith(_GZIP_MAGIC):
            raise ContentError("gzip within gzip: the server packed it once more")
