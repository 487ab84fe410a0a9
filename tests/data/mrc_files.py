"""MRC2014 files made word by word with struct, sharing no code with the reader under test."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np

OFFSETS = {
    "n": (0, "3i"),
    "mode": (12, "i"),
    "nstart": (16, "3i"),
    "m": (28, "3i"),
    "cell": (40, "3f"),
    "angles": (52, "3f"),
    "axes": (64, "3i"),
    "stats": (76, "3f"),
    "ispg": (88, "i"),
    "nsymbt": (92, "i"),
    "imod": (152, "2i"),
    "origin": (196, "3f"),
    "map_word": (208, "4s"),
    "stamp": (212, "4s"),
}
MODE_DTYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
STAMPS = {"<": b"DA\0\0", ">": b"\x11\x11\0\0"}


def header_bytes(byte_order: str = "<", **words: Any) -> bytes:
    """Header of an 8 x 6 x 5 (x, y, z) map of voxels 1.5, 1.25, 2 A, any word replaced."""
    defaults: dict[str, Any] = {
        "n": (8, 6, 5),
        "mode": 2,
        "nstart": (0, 0, 0),
        "m": (8, 6, 5),
        "cell": (12.0, 7.5, 10.0),
        "angles": (90.0, 90.0, 90.0),
        "axes": (1, 2, 3),
        "stats": (0.0, -1.0, -2.0),
        "ispg": 1,
        "nsymbt": 0,
        "imod": (0, 0),
        "origin": (0.0, 0.0, 0.0),
        "map_word": b"MAP ",
        "stamp": STAMPS[byte_order],
    }
    raw = bytearray(1024)
    for name, value in (defaults | words).items():
        offset, layout = OFFSETS[name]
        values = value if isinstance(value, tuple) else (value,)
        struct.pack_into(byte_order + layout, raw, offset, *values)
    return bytes(raw)


def stored_order(values_zyx: np.ndarray, axes: tuple[int, int, int]) -> np.ndarray:
    """Lay a (z, y, x) array out as (sections, rows, columns) by looping over every voxel."""
    n_x, n_y, n_z = values_zyx.shape[::-1]
    length = {1: n_x, 2: n_y, 3: n_z}
    column, row, section = axes
    stored = np.empty((length[section], length[row], length[column]), values_zyx.dtype)
    for z in range(n_z):
        for y in range(n_y):
            for x in range(n_x):
                place = {1: x, 2: y, 3: z}
                stored[place[section], place[row], place[column]] = values_zyx[z, y, x]
    return stored


def map_bytes(
    values_zyx: np.ndarray,
    *,
    byte_order: str = "<",
    axes: tuple[int, int, int] = (1, 2, 3),
    mode: int = 2,
    extended: bytes = b"",
    dtype: str | None = None,
    **words: Any,
) -> bytes:
    """Whole file for a (z, y, x) array."""
    stored = stored_order(values_zyx, axes)
    words.setdefault("n", stored.shape[::-1])
    words.setdefault("m", values_zyx.shape[::-1])
    header = header_bytes(byte_order, mode=mode, axes=axes, nsymbt=len(extended), **words)
    data = stored.astype(np.dtype(dtype or MODE_DTYPES[mode]).newbyteorder(byte_order))
    return header + extended + data.tobytes()


def write(path: Path, content: bytes) -> Path:
    """Write a file, gzipped when its name ends in .gz."""
    path.write_bytes(gzip.compress(content, 6) if path.suffix == ".gz" else content)
    return path
