"""How much the points speak for one C-alpha candidate following another in a chain.

For candidates i, j the log-likelihood ratio of "j follows i" against "unrelated", in nats, is

    l(i, j) = ln f(d_ij) / (4 pi d_ij^2 rho) + e_C(i, j) + e_N(i, j)

f is the density of the distance of bonded C-alphas, 3.80 A blurred by the noise of two points, rho
the density of candidates. A predicted C belongs 0.376 of the way from i to j and 0.52 A off the
axis, an N 0.632 of the way and 0.41 A off (means of 3,700 peptides), so that the evidence has a
direction:

    e_C(i, j) = ln(m + (1 - m) sum_c g(c - place_ij) / rho_C)

over the C points c; g is a Gaussian blurred by the noise of three points, m the share of points
that were not predicted, rho_C the density of C points around a C-alpha that are not in this place.
Without predicted atoms both terms are 0.

A path along a real chain in the wrong register has all this evidence, too. Only what speaks
against a bond may therefore count when sequences are placed: with b the median over candidates of
the best l into them (what a bond is worth in these data),

    w(i, j) = min(0, l(i, j) - b + slack)

Where points are many and evidence is weak, random walks find free steps everywhere. Every bond then
costs c more, so that two steps in a row have no more than `BRANCHES` ways on average:

    c = max(0, ln(mean_s sum_{u, q} exp(w(q, u) + w(u, s) + b(q, u, s)) / BRANCHES) / 2)

with the bend b(q, u, s) = min(0, 0.5 - ((d_qs - 5.88) / sd)^2 / 4), which a path that turns back
cannot afford.

A residue whose C-alpha was missed leaves its neighbors 5.0 to 7.3 A apart: a skip, for which the
distance alone speaks, and ln m against.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from c2s_model.backbone.local_paths import MAX_STEPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from c2s_model.backbone.candidates import AtomPoints

BOND_A: Final = 3.80
BOND_SD_A: Final = 0.06
SKIP_A: Final = 5.88
SKIP_SD_A: Final = 0.59
C_PLACE: Final = (0.376, 0.52)
N_PLACE: Final = (0.632, 0.41)
"""Share of the way from one C-alpha to the next, and distance from that axis in A."""
PLACE_SD_A: Final = 0.1
BRANCHES: Final = 4.0
"""Ways of going two steps that are let be: real predictions with N and C offer 1.5 to 5."""
BEND_A: Final = 5.88
BEND_SD_A: Final = 0.59


@dataclass(frozen=True)
class BondOptions:
    """What is assumed of the points, and how many steps are kept.

    Parameters
    ----------
    missing
        Share of C-alphas, N and C that were not predicted.
    candidate_density
        Candidates per cubic A around a C-alpha.
    atom_density
        N or C points per cubic A around a C-alpha.
    slack
        Nats by which a bond may be worse than usual at no cost.
    most_bonds, most_skips
        Predecessors kept for each candidate, the best.
    least
        Log-likelihood ratio below which a pair is no step, in nats.
    """

    missing: float = 0.2
    candidate_density: float = 0.005
    atom_density: float = 0.02
    slack: float = 1.5
    bend_slack: float = 0.5
    bend_weight: float = 0.5
    most_bonds: int = 8
    most_skips: int = 10
    least: float = -10.0

    def __post_init__(self) -> None:
        if not 0 < self.missing < 1:
            raise ValueError(f"missing is {self.missing}: a share between 0 and 1 is needed")
        if not 0 < self.most_bonds + self.most_skips <= MAX_STEPS:
            raise ValueError(f"at most {MAX_STEPS} steps into a candidate can be kept")


class Steps(NamedTuple):
    """Predecessors of each candidate, (n, k) int32, and their weights in nats, (n, k) float32.

    Where there is none: -1 and -inf.
    """

    source: NDArray[np.int32]
    weight: NDArray[np.float32]

    def among(self, rows: NDArray[np.integer]) -> Steps:
        """Return the steps between some candidates, which are numbered anew in that order."""
        number = np.full(len(self.source) + 1, -1, np.int32)
        number[rows] = np.arange(len(rows), dtype=np.int32)
        source = number[self.source[rows]]  # -1 names the last, which has no number
        return Steps(source, np.where(source < 0, np.float32(-np.inf), self.weight[rows]))


def bond_steps(
    xyz_A: NDArray[np.float64],
    n_points: AtomPoints | None,
    c_points: AtomPoints | None,
    noise_A: float,
    options: BondOptions,
) -> Steps:
    """Return the direct predecessors of each candidate, with the ratio l(i, j).

    Parameters
    ----------
    xyz_A : (n, 3) float64
        C-alpha candidates.
    n_points, c_points
        Predicted N and C, or None.
    noise_A
        Standard deviation of a point's position on each axis.
    """
    spread_A = float(np.hypot(BOND_SD_A, np.sqrt(2) * noise_A))
    i, j, d = _pairs(xyz_A, BOND_A + 3 * spread_A)
    ratio = _distance_ratio(d, BOND_A, spread_A, options)
    for points, place in ((c_points, C_PLACE), (n_points, N_PLACE)):
        if points is not None and len(points):
            ratio += _atom_ratio(xyz_A, i, j, points.xyz_A, place, noise_A, options)
    return _best(len(xyz_A), i, j, ratio, options.most_bonds, options.least)


def against(ratios: Steps, slack: float) -> Steps:
    """Return the same steps with what speaks against them, w(i, j) <= 0."""
    best = ratios.weight[:, 0]
    best = best[best > -np.inf]
    usual = np.float32(np.median(best)) if len(best) else np.float32(0)
    weight = np.minimum(ratios.weight - usual + np.float32(slack), np.float32(0))
    return Steps(ratios.source, weight)


def skip_steps(xyz_A: NDArray[np.float64], noise_A: float, options: BondOptions) -> Steps:
    """Return the predecessors of each candidate with one missed residue between, w <= 0."""
    spread_A = float(np.hypot(SKIP_SD_A, np.sqrt(2) * noise_A))
    i, j, d = _pairs(xyz_A, SKIP_A + 2 * spread_A)
    ratio = _distance_ratio(d, SKIP_A, spread_A, options) + np.log(options.missing)
    steps = _best(len(xyz_A), i, j, ratio, options.most_skips, options.least)
    return Steps(steps.source, np.minimum(steps.weight, np.float32(0)))


def bends(
    xyz_A: NDArray[np.float64],
    source: NDArray[np.int32],
    first_skip: int,
    noise_A: float,
    options: BondOptions,
) -> NDArray[np.float32]:
    """Return what speaks against a step and the step before it, (n, k, k) <= 0.

    Parameters
    ----------
    source : (n, k) int32
        Steps into each candidate, bonds before ``first_skip``, -1 for none.
    """
    before = source[source]  # (n, k, k): the predecessors of each predecessor
    d = np.linalg.norm(xyz_A[before] - xyz_A[:, None, None], axis=-1)
    spread_A = np.hypot(BEND_SD_A, np.sqrt(2) * noise_A)
    apart = (d - BEND_A) / spread_A
    apart[:, first_skip:] = np.minimum(apart[:, first_skip:], 0)
    apart[:, :, first_skip:] = np.minimum(apart[:, :, first_skip:], 0)
    cost = np.minimum(options.bend_slack - options.bend_weight * 0.5 * apart**2, 0)
    bent: NDArray[np.float32] = cost.astype(np.float32)
    return bent


def crowding(bonds: Steps, bend: NDArray[np.float32]) -> float:
    """Return what every bond must cost more, c of the module's description.

    Parameters
    ----------
    bonds
        Weighed by `against`.
    bend : (n, k, k) float32
        As `bends` returns it, for bonds alone.
    """
    last = np.exp(bonds.weight)
    first = np.where((bonds.source >= 0)[:, :, None], last[bonds.source], 0)
    ways = float((last[:, :, None] * first * np.exp(bend)).sum(axis=(1, 2)).mean())
    return max(0.0, float(np.log(max(ways, 1e-9) / BRANCHES)) / 2)


def _pairs(
    xyz_A: NDArray[np.float64], reach_A: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return candidates i, j within reach of each other, both ways, and their distance."""
    pairs = cKDTree(xyz_A).query_pairs(reach_A, output_type="ndarray").astype(np.int64)
    i, j = np.concatenate((pairs, pairs[:, ::-1])).T
    return i, j, np.linalg.norm(xyz_A[i] - xyz_A[j], axis=1)


def _distance_ratio(
    d: NDArray[np.float64], mean_A: float, spread_A: float, options: BondOptions
) -> NDArray[np.float64]:
    log_f = -0.5 * ((d - mean_A) / spread_A) ** 2 - np.log(spread_A * np.sqrt(2 * np.pi))
    # Two points in one place are no bond, but must not divide by zero either.
    shell = 4 * np.pi * np.maximum(d, 1.0) ** 2 * options.candidate_density
    return np.asarray(log_f - np.log(shell))


def _atom_ratio(
    xyz_A: NDArray[np.float64],
    i: NDArray[np.int64],
    j: NDArray[np.int64],
    points_xyz_A: NDArray[np.float64],
    place: tuple[float, float],
    noise_A: float,
    options: BondOptions,
) -> NDArray[np.float64]:
    share, off_A = place
    blur2 = noise_A**2 * (1 + share**2 + (1 - share) ** 2)
    along_sd, off_sd = np.sqrt(blur2 + PLACE_SD_A**2), np.sqrt(blur2 + off_A**2 / 2)
    step = xyz_A[j] - xyz_A[i]
    expected = xyz_A[i] + share * step
    near = cKDTree(expected).sparse_distance_matrix(
        cKDTree(points_xyz_A), 3 * off_sd, output_type="ndarray"
    )
    row, point = near["i"], near["j"]
    away = points_xyz_A[point] - expected[row]
    length = np.maximum(np.linalg.norm(step, axis=1), 1e-6)
    along2 = (np.einsum("rx,rx->r", away, step[row]) / length[row]) ** 2
    off2 = np.maximum(np.einsum("rx,rx->r", away, away) - along2, 0)
    g = np.exp(-0.5 * (along2 / along_sd**2 + off2 / off_sd**2))
    g /= (2 * np.pi) ** 1.5 * along_sd * off_sd**2
    seen = np.bincount(row, weights=g, minlength=len(i)) / options.atom_density
    return np.asarray(np.log(options.missing + (1 - options.missing) * seen))


def _best(
    n: int,
    i: NDArray[np.int64],
    j: NDArray[np.int64],
    weight: NDArray[np.float64],
    most: int,
    least: float,
) -> Steps:
    """Return the best sources i of each j."""
    kept = weight >= least
    i, j, weight = i[kept], j[kept], weight[kept]
    order = np.lexsort((i, -weight, j))
    i, j, weight = i[order], j[order], weight[order]
    rank = np.arange(len(j)) - np.searchsorted(j, j)
    first = rank < most
    place = j[first], rank[first]
    source, weights = np.full((n, most), -1, np.int32), np.full((n, most), -np.inf, np.float32)
    source[place], weights[place] = i[first], weight[first]
    return Steps(source, weights)
