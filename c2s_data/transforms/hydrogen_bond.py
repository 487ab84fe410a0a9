"""Backbone hydrogen bonds by the electrostatic energy of Kabsch and Sander.

W. Kabsch, C. Sander, "Dictionary of protein secondary structure", Biopolymers 22 (1983) 2577: an
N-H group and a C=O group carry partial charges of 0.20 e and 0.42 e, and the bond energy is
``27.9 (1/r_ON + 1/r_CH - 1/r_OH - 1/r_CN)`` kcal/mol with distances in A.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from numpy.typing import NDArray

PEPTIDE_BOND_MAX_A: Final = 2.5
"""A longer C-N distance is a break in the chain."""
BOND_ENERGY_KCAL: Final = -0.5
"""A bond is an energy below this."""
COUPLING_KCAL_A: Final = 332.0 * 0.42 * 0.20
NEAREST_CA_A: Final = 9.0
"""No bond joins residues whose C-alphas are further apart."""
TOUCHING_A: Final = 0.5
CLASH_ENERGY_KCAL: Final = -9.9
"""Energy of groups closer than `TOUCHING_A`, and the lowest there is."""


def chain_segments(
    n_xyz_A: NDArray[np.float64],
    c_xyz_A: NDArray[np.float64],
    chain_index: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Number the unbroken stretches of residues.

    Parameters
    ----------
    n_xyz_A, c_xyz_A : (n, 3) float64
        Backbone N and C of residues in sequence order, in A.
    chain_index : (n,) int
        A new number starts a new stretch.

    Returns
    -------
    (n,) int64
        0, 0, ..., 1, 1, ...: two residues lie in one stretch exactly when their numbers agree.
    """
    gap = np.linalg.norm(n_xyz_A[1:] - c_xyz_A[:-1], axis=1) > PEPTIDE_BOND_MAX_A
    breaks = gap | (chain_index[1:] != chain_index[:-1])
    return np.concatenate(([0], np.cumsum(breaks))).astype(np.int64)[: len(n_xyz_A)]


def amide_hydrogens(
    n_xyz_A: NDArray[np.float64],
    c_xyz_A: NDArray[np.float64],
    o_xyz_A: NDArray[np.float64],
    segment: NDArray[np.int64],
    is_proline: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Place each amide hydrogen 1.0 A from N, against the C=O of the residue before.

    Returns
    -------
    (n, 3) float64
        NaN where there is none: prolines and the first residue of a stretch.
    """
    hydrogen = np.full_like(n_xyz_A, np.nan)
    rows = np.flatnonzero((segment[1:] == segment[:-1]) & ~is_proline[1:]) + 1
    oxygen_to_carbon = c_xyz_A[rows - 1] - o_xyz_A[rows - 1]
    length = np.linalg.norm(oxygen_to_carbon, axis=1, keepdims=True)
    hydrogen[rows] = n_xyz_A[rows] + oxygen_to_carbon / np.maximum(length, 1e-6)
    return hydrogen


def near_pairs(ca_xyz_A: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the pairs i < j of C-alphas within `NEAREST_CA_A`, sorted by i, then j: (m, 2)."""
    pairs = cKDTree(ca_xyz_A).query_pairs(NEAREST_CA_A, output_type="ndarray").astype(np.int64)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return np.ascontiguousarray(pairs[order])


@njit(cache=True, nogil=True)
def best_acceptors(
    n_xyz_A: NDArray[np.float64],
    h_xyz_A: NDArray[np.float64],
    c_xyz_A: NDArray[np.float64],
    o_xyz_A: NDArray[np.float64],
    pairs: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return for each N-H the residues of the two C=O groups that bind it best.

    Parameters
    ----------
    n_xyz_A, h_xyz_A, c_xyz_A, o_xyz_A : (n, 3) float64
        Backbone positions in A; a hydrogen that does not exist is NaN.
    pairs : (m, 2) int64
        Residues to look at, as `near_pairs` makes them.

    Returns
    -------
    (n, 2) int64
        Acceptor residues, strongest first; -1 where there is no bond. Only two are kept, as in the
        1983 program: an amide group does not bind more.
    """
    acceptor = np.full((len(n_xyz_A), 2), -1, np.int64)
    energy = np.zeros((len(n_xyz_A), 2))
    for row in range(len(pairs)):
        for turn in range(2):
            donor, other = pairs[row, turn], pairs[row, 1 - turn]
            # The C=O before an N-H is its own peptide group.
            if donor == other + 1 or np.isnan(h_xyz_A[donor, 0]):
                continue
            value = _bond_energy(n_xyz_A[donor], h_xyz_A[donor], c_xyz_A[other], o_xyz_A[other])
            if value >= BOND_ENERGY_KCAL:
                continue
            if value < energy[donor, 0]:
                energy[donor, 1], acceptor[donor, 1] = energy[donor, 0], acceptor[donor, 0]
                energy[donor, 0], acceptor[donor, 0] = value, other
            elif value < energy[donor, 1]:
                energy[donor, 1], acceptor[donor, 1] = value, other
    return acceptor


@njit(cache=True, nogil=True)
def _bond_energy(
    n: NDArray[np.float64],
    h: NDArray[np.float64],
    c: NDArray[np.float64],
    o: NDArray[np.float64],
) -> float:
    oh, on = _distance(o, h), _distance(o, n)
    ch, cn = _distance(c, h), _distance(c, n)
    if min(oh, on, ch, cn) < TOUCHING_A:
        return CLASH_ENERGY_KCAL
    energy = COUPLING_KCAL_A * (1.0 / on + 1.0 / ch - 1.0 / oh - 1.0 / cn)
    # The 1983 program counts whole cal/mol, which settles energies at the threshold.
    return float(max(np.rint(energy * 1000.0) / 1000.0, CLASH_ENERGY_KCAL))


@njit(cache=True, nogil=True)
def _distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.sqrt((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2))
