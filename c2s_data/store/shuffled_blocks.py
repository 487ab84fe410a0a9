"""Decode blosc's blocks of shuffled bytes straight to the rows of a batch.

blosc decodes a block twice: LZ4 to the planes of its shuffled bytes, then the planes to numbers, in
memory that the caller copies to the batches. Here the planes are put together on their way to the
batch, and a plane that LZ4 could not make smaller is taken from where it was read to. What is
decoded so is the form in which `c2s_data.store.shard_encoder` writes density and masks (c-blosc,
README_CHUNK_FORMAT: header, starts of the blocks, blocks of one LZ4 stream for each byte of a
number). Whatever else a chunk may be is left to blosc.
"""

# ruff: noqa: ANN401 - compiled functions, whose types their callers tell
from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from c2s_data.store.native_calls import copy, copy_word, interleave, lz4, word

OTHER: Final = 0
"""Not of this form: blosc decodes it."""
DECODED: Final = 1
DAMAGED: Final = 2
_HEADER_NBYTES: Final = 16
_FORM: Final = 0x210102
"""First bytes of the header: format 2, that of LZ4 1, flags for LZ4 and for bytes shuffled."""
_WORD_NBYTES: Final = 8
_LANES: Final = 16
_LINE: Final = 32
"""Blocks and rows are whole multiples of so many bytes, so that vectors never cross their ends."""


@njit()
def decode_rows(
    here: Any,
    stored_nbytes: Any,
    scratch: Any,
    scratch_nbytes: Any,
    row_nbytes: Any,
    first_row: Any,
    arenas: Any,
    which: Any,
    place: Any,
    function: Any,
) -> Any:
    """Decode one chunk and store the rows that are asked for, past the caches.

    Parameters
    ----------
    here, stored_nbytes
        Where the chunk lies, header first and checksum left out, and its length. Its header fits
        the length, and says that it decodes to ``scratch_nbytes``.
    scratch, scratch_nbytes
        Memory of one decoded chunk.
    row_nbytes
        Of one row.
    first_row, which, place
        As for `c2s_data.store.native_codec.decode_and_scatter`; the places are in their arenas.
    arenas
        Where row 0 of each lies, at multiples of 16 bytes.
    function
        Address of ``LZ4_decompress_safe``.

    Returns
    -------
    int
        ``OTHER``, ``DECODED`` or ``DAMAGED``; what is damaged may be partly stored.
    """
    itemsize, block_nbytes = np.int64(word(here) >> 24), np.int64(word(here + 8))
    if np.int64(word(here) & 0xFFFFFF) != _FORM or itemsize not in (1, 2):
        return OTHER
    if not 0 < block_nbytes <= scratch_nbytes:
        return OTHER
    if block_nbytes % _LINE or row_nbytes % _LINE or scratch_nbytes % _LINE:
        return OTHER
    n_blocks = (scratch_nbytes + block_nbytes - 1) // block_nbytes
    if _HEADER_NBYTES + 4 * n_blocks > stored_nbytes:
        return DAMAGED
    for block in range(n_blocks):
        first = block * block_nbytes
        end = min(first + block_nbytes, scratch_nbytes)
        rows = first_row + first // row_nbytes, first_row + (end - 1) // row_nbytes
        if not _is_wanted(rows[0], rows[1], arenas, which):
            continue
        start = np.int64(np.int32(word(here + _HEADER_NBYTES + 4 * block)))
        # The last block is one stream of all its planes where it is shorter than the others.
        n_streams = itemsize if end - first == block_nbytes else 1
        low, high = _planes(
            here, start, stored_nbytes, scratch, end - first, itemsize, n_streams, function
        )
        if low == 0:
            return DAMAGED
        _store_rows(low, high, first, end, itemsize, row_nbytes, first_row, arenas, which, place)
    return DECODED


@njit()
def address_of(k: Any, row_nbytes: Any, arenas: Any, which: Any, place: Any) -> Any:
    """Return where a row goes; 0 for nowhere."""
    if k < 0 or k >= which.shape[0] or which[k] < 0 or which[k] >= arenas.shape[0]:
        return np.int64(0)
    return np.int64(arenas[which[k]]) + place[k] * row_nbytes


@njit()
def copy_row(data: Any, out: Any, nbytes: Any) -> Any:
    """Copy whole words past the caches; whole vectors where the target is aligned for them."""
    whole = nbytes // _LANES * _LANES if out % _LANES == 0 else 0
    for i in range(0, whole, _LANES):
        copy(data + i, out + i)
    for i in range(whole, nbytes, _WORD_NBYTES):
        copy_word(data + i, out + i)


@njit()
def _is_wanted(first: Any, last: Any, arenas: Any, which: Any) -> Any:
    for k in range(max(first, 0), min(last + 1, which.shape[0])):
        if 0 <= which[k] < arenas.shape[0]:
            return True
    return False


@njit()
def _planes(
    here: Any,
    start: Any,
    stored_nbytes: Any,
    scratch: Any,
    nbytes: Any,
    itemsize: Any,
    n_streams: Any,
    function: Any,
) -> Any:
    """Return where the plane of low bytes and that of high bytes lie; (0, 0) for damage."""
    plane_nbytes = nbytes // n_streams
    planes = (np.int64(0), np.int64(0))
    at = start
    for stream in range(n_streams):
        if at < _HEADER_NBYTES or at + 4 > stored_nbytes:
            return np.int64(0), np.int64(0)
        size = np.int64(np.int32(word(here + at)))
        at += 4
        if size <= 0 or size > stored_nbytes - at:
            return np.int64(0), np.int64(0)
        plane = np.int64(scratch + stream * plane_nbytes)
        if size == plane_nbytes:  # as it was, since LZ4 made it no smaller
            plane = np.int64(here + at)
        elif np.int64(lz4(function, here + at, plane, size, plane_nbytes)) != plane_nbytes:
            return np.int64(0), np.int64(0)
        planes = (plane, plane) if stream == 0 else (planes[0], plane)
        at += size
    if n_streams < itemsize:
        return planes[0], planes[0] + nbytes // itemsize
    return planes


@njit()
def _store_rows(
    low: Any,
    high: Any,
    first: Any,
    end: Any,
    itemsize: Any,
    row_nbytes: Any,
    first_row: Any,
    arenas: Any,
    which: Any,
    place: Any,
) -> Any:
    """Store bytes ``first`` to ``end`` of a decoded chunk in the rows that are asked for."""
    for row in range(first // row_nbytes, (end - 1) // row_nbytes + 1):
        there = address_of(first_row + row, row_nbytes, arenas, which, place)
        if there == 0:
            continue
        begin = max(first, row * row_nbytes)
        nbytes = min(end, (row + 1) * row_nbytes) - begin
        there += begin - row * row_nbytes
        skip = (begin - first) // itemsize
        if itemsize == 1:
            copy_row(low + skip, there, nbytes)
        else:
            for i in range(0, nbytes // itemsize, _LANES):
                interleave(low + skip + i, high + skip + i, there + itemsize * i)
