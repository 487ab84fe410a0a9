"""The Q-score: how closely the density around an atom resembles a well resolved atom.

Definition (Pintilie et al., Nature Methods 17, 328, 2020, and the published program mapq): the
density is read at eight points on each of 21 shells of radius 0, 0.1, ... 2.0 A around the atom,
at points nearer to this atom than to any other. The score is the correlation about the mean of
these values with a Gaussian of sigma 0.6 A. The published Gaussian goes from
``min(mean + 10 sd, max)`` of the map at the atom down to ``max(mean - sd, min)`` far from it; a
correlation about the mean is the same for any height and offset, so neither is computed here.

Points are placed as follows, without any chance: n directions of a golden spiral, for n = 8, 10,
12, ... 106, until at least eight of them are nearer to this atom than to any other; all that are
stay, also where fewer than eight are found with n = 106. The eight points of shell 0 coincide.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

from c2s_data.transforms.paging import release

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Triple = tuple[float, float, float]

SIGMA_A: Final = 0.6
POINTS_PER_SHELL: Final = 8
N_SHELLS: Final = 21
SHELL_STEP_A: Final = 0.1
REACH_A: Final = SHELL_STEP_A * (N_SHELLS - 1)
_N_SPIRALS: Final = 50
_CELL_A: Final = 2.0 * REACH_A  # an atom farther away is never the nearest to a point
_MAX_NEIGHBORS: Final = 512  # chemistry allows about 40 within 4 A
_FLAT: Final = 1e-7  # a relative variation below the precision of float32 is rounding


def spiral(n: int) -> NDArray[np.float64]:
    """Return n unit vectors spread evenly by the golden angle: (n, 3) float64, z y x.

    Vector k has height ``z = 1 - (2 k + 1) / n`` and azimuth ``k pi (3 - sqrt 5)``.
    """
    k = np.arange(n)
    z = 1.0 - (2.0 * k + 1.0) / n
    azimuth = k * math.pi * (3.0 - math.sqrt(5.0))
    radius = np.sqrt(1.0 - z * z)
    return np.stack([z, radius * np.sin(azimuth), radius * np.cos(azimuth)], axis=1)


def q_score(
    values_zyx: NDArray[np.float32],
    voxel_size_zyx_A: Triple,
    origin_xyz_A: Triple,
    xyz_A: ArrayLike,
    *,
    which: ArrayLike | None = None,
    sigma_A: float = SIGMA_A,
) -> NDArray[np.float32]:
    """Score atoms against a map, each by the definition above.

    Parameters
    ----------
    values_zyx
        float32 (z, y, x), read by trilinear interpolation on its own grid.
    voxel_size_zyx_A, origin_xyz_A
        Grid: voxel size per axis z, y, x and center of voxel (0, 0, 0), x, y, z.
    xyz_A
        (n, 3) positions x, y, z of all atoms but hydrogens: points nearer to any of them than to
        the atom in question are left out.
    which
        Indices or (n,) bool of the atoms to score; all by default.
    sigma_A
        Of the reference Gaussian.

    Returns
    -------
    NDArray[np.float32]
        (n,), or one per index of ``which``: -1 to 1. 0 where the density is flat; NaN for atoms
        outside the map, at the same place as another, or with more than 512 others within 4 A.
        Points outside the map are left out.

    Raises
    ------
    ValueError
        If a position is not finite, or sigma is not positive.
    """
    positions_zyx_A = np.asarray(xyz_A, np.float64).reshape(-1, 3)[:, ::-1] - origin_xyz_A[::-1]
    if not np.isfinite(positions_zyx_A).all():
        raise ValueError("an atom position is not finite; leave out atoms without coordinates")
    if not sigma_A > 0.0:
        raise ValueError(f"sigma {sigma_A} A of the reference Gaussian must be positive")
    wanted = np.zeros(len(positions_zyx_A), np.bool_)
    wanted[slice(None) if which is None else np.asarray(which)] = True
    scores = np.full(len(positions_zyx_A), np.nan, np.float32)
    voxel = np.array(voxel_size_zyx_A, np.float64)
    last_A = (np.array(values_zyx.shape) - 1) * voxel
    near = ((positions_zyx_A > -_CELL_A) & (positions_zyx_A < last_A + _CELL_A)).all(axis=1)
    rows = np.flatnonzero(near)
    if rows.size:
        key, strides = _cell_key(positions_zyx_A[rows])
        order = np.argsort(key, kind="stable")
        rows, key = rows[order], key[order]
        atoms = np.ascontiguousarray(positions_zyx_A[rows]), wanted[rows], key, strides
        spirals = _spirals()
        gaussian = np.exp(-0.5 * (np.arange(N_SHELLS) * SHELL_STEP_A / sigma_A) ** 2)
        layer = key // strides[0]
        ends = np.flatnonzero(np.diff(layer)) + 1
        for first, end in pairwise([0, *ends.tolist(), len(rows)]):
            scores[rows[first:end]] = _scores(
                values_zyx, voxel, *atoms, first, end, *spirals, gaussian
            )
            release(values_zyx)
    return scores if which is None else scores[np.asarray(which)]


def mean_by_residue(
    atom_score: NDArray[np.float32], residue_index: NDArray[np.int32], n_residues: int
) -> NDArray[np.float32]:
    """Return the mean score of the atoms of each residue.

    Parameters
    ----------
    atom_score
        (n,), NaN for atoms without a score, which do not count.
    residue_index
        (n,) row of the residue each atom belongs to, -1 for none.

    Returns
    -------
    NDArray[np.float32]
        (n_residues,), NaN for residues without a scored atom.
    """
    counted = (residue_index >= 0) & np.isfinite(atom_score)
    rows = residue_index[counted]
    count = np.bincount(rows, minlength=n_residues)
    total = np.bincount(rows, atom_score[counted], minlength=n_residues)
    mean = np.full(n_residues, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean.astype(np.float32)


def _spirals() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Directions of all spirals one after another, and where each begins (one more at the end)."""
    sizes = POINTS_PER_SHELL + 2 * np.arange(_N_SPIRALS)
    start = np.concatenate([[0], np.cumsum(sizes)])
    return np.concatenate([spiral(int(n)) for n in sizes]), start


def _cell_key(positions_zyx_A: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number of each atom's 4 A cell, and what a step along z and y adds; an empty rim around."""
    cell = np.floor((positions_zyx_A - positions_zyx_A.min(axis=0)) / _CELL_A).astype(np.int64) + 1
    _, ny, nx = cell.max(axis=0) + 2
    strides = np.array([ny * nx, nx, 1])
    return cell @ strides, strides


@njit(cache=True, nogil=True)
def trilinear_at(values_zyx: NDArray[np.float32], z: float, y: float, x: float) -> float:
    """Return the map at one position in voxels, NaN outside 0 to n - 1 on any axis."""
    nz, ny, nx = values_zyx.shape
    if not (0.0 <= z <= nz - 1 and 0.0 <= y <= ny - 1 and 0.0 <= x <= nx - 1):
        return np.nan
    i, j, k = int(z), int(y), int(x)
    # On the last plane the upper neighbor has weight 0, so any voxel may stand for it.
    i1, j1, k1 = min(i + 1, nz - 1), min(j + 1, ny - 1), min(k + 1, nx - 1)
    a, b, c = z - i, y - j, x - k
    low = (1.0 - b) * ((1.0 - c) * values_zyx[i, j, k] + c * values_zyx[i, j, k1]) + b * (
        (1.0 - c) * values_zyx[i, j1, k] + c * values_zyx[i, j1, k1]
    )
    high = (1.0 - b) * ((1.0 - c) * values_zyx[i1, j, k] + c * values_zyx[i1, j, k1]) + b * (
        (1.0 - c) * values_zyx[i1, j1, k] + c * values_zyx[i1, j1, k1]
    )
    return float((1.0 - a) * low + a * high)


@njit(cache=True, nogil=True)
def _neighbors(
    m: int,
    positions: NDArray[np.float64],
    key: NDArray[np.int64],
    strides: NDArray[np.int64],
    out: NDArray[np.float64],
) -> int:
    """Vectors to all atoms within 4 A of atom m, and how many; -1 if they do not fit."""
    found = 0
    for dz in range(-1, 2):
        for dy in range(-1, 2):
            row = key[m] + dz * strides[0] + dy * strides[1]
            first = np.searchsorted(key, row - 1)
            for j in range(first, key.shape[0]):
                if key[j] > row + 1:
                    break
                vz = positions[j, 0] - positions[m, 0]
                vy = positions[j, 1] - positions[m, 1]
                vx = positions[j, 2] - positions[m, 2]
                if j == m or vz * vz + vy * vy + vx * vx >= _CELL_A * _CELL_A:
                    continue
                if found == out.shape[0]:
                    return -1
                out[found, 0], out[found, 1], out[found, 2] = vz, vy, vx
                found += 1
    return found


@njit(cache=True, nogil=True)
def _own_radius(direction: NDArray[np.float64], neighbors: NDArray[np.float64]) -> float:
    """Distance along a direction up to which no neighbor is as near as the atom itself.

    A point at r u is nearer to the atom than to a neighbor at v if r u.v < v.v / 2.
    """
    radius = np.inf
    for j in range(neighbors.shape[0]):
        vz, vy, vx = neighbors[j, 0], neighbors[j, 1], neighbors[j, 2]
        along = direction[0] * vz + direction[1] * vy + direction[2] * vx
        half_square = 0.5 * (vz * vz + vy * vy + vx * vx)
        if along * radius > half_square:
            radius = half_square / along
        elif half_square == 0.0:
            return 0.0
    return radius


@njit(cache=True, nogil=True)
def _enough_points(
    shell_A: float,
    spiral_now: int,
    start: NDArray[np.int64],
    directions: NDArray[np.float64],
    near: NDArray[np.float64],
    radius: NDArray[np.float64],
) -> int:
    """First spiral from a given one with enough points of this shell, else the last.

    ``radius`` holds the own radius of each direction, NaN where it is not known yet.
    """
    while True:
        n_own = 0
        for k in range(start[spiral_now], start[spiral_now + 1]):
            if math.isnan(radius[k]):
                radius[k] = _own_radius(directions[k], near)
            n_own += radius[k] > shell_A
        if n_own >= POINTS_PER_SHELL or spiral_now == _N_SPIRALS - 1:
            return spiral_now
        spiral_now += 1


@njit(cache=True, nogil=True)
def _score(
    values_zyx: NDArray[np.float32],
    voxel: NDArray[np.float64],
    position: NDArray[np.float64],
    near: NDArray[np.float64],
    directions: NDArray[np.float64],
    start: NDArray[np.int64],
    gaussian: NDArray[np.float64],
    radius: NDArray[np.float64],
) -> float:
    """Score of one atom at z, y, x in A from voxel 0, with the vectors to its neighbors."""
    z, y, x = position
    center = trilinear_at(values_zyx, z / voxel[0], y / voxel[1], x / voxel[2])
    # Values are taken relative to the center's, so that a large offset does not cancel.
    n, sum_d, sum_g = POINTS_PER_SHELL, 0.0, POINTS_PER_SHELL * gaussian[0]
    sum_dd, sum_gg, sum_dg = 0.0, POINTS_PER_SHELL * gaussian[0] ** 2, 0.0
    spiral_now = 0
    for shell in range(1, gaussian.shape[0]):
        r, g = shell * SHELL_STEP_A, gaussian[shell]
        # A spiral with too few points of this shell has no more on the shells beyond.
        spiral_now = _enough_points(r, spiral_now, start, directions, near, radius)
        for k in range(start[spiral_now], start[spiral_now + 1]):
            if radius[k] <= r:
                continue
            density = trilinear_at(
                values_zyx,
                (z + r * directions[k, 0]) / voxel[0],
                (y + r * directions[k, 1]) / voxel[1],
                (x + r * directions[k, 2]) / voxel[2],
            )
            if math.isnan(density):
                continue
            d = density - center
            n += 1
            sum_d += d
            sum_g += g
            sum_dd += d * d
            sum_gg += g * g
            sum_dg += d * g
    if n == POINTS_PER_SHELL:
        return np.nan  # no point of its own
    variation = sum_dd - sum_d * sum_d / n
    if variation <= n * (_FLAT * center) ** 2:
        return 0.0
    spread = math.sqrt(variation * (sum_gg - sum_g * sum_g / n))
    return float((sum_dg - sum_d * sum_g / n) / spread)


@njit(cache=True, nogil=True)
def _scores(
    values_zyx: NDArray[np.float32],
    voxel: NDArray[np.float64],
    positions: NDArray[np.float64],
    wanted: NDArray[np.bool_],
    key: NDArray[np.int64],
    strides: NDArray[np.int64],
    first: int,
    end: int,
    directions: NDArray[np.float64],
    start: NDArray[np.int64],
    gaussian: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Score the wanted atoms from the first to the end.

    Positions are z, y, x in A from voxel 0, sorted by cell.
    """
    scores = np.full(end - first, np.nan, np.float32)
    vectors = np.empty((_MAX_NEIGHBORS, 3))
    radius = np.empty(directions.shape[0])
    last = (np.array(values_zyx.shape) - 1) * voxel
    for m in range(first, end):
        position = positions[m]
        if not (wanted[m] and (position >= 0.0).all() and (position <= last).all()):
            continue
        n_near = _neighbors(m, positions, key, strides, vectors)
        if n_near >= 0:
            radius[:] = np.nan
            scores[m - first] = _score(
                values_zyx, voxel, position, vectors[:n_near], directions, start, gaussian, radius
            )
    return scores
