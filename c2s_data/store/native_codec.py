"""Check and decode many chunks in one call, without the interpreter's lock.

What decodes is blosc and what checks is crc32c, both in the shared libraries that numcodecs and
google-crc32c bring anyway; only the calls differ. A call of Python for each chunk takes the lock
several times, and two threads then wait for one another more than they decode. Where a library
does not show its functions, everything here says so by returning False, and the caller decodes
chunk by chunk. The same after an error: chunk by chunk is found what is wrong
(docs/decisions/0015-decoding-without-the-lock.md).
"""

# ruff: noqa: ANN401 - compiled functions, whose types their signatures tell
from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit, types
from numcodecs import blosc
from numpy.typing import NDArray

from c2s_data.store.native_calls import crc, decompress, pread, word
from c2s_data.store.scatter import fence
from c2s_data.store.shuffled_blocks import (
    DAMAGED,
    DECODED,
    OTHER,
    address_of,
    copy_row,
    decode_rows,
)

_CRC_NBYTES: Final = 4
_HEADER_NBYTES: Final = 16
_WORD_NBYTES: Final = 8
_VECTOR_NBYTES: Final = 16
_DONE: Final = -1


class Functions(NamedTuple):
    """Addresses of C functions.

    ``blosc_decompress_ctx`` of c-blosc 1, ``crc32c_extend`` of google/crc32c,
    ``LZ4_decompress_safe`` of the LZ4 in c-blosc, and ``pread`` of the C library.
    """

    decompress: int
    crc32c: int
    lz4: int
    pread: int


def find_functions() -> Functions | None:
    """Return the functions; None where they cannot be called like this."""
    if sys.maxsize < 2**63 - 1 or sys.byteorder != "little":
        return None
    try:
        codecs = ctypes.CDLL(blosc.__file__)
        decompress, lz4 = codecs.blosc_decompress_ctx, codecs.LZ4_decompress_safe
        library = importlib.import_module("google_crc32c._crc32c").__file__
        crc32c = ctypes.CDLL(library).crc32c_extend
        pread = ctypes.CDLL(None).pread
    except (AttributeError, ImportError, OSError):
        return None
    crc32c.restype, crc32c.argtypes = ctypes.c_uint32, [ctypes.c_uint32, ctypes.c_char_p]
    crc32c.argtypes.append(ctypes.c_size_t)
    known = b"123456789"
    if crc32c(0, known, len(known)) != 0xE3069283:  # the check value of CRC-32C (RFC 3720)
        return None
    addresses = [
        ctypes.cast(one, ctypes.c_void_p).value for one in (decompress, crc32c, lz4, pread)
    ]
    return Functions(*(address or 0 for address in addresses))


functions: Functions | None = find_functions()


def decode_chunks_to(
    blob: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    out: NDArray[Any],
    place: NDArray[np.int64],
) -> bool:
    """Check and decode chunks, each to a place of its own.

    Parameters
    ----------
    blob
        Stored bytes.
    bounds
        (k, 2) first and end byte of each chunk in `blob`, its checksum last.
    out
        (any, *chunk shape), C-contiguous.
    place
        (k,) where in `out` each chunk goes.

    Returns
    -------
    bool
        False if a chunk is damaged or does not fit, or nothing can be decoded so; `out` may then
        be partly written.
    """
    if functions is None or not out.flags.c_contiguous or len(place) != len(bounds):
        return False
    target = out.reshape(len(out), -1).view(np.uint8)
    return bool(_decode(blob, bounds, target, place, np.array(functions, np.int64)) == _DONE)


class Rows(NamedTuple):
    """Where the rows of chunks go.

    Attributes
    ----------
    first
        (k,) number of each chunk's first row. Rows below 0 and from ``len(which)`` on stay out.
    arenas
        C-contiguous arrays (any, *row shape) of one dtype.
    which, place
        Of each row: its arena, by number, and the row in it. Other numbers are nowhere.
    """

    first: NDArray[np.int64]
    arenas: Sequence[NDArray[Any]]
    which: NDArray[np.int64]
    place: NDArray[np.int64]


def decode_and_scatter(
    stored: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    chunk: NDArray[Any],
    rows: Rows,
    descriptor: int | None = None,
    *,
    is_plain: bool = False,
) -> bool:
    """Check and decode chunks, one after another, and copy each row to its place.

    Parameters
    ----------
    stored
        Stored bytes; with a `descriptor` memory that each chunk is read to, one after another.
    bounds
        (k, 2) first and end byte of each chunk, its checksum last: in `stored`, or in the file.
    chunk
        Memory of one chunk, (rows, *row shape), C-contiguous; best what is in the cache.
    rows
        Where they go.
    descriptor
        Of an open file to read from.
    is_plain
        Chunks are stored as they are, without a codec.

    Returns
    -------
    bool
        As for `decode_chunks_to`.
    """
    shape, row_nbytes = chunk.shape[1:], chunk[0].nbytes
    if functions is None or row_nbytes % _WORD_NBYTES:
        return False
    if len(rows.first) != len(bounds) or len(rows.place) != len(rows.which):
        return False
    for arena in rows.arenas:
        if arena.dtype != chunk.dtype or arena.shape[1:] != shape or not arena.flags.c_contiguous:
            return False
    arenas = np.array(
        [(arena.__array_interface__["data"][0], len(arena)) for arena in rows.arenas], np.int64
    ).reshape(-1, 2)
    found = _decode_scatter(
        -1 if descriptor is None else descriptor,
        stored,
        bounds,
        rows.first,
        chunk.reshape(len(chunk), -1).view(np.uint64),
        np.ascontiguousarray(arenas[:, 0]),
        np.ascontiguousarray(arenas[:, 1]),
        rows.which,
        rows.place,
        is_plain,
        np.array(functions, np.int64),
    )
    return bool(found == _DONE)


_BYTES: Final = types.Array(types.uint8, 1, "C", readonly=True)
_BOUNDS: Final = types.int64[:, ::1]
_NUMBERS: Final = types.int64[::1]


@njit()
def _read_all(read: Any, descriptor: Any, out: Any, n: Any, start: Any) -> Any:
    done = np.int64(0)
    while done < n:
        more = pread(read, descriptor, out + done, n - done, start + done)
        if more <= 0:  # the end of the file, or an error that reading once more will tell
            return False
        done += more
    return True


@njit()
def _checked(blob: Any, start: Any, end: Any, descriptor: Any, crc32c: Any, read: Any) -> Any:
    """Return where a chunk lies whose checksum is right, read to ``blob`` or in it; 0 if none."""
    n, first = end - start, start if descriptor < 0 else np.int64(0)
    if start < 0 or n < _CRC_NBYTES or first + n > blob.shape[0]:
        return np.int64(0)
    here = np.int64(blob.ctypes.data) + first
    if descriptor >= 0 and not _read_all(read, descriptor, here, n, start):
        return np.int64(0)
    length = n - _CRC_NBYTES
    if crc(crc32c, np.uint32(0), here, length) != word(here + length):
        return np.int64(0)
    return here


@njit()
def _store_plain(
    blob: Any,
    start: Any,
    end: Any,
    descriptor: Any,
    n_rows: Any,
    row_nbytes: Any,
    first_row: Any,
    arenas: Any,
    which: Any,
    place: Any,
    addresses: Any,
) -> Any:
    """Store the rows of a chunk that has no codec, each while it is in the cache."""
    if end - start != n_rows * row_nbytes + _CRC_NBYTES or start < 0:
        return False
    base, found = np.int64(blob.ctypes.data), np.uint32(0)
    if blob.shape[0] < (row_nbytes if descriptor >= 0 else end):
        return False
    for row in range(n_rows):
        here = base if descriptor >= 0 else base + start + row * row_nbytes
        at = start + row * row_nbytes
        if descriptor >= 0 and not _read_all(addresses[3], descriptor, here, row_nbytes, at):
            return False
        found = crc(addresses[1], found, here, row_nbytes)
        there = address_of(first_row + row, row_nbytes, arenas, which, place)
        if there != 0:
            copy_row(here, there, row_nbytes)
    last = base if descriptor >= 0 else base + end - _CRC_NBYTES
    if descriptor >= 0 and not _read_all(
        addresses[3], descriptor, last, _CRC_NBYTES, end - _CRC_NBYTES
    ):
        return False
    return found == word(last)


@njit()
def _has_lengths(here: Any, length: Any, nbytes: Any) -> Any:
    """Say whether the header tells these lengths, decoded and whole (c-blosc, its header)."""
    if length < _HEADER_NBYTES:
        return False
    return np.int64(word(here + 4)) == nbytes and np.int64(word(here + 12)) == length


@njit()
def _fitting_alignment(arenas: Any, n_rows: Any, which: Any, place: Any) -> Any:
    """Return what the addresses of all arenas are multiples of, up to 16; 0 for a wrong place."""
    for k in range(which.shape[0]):
        if 0 <= which[k] < arenas.shape[0] and not 0 <= place[k] < n_rows[which[k]]:
            return 0
    alignment = _VECTOR_NBYTES
    for arena in arenas:
        while arena % alignment:
            alignment //= 2
    return alignment


# Compiled on import: a worker that forks while a thread is in the compiler would wait for ever.
@njit(
    [types.int64(_BYTES, _BOUNDS, types.uint8[:, ::1], _NUMBERS, _NUMBERS)],
    cache=True,
    nogil=True,
)
def _decode(blob: Any, bounds: Any, out: Any, place: Any, addresses: Any) -> int:
    nbytes = out.shape[1]
    for i in range(bounds.shape[0]):
        if place[i] < 0 or place[i] >= out.shape[0]:
            return i
        here = _checked(blob, bounds[i, 0], bounds[i, 1], -1, addresses[1], addresses[3])
        if not here or not _has_lengths(here, bounds[i, 1] - bounds[i, 0] - _CRC_NBYTES, nbytes):
            return i
        there = np.int64(out.ctypes.data) + place[i] * nbytes
        if np.int64(decompress(addresses[0], here, there, nbytes)) != nbytes:
            return i
    return _DONE


@njit(
    [
        types.int64(
            types.int64, _BYTES, _BOUNDS, _NUMBERS, types.uint64[:, ::1], _NUMBERS, _NUMBERS,
            _NUMBERS, _NUMBERS, types.boolean, _NUMBERS,
        )
    ],
    cache=True,
    nogil=True,
)  # fmt: skip
def _decode_scatter(
    descriptor: int,
    stored: Any,
    bounds: Any,
    first_row: Any,
    chunk: Any,
    arenas: Any,
    n_rows: Any,
    which: Any,
    place: Any,
    is_plain: bool,
    addresses: Any,
) -> int:
    alignment = _fitting_alignment(arenas, n_rows, which, place)
    if alignment < _WORD_NBYTES:
        return 0
    row_nbytes = chunk.shape[1] * _WORD_NBYTES
    nbytes, scratch = chunk.shape[0] * row_nbytes, np.int64(chunk.ctypes.data)
    for i in range(bounds.shape[0]):
        if is_plain:
            if not _store_plain(
                stored, bounds[i, 0], bounds[i, 1], descriptor, chunk.shape[0], row_nbytes,
                first_row[i], arenas, which, place, addresses,
            ):  # fmt: skip
                return i
            continue
        here = _checked(stored, bounds[i, 0], bounds[i, 1], descriptor, addresses[1], addresses[3])
        if not here:
            return i
        length = bounds[i, 1] - bounds[i, 0] - _CRC_NBYTES
        done = OTHER if _has_lengths(here, length, nbytes) else DAMAGED
        if done == OTHER and alignment == _VECTOR_NBYTES:
            done = decode_rows(
                here, length, scratch, nbytes, row_nbytes, first_row[i], arenas, which, place,
                addresses[2],
            )  # fmt: skip
        if done == DECODED:
            continue
        if done == DAMAGED or decompress(addresses[0], here, scratch, nbytes) != nbytes:
            return i
        for row in range(chunk.shape[0]):
            there = address_of(first_row[i] + row, row_nbytes, arenas, which, place)
            if there != 0:
                copy_row(scratch + row * row_nbytes, there, row_nbytes)
    fence()
    return _DONE
