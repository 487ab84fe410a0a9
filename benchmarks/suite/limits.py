"""What the machine can do at best, measured in the same turns as ours."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.suite.turns import Measure

_PIECE: Final = 1 << 20


def memcpy_rate(n_bytes: int = 256 << 20) -> Measure:
    """Return the measure of bytes copied a second, between pages that are there already.

    Copies of a gigabyte a second are what ``memcpy is 11 GB/s`` says: bytes copied, not moved.
    """
    source = np.ones(n_bytes, np.uint8)
    target = np.ones_like(source)

    def measure() -> float:
        started = time.perf_counter()
        np.copyto(target, source)
        return n_bytes / (time.perf_counter() - started)

    return measure


def read_whole(paths: Iterable[Path], buffer: np.ndarray) -> int:
    """Read files by preadv into one buffer, again and again; return the bytes."""
    total = 0
    view = memoryview(buffer).cast("B")
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            place = 0
            while n := os.preadv(descriptor, [view], place):
                place += n
            total += place
        finally:
            os.close(descriptor)
    return total


def drop_from_cache(paths: Iterable[Path]) -> None:
    """Have the kernel forget the pages of files; on a memory file system that does nothing."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def cold(paths: list[Path], read: Callable[[], int]) -> Measure:
    """Return the measure of how many a second are read from files the kernel has forgotten."""

    def measure() -> float:
        drop_from_cache(paths)
        started = time.perf_counter()
        n = read()
        return n / (time.perf_counter() - started)

    return measure


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
