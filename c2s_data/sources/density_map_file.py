"""Stored bytes of a map file as a bounded stream: plain or gzipped, length checked, all errors one.

Nothing here allocates by what a file says: inflating goes through pieces of a few MiB and stops
one byte after the declared end.
"""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn, Protocol, cast

from zlib_ng import gzip_ng, zlib_ng

from c2s_data.errors import MapError, MapReason
from c2s_data.sources.density_map_header import (
    HEADER_BYTES,
    MapHeader,
    OriginRule,
    parse_header,
)
from c2s_data.sources.input_file import RemoteFile, open_unbuffered

_GZIP_MAGIC = b"\x1f\x8b\x08"
_MAX_DEFLATE_RATIO = 1032  # a deflate stream cannot expand further (RFC 1951: 258 bytes in 2 bits)
_PIECE_BYTES = 2**20


class Readable(Protocol):
    """What the reader needs of a stream; both calls may give less than asked for."""

    def read(self, size: int, /) -> bytes | None:
        """Return the next bytes, empty at the end."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill the buffer from its start and return how many bytes came, 0 at the end."""


class _Digest(Protocol):
    def update(self, data: memoryview, /) -> None: ...


class _Digested(io.RawIOBase):
    """A file whose bytes pass through a digest as they are read."""

    def __init__(self, file: Readable, digest: _Digest) -> None:
        self._file = file
        self._digest = digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        n = self._file.readinto(buffer) or 0
        self._digest.update(memoryview(buffer)[:n])
        return n


@dataclass(frozen=True)
class MapFile:
    """An open map file with its checked header."""

    name: str
    stored: io.FileIO | RemoteFile
    stored_bytes: int
    gzipped: bool
    header: MapHeader

    @contextmanager
    def stream(self, digest: _Digest | None = None) -> Iterator[Readable]:
        """Give the uncompressed bytes from the start."""
        self.stored.seek(0)
        source = self.stored if digest is None else _Digested(self.stored, digest)
        if self.gzipped:
            with _inflate(source) as inflated:
                yield inflated
        else:
            yield source

    def confirm_length(self) -> None:
        """Refuse a .gz of another length than declared, before anything is allocated.

        The trailer of a one-member .gz holds the length modulo 2^32. Where it disagrees, the file
        is truncated, lying, or honestly made of several members: inflating it once without keeping
        it tells which.
        """
        if not self.gzipped:
            return
        self.stored.seek(max(0, self.stored_bytes - 4))
        trailer = int.from_bytes(self.stored.read(4), "little")
        if trailer != self.header.declared_bytes % 2**32:
            with self.stream() as stream:
                skip(stream, self.header.declared_bytes, self.name)
                expect_end(stream, self.name)


def _inflate(source: Readable) -> io.BufferedIOBase:
    file = gzip_ng.GzipNGFile(fileobj=source, mode="rb")  # type: ignore[no-untyped-call]
    return cast(io.BufferedIOBase, file)


@contextmanager
def open_map(
    path: str | os.PathLike[str], origin: OriginRule, max_voxels: int
) -> Iterator[MapFile]:
    """Open a map file, check its header and its length; every error inside becomes a `MapError`."""
    name = os.fspath(path)
    with _io_errors_as_refusals(name), open_unbuffered(path) as stored:
        gzipped = stored.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        stored.seek(0)
        if gzipped:
            with _inflate(stored) as stream:
                raw = stream.read(HEADER_BYTES)
        else:
            raw = stored.read(HEADER_BYTES)
        header = parse_header(raw, name, origin=origin, max_voxels=max_voxels)
        stored_bytes = stored.seek(0, os.SEEK_END)
        _check_stored_length(header, stored_bytes, gzipped, name)
        yield MapFile(name, stored, stored_bytes, gzipped, header)


@contextmanager
def _io_errors_as_refusals(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise MapError(MapReason.NOT_FOUND, f"{name}: no such file; check the path") from error
    except EOFError as error:
        raise _truncated(name, "the compressed stream stops early") from error
    except (gzip.BadGzipFile, zlib_ng.error) as error:  # type: ignore[misc]
        message = f"{name}: {error}; fetch the file again"
        raise MapError(MapReason.BAD_GZIP, message) from error
    except OSError as error:
        message = f"{name}: {error.strerror or error}; check the file and its permissions"
        raise MapError(MapReason.UNREADABLE, message) from error


def _truncated(name: str, fact: str) -> MapError:
    return MapError(MapReason.TRUNCATED, f"{name}: {fact}; fetch the file again")


def _too_long(name: str, fact: str) -> NoReturn:
    raise MapError(
        MapReason.TOO_LONG, f"{name}: {fact}; the header does not describe this file, correct it"
    )


def _check_stored_length(header: MapHeader, stored_bytes: int, gzipped: bool, name: str) -> None:
    declared = header.declared_bytes
    most = stored_bytes * _MAX_DEFLATE_RATIO if gzipped else stored_bytes
    if declared > most:
        raise _truncated(name, f"{stored_bytes:,} bytes cannot hold the {declared:,} declared")
    if not gzipped and declared < stored_bytes:
        _too_long(name, f"{stored_bytes - declared:,} bytes after the {declared:,} declared")


def read_exactly(stream: Readable, buffer: memoryview, name: str) -> None:
    """Fill the buffer; in pieces, since the gzip reader copies through one of the asked size."""
    done = 0
    while done < len(buffer):
        n = stream.readinto(buffer[done : done + _PIECE_BYTES])
        if not n:
            raise _truncated(name, "the data ends before the declared length")
        done += n


def skip(stream: Readable, n_bytes: int, name: str) -> None:
    """Read bytes and drop them; a digest sees them."""
    scratch = memoryview(bytearray(min(n_bytes, _PIECE_BYTES)))
    while n_bytes:
        piece = scratch[:n_bytes]
        read_exactly(stream, piece, name)
        n_bytes -= len(piece)


def expect_end(stream: Readable, name: str) -> None:
    """Ask for one byte more: none may come, and a .gz checks its CRC here."""
    if stream.readinto(memoryview(bytearray(1))):
        _too_long(name, "more data than the header declares")
