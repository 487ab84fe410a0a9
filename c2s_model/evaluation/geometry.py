"""Whether the C-alphas of a model can be a protein at all; needs no target.

Two residues of a chain are bonded that follow each other in its sequence (mmCIF ``label_seq_id``)
or, where the file has none, in the author's numbers, insertion codes (52, 52A) included. Their
C-alphas lie 3.8 A apart, 2.95 A across a cis peptide; what is farther than 0.3 A from both is an
outlier. Two C-alphas that are not bonded and nearer than 3.0 A clash. Of the 11,295 bonds of 21
deposited models none is an outlier, and no two C-alphas clash.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from c2s_model.evaluation.chains import NO_NUMBER, CaChain, joined_xyz_A

TRANS_A: Final = 3.8
CIS_A: Final = 2.95
TOLERANCE_A: Final = 0.3
CLASH_A: Final = 3.0
MAX_BOND_A: Final = TRANS_A + TOLERANCE_A


class Geometry(NamedTuple):
    """Counts of one model.

    Parameters
    ----------
    n_bonds : int
        Neighbours in the sequence of a chain that both have a C-alpha.
    n_outliers : int
        Bonds whose C-alphas have another distance than 3.8 or 2.95 A, 0.3 A allowed.
    n_clashes : int
        C-alphas without a bond that are nearer than 3.0 A.
    n_fragments : int
        Stretches of bonded residues without a step above 4.1 A.
    longest_fragment : int
        Residues of the longest.
    """

    n_bonds: int
    n_outliers: int
    n_clashes: int
    n_fragments: int
    longest_fragment: int


def geometry(chains: Sequence[CaChain]) -> Geometry:
    """Look at the chains of one model."""
    first = np.cumsum([0, *map(len, chains)])
    bonds, starts = [], []
    n_outliers = 0
    for chain, start in zip(chains, first, strict=False):
        step_A = np.linalg.norm(np.diff(chain.xyz_A, axis=0), axis=1)
        bonded = _bonded(chain)
        off_A = np.minimum(np.abs(step_A - TRANS_A), np.abs(step_A - CIS_A))
        n_outliers += int((bonded & (off_A > TOLERANCE_A)).sum())
        bonds.append(start + np.flatnonzero(bonded))
        starts.append(start + np.flatnonzero(np.r_[True, ~bonded | (step_A > MAX_BOND_A)]))
    lengths = np.diff(np.r_[np.concatenate(starts), first[-1]])
    bonded_rows = np.concatenate(bonds)
    below_A = np.nextafter(CLASH_A, 0)
    near = cKDTree(joined_xyz_A(chains)).query_pairs(below_A, output_type="ndarray")
    is_bond = (near[:, 1] - near[:, 0] == 1) & np.isin(near[:, 0], bonded_rows)
    return Geometry(
        len(bonded_rows), n_outliers, int((~is_bond).sum()), len(lengths), int(lengths.max())
    )


def _bonded(chain: CaChain) -> NDArray[np.bool_]:
    """Return, for each residue but the last, whether the next one is its neighbour, (r - 1,)."""
    if NO_NUMBER not in chain.label_number:
        return np.asarray(np.diff(chain.label_number) == 1)
    author = np.diff(chain.number >> 8)
    return np.asarray((author == 1) | (author == 0) & (np.diff(chain.number) != 0))
