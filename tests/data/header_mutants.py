"""Damaged map headers, reproducible from (seed, number), and what each damage must lead to.

A mutation knows its fields: it puts into them what a broken program or a hostile hand would. Where
a mutant has one mutation alone, the reasons allowed for it are known; words that are read only in
the right byte order, in file order or not at all make the rest of the difference.
"""

from __future__ import annotations

import gzip
import random
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from mrc_files import MODE_DTYPES, OFFSETS, header_bytes

from c2s_data.errors import MapReason as R

SIZES = (0, 1, -1, -8, 2**15, 2**16, 2**24, 2**31 - 1, -(2**31), 1024, 4096)
FLOATS = (float("nan"), float("inf"), float("-inf"), 0.0, -1.0, 1e30, 1e-30, -1e-45, 3.4e38, 1e6)
BASE_N = (8, 6, 5)
MAX_DATA_BYTES = 2**16


class Mutant(NamedTuple):
    """A header, the byte order it was written in and what was done to it."""

    raw: bytes
    byte_order: str
    changes: tuple[str, ...]

    @property
    def reasons(self) -> frozenset[R] | None:
        """What a single mutation must be refused with; None: it may also be accepted."""
        return MUST_REFUSE.get(self.changes[0]) if len(self.changes) == 1 else None


class _Header:
    """Words by name, in one byte order."""

    def __init__(self, raw: bytes, byte_order: str) -> None:
        self.raw = bytearray(raw)
        self.byte_order = byte_order

    def get(self, name: str) -> tuple[Any, ...]:
        offset, layout = OFFSETS[name]
        return struct.unpack_from(self.byte_order + layout, self.raw, offset)

    def put(self, name: str, *values: Any) -> None:
        offset, layout = OFFSETS[name]
        struct.pack_into(self.byte_order + layout, self.raw, offset, *values)

    def put_one(self, rng: random.Random, name: str, values: tuple[Any, ...]) -> None:
        words = list(self.get(name))
        words[rng.randrange(len(words))] = rng.choice(values)
        self.put(name, *words)


def mutant(seed: int, number: int) -> Mutant:
    """Return the same mutant for the same pair, on every machine."""
    rng = random.Random(seed * 1_000_003 + number)
    byte_order = rng.choice("<>")
    header = _Header(_sound(rng, byte_order), byte_order)
    changes = rng.choices(_NAMES, k=rng.choice((1, 1, 1, 2, 3, 5)))
    for change in changes:
        MUTATIONS[change](rng, header)
    stop = rng.choice((0, 4, 207, 216, 1000, 1023)) if "cut" in changes else 1024
    return Mutant(bytes(header.raw[:stop]), byte_order, tuple(changes))


def file_of(made: Mutant, seed: int, number: int) -> bytes:
    """Return a file with the mutant's header: as long as it says or not, plain or gzipped."""
    rng = random.Random(f"file {seed} {number}")
    content = made.raw + (_data(rng, made) if len(made.raw) == 1024 else b"")
    how = rng.randrange(10)
    if how == 0:
        content = content[: rng.randint(0, len(content))]
    elif how == 1:
        content += bytes(rng.choice((1, 4, 4096)))
    return _packed(rng, content) if rng.random() < 0.5 else content


def _packed(rng: random.Random, content: bytes) -> bytes:
    packed = gzip.compress(content, 1, mtime=0)
    how = rng.randrange(8)
    if how == 0:
        return packed[: rng.randint(0, len(packed))]
    if how == 1:
        at = rng.randrange(len(packed))
        return packed[:at] + bytes([packed[at] ^ 1 << rng.randrange(8)]) + packed[at + 1 :]
    if how == 2:
        return packed + gzip.compress(bytes(rng.choice((0, 1, 2**20))), 9, mtime=0)
    return packed


def _data(rng: random.Random, made: Mutant) -> bytes:
    """Return the data block that the header asks for, mostly of ones and zeros, else random."""
    header = _Header(made.raw, made.byte_order)
    n, (mode,), (nsymbt,) = header.get("n"), header.get("mode"), header.get("nsymbt")
    kind = MODE_DTYPES.get(mode, "f4")
    nbytes = n[0] * n[1] * n[2] * int(kind[1])
    if min(n) < 1 or not 0 <= nsymbt + nbytes <= MAX_DATA_BYTES or nsymbt < 0:
        nsymbt, nbytes = 0, 4 * BASE_N[0] * BASE_N[1] * BASE_N[2]
    if rng.random() < 0.25:
        return rng.randbytes(nsymbt + nbytes)
    one = np.array(1, np.dtype(kind).newbyteorder(made.byte_order)).tobytes()
    return bytes(nsymbt) + (one * (nbytes // len(one) // 2)).ljust(nbytes, b"\0")


def _sound(rng: random.Random, byte_order: str) -> bytes:
    axes = tuple(rng.sample((1, 2, 3), 3))
    return header_bytes(
        byte_order,
        axes=axes,
        n=tuple(BASE_N[code - 1] for code in axes),
        mode=rng.choice((0, 1, 2, 2, 2, 6, 12)),
        origin=rng.choice(((0.0, 0.0, 0.0), (7.0, -3.5, 9.25))),
        nstart=rng.choice(((0, 0, 0), (-4, 10, 3))),
        ispg=rng.choice((0, 1)),
        nsymbt=rng.choice((0, 0, 80, 160)),
    )


def _one(name: str, *values: Any) -> Callable[[random.Random, _Header], None]:
    return lambda rng, header: header.put_one(rng, name, values)


def _axes(rng: random.Random, header: _Header) -> None:
    codes = (1, 2, 3)
    wrong = rng.choice([(0, 0, 0), (1, 1, 2), (3, 3, 3), (1, 2, 4), (-1, 2, 3), (2**31 - 1, 2, 3)])
    header.put("axes", *(wrong if rng.random() < 0.7 else [*rng.choices(codes, k=2), 0]))


def _permuted(rng: random.Random, header: _Header) -> None:
    header.put("axes", *rng.sample((1, 2, 3), 3))


def _overflow(rng: random.Random, header: _Header) -> None:
    """Sides whose product, in 32 or 64 bits, is small or negative."""
    sides = [(2**16, 2**16, 2), (2**21, 2**21, 2**22), (2**31 - 1,) * 3, (1025, 1024, 1024)]
    header.put("n", *rng.choice(sides))


def _other_order(rng: random.Random, header: _Header) -> None:
    """Say the other byte order, or write one field in it."""
    if rng.random() < 0.5:
        header.put("stamp", b"\x11\x11\0\0" if header.byte_order == "<" else b"DA\0\0")
    else:
        offset, layout = OFFSETS[rng.choice(("n", "mode", "m", "cell", "axes", "nsymbt"))]
        size = struct.calcsize("<" + layout)
        for at in range(offset, offset + size, 4):
            header.raw[at : at + 4] = header.raw[at : at + 4][::-1]


def _words(rng: random.Random, header: _Header) -> None:
    for _ in range(rng.randint(1, 4)):
        at = 4 * rng.randrange(54)
        header.raw[at : at + 4] = rng.randbytes(4)


def _bytes(rng: random.Random, header: _Header) -> None:
    for _ in range(rng.randint(1, 8)):
        header.raw[rng.randrange(224)] = rng.randrange(256)


def _bit(rng: random.Random, header: _Header) -> None:
    header.raw[rng.randrange(224)] ^= 1 << rng.randrange(8)


def _all(rng: random.Random, header: _Header) -> None:
    header.raw[:] = rng.choice((rng.randbytes(1024), bytes(1024), b"\xff" * 1024))


MUTATIONS: dict[str, Callable[[random.Random, _Header], None]] = {
    "n": _one("n", *SIZES),
    "n-mismatch": _one("n", 2, 3, 7, 9, 16),
    "n-overflow": _overflow,
    "m-not-positive": _one("m", 0, -1, -(2**31)),
    "m": _one("m", 1, 2**15, 2**31 - 1),
    "cell": _one("cell", *FLOATS),
    "cell-not-positive": _one("cell", 0.0, -0.0, -12.0, *FLOATS[:3]),
    "angles": _one("angles", *FLOATS, 89.0, 120.0),
    "angles-zero": lambda _, header: header.put("angles", 0.0, 0.0, 0.0),
    "axes": _axes,
    "axes-permuted": _permuted,
    "nsymbt": _one("nsymbt", -1, -80, -(2**31), 2**31 - 1, 2**26 + 1),
    "nsymbt-shorter": _one("nsymbt", 0, 1, 80, 2**20),
    "ispg-stack": _one("ispg", 401, 402, 630),
    "ispg": _one("ispg", -1, 231, 400, 2**31 - 1, -(2**31), 230),
    "mode-complex": _one("mode", 3, 4),
    "mode": _one("mode", 5, 7, 16, 101, -1, 2**31 - 1),
    "mode-other": _one("mode", 0, 1, 2, 6, 12),
    "origin": _one("origin", *FLOATS, 1e7),
    "nstart": _one("nstart", *SIZES),
    "imod": lambda rng, header: header.put("imod", 1146047817, rng.choice((0, 1, 16, 17, -1))),
    "stamp": lambda rng, header: header.put(
        "stamp", rng.choice((bytes(4), b"DC\0\0", b"\xff" * 4))
    ),
    "byte-order": _other_order,
    "map-word": lambda rng, header: header.put("map_word", rng.choice((b"MAP\0", b"MAPX"))),
    "no-map-word": lambda rng, header: header.put("map_word", rng.choice((bytes(4), b"PAM "))),
    "words": _words,
    "bytes": _bytes,
    "bit": _bit,
    "all": _all,
    "cut": lambda rng, header: None,  # done when the others are
}
_NAMES = list(MUTATIONS)

MUST_REFUSE: dict[str, frozenset[R]] = {
    name: frozenset(reasons)
    for name, reasons in {
        "n-overflow": {R.TOO_LARGE},
        "m-not-positive": {R.BAD_CELL},
        "cell-not-positive": {R.BAD_CELL},
        "angles": {R.BAD_ANGLES},
        "axes": {R.BAD_AXES},
        "nsymbt": {R.BAD_EXTENDED_HEADER},
        "mode-complex": {R.COMPLEX_MODE},
        "mode": {R.BAD_MODE},
        "no-map-word": {R.NOT_MRC},
        "cut": {R.TRUNCATED},
    }.items()
}
