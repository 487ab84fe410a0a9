"""Local alignment of proteins with affine gaps, and the identity of its best path.

T. F. Smith, M. S. Waterman, J. Mol. Biol. 147 (1981) 195; affine gaps after O. Gotoh, J. Mol.
Biol. 162 (1982) 705. Scores are BLOSUM62 (S. Henikoff, J. G. Henikoff, PNAS 89 (1992) 10915), 11
for the first residue of a gap and 1 for each further one, with the bit scores that S. F. Altschul
et al., Nucleic Acids Res. 25 (1997) 3389 give for them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LETTERS: Final = "ARNDCQEGHILKMFPSTWYV"
UNKNOWN: Final = 20
"""Code of X and of every letter that is none of the 20; scores -1 and is identical to nothing."""
GAP_FIRST: Final = 11
GAP_NEXT: Final = 1
_LAMBDA: Final = 0.267
_K: Final = 0.041
_END, _MATCH, _UP, _LEFT, _LONGER_UP, _LONGER_LEFT = 0, 1, 2, 3, 4, 8
"""How the best path comes to a cell, and whether a gap there goes on."""

_HALF: Final = """
4
-1 5
-2 0 6
-2 -2 1 6
0 -3 -3 -3 9
-1 1 0 0 -3 5
-1 0 0 2 -4 2 5
0 -2 0 -1 -3 -2 -2 6
-2 0 1 -1 -3 0 0 -2 8
-1 -3 -3 -3 -1 -3 -3 -4 -3 4
-1 -2 -3 -4 -1 -2 -3 -4 -3 2 4
-1 2 0 -1 -3 1 1 -2 -1 -3 -2 5
-1 -1 -2 -3 -1 0 -2 -3 -2 1 2 -1 5
-2 -3 -3 -3 -2 -3 -3 -3 -1 0 0 -3 0 6
-1 -2 -2 -1 -3 -1 -1 -2 -2 -3 -3 -1 -2 -4 7
1 -1 1 0 -1 0 0 0 -1 -2 -2 0 -1 -2 -1 4
0 -1 0 -1 -1 -1 -1 -2 -2 -1 -1 -1 -1 -2 -1 1 5
-3 -3 -4 -4 -2 -2 -3 -2 -2 -3 -2 -3 -1 1 -4 -3 -2 11
-2 -2 -2 -3 -2 -1 -2 -3 2 -1 -1 -2 -1 3 -3 -2 -2 2 7
0 -3 -3 -3 -1 -2 -2 -3 -3 3 1 -2 1 -1 -2 -2 0 -3 -1 4
"""


def _blosum62() -> NDArray[np.int32]:
    full = np.full((21, 21), -1, np.int32)
    for row, line in enumerate(_HALF.split("\n")[1:-1]):
        for column, score in enumerate(line.split()):
            full[row, column] = full[column, row] = int(score)
    return full


BLOSUM62: Final = _blosum62()
"""(21, 21) int32 in the order of `LETTERS`, the last row and column for unknown residues."""


def encode(sequences: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return all residues one after another as codes, and where each sequence begins.

    Returns
    -------
    codes : (n_residues,) uint8
        Position in `LETTERS`, or `UNKNOWN`.
    offsets : (n + 1,) int64
        Sequence i is ``codes[offsets[i]:offsets[i + 1]]``.
    """
    table = np.full(256, UNKNOWN, np.uint8)
    table[np.frombuffer(LETTERS.encode(), np.uint8)] = np.arange(20, dtype=np.uint8)
    text = np.frombuffer("".join(sequences).encode("ascii"), np.uint8)
    lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
    return table[text], np.concatenate(([0], np.cumsum(lengths)))


def lowest_score(bits: float) -> int:
    """Return the lowest raw score that is worth so many bits."""
    return math.ceil((bits * math.log(2) + math.log(_K)) / _LAMBDA)


@njit(cache=True, nogil=True)
def best_score(
    query: NDArray[np.uint8], target: NDArray[np.uint8], scores: NDArray[np.int32]
) -> int:
    """Return the score of the best local alignment of two encoded sequences."""
    n = len(target)
    best_here = np.zeros(n + 1, np.int32)
    gap_here = np.full(n + 1, -(1 << 20), np.int32)
    best = 0
    for i in range(len(query)):
        row = scores[query[i]]
        diagonal, gap_left, left = 0, -(1 << 20), 0
        for j in range(1, n + 1):
            gap_up = max(best_here[j] - GAP_FIRST, gap_here[j] - GAP_NEXT)
            gap_left = max(left - GAP_FIRST, gap_left - GAP_NEXT)
            value = max(0, diagonal + row[target[j - 1]], gap_up, gap_left)
            diagonal = best_here[j]
            best_here[j], gap_here[j], left = value, gap_up, value
            best = max(best, value)
    return best


@njit(cache=True, nogil=True)
def align_local(
    query: NDArray[np.uint8], target: NDArray[np.uint8], scores: NDArray[np.int32]
) -> tuple[int, float, float]:
    """Find the best local alignment; of equal ones the one that ends first.

    Needs a byte for each pair of residues.

    Parameters
    ----------
    query, target : (n,), (m,) uint8
        Codes of `encode`.
    scores : (21, 21) int32
        `BLOSUM62`.

    Returns
    -------
    score : int
        Raw score, 0 when nothing is alike.
    identity : float
        Identical residues over the columns of the alignment, gaps included.
    coverage : float
        Residues of the shorter sequence from the first to the last aligned, over its length.
    """
    n = len(target)
    steps = np.empty((len(query), n + 1), np.uint8)
    best_here = np.zeros(n + 1, np.int32)
    gap_here = np.full(n + 1, -(1 << 20), np.int32)
    best, last_query, last_target = 0, -1, -1
    for i in range(len(query)):
        row = scores[query[i]]
        diagonal, gap_left, left = 0, -(1 << 20), 0
        for j in range(1, n + 1):
            opened_up, opened_left = best_here[j] - GAP_FIRST, left - GAP_FIRST
            longer_up, longer_left = gap_here[j] - GAP_NEXT, gap_left - GAP_NEXT
            gap_up, gap_left = max(opened_up, longer_up), max(opened_left, longer_left)
            match = diagonal + row[target[j - 1]]
            value = max(0, match, gap_up, gap_left)
            step = _END if value == 0 else _MATCH if value == match else _UP
            if step == _UP and value != gap_up:
                step = _LEFT
            steps[i, j] = (
                step
                | (_LONGER_UP if longer_up > opened_up else 0)
                | (_LONGER_LEFT if longer_left > opened_left else 0)
            )
            diagonal = best_here[j]
            best_here[j], gap_here[j], left = value, gap_up, value
            if value > best:
                best, last_query, last_target = value, i, j
    if best == 0:
        return 0, 0.0, 0.0
    identical, columns, i, j = _trace(steps, query, target, last_query, last_target)
    covered = (last_query - i) / len(query) if len(query) <= n else (last_target - j) / n
    return best, identical / columns, covered


@njit(cache=True, nogil=True)
def _trace(
    steps: NDArray[np.uint8],
    query: NDArray[np.uint8],
    target: NDArray[np.uint8],
    i: int,
    j: int,
) -> tuple[int, int, int, int]:
    """Walk back from the last aligned pair; return identities, columns and the cell before all."""
    identical, columns = 0, 0
    while i >= 0 and j >= 1 and steps[i, j] & 3 != _END:
        step = steps[i, j] & 3
        if step == _MATCH:
            identical += query[i] == target[j - 1] and query[i] != UNKNOWN
            columns += 1
            i, j = i - 1, j - 1
        elif step == _UP:
            longer = True
            while longer:
                longer = steps[i, j] & _LONGER_UP != 0
                columns += 1
                i -= 1
        else:
            longer = True
            while longer:
                longer = steps[i, j] & _LONGER_LEFT != 0
                columns += 1
                j -= 1
    return identical, columns, i, j
