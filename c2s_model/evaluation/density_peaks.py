"""C-alphas without any network: the places where the density is highest.

The bar that a prediction has to clear. Voxels are taken from the densest down, each one that lies
closer than a least distance to one already taken is left out (non-maximum suppression), and with
3 A, less than the 3.8 A between neighboring C-alphas, what remains follows the chain as beads do.
It knows nothing of proteins; what is counted as found by it was found by density alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

MIN_DISTANCE_A: Final = 3.0
_PER_CELL: Final = 1.0 / np.sqrt(3.0)
"""Side of a cell in least distances: one cell then holds at most one peak."""


@dataclass(frozen=True, eq=False)
class DensityPeaks:
    """Peaks, the densest first.

    Parameters
    ----------
    xyz_A : (n, 3) float64
        Positions x, y, z: centers of voxels.
    density : (n,) float32
        Their values.
    """

    xyz_A: NDArray[np.float64]
    density: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of peaks."""
        return len(self.xyz_A)

    def above(self, level: float) -> DensityPeaks:
        """Return the peaks of a density of `level` or more: those that `level` would have given."""
        n = int(np.searchsorted(-self.density, -level, side="right"))
        return DensityPeaks(self.xyz_A[:n], self.density[:n])


def density_peaks(
    values_zyx: NDArray[np.floating],
    *,
    origin_xyz_A: tuple[float, float, float],
    voxel_size_A: float = 1.0,
    level: float,
    min_distance_A: float = MIN_DISTANCE_A,
) -> DensityPeaks:
    """Return the densest voxels at least a distance apart.

    Parameters
    ----------
    values_zyx
        (z, y, x), finite.
    origin_xyz_A
        Center of voxel 0, 0, 0.
    voxel_size_A
        On each axis.
    level
        Least density of a peak.
    min_distance_A
        Two peaks are this far apart or farther. Equal densities go by z, then y, then x.

    Raises
    ------
    ValueError
        The values are no map or not finite, or a length is not positive.
    """
    values = np.asarray(values_zyx, np.float32)
    if values.ndim != 3 or not np.isfinite(values).all():
        raise ValueError(f"density of shape {values.shape}; finite values (z, y, x) are needed")
    if not (min_distance_A > 0 and voxel_size_A > 0):
        raise ValueError(
            f"distance {min_distance_A} A, voxel {voxel_size_A} A: both must be positive"
        )
    flat = values.reshape(-1)
    dense = np.flatnonzero(flat >= level)
    dense = dense[np.argsort(-flat[dense], kind="stable")]
    index = np.stack(np.unravel_index(dense, values.shape), axis=1).astype(np.int64)  # (n, 3) zyx
    # Rounding must not make two voxels that are exactly the distance apart too close.
    limit2 = (min_distance_A / voxel_size_A) ** 2 * (1 - 1e-9)
    kept = index[_suppressed(index, limit2, np.array(values.shape))]
    at = tuple(kept.T)
    return DensityPeaks(np.asarray(origin_xyz_A) + kept[:, ::-1] * voxel_size_A, values[at])


@njit(cache=True, nogil=True)
def _suppressed(
    index_zyx: NDArray[np.int64], limit2: float, shape: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which of (n, 3) voxels, in their order, are no closer than the limit to a kept one."""
    side = np.sqrt(limit2) * _PER_CELL
    cells = (shape / side).astype(np.int64) + 1
    owner = np.full((cells[0], cells[1], cells[2]), -1, np.int64)
    kept = np.zeros(len(index_zyx), np.bool_)
    for row in range(len(index_zyx)):
        z, y, x = index_zyx[row]
        cz, cy, cx = int(z / side), int(y / side), int(x / side)
        free = owner[cz, cy, cx] < 0
        for iz in range(max(0, cz - 2), min(cells[0], cz + 3)):
            for iy in range(max(0, cy - 2), min(cells[1], cy + 3)):
                for ix in range(max(0, cx - 2), min(cells[2], cx + 3)):
                    other = owner[iz, iy, ix]
                    if free and other >= 0:
                        oz, oy, ox = index_zyx[other]
                        apart2 = (z - oz) ** 2 + (y - oy) ** 2 + (x - ox) ** 2
                        free = apart2 >= limit2
        if free:
            owner[cz, cy, cx] = row
            kept[row] = True
    return kept
