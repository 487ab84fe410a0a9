"""Match predicted C-alphas to true ones, each at most once, and count.

Unlike the greedy matching of `c2s_model.evaluation.chain_comparison` it does not depend on the
order of the atoms: of all matchings within the radius one with the most pairs is taken, and among
those one whose distances have the least sum. Two models that swap roles swap precision and recall
and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import cKDTree

RADII_A: Final = (1.0, 2.0, 3.0)


@dataclass(frozen=True, eq=False)
class Match:
    """Pairs of one matching.

    Parameters
    ----------
    n_target, n_query : int
        C-alphas on either side.
    pairs : (n, 2) int64
        Rows of target and query, by target row.
    distance_A : (n,) float64
        Distance of each pair.
    """

    n_target: int
    n_query: int
    pairs: NDArray[np.int64]
    distance_A: NDArray[np.float64]

    @property
    def precision(self) -> float:
        """Pairs over predicted C-alphas; 0 where there are none."""
        return len(self.pairs) / max(1, self.n_query)

    @property
    def recall(self) -> float:
        """Pairs over true C-alphas; 0 where there are none."""
        return len(self.pairs) / max(1, self.n_target)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 2 pairs / (target + query)."""
        return 2 * len(self.pairs) / max(1, self.n_target + self.n_query)

    @property
    def mean_distance_A(self) -> float:
        """Mean distance of the pairs; not a number where there are none."""
        return float(self.distance_A.mean()) if len(self.pairs) else float("nan")


def match_one_to_one(
    target_xyz_A: ArrayLike, query_xyz_A: ArrayLike, radius_A: float = 3.0
) -> Match:
    """Match as many points as possible one to one, then at the least sum of distances.

    Parameters
    ----------
    target_xyz_A, query_xyz_A
        True (n, 3) and predicted (m, 3) points, x, y, z in angstrom.
    radius_A
        Largest distance of a pair, inclusive.

    Raises
    ------
    ValueError
        A shape is not (n, 3), a coordinate not finite or the radius not positive.
    """
    target, query = _points(target_xyz_A), _points(query_xyz_A)
    if not radius_A > 0:
        raise ValueError(f"a radius of {radius_A} A matches nothing; give a positive one")
    empty = Match(len(target), len(query), np.empty((0, 2), np.int64), np.empty(0))
    if not len(target) or not len(query):
        return empty
    near = cKDTree(target).sparse_distance_matrix(
        cKDTree(query), np.nextafter(radius_A, np.inf), output_type="ndarray"
    )
    near = near[near["v"] <= radius_A]
    if not len(near):
        return empty
    rows, row = np.unique(near["i"], return_inverse=True)
    columns, column = np.unique(near["j"], return_inverse=True)
    matched = _matched_columns(row, column, near["v"], len(rows), len(columns))
    paired = matched < len(columns)
    pairs = np.stack([rows[paired], columns[matched[paired]]], axis=1).astype(np.int64)
    apart_A = np.linalg.norm(target[pairs[:, 0]] - query[pairs[:, 1]], axis=1)
    return Match(len(target), len(query), pairs, apart_A)


def _matched_columns(
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    distance_A: NDArray[np.float64],
    n_rows: int,
    n_columns: int,
) -> NDArray[np.int64]:
    """Return the column of each row; `n_columns` or more where it has none.

    Each row may also take a column of its own that costs more than all distances together, so the
    cheapest full matching has the most pairs. Every cost is one higher than it should be, because
    the sparse matrix holds no zeros.
    """
    alone = np.arange(n_rows)
    dear = 1.0 + distance_A.max() * (n_rows + 1)
    costs = csr_array(
        (
            np.concatenate([1.0 + distance_A, np.full(n_rows, 1.0 + dear)]),
            (np.concatenate([row, alone]), np.concatenate([column, n_columns + alone])),
        ),
        shape=(n_rows, n_columns + n_rows),
    )
    _, matched = min_weight_full_bipartite_matching(costs)
    return np.asarray(matched, dtype=np.int64)


def _points(xyz_A: ArrayLike) -> NDArray[np.float64]:
    points = np.asarray(xyz_A, dtype=np.float64)
    if points.size == 0:
        return points.reshape(0, 3)
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise ValueError(f"points of shape {points.shape}; give (n, 3) finite numbers")
    return points
