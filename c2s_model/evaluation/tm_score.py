"""TM-score of residues that correspond, in the frame of the map and after superposition.

TM = 1/L * sum over mapped residues of 1 / (1 + (d/d0)^2), with L the residues of the target,
mapped or not, and d0 = 1.24 (L - 15)^(1/3) - 1.8 A, at least 0.5 A (Y. Zhang, J. Skolnick,
Proteins 57 (2004) 702). The whole complex is one body: L, and with it d0, counts all its chains.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_FEWEST: Final = 3
_SHORTEST: Final = 4
_LEVELS: Final = 6
_ROUNDS: Final = 20


def tm_d0_A(n_residues: int) -> float:
    """Return the distance that counts one half."""
    return max(0.5, 1.24 * float(np.cbrt(n_residues - 15)) - 1.8)


def tm_score(distance_A: NDArray[np.float64], n_residues: int) -> float:
    """Return the score of mapped residues at these distances, over all residues of the target."""
    return _sum(distance_A**2, tm_d0_A(n_residues)) / max(1, n_residues)


def tm_superposed(
    target_xyz_A: NDArray[np.float64], query_xyz_A: NDArray[np.float64], n_residues: int
) -> float:
    """Return the highest score that is found over rigid motions of the query.

    The maximum has no closed form. As the authors search for it: from superpositions of stretches
    of n, n/2, n/4 ... mapped residues, at least 4, each half overlapping the next, and from the
    frame of the map. Each is improved by superposing those residues that are near, until they stay
    the same.

    Parameters
    ----------
    target_xyz_A, query_xyz_A
        (n, 3) mapped residues, row by row.
    n_residues
        All residues of the target.
    """
    n = len(target_xyz_A)
    d0_A = tm_d0_A(n_residues)
    best = tm_score(np.linalg.norm(target_xyz_A - query_xyz_A, axis=1), n_residues)
    if n < _FEWEST:
        return best
    near = _nearer_than(((target_xyz_A - query_xyz_A) ** 2).sum(axis=1), _search_A(d0_A) - 1)
    starts: list[slice | NDArray[np.intp]] = [near]
    starts += [slice(first, first + length) for first, length in _stretches(n)]
    for start in starts:
        found = _improved(target_xyz_A, query_xyz_A, start, d0_A)
        best = max(best, found / max(1, n_residues))
    return best


def superposition(
    target_xyz_A: NDArray[np.float64], query_xyz_A: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rotation (3, 3) and shift (3,) of least square distance.

    ``query @ rotation.T + shift`` lies on the target; never a mirror image (W. Kabsch, Acta Cryst.
    A 32 (1976) 922).
    """
    to, of = target_xyz_A.mean(axis=0), query_xyz_A.mean(axis=0)
    left, _, right = np.linalg.svd((target_xyz_A - to).T @ (query_xyz_A - of))
    sign = 1.0 if np.linalg.det(left @ right) > 0 else -1.0
    rotation = (left * [1.0, 1.0, sign]) @ right
    return rotation, to - rotation @ of


def _improved(
    target: NDArray[np.float64],
    query: NDArray[np.float64],
    start: slice | NDArray[np.intp],
    d0_A: float,
) -> float:
    """Return the highest sum of terms on the way from one superposition."""
    best, rows, cut_A = 0.0, start, _search_A(d0_A) - 1
    for _ in range(_ROUNDS):
        rotation, shift = superposition(target[rows], query[rows])
        square_A2 = ((query @ rotation.T + shift - target) ** 2).sum(axis=1)
        best = max(best, _sum(square_A2, d0_A))
        near = _nearer_than(square_A2, cut_A)
        if not isinstance(rows, slice) and np.array_equal(near, rows):
            break
        rows, cut_A = near, _search_A(d0_A) + 1
    return best


def _search_A(d0_A: float) -> float:
    return min(8.0, max(4.5, d0_A))


def _nearer_than(square_A2: NDArray[np.float64], cut_A: float) -> NDArray[np.intp]:
    """Return the rows within a distance; it grows until there are enough to superpose."""
    near = np.flatnonzero(square_A2 < cut_A**2)
    if len(near) < _FEWEST:
        near = np.sort(np.argpartition(square_A2, _FEWEST - 1)[:_FEWEST])
    return near


def _stretches(n: int) -> list[tuple[int, int]]:
    found = []
    for level in range(_LEVELS):
        length = max(min(_SHORTEST, n), n >> level)
        step = max(1, length // 2)
        found += [(first, length) for first in range(0, n - length + 1, step)]
        if length <= _SHORTEST:
            break
    return found


def _sum(square_A2: NDArray[np.float64], d0_A: float) -> float:
    return float((1 / (1 + square_A2 / d0_A**2)).sum())
