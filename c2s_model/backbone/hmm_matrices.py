"""Matrices of the paper's hidden Markov model, as sparse as float64 allows without any change.

The paper, "HMM-Guided Alignment of C-alpha Atoms and Protein Sequences": candidates are hidden
states, residues are what they emit. With distances d_ij between candidates,

    T_ij = (normal(d_ij; mean, scaling * sd) + 1e-20) / sum_j (the same)
    E_i  = normalized sqrt(normalized(emission_i + 1e-20) * background)
    pi_i = E_i[first residue] / sum_i E_i[first residue]

The normal density of two candidates farther apart than `near_cutoff_A` is less than half a unit
in the last place of 1e-20, so that T_ij is exactly 1e-20 / row sum: one number a row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

CA_CA_MEAN_A: Final = 3.8047179727719045
"""Mean distance of consecutive C-alphas in the training data (published value)."""
CA_CA_SD_A: Final = 0.03622304
"""Standard deviation of that distance (published value)."""
LAMBDA: Final = 10.0
"""Scaling factor of the standard deviation (the paper's capital lambda)."""
FLOOR: Final = 1e-20
"""What is added to every density and every emission, so that no logarithm is infinite."""
BACKGROUND: Final = (
    0.07943948021002176, 0.0497783411606611, 0.04433904104844631, 0.05350186331961819,
    0.022626103099067648, 0.03937526841500076, 0.05627820955072524, 0.07217724394940638,
    0.01882610864053863, 0.06108044830500256, 0.09799918263302994, 0.05331463086876411,
    0.021703725253868638, 0.045350220966155465, 0.041743693113336935, 0.06416670130086032,
    0.058655985481346026, 0.012496017067730628, 0.03598361109956638, 0.071164124516853,
)  # fmt: skip
"""Frequencies of the amino acids in the training data, in the order of `schema.AMINO_ACIDS`."""
_ROW_BYTES: Final = 4 << 20


@dataclass(frozen=True, eq=False)
class SparseTransitions:
    """Logarithm of the transition matrix: near entries by column, one number for the rest of a row.

    Parameters
    ----------
    start : (n + 1,) int64
        The near predecessors of candidate j are entries ``start[j]`` to ``start[j + 1]``.
    source : (m,) int32
        Predecessor i of an entry, never j itself; within j by descending ``log_near``, equal ones
        in any order.
    log_near : (m,) float64
        log T_ij of the entries.
    log_far : (n,) float64
        log T_ij of every j that is not near to i.
    """

    start: NDArray[np.int64]
    source: NDArray[np.int32]
    log_near: NDArray[np.float64]
    log_far: NDArray[np.float64]


def distance_density(distance_A: NDArray[np.float64], lambda_: float) -> NDArray[np.float64]:
    """Return the normal density of C-alpha distances plus the floor, before normalization."""
    sd_A = CA_CA_SD_A * lambda_
    z = (distance_A - CA_CA_MEAN_A) / sd_A
    return np.exp(-0.5 * (z * z)) / (sd_A * math.sqrt(2 * math.pi)) + FLOOR


def near_cutoff_A(lambda_: float) -> float:
    """Return the distance beyond which the density vanishes beside the floor, in float64.

    That is where it falls to half a unit in the last place of 1e-20: 8.48 A for lambda 10.
    """
    sd_A = CA_CA_SD_A * lambda_
    half_ulp = float(np.spacing(FLOOR)) / 2
    return CA_CA_MEAN_A + sd_A * math.sqrt(-2 * math.log(half_ulp * sd_A * math.sqrt(2 * math.pi)))


def sparse_transitions(xyz_A: NDArray[np.float64], lambda_: float = LAMBDA) -> SparseTransitions:
    """Return the transition matrix of candidates.

    Parameters
    ----------
    xyz_A
        Positions, shape (n, 3), finite.
    lambda_
        Scaling factor of the standard deviation.

    Returns
    -------
    transitions
        The same doubles that ``log(T)`` of the full n x n matrix holds: distances are
        ``sqrt(dx*dx + dy*dy + dz*dz)``, row sums numpy's over the whole row.
    """
    n = len(xyz_A)
    tree = cKDTree(xyz_A)
    # Numpy sorts 16-bit integers by their digits, ten times as fast as wider ones.
    number = np.uint16 if n <= np.iinfo(np.uint16).max else np.uint32
    cutoff_A = near_cutoff_A(lambda_) * (1 + 1e-9)
    pairs = tree.query_pairs(cutoff_A, output_type="ndarray").astype(number)
    itself = np.arange(n, dtype=number)
    row = np.concatenate([pairs[:, 0], pairs[:, 1], itself])
    column = np.concatenate([pairs[:, 1], pairs[:, 0], itself])
    order = np.argsort(row, kind="stable")
    row, column = row[order], column[order]
    step = xyz_A[row] - xyz_A[column]
    dx, dy, dz = step.T
    density = distance_density(np.sqrt(dx * dx + dy * dy + dz * dz), lambda_)
    start = np.searchsorted(row, np.arange(n + 1))
    row_sum = _row_sums(start, column, density, n)
    # Distances are symmetric to the last bit: entry (row, column) serves as (column, row) too.
    log_near = np.log(density / row_sum[column])
    order = np.argsort(-log_near)
    order = order[row[order] != column[order]]
    order = order[np.argsort(row[order], kind="stable")]
    return SparseTransitions(
        np.searchsorted(row[order], np.arange(n + 1)).astype(np.int64),
        column[order].astype(np.int32),
        log_near[order],
        np.log(FLOOR / row_sum),
    )


def _row_sums(
    start: NDArray[np.int64], column: NDArray[np.int64], density: NDArray[np.float64], n: int
) -> NDArray[np.float64]:
    """Sum whole rows, floor included, as numpy sums them: the order of additions is in the bits."""
    sums = np.empty(n)
    height = max(1, min(n, _ROW_BYTES // (8 * max(n, 1))))
    rows = np.full((height, n), FLOOR)
    for first in range(0, n, height):
        last = min(first + height, n)
        near = slice(start[first], start[last])
        at = np.repeat(np.arange(last - first), np.diff(start[first : last + 1])), column[near]
        rows[at] = density[near]
        sums[first:last] = rows[: last - first].sum(axis=1)
        rows[at] = FLOOR
    return sums


def emission_matrix(emission: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return E: normalized geometric mean of predicted probabilities and background.

    Parameters
    ----------
    emission
        Mean probability of each amino acid per candidate, shape (n, 20), finite, not negative.
    """
    predicted = emission + FLOOR
    predicted = predicted / predicted.sum(axis=1, keepdims=True)
    mean = np.sqrt(predicted * np.array(BACKGROUND))
    normalized: NDArray[np.float64] = mean / mean.sum(axis=1, keepdims=True)
    return normalized


def log_initial(emission: NDArray[np.float64], code: int) -> NDArray[np.float64]:
    """Return log pi: the share of each state in emitting the first residue.

    Parameters
    ----------
    emission
        Matrix E, shape (n, 20).
    code
        Residue code of the chain's first residue.
    """
    column = np.ascontiguousarray(emission[:, code])
    share: NDArray[np.float64] = column / column.sum()
    return np.log(share)
