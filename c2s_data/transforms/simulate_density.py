"""The density of a model at a given resolution, on any grid, and solvent noise to put around it.

Each atom is one Gaussian whose integral is its weight (atomic number, for density that resembles
the real one) and whose width follows the resolution: ``sigma = resolution / (pi sqrt 2)``, about
0.225 of it, as in the ``molmap`` command of ChimeraX. With it the Fourier transform of an atom
falls to 1/e at the wave number 1/resolution.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit
from scipy.ndimage import gaussian_filter

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Triple = tuple[float, float, float]

CUTOFF_SIGMA: Final = 5.0
"""An atom reaches this many sigma along each axis; 1.7e-6 of its integral lies beyond."""


def sigma_of_resolution_A(resolution_A: float) -> float:
    """Standard deviation, A, of the Gaussian that stands for one atom at a resolution in A."""
    if not (math.isfinite(resolution_A) and resolution_A > 0.0):
        raise ValueError(f"resolution {resolution_A} A must be a positive number")
    return resolution_A / (math.pi * math.sqrt(2.0))


def simulate_density(
    xyz_A: ArrayLike,
    weight: ArrayLike,
    resolution_A: float,
    *,
    shape_zyx: tuple[int, int, int],
    voxel_size_zyx_A: Triple,
    origin_xyz_A: Triple,
) -> NDArray[np.float32]:
    """Sum of one Gaussian per atom, evaluated at the centers of the voxels.

    Parameters
    ----------
    xyz_A
        (n, 3), x, y, z in A. Atoms outside the grid add what reaches into it.
    weight
        (n,) or one number: the integral of an atom's density over space, in units of its own.
    resolution_A
        See `sigma_of_resolution_A`.
    shape_zyx, voxel_size_zyx_A
        The grid, per axis z, y, x.
    origin_xyz_A
        Center of voxel (0, 0, 0), x, y, z in A.

    Returns
    -------
    NDArray[np.float32]
        (z, y, x), weight per cubic A.

    Raises
    ------
    ValueError
        If a position is not finite, or resolution, shape or voxel size is not positive.
    """
    positions_zyx = np.ascontiguousarray(np.asarray(xyz_A, np.float64).reshape(-1, 3)[:, ::-1])
    if not np.isfinite(positions_zyx).all():
        raise ValueError("an atom position is not finite; leave out atoms without coordinates")
    weights = np.broadcast_to(np.asarray(weight, np.float64), positions_zyx.shape[:1])
    voxel = _checked_voxel_size(voxel_size_zyx_A)
    if min(shape_zyx) < 1:
        raise ValueError(f"shape {shape_zyx} must be positive along each axis")
    out = np.zeros(shape_zyx, np.float32)
    start_zyx = np.array(origin_xyz_A[::-1], np.float64)
    sigma_A = sigma_of_resolution_A(resolution_A)
    _add_atoms(positions_zyx - start_zyx, weights.copy(), sigma_A, voxel, out)
    return out


def solvent_box(
    xyz_A: ArrayLike, voxel_size_zyx_A: Triple, *, volume_ratio: float = 5.0
) -> tuple[tuple[int, int, int], Triple]:
    """A grid around atoms with an equal margin on all sides and three unequal side lengths.

    Parameters
    ----------
    xyz_A
        (n, 3), x, y, z in A.
    voxel_size_zyx_A
        Per axis z, y, x.
    volume_ratio
        The box has at least this many times the volume of the atoms' bounding box (whose sides
        count as 1 A or more).

    Returns
    -------
    shape_zyx : tuple of int
        Three different numbers of voxels.
    origin_xyz_A : tuple of float
        Center of voxel (0, 0, 0), x, y, z; the atoms' bounding box is centered in the grid.

    Raises
    ------
    ValueError
        If there is no atom, the ratio is below 1 or a voxel size is not positive.
    """
    positions = np.asarray(xyz_A, np.float64).reshape(-1, 3)
    voxel = _checked_voxel_size(voxel_size_zyx_A)
    if positions.shape[0] == 0 or not volume_ratio >= 1.0:
        raise ValueError("a solvent box needs at least one atom and a volume ratio of 1 or more")
    low, high = positions.min(axis=0), positions.max(axis=0)
    extent_xyz_A = np.maximum(high - low, 1.0)
    sides_xyz_A = extent_xyz_A + 2.0 * _margin_A(extent_xyz_A, volume_ratio)
    shape = [math.ceil(side / step) for side, step in zip(sides_xyz_A[::-1], voxel, strict=True)]
    for axis in (1, 2):
        while shape[axis] in shape[:axis]:
            shape[axis] += 1
    span_xyz_A = ((np.array(shape) - 1) * voxel)[::-1]
    x, y, z = ((low + high - span_xyz_A) / 2.0).tolist()
    return (shape[0], shape[1], shape[2]), (x, y, z)


def solvent_noise(
    rng: np.random.Generator,
    shape_zyx: tuple[int, int, int],
    voxel_size_zyx_A: Triple,
    *,
    resolution_A: float,
    sd: float,
) -> NDArray[np.float32]:
    """Gaussian noise without detail beyond the resolution: what surrounds a particle in a map.

    White noise is smoothed by the Gaussian of `simulate_density`, periodically, so that its
    spectrum falls off as that of the density does.

    Returns
    -------
    NDArray[np.float32]
        (z, y, x); mean 0 and standard deviation ``sd`` over the box.
    """
    voxel = _checked_voxel_size(voxel_size_zyx_A)
    white = rng.standard_normal(shape_zyx, dtype=np.float32)
    smooth = gaussian_filter(
        white, sigma_of_resolution_A(resolution_A) / voxel, mode="wrap", truncate=CUTOFF_SIGMA
    )
    smooth -= smooth.mean(dtype=np.float64)
    smooth *= sd / smooth.std(dtype=np.float64)
    return smooth


def _checked_voxel_size(voxel_size_zyx_A: Triple) -> NDArray[np.float64]:
    voxel = np.array(voxel_size_zyx_A, np.float64)
    if not (np.isfinite(voxel) & (voxel > 0.0)).all():
        raise ValueError(f"voxel size {voxel_size_zyx_A} A must be positive along each axis")
    return voxel


def _margin_A(extent_A: NDArray[np.float64], volume_ratio: float) -> float:
    """Positive root t of prod(extent + 2 t) = ratio * prod(extent)."""
    a, b, c = extent_A
    volume = a * b * c
    roots = np.roots(
        [8.0, 4.0 * (a + b + c), 2.0 * (a * b + b * c + c * a), volume * (1.0 - volume_ratio)]
    )
    return float(roots.real[np.abs(roots.imag) < 1e-9 * np.abs(roots).max()].max())


@njit(cache=True, nogil=True)
def _gaussian_1d(
    center_A: float, step_A: float, sigma_A: float, n: int
) -> tuple[int, NDArray[np.float64]]:
    """First voxel within the cutoff, and the normalized Gaussian from it on, cut to the grid."""
    reach_A = CUTOFF_SIGMA * sigma_A
    first = max(0, int(np.ceil((center_A - reach_A) / step_A)))
    last = min(n - 1, int(np.floor((center_A + reach_A) / step_A)))
    values = np.empty(max(0, last - first + 1))
    scale = 1.0 / (np.sqrt(2.0 * np.pi) * sigma_A)
    for k in range(values.shape[0]):
        offset = ((first + k) * step_A - center_A) / sigma_A
        values[k] = scale * np.exp(-0.5 * offset * offset)
    return first, values


@njit(cache=True, nogil=True)
def _add_atoms(
    positions_zyx_A: NDArray[np.float64],
    weight: NDArray[np.float64],
    sigma_A: float,
    voxel_zyx_A: NDArray[np.float64],
    out_zyx: NDArray[np.float32],
) -> None:
    """Add the product of three one-dimensional Gaussians per atom, positions from voxel 0."""
    nz, ny, nx = out_zyx.shape
    for m in range(positions_zyx_A.shape[0]):
        z0, along_z = _gaussian_1d(positions_zyx_A[m, 0], voxel_zyx_A[0], sigma_A, nz)
        y0, along_y = _gaussian_1d(positions_zyx_A[m, 1], voxel_zyx_A[1], sigma_A, ny)
        x0, along_x = _gaussian_1d(positions_zyx_A[m, 2], voxel_zyx_A[2], sigma_A, nx)
        for i in range(along_z.shape[0]):
            for j in range(along_y.shape[0]):
                factor = weight[m] * along_z[i] * along_y[j]
                for k in range(along_x.shape[0]):
                    out_zyx[z0 + i, y0 + j, x0 + k] += factor * along_x[k]
