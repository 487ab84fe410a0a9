"""Voxels near a voxel, from a list of voxels: columns along z, no array over the grid.

The list is sorted by x, then y, then z, as the published program walks; ``start[x, y]`` tells where
a column begins. Memory is that of the list and one number per column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_COLUMNS: Final = 2**26


class VoxelColumns(NamedTuple):
    """A sorted list of voxels.

    Parameters
    ----------
    order : (n,) int64
        Row in the list as given, of each voxel as sorted here.
    xy : (n, 2) int32
        Sorted voxel indices x, y, counted from the lowest on each axis.
    z : (n,) int32
        Likewise.
    start : (nx, ny + 1) int64
        Sorted voxels ``start[x, y]`` to ``start[x, y + 1]`` are those of column x, y.
    """

    order: NDArray[np.int64]
    xy: NDArray[np.int32]
    z: NDArray[np.int32]
    start: NDArray[np.int64]


def voxel_columns(index_zyx: NDArray[np.int32]) -> VoxelColumns:
    """Sort voxels by x, y, z.

    Raises
    ------
    ValueError
        A voxel stands twice in the list, or the list spans more than 2^26 columns.
    """
    index_zyx = np.ascontiguousarray(index_zyx, np.int32).reshape(-1, 3)
    n = len(index_zyx)
    if n == 0:
        nothing = np.zeros(0, np.int32)
        start = np.zeros((1, 2), np.int64)
        return VoxelColumns(np.zeros(0, np.int64), np.zeros((0, 2), np.int32), nothing, start)
    low_zyx, high_zyx = _bounds(index_zyx)
    nz, ny, nx = (int(b) - int(a) + 1 for a, b in zip(low_zyx, high_zyx, strict=True))
    if nx * ny > MAX_COLUMNS or nz > MAX_COLUMNS:
        raise ValueError(f"voxels that span {nz} x {ny} x {nx} (z, y, x) are not one map's")
    z = index_zyx[:, 0]
    by_z = np.arange(n) if (z[1:] >= z[:-1]).all() else np.argsort(z, kind="stable")
    columns = VoxelColumns(*_into_columns(index_zyx, by_z, low_zyx, nx, ny))
    twice = _first_repeated(columns.xy, columns.z)
    if twice >= 0:
        voxel = tuple(index_zyx[columns.order[twice]].tolist())
        raise ValueError(f"voxel {voxel} (z, y, x) is listed twice")
    return columns


def squared_reach(radius_A: float, voxel_size_A: float) -> int:
    """Return the largest squared distance in voxels within the radius, its rim included.

    Raises
    ------
    ValueError
        The radius is negative or not finite, or the voxel size not positive.
    """
    if not (np.isfinite(radius_A) and radius_A >= 0 and voxel_size_A > 0):
        raise ValueError(f"radius {radius_A} A, voxel {voxel_size_A} A: give positive lengths")
    # 2.0 A must reach voxels exactly 2.0 A away, whatever the rounding of the division.
    return int(np.floor((radius_A / voxel_size_A) ** 2 * (1 + 1e-9)))


@njit(cache=True, nogil=True)
def claim(
    columns: VoxelColumns, seeds: NDArray[np.int64], reach2: int, owner: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Let each seed that nobody owns own all unowned voxels within reach, one seed after another.

    Parameters
    ----------
    columns
        The voxels.
    seeds : (m,) int64
        Sorted voxels in the order in which they are tried.
    reach2
        Largest squared distance in voxels.
    owner : (n,) int32
        -1 on entry; receives the place of the owning seed in what is returned.

    Returns
    -------
    (k,) int64
        Seeds that succeeded, in the order given.
    """
    _, xy, heights, start = columns
    nx, ny = start.shape[0], start.shape[1] - 1
    reach = int(np.sqrt(reach2))
    leaders = np.empty(len(seeds), np.int64)
    found = 0
    for seed in seeds:
        if owner[seed] >= 0:
            continue
        leaders[found] = seed
        x, y, z = xy[seed, 0], xy[seed, 1], heights[seed]
        for cx in range(max(0, x - reach), min(nx, x + reach + 1)):
            left_x = reach2 - (cx - x) ** 2
            for cy in range(max(0, y - reach), min(ny, y + reach + 1)):
                left = left_x - (cy - y) ** 2
                if left < 0:
                    continue
                end = start[cx, cy + 1]
                for row in range(_first_from(heights, start[cx, cy], end, z - reach), end):
                    dz = heights[row] - z
                    if dz > reach:
                        break
                    if dz * dz <= left and owner[row] < 0:
                        owner[row] = found
        found += 1
    return leaders[:found].copy()


@njit(cache=True, nogil=True)
def sums_around(
    columns: VoxelColumns,
    centers: NDArray[np.int64],
    reach2: int,
    weight: NDArray[np.float32],
    values: tuple[NDArray[np.float32], ...],
    out: NDArray[np.float64],
    count: NDArray[np.int32],
) -> None:
    """Add up, around each center, weight x values of all voxels within reach.

    Parameters
    ----------
    columns
        The voxels.
    centers : (m,) int64
        Sorted voxels.
    weight : (n,) float32
        Of the voxels as given, before sorting.
    values : tuple of (n, k) float32
        Likewise.
    out : (m, 4 + all k) float64
        Receives sum of weights, of weight x (x, y, z) and of weight x values.
    count : (m,) int32
        Receives the number of voxels.
    """
    order, xy, heights, start = columns
    nx, ny = start.shape[0], start.shape[1] - 1
    reach = int(np.sqrt(reach2))
    for number, center in enumerate(centers):
        x, y, z = xy[center, 0], xy[center, 1], heights[center]
        for cx in range(max(0, x - reach), min(nx, x + reach + 1)):
            left_x = reach2 - (cx - x) ** 2
            for cy in range(max(0, y - reach), min(ny, y + reach + 1)):
                left = left_x - (cy - y) ** 2
                if left < 0:
                    continue
                end = start[cx, cy + 1]
                for row in range(_first_from(heights, start[cx, cy], end, z - reach), end):
                    dz = heights[row] - z
                    if dz > reach:
                        break
                    if dz * dz <= left:
                        count[number] += 1
                        given = order[row]
                        _add(cx, cy, heights[row], weight[given], values, given, out[number])


@njit(cache=True, nogil=True)
def sums_of_owners(
    columns: VoxelColumns,
    owner: NDArray[np.int32],
    values: tuple[NDArray[np.float32], ...],
    out: NDArray[np.float64],
    count: NDArray[np.int32],
) -> None:
    """Add up, with weights of 1, the voxels that each seed owns; otherwise as `sums_around`."""
    order, xy, heights, _ = columns
    for row in range(len(owner)):
        number = owner[row]
        count[number] += 1
        _add(xy[row, 0], xy[row, 1], heights[row], 1.0, values, order[row], out[number])


@njit(cache=True, nogil=True, inline="always")
def _add(
    x: int,
    y: int,
    z: int,
    weight: float,
    values: tuple[NDArray[np.float32], ...],
    given: int,
    total: NDArray[np.float64],
) -> None:
    total[0] += weight
    total[1] += weight * x
    total[2] += weight * y
    total[3] += weight * z
    place = 4
    for one in values:
        for k in range(one.shape[1]):
            total[place + k] += weight * one[given, k]
        place += one.shape[1]


@njit(cache=True, nogil=True)
def _first_from(heights: NDArray[np.int32], low: int, high: int, z: int) -> int:
    """Return the first voxel of a column at or above z."""
    while low < high:
        middle = (low + high) // 2
        if heights[middle] < z:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _into_columns(
    index_zyx: NDArray[np.int32],
    by_z: NDArray[np.int64],
    low_zyx: NDArray[np.int32],
    nx: int,
    ny: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Deal voxels, which come by rising z, into columns: a counting sort."""
    n = len(index_zyx)
    fill = np.zeros(nx * ny + 1, np.int64)
    for row in range(n):
        x, y = index_zyx[row, 2] - low_zyx[2], index_zyx[row, 1] - low_zyx[1]
        fill[x * ny + y + 1] += 1
    fill = np.cumsum(fill)
    start = np.empty((nx, ny + 1), np.int64)
    for x in range(nx):
        start[x] = fill[x * ny : (x + 1) * ny + 1]
    order = np.empty(n, np.int64)
    xy, z = np.empty((n, 2), np.int32), np.empty(n, np.int32)
    for row in by_z:
        x, y = index_zyx[row, 2] - low_zyx[2], index_zyx[row, 1] - low_zyx[1]
        place = fill[x * ny + y]
        fill[x * ny + y] = place + 1
        order[place] = row
        xy[place, 0], xy[place, 1] = x, y
        z[place] = index_zyx[row, 0] - low_zyx[0]
    return order, xy, z, start


@njit(cache=True, nogil=True)
def _bounds(index_zyx: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    low, high = index_zyx[0].copy(), index_zyx[0].copy()
    for row in range(len(index_zyx)):
        for axis in range(3):
            low[axis] = min(low[axis], index_zyx[row, axis])
            high[axis] = max(high[axis], index_zyx[row, axis])
    return low, high


@njit(cache=True, nogil=True)
def _first_repeated(xy: NDArray[np.int32], z: NDArray[np.int32]) -> int:
    for row in range(1, len(z)):
        same = xy[row, 0] == xy[row - 1, 0] and xy[row, 1] == xy[row - 1, 1]
        if same and z[row] == z[row - 1]:
            return row
    return -1
