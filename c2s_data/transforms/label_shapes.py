"""Labels of other shapes than single voxels: spheres, Gaussians, offset vectors, weights.

All are functions of the float coordinates and of one voxel at a time, so a window of a map is
labeled without the rest of it and equals that part of the whole to the last bit. The central
question is which atom a voxel belongs to: `sphere_owners` and `voxel_owners` answer it with the row
of the atom, and whatever an atom has (class, residue, weight, its distance) is then painted.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import numpy as np
from numba import njit

from c2s_data.transforms.label import voxel_index
from c2s_data.transforms.label_window import (
    Grid,
    Window,
    relative_positions_zyx_A,
    voxel_bounds,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Scalar = TypeVar("Scalar", bound=np.generic)

NOBODY: Final = -1
"""Owner of a voxel that belongs to no atom."""
GAUSSIAN_CUTOFF_SIGMA: Final = 4.0
"""A Gaussian ends at this distance, where it has fallen to 0.0003."""


def sphere_owners(
    xyz_A: ArrayLike, grid: Grid, window: Window | None = None, *, radius_A: float
) -> NDArray[np.int32]:
    """Return for each voxel the nearest atom within a radius of the voxel's center.

    Parameters
    ----------
    xyz_A
        (n, 3) finite positions x, y, z in A.
    grid, window
        The map, and the part of it to label; None for the whole.
    radius_A
        An atom exactly that far away counts. Of atoms equally near the first row wins.

    Returns
    -------
    NDArray[np.int32]
        (z, y, x) of the window: row of the atom, `NOBODY` where none is near.

    Raises
    ------
    ValueError
        If a position is not finite, or radius, voxel size or a side is not positive.
    """
    window = window or grid.whole
    relative_zyx_A = relative_positions_zyx_A(xyz_A, grid, window)
    if not (math.isfinite(radius_A) and radius_A > 0):
        raise ValueError(f"radius {radius_A} A must be a positive number")
    owner = np.full(window.shape_zyx, NOBODY, np.int32)
    nearest = np.full(window.shape_zyx, np.inf)
    bounds = voxel_bounds(grid, window)
    _own(relative_zyx_A, np.array(grid.voxel_size_zyx_A), bounds, radius_A, nearest, owner)
    return owner


def voxel_owners(xyz_A: ArrayLike, grid: Grid, window: Window | None = None) -> NDArray[np.int32]:
    """Return for each voxel the atom whose nearest voxel it is, by the label rule ``nearest``.

    Where several atoms share one, the nearest to its center owns it, the first row among equals.
    Parameters, result and errors as for `sphere_owners`.
    """
    window = window or grid.whole
    relative_zyx_A = relative_positions_zyx_A(xyz_A, grid, window)
    voxel_zyx_A = np.array(grid.voxel_size_zyx_A)
    index = voxel_index(relative_zyx_A[:, ::-1], (0.0, 0.0, 0.0), voxel_zyx_A, "nearest")
    low, high, _ = voxel_bounds(grid, window)
    rows = np.flatnonzero(((index >= low) & (index < high)).all(axis=1))
    index = index[rows]
    distance_A = np.linalg.norm(index * voxel_zyx_A - relative_zyx_A[rows], axis=1)
    order = np.lexsort((rows, distance_A))[::-1]  # the last one written stays
    owner = np.full(window.shape_zyx, NOBODY, np.int32)
    owner[tuple((index[order] - window.corner_zyx).T)] = rows[order]
    return owner


def painted(
    owner_zyx: NDArray[np.int32], value: NDArray[Scalar], fill: float = 0
) -> NDArray[Scalar]:
    """Give each owned voxel the value of its atom, and `fill` to the others.

    Parameters
    ----------
    owner_zyx
        (z, y, x) from `sphere_owners` or `voxel_owners`.
    value
        (n,) of the atoms: a class as uint8, a weight as float32, ...

    Returns
    -------
    NDArray
        (z, y, x), dtype of `value`.
    """
    out = np.full(owner_zyx.size, fill, value.dtype)
    owner = owner_zyx.ravel()
    owned = np.flatnonzero(owner != NOBODY)
    out[owned] = value[owner[owned]]
    return out.reshape(owner_zyx.shape)


def offsets_voxel(
    owner_zyx: NDArray[np.int32], xyz_A: ArrayLike, grid: Grid, window: Window | None = None
) -> NDArray[np.float32]:
    """Return the way from each owned voxel's center to its atom, in voxels.

    A detector that finds the voxel adds it to the index: ``(index_zyx + offset_zyx) *
    voxel_size_zyx_A`` is the atom's place, z y x from the origin. At the nearest voxel it is at
    most 0.5 along each axis.

    Parameters
    ----------
    owner_zyx
        (z, y, x) of the window, from `sphere_owners` or `voxel_owners` with the same arguments.
    xyz_A, grid, window
        As there.

    Returns
    -------
    NDArray[np.float32]
        (3, z, y, x), the components along z, y and x; 0 where nobody owns the voxel.
    """
    window = window or grid.whole
    relative_zyx_A = relative_positions_zyx_A(xyz_A, grid, window)
    out = np.zeros((3, owner_zyx.size), np.float32)
    owner = owner_zyx.ravel()
    owned = np.flatnonzero(owner != NOBODY)
    atom_voxel = relative_zyx_A[owner[owned]] / grid.voxel_size_zyx_A
    for axis, place in enumerate(np.unravel_index(owned, owner_zyx.shape)):
        out[axis, owned] = atom_voxel[:, axis] - (place + window.corner_zyx[axis])
    return out.reshape(3, *owner_zyx.shape)


def gaussian_maps(
    xyz_A: ArrayLike,
    channel: ArrayLike,
    n_channels: int,
    grid: Grid,
    window: Window | None = None,
    *,
    sigma_A: float,
    combine: Literal["max", "sum"] = "max",
) -> NDArray[np.float32]:
    """Return a Gaussian of height 1 at every atom, one channel a class.

    Parameters
    ----------
    xyz_A
        (n, 3) finite positions x, y, z in A.
    channel
        (n,) channel of each atom, 0 to ``n_channels - 1``.
    n_channels
        How many channels there are.
    grid, window
        The map, and the part of it to label; None for the whole.
    sigma_A
        Standard deviation: ``exp(-d^2 / (2 sigma^2))`` at distance d, 0 beyond
        `GAUSSIAN_CUTOFF_SIGMA` of them.
    combine
        Where several atoms of a channel reach: the greatest, or their sum in the order of rows.

    Returns
    -------
    NDArray[np.float32]
        (channel, z, y, x) of the window.

    Raises
    ------
    ValueError
        As `sphere_owners`, or if a channel is out of range or `combine` is neither.
    """
    window = window or grid.whole
    relative_zyx_A = relative_positions_zyx_A(xyz_A, grid, window)
    channels = np.asarray(channel, np.int64)
    if not (math.isfinite(sigma_A) and sigma_A > 0):
        raise ValueError(f"sigma {sigma_A} A must be a positive number")
    if combine not in ("max", "sum"):
        raise ValueError(f"combine={combine!r} is neither 'max' nor 'sum'")
    if channels.shape != relative_zyx_A.shape[:1]:
        raise ValueError(f"{channels.shape} channels for {len(relative_zyx_A)} atoms")
    if channels.size and not 0 <= channels.min() <= channels.max() < n_channels:
        raise ValueError(f"channels {channels.min()} to {channels.max()} of {n_channels}")
    out = np.zeros((n_channels, *window.shape_zyx), np.float32)
    voxel_zyx_A, bounds = np.array(grid.voxel_size_zyx_A), voxel_bounds(grid, window)
    _add_gaussians(relative_zyx_A, channels, voxel_zyx_A, bounds, sigma_A, combine == "sum", out)
    return out


@njit(cache=True, nogil=True)
def _span(center_A: float, reach_A: float, voxel_A: float, low: int, high: int) -> tuple[int, int]:
    """Return first and end of the voxels `low` to `high` that may lie within reach on one axis."""
    # A hair more than the reach, since the distance decides and not this division; compared as
    # floats, since an absurd position has no integer voxel.
    first = np.ceil((center_A - reach_A) / voxel_A - 1e-6)
    last = np.floor((center_A + reach_A) / voxel_A + 1e-6)
    if last < low or first >= high:
        return 0, 0
    return int(max(first, low)), int(min(last, high - 1)) + 1


@njit(cache=True, nogil=True)
def _own(
    relative_zyx_A: NDArray[np.float64],
    voxel_zyx_A: NDArray[np.float64],
    bounds: NDArray[np.int64],
    radius_A: float,
    nearest: NDArray[np.float64],
    owner: NDArray[np.int32],
) -> None:
    low, high, corner = bounds[0], bounds[1], bounds[2]
    limit = radius_A * radius_A
    for row in range(relative_zyx_A.shape[0]):
        az, ay, ax = relative_zyx_A[row]
        z0, z1 = _span(az, radius_A, voxel_zyx_A[0], low[0], high[0])
        y0, y1 = _span(ay, radius_A, voxel_zyx_A[1], low[1], high[1])
        x0, x1 = _span(ax, radius_A, voxel_zyx_A[2], low[2], high[2])
        for z in range(z0, z1):
            dz = z * voxel_zyx_A[0] - az
            for y in range(y0, y1):
                dy = y * voxel_zyx_A[1] - ay
                for x in range(x0, x1):
                    dx = x * voxel_zyx_A[2] - ax
                    square = dz * dz + dy * dy + dx * dx
                    i, j, k = z - corner[0], y - corner[1], x - corner[2]
                    if square <= limit and square < nearest[i, j, k]:
                        nearest[i, j, k] = square
                        owner[i, j, k] = row


@njit(cache=True, nogil=True)
def _add_gaussians(
    relative_zyx_A: NDArray[np.float64],
    channel: NDArray[np.int64],
    voxel_zyx_A: NDArray[np.float64],
    bounds: NDArray[np.int64],
    sigma_A: float,
    is_sum: bool,
    out: NDArray[Any],
) -> None:
    low, high, corner = bounds[0], bounds[1], bounds[2]
    reach_A = GAUSSIAN_CUTOFF_SIGMA * sigma_A
    for row in range(relative_zyx_A.shape[0]):
        az, ay, ax = relative_zyx_A[row]
        values = out[channel[row]]
        z0, z1 = _span(az, reach_A, voxel_zyx_A[0], low[0], high[0])
        y0, y1 = _span(ay, reach_A, voxel_zyx_A[1], low[1], high[1])
        x0, x1 = _span(ax, reach_A, voxel_zyx_A[2], low[2], high[2])
        for z in range(z0, z1):
            dz = z * voxel_zyx_A[0] - az
            for y in range(y0, y1):
                dy = y * voxel_zyx_A[1] - ay
                for x in range(x0, x1):
                    dx = x * voxel_zyx_A[2] - ax
                    square = dz * dz + dy * dy + dx * dx
                    if square <= reach_A * reach_A:
                        value = np.float32(np.exp(-square / (2.0 * sigma_A * sigma_A)))
                        i, j, k = z - corner[0], y - corner[1], x - corner[2]
                        old = values[i, j, k]
                        values[i, j, k] = old + value if is_sum else max(old, value)
