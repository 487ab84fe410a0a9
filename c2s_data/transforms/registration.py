"""Whether a model would fit its map better nearby: shifts tried on the density at its atoms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numba import njit

from c2s_data.transforms.paging import batches
from c2s_data.transforms.q_score import trilinear_at

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Triple = tuple[float, float, float]

REACH_A: Final = 4.0
STEP_A: Final = 1.0


class ShiftSearch(NamedTuple):
    """The best of all shifts of a set of points.

    Parameters
    ----------
    shift_xyz_A : (3,) float64
        To add to the positions, x, y, z.
    at_rest, at_best : float
        Mean density, less the offset, at the points as given and after the shift.
    """

    shift_xyz_A: NDArray[np.float64]
    at_rest: float
    at_best: float

    @property
    def length_A(self) -> float:
        """Length of the shift."""
        return float(np.linalg.norm(self.shift_xyz_A))

    @property
    def gain(self) -> float:
        """By which share the shift raises the density; infinite where it was not above the offset.

        0.0 where no shift does better.
        """
        if self.at_best <= self.at_rest:
            return 0.0
        return self.at_best / self.at_rest - 1.0 if self.at_rest > 0.0 else math.inf


def best_shift(
    values_zyx: NDArray[np.float32],
    voxel_size_zyx_A: Triple,
    origin_xyz_A: Triple,
    xyz_A: ArrayLike,
    *,
    offset: float,
    reach_A: float = REACH_A,
    step_A: float = STEP_A,
) -> ShiftSearch:
    """Try all shifts of points on a cubic lattice and return the one with the highest density.

    Parameters
    ----------
    values_zyx
        float32 (z, y, x), interpolated trilinearly on its own grid.
    voxel_size_zyx_A, origin_xyz_A
        Grid: voxel size per axis z, y, x and center of voxel (0, 0, 0), x, y, z.
    xyz_A
        (n, 3) positions x, y, z; those that are not finite do not count.
    offset
        Density of nothing, the mean of the map: what a point outside the map has, and what the
        density is measured from, so that the gain is the same for a map plus any constant.
    reach_A, step_A
        Shifts go from -reach to +reach along each axis.

    Returns
    -------
    ShiftSearch
        The shortest shift on a tie; zero without any point.
    """
    positions = np.asarray(xyz_A, np.float64).reshape(-1, 3)
    positions = positions[np.isfinite(positions).all(axis=1)]
    if not len(positions):
        return ShiftSearch(np.zeros(3), 0.0, 0.0)
    voxel = np.array(voxel_size_zyx_A, np.float64)
    points = np.ascontiguousarray((positions - origin_xyz_A)[:, ::-1])
    n = round(reach_A / step_A)
    shifts_A = np.arange(-n, n + 1, dtype=np.float64) * step_A
    density = np.zeros((2 * n + 1,) * 3)
    planes, rows, _ = 2 * reach_A / voxel + 2
    for some in batches(len(points), values_zyx, planes, rows):
        _add_density(values_zyx, voxel, points[some], shifts_A, offset, density)
    density /= len(points)
    lattice = np.stack(np.meshgrid(shifts_A, shifts_A, shifts_A, indexing="ij"), axis=-1)
    near_first = np.argsort((lattice.reshape(-1, 3) ** 2).sum(axis=1), kind="stable")
    best = near_first[np.argmax(density.reshape(-1)[near_first])]
    shift_zyx_A = lattice.reshape(-1, 3)[best]
    return ShiftSearch(shift_zyx_A[::-1].copy(), float(density[n, n, n]), float(density.max()))


@njit(cache=True, nogil=True)
def _add_density(
    values_zyx: NDArray[np.float32],
    voxel: NDArray[np.float64],
    points: NDArray[np.float64],
    shifts_A: NDArray[np.float64],
    offset: float,
    total: NDArray[np.float64],
) -> None:
    """Add the density less the offset at all points, per shift z, y, x."""
    n = shifts_A.shape[0]
    for m in range(points.shape[0]):
        for i in range(n):
            z = (points[m, 0] + shifts_A[i]) / voxel[0]
            for j in range(n):
                y = (points[m, 1] + shifts_A[j]) / voxel[1]
                for k in range(n):
                    x = (points[m, 2] + shifts_A[k]) / voxel[2]
                    density = trilinear_at(values_zyx, z, y, x)
                    if not math.isnan(density):
                        total[i, j, k] += density - offset
