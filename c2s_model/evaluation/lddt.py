"""lDDT of C-alphas: how well distances inside of the model are kept, without any superposition.

Over all pairs of C-alphas of the target within 15 A, of one chain or two: the share whose distance
the model keeps to within 0.5, 1, 2 and 4 A, the mean of the four (V. Mariani et al., Bioinformatics
29 (2013) 2722). A pair with a residue that the model lacks is not kept. Blind to handedness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

RADIUS_A: Final = 15.0
TOLERANCES_A: Final = (0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, eq=False)
class Lddt:
    """Shares of kept distances.

    Parameters
    ----------
    score : float
        Over all pairs, 0 to 1; not a number where no two residues are near each other.
    per_residue : (n,) float64
        Over the pairs of each residue of the target, not a number where it has none.
    """

    score: float
    per_residue: NDArray[np.float64]


def lddt_ca(
    target_xyz_A: NDArray[np.float64],
    query_xyz_A: NDArray[np.float64],
    pairs: NDArray[np.int64],
) -> Lddt:
    """Score a mapped model.

    Parameters
    ----------
    target_xyz_A, query_xyz_A
        (n, 3) and (m, 3).
    pairs
        (p, 2) rows of target and query; what is not in it is missing.
    """
    placed_A = np.full(target_xyz_A.shape, np.nan)
    placed_A[pairs[:, 0]] = query_xyz_A[pairs[:, 1]]
    near = cKDTree(target_xyz_A).query_pairs(RADIUS_A, output_type="ndarray")
    one, two = near.T
    true_A = np.linalg.norm(target_xyz_A[one] - target_xyz_A[two], axis=1)
    is_A = np.linalg.norm(placed_A[one] - placed_A[two], axis=1)
    off_A = np.abs(is_A - true_A)  # not a number where one is missing: never kept
    kept = np.zeros(len(near))
    for tolerance_A in TOLERANCES_A:
        kept += off_A <= tolerance_A
    kept /= len(TOLERANCES_A)
    n = len(target_xyz_A)
    sums = np.bincount(one, kept, n) + np.bincount(two, kept, n)
    counts = np.bincount(one, minlength=n) + np.bincount(two, minlength=n)
    per_residue = np.full(n, np.nan)
    np.divide(sums, counts, out=per_residue, where=counts > 0)
    return Lddt(float(kept.mean()) if len(near) else float("nan"), per_residue)
