"""Checksums by which an input is known again: of a whole file, or of its ends alone."""

from __future__ import annotations

import hashlib
import os
from typing import Final

from c2s_data.sources.input_file import open_input

_END_BYTES: Final = 4096


def digest_of_ends(path: str) -> str:
    """Return the sha256 (hex) of the first and last 4 KiB of a file, as it is stored."""
    with open_input(path) as stream:
        first = stream.read(_END_BYTES)
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _END_BYTES))
        return hashlib.sha256(first + stream.read(_END_BYTES)).hexdigest()


def digest_of_file(path: str) -> str:
    """Return the sha256 (hex) of a file, however large."""
    with open_input(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
