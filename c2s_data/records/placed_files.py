"""Files of a record folder: written beside, renamed, left alone where they are right already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, cast

from zlib_ng import gzip_ng

from c2s_data.errors import ConfigError
from c2s_data.sources.file_digest import digest_of_file
from c2s_data.sources.input_file import is_input, open_input

MAX_DOCUMENT_BYTES: Final = 2**28
_PIECE_BYTES: Final = 2**20
_GZIP_MAGIC: Final = b"\x1f\x8b"


@dataclass(frozen=True)
class FileDigest:
    """Size and sha256 (hex) of a file."""

    nbytes: int
    sha256: str


@dataclass(frozen=True)
class RecordedInput:
    """A file that an entry was built from, and the sha256 (hex) that its stored bytes had then."""

    path: str
    sha256: str

    def fault(self) -> str | None:
        """Return why it cannot be used any more, None while it is what it was."""
        if not is_input(self.path):
            return f"the recorded input {self.path} does not exist any more"
        if digest_of_file(self.path) != self.sha256:
            return f"{self.path} has changed since the store was built"
        return None


@dataclass
class Placed:
    """What became of the files of one folder, by name.

    ``written`` counts those that were not there before or had other content; ``missing`` tells why
    a file that belongs there could not be made.
    """

    files: dict[str, FileDigest] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    written: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return what a folder's document says of its files."""
        files = {name: vars(digest) for name, digest in sorted(self.files.items())}
        return {"files": files, "missing": dict(sorted(self.missing.items()))}


class RecordFolder:
    """One folder that files are placed in.

    Parameters
    ----------
    top
        The exported folder, made if it does not exist.
    inside
        Path below it with ``/``, of checked names; made too.

    Raises
    ------
    ConfigError
        If a folder on the way is a symbolic link or no folder: what is written must stay inside.
    """

    def __init__(self, top: Path, inside: str = "") -> None:
        self.path = top
        self.placed = Placed()
        try:
            top.mkdir(parents=True, exist_ok=True)
            for name in inside.split("/") if inside else ():
                self.path = self.path / name
                self.path.mkdir(exist_ok=True)
                if self.path.is_symlink():
                    raise ConfigError(
                        f"{self.path} is a symbolic link, and an export stays in its folder; "
                        "remove the link"
                    )
        except FileExistsError as error:
            raise ConfigError(f"{self.path} is no folder; choose another place") from error

    def put(self, name: str, write: Callable[[Path], object]) -> None:
        """Let ``write`` make a file beside, then give it its name, unless it is there already."""
        target = self.path / name
        part = self.path / f".{name}.part"
        part.unlink(missing_ok=True)  # a link that lies there must not be written through
        try:
            write(part)
            digest = digest_of(part)
            if digest_of_existing(target) != digest:
                part.replace(target)
                self.placed.written += 1
        finally:
            part.unlink(missing_ok=True)
        self.placed.files[name] = digest

    def put_text(self, name: str, text: str) -> None:
        """Place a text file, UTF-8 with the line ends of ``text``."""
        self.put(name, lambda part: part.write_bytes(text.encode()))

    def put_json(self, name: str, document: object) -> None:
        """Place a JSON document."""
        text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
        self.put_text(name, text + "\n")

    def put_copy(self, name: str, source: RecordedInput) -> None:
        """Place a copy of an input, inflated if it is gzipped, or list it as missing."""
        fault = source.fault()
        if fault is None:
            self.put(name, lambda part: _copy(source.path, part))
        else:
            self.placed.missing[name] = fault

    def remove_parts(self) -> None:
        """Remove what killed runs left behind."""
        for part in self.path.glob(".*.part"):
            part.unlink(missing_ok=True)


def digest_of(path: Path) -> FileDigest:
    """Return size and sha256 of a file."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
        return FileDigest(stream.tell(), digest.hexdigest())


def digest_of_existing(path: Path) -> FileDigest | None:
    """Return size and sha256 of a plain file, None for anything else."""
    return digest_of(path) if path.is_file() and not path.is_symlink() else None


def read_document(path: Path) -> dict[str, Any]:
    """Return a JSON document of an export, empty where there is none or it is damaged.

    It is no proof then, and what it would have told is found out anew.
    """
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_DOCUMENT_BYTES:
            return {}
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _copy(source: str, target: Path) -> None:
    with (
        open_input(source) as stored,
        target.open("xb") as sink,
        _inflated(stored) as plain,
    ):
        for piece in iter(lambda: plain.read(_PIECE_BYTES), b""):
            sink.write(piece)


@contextmanager
def _inflated(stored: IO[bytes]) -> Iterator[IO[bytes]]:
    is_gzip = stored.read(2) == _GZIP_MAGIC
    stored.seek(0)
    if not is_gzip:
        yield stored
        return
    with gzip_ng.GzipNGFile(fileobj=stored, mode="rb") as inflated:  # type: ignore[no-untyped-call]
        yield cast("IO[bytes]", inflated)
