"""Check and decode many chunks in one call, without the interpreter's lock.

What decodes is blosc and what checks is crc32c, both in the shared libraries that numcodecs and
google-crc32c bring anyway; only the calls differ. A call of Python for each chunk takes the lock
several times, and two threads then wait for one another more than they decode. Where a library
does not show its functions, everything here says so by returning False, and the caller decodes
chunk by chunk. The same after an error: chunk by chunk is found what is wrong
(docs/decisions/0015-decoding-without-the-lock.md).
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from typing import Any, Final, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numcodecs import blosc
from numpy.typing import NDArray

from c2s_data.store.scatter import fence, store_past_caches

_CRC_NBYTES: Final = 4
_HEADER_NBYTES: Final = 16
_DONE: Final = -1
_HERE: Final = 0
"""The arena that rows go to; another number is nowhere."""


class Functions(NamedTuple):
    """Addresses of ``blosc_decompress_ctx`` (c-blosc 1) and ``crc32c_extend`` (google/crc32c)."""

    decompress: int
    crc32c: int


def find_functions() -> Functions | None:
    """Return the functions; None where they cannot be called like this."""
    if sys.maxsize < 2**63 - 1 or sys.byteorder != "little":
        return None
    try:
        decompress = ctypes.CDLL(blosc.__file__).blosc_decompress_ctx
        library = importlib.import_module("google_crc32c._crc32c").__file__
        crc32c = ctypes.CDLL(library).crc32c_extend
    except (AttributeError, ImportError, OSError):
        return None
    crc32c.restype, crc32c.argtypes = ctypes.c_uint32, [ctypes.c_uint32, ctypes.c_char_p]
    crc32c.argtypes.append(ctypes.c_size_t)
    known = b"123456789"
    if crc32c(0, known, len(known)) != 0xE3069283:  # the check value of CRC-32C (RFC 3720)
        return None
    addresses = [ctypes.cast(one, ctypes.c_void_p).value for one in (decompress, crc32c)]
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
    if functions is None or not out.flags.c_contiguous:
        return False
    target = out.reshape(len(out), -1).view(np.uint8)
    return bool(_decode(blob, bounds, target, place, *functions) == _DONE)


def decode_and_scatter(
    blob: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    first_row: NDArray[np.int64],
    chunk: NDArray[Any],
    arena: NDArray[Any],
    which: NDArray[np.int64],
    place: NDArray[np.int64],
) -> bool:
    """Check and decode chunks into one buffer, one after another, and copy each row to its place.

    Parameters
    ----------
    blob, bounds
        As for `decode_chunks_to`.
    first_row
        (k,) number of each chunk's first row; rows below 0 and from ``len(which)`` on stay out.
    chunk
        Memory of one chunk, (rows, *row shape), C-contiguous; best what is in the cache.
    arena
        (any, *row shape), C-contiguous, of the same dtype.
    which, place
        Of each row: 0 if it goes to the arena, and where in it.

    Returns
    -------
    bool
        As for `decode_chunks_to`.
    """
    row_nbytes = chunk[0].nbytes
    fits = chunk.dtype == arena.dtype and chunk.shape[1:] == arena.shape[1:]
    if functions is None or not fits or row_nbytes % 8 or not arena.flags.c_contiguous:
        return False
    rows, target = (values.reshape(len(values), -1).view(np.uint64) for values in (chunk, arena))
    found = _decode_scatter(blob, bounds, first_row, rows, target, which, place, *functions)
    return bool(found == _DONE)


def _typed_crc(_typing: Any, function: Any, data: Any, n: Any) -> Any:  # noqa: ANN401
    """Generate ``crc32c_extend(0, data, n)``."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:  # noqa: ANN401
        word, byte, size = ir.IntType(32), ir.IntType(8).as_pointer(), ir.IntType(64)
        kind = ir.FunctionType(word, [word, byte, size])
        call = builder.inttoptr(args[0], kind.as_pointer())
        return builder.call(call, [word(0), builder.inttoptr(args[1], byte), args[2]])

    return types.uint32(function, data, n), generate


def _typed_decompress(_typing: Any, function: Any, data: Any, out: Any, n: Any) -> Any:  # noqa: ANN401
    """Generate ``blosc_decompress_ctx(data, out, n, 1)``: one thread, no global state."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:  # noqa: ANN401
        word, byte, size = ir.IntType(32), ir.IntType(8).as_pointer(), ir.IntType(64)
        kind = ir.FunctionType(word, [byte, byte, size, word])
        call = builder.inttoptr(args[0], kind.as_pointer())
        pointers = [builder.inttoptr(args[i], byte) for i in (1, 2)]
        return builder.call(call, [*pointers, args[3], word(1)])

    return types.int32(function, data, out, n), generate


_BYTES: Final = types.Array(types.uint8, 1, "C", readonly=True)
_BOUNDS: Final = types.int64[:, ::1]
_NUMBERS: Final = types.int64[::1]
_ROWS: Final = types.uint64[:, ::1]
_crc: Any = intrinsic(_typed_crc)
_decompress: Any = intrinsic(_typed_decompress)


@njit(inline="always")
def _word(blob: Any, at: int) -> Any:  # noqa: ANN401
    return (
        np.int64(blob[at])
        | np.int64(blob[at + 1]) << 8
        | np.int64(blob[at + 2]) << 16
        | np.int64(blob[at + 3]) << 24
    )


@njit
def _decode_one(
    blob: Any,  # noqa: ANN401
    start: int,
    stop: int,
    out: int,
    nbytes: int,
    decompress: int,
    crc32c: int,
) -> Any:  # noqa: ANN401
    end = stop - _CRC_NBYTES
    if start < 0 or stop > blob.shape[0] or end - start < _HEADER_NBYTES:
        return False
    here = np.int64(blob.ctypes.data) + start
    if np.int64(_crc(crc32c, here, end - start)) != _word(blob, end):
        return False
    # Of the header: bytes when decoded, and bytes of the whole (c-blosc, "Blosc Header Format").
    if _word(blob, start + 4) != nbytes or _word(blob, start + 12) != end - start:
        return False
    return np.int64(_decompress(decompress, here, out, nbytes)) == nbytes


# Compiled on import: a worker that forks while a thread is in the compiler would wait for ever.
@njit(
    [types.int64(_BYTES, _BOUNDS, types.uint8[:, ::1], _NUMBERS, types.int64, types.int64)],
    cache=True,
    nogil=True,
)
def _decode(
    blob: Any,  # noqa: ANN401
    bounds: Any,  # noqa: ANN401
    out: Any,  # noqa: ANN401
    place: Any,  # noqa: ANN401
    decompress: int,
    crc32c: int,
) -> int:
    nbytes = out.shape[1]
    for i in range(bounds.shape[0]):
        if place[i] < 0 or place[i] >= out.shape[0]:
            return i
        there = np.int64(out.ctypes.data) + place[i] * nbytes
        if not _decode_one(blob, bounds[i, 0], bounds[i, 1], there, nbytes, decompress, crc32c):
            return i
    return _DONE


@njit(
    [
        types.int64(
            _BYTES, _BOUNDS, _NUMBERS, _ROWS, _ROWS, _NUMBERS, _NUMBERS, types.int64, types.int64
        )
    ],
    cache=True,
    nogil=True,
)
def _decode_scatter(
    blob: Any,  # noqa: ANN401
    bounds: Any,  # noqa: ANN401
    first_row: Any,  # noqa: ANN401
    chunk: Any,  # noqa: ANN401
    arena: Any,  # noqa: ANN401
    which: Any,  # noqa: ANN401
    place: Any,  # noqa: ANN401
    decompress: int,
    crc32c: int,
) -> int:
    words = chunk.shape[1]
    nbytes = chunk.shape[0] * words * 8
    there = np.int64(chunk.ctypes.data)
    for i in range(bounds.shape[0]):
        if not _decode_one(blob, bounds[i, 0], bounds[i, 1], there, nbytes, decompress, crc32c):
            return i
        for row in range(chunk.shape[0]):
            k = first_row[i] + row
            if k < 0 or k >= which.shape[0] or which[k] != _HERE:
                continue
            if place[k] < 0 or place[k] >= arena.shape[0]:
                return i
            for j in range(words):
                store_past_caches(arena, place[k], j, chunk[row, j])
    fence()
    return _DONE
