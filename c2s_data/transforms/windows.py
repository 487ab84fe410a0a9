"""Where the subgrids of a map lie: paper, "Grid Division".

Per axis, window k has its core on [core * k, core * (k + 1)) and reaches a margin of
(box - core) / 2 beyond it on both sides, so it starts at ``core * k - margin``. The cores tile the
map; the last ones and all margins may stick out, where the map counts as zero.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Shape = tuple[int, int, int]


def n_windows(shape_zyx: Shape, core: int) -> int:
    """Return how many subgrids a map has: the product of ceil(n / core) over the axes.

    Raises
    ------
    ValueError
        If a side or `core` is less than 1.
    """
    nz, ny, nx = windows_per_axis(shape_zyx, core)
    return nz * ny * nx


def windows_per_axis(shape_zyx: Shape, core: int) -> tuple[int, int, int]:
    """Return ceil(n / core) for each axis, (z, y, x); raises as `n_windows`."""
    if core < 1 or min(shape_zyx) < 1:
        raise ValueError(
            f"core {core} and map shape {tuple(shape_zyx)} must be at least 1 everywhere"
        )
    nz, ny, nx = (-(-n // core) for n in shape_zyx)
    return nz, ny, nx


def margin_of(box: int, core: int) -> int:
    """Return (box - core) / 2, how far a window reaches beyond its core.

    Raises
    ------
    ValueError
        If `core` is less than 1 or larger than `box`, or the difference is odd.
    """
    if core < 1 or core > box or (box - core) % 2:
        raise ValueError(
            f"box {box} and core {core}: the core must be 1 to box, their difference even"
        )
    return (box - core) // 2


def voxels_in_windows(shape_zyx: Shape, box: int, core: int) -> int:
    """Return how many voxels of the map all windows hold together; margins beyond it hold none.

    Raises
    ------
    ValueError
        If the sides do not fit each other or the map is empty.
    """
    margin = margin_of(box, core)
    total = 1
    for side, n in zip(shape_zyx, windows_per_axis(shape_zyx, core), strict=True):
        starts = core * np.arange(n) - margin
        total *= int((np.minimum(starts + box, side) - np.maximum(starts, 0)).sum())
    return total


def window_corners(shape_zyx: Shape, box: int, core: int) -> NDArray[np.int32]:
    """Return the first voxel of every window, in the published order.

    Parameters
    ----------
    shape_zyx
        Shape of the map in voxels, (z, y, x).
    box, core
        Sides of the window and of its core in voxels.

    Returns
    -------
    NDArray[np.int32]
        (n, 3) corners, z y x, negative in the first windows; axis 0 (z) varies fastest and axis 2
        slowest, as in the file numbers of the published programs.

    Raises
    ------
    ValueError
        If the sides do not fit each other or the map is empty.
    """
    margin = margin_of(box, core)
    nz, ny, nx = windows_per_axis(shape_zyx, core)
    x, y, z = np.meshgrid(np.arange(nx), np.arange(ny), np.arange(nz), indexing="ij")
    steps = np.stack([z.ravel(), y.ravel(), x.ravel()], axis=1)
    return (steps * core - margin).astype(np.int32)


def count_in_windows(
    index_zyx: NDArray[np.int32], shape_zyx: Shape, box: int, core: int
) -> NDArray[np.int32]:
    """Count the given voxels in each window, margins included.

    Parameters
    ----------
    index_zyx
        (m, 3) voxel indices, z y x, inside the map, in any order; one given twice counts twice.
    shape_zyx
        Shape of the map in voxels.
    box, core
        Sides of the window and of its core in voxels; ``count_in_windows(..., core, core)``
        counts in the cores.

    Returns
    -------
    NDArray[np.int32]
        (n,) counts in the order of `window_corners`.

    Raises
    ------
    ValueError
        If a voxel lies outside the map or the sides do not fit each other.
    """
    margin = margin_of(box, core)
    per_axis = np.array(windows_per_axis(shape_zyx, core), dtype=np.int64)
    index = check_inside(index_zyx, shape_zyx)
    # Window k holds voxel i when core * k - margin <= i < core * k - margin + box.
    first = np.maximum(-((box - 1 - margin - index) // core), 0)
    last = np.minimum((index + margin) // core, per_axis - 1)
    counts = np.zeros(int(per_axis.prod()), dtype=np.int32)
    _count(first, last, per_axis, counts)
    return counts


def occupied_first(n_ca: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the order that puts windows holding a C-alpha first, each part in published order.

    Parameters
    ----------
    n_ca
        (n,) number of C-alphas in each window, published order.

    Returns
    -------
    NDArray[np.int64]
        (n,) permutation: entry r is the published number of the window stored in row r.
    """
    return np.argsort(n_ca == 0, kind="stable").astype(np.int64)


def check_inside(index_zyx: NDArray[np.int32], shape_zyx: Shape) -> NDArray[np.int64]:
    """Return (m, 3) voxel indices as int64; raise ValueError where one is outside the map."""
    index = np.asarray(index_zyx, dtype=np.int64)
    if index.ndim != 2 or index.shape[1] != 3:
        raise ValueError(f"expected (m, 3) voxel indices, got shape {index.shape}")
    outside = np.any((index < 0) | (index >= np.array(shape_zyx)), axis=1)
    if outside.any():
        raise ValueError(
            f"{int(outside.sum())} of {len(index)} voxels are outside the map of shape "
            f"{tuple(shape_zyx)}, first {index[outside][0].tolist()}; drop them before"
        )
    return index


@njit(cache=True, nogil=True)
def _count(
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    per_axis: NDArray[np.int64],
    counts: NDArray[np.int32],
) -> None:
    for p in range(first.shape[0]):
        for x in range(first[p, 2], last[p, 2] + 1):
            for y in range(first[p, 1], last[p, 1] + 1):
                row = (x * per_axis[1] + y) * per_axis[0]
                for z in range(first[p, 0], last[p, 0] + 1):
                    counts[row + z] += 1
