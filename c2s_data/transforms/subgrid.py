"""Cut a map into subgrids and put their cores together again: paper, "Grid Division"."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from c2s_data.transforms.windows import (
    Shape,
    count_in_windows,
    margin_of,
    n_windows,
    occupied_first,
    window_corners,
)

__all__ = [
    "count_in_windows",
    "extract",
    "n_windows",
    "occupied_first",
    "scatter_labels",
    "stitch",
    "stitch_into",
    "window_corners",
]

Scalar = TypeVar("Scalar", bound=np.generic)


def extract(
    values_zyx: NDArray[Scalar],
    corners_zyx: NDArray[np.int32],
    box: int,
    out: NDArray[Scalar] | None = None,
) -> NDArray[Scalar]:
    """Copy windows out of a map; what sticks out of it is zero.

    Parameters
    ----------
    values_zyx
        (z, y, x) map of any plain type of 1, 2, 4 or 8 bytes.
    corners_zyx
        (n, 3) first voxel of each window, z y x, any selection in any order; may be negative.
    box
        Side of a window in voxels.
    out
        C-contiguous (n, box, box, box) buffer of the same dtype, overwritten and returned.

    Returns
    -------
    NDArray
        (n, box, box, box), window, z, y, x.

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit.
    """
    corners = _corners(corners_zyx)
    if values_zyx.ndim != 3 or box < 1:
        raise ValueError(f"cannot cut boxes of side {box} out of an array of {values_zyx.shape}")
    shape = (len(corners), box, box, box)
    if out is None:
        out = np.empty(shape, dtype=values_zyx.dtype)
    elif out.shape != shape or out.dtype != values_zyx.dtype or not out.flags.c_contiguous:
        raise ValueError(
            f"out must be a C-contiguous {values_zyx.dtype} array of shape {shape}, "
            f"got {out.dtype} of shape {out.shape}"
        )
    _gather(_as_unsigned(np.ascontiguousarray(values_zyx)), corners, _as_unsigned(out))
    return out


def stitch(
    subgrids: NDArray[Scalar], corners_zyx: NDArray[np.int32], shape_zyx: Shape, core: int
) -> NDArray[Scalar]:
    """Put the cores of all subgrids of a map together: the inverse of `extract`.

    Parameters
    ----------
    subgrids
        (n, box, box, box): every window of the map once, in any order.
    corners_zyx
        (n, 3) corner of each, z y x.
    shape_zyx
        Shape of the map.
    core
        Side of the core in voxels.

    Returns
    -------
    NDArray
        (z, y, x) map of the dtype of the subgrids, cropped to `shape_zyx`.

    Raises
    ------
    ValueError
        If windows are missing, given twice or foreign, or shapes do not fit.
    """
    expected = window_corners(shape_zyx, _box_of(subgrids), core)
    found = _corners(corners_zyx)
    if not np.array_equal(found[np.lexsort(found.T)], expected):
        raise ValueError(
            f"stitching a map of shape {tuple(shape_zyx)} with core {core} needs each of its "
            f"{len(expected)} windows once; the {len(found)} given are others"
        )
    values_zyx = np.empty(shape_zyx, dtype=subgrids.dtype)
    stitch_into(values_zyx, subgrids, corners_zyx, core)
    return values_zyx


def stitch_into(
    values_zyx: NDArray[Scalar],
    subgrids: NDArray[Scalar],
    corners_zyx: NDArray[np.int32],
    core: int,
) -> None:
    """Write the cores of some subgrids into their places in a map, for batch after batch.

    Parameters
    ----------
    values_zyx
        C-contiguous (z, y, x) map, changed in place; voxels of other windows stay.
    subgrids, corners_zyx, core
        As for `stitch`, any selection of windows.

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit, or a core lies outside the map.
    """
    margin = margin_of(_box_of(subgrids), core)
    corners = _corners(corners_zyx)
    if values_zyx.ndim != 3 or not values_zyx.flags.c_contiguous:
        raise ValueError(f"expected a C-contiguous (z, y, x) map, got shape {values_zyx.shape}")
    if len(corners) != len(subgrids) or subgrids.dtype != values_zyx.dtype:
        raise ValueError(
            f"{len(subgrids)} subgrids of {subgrids.dtype} do not fit {len(corners)} corners and "
            f"a map of {values_zyx.dtype}"
        )
    starts = corners + margin
    if np.any((starts < 0) | (starts >= values_zyx.shape)):
        raise ValueError(f"a core begins outside the map of shape {values_zyx.shape}")
    packed = _as_unsigned(np.ascontiguousarray(subgrids))
    _scatter_cores(packed, starts, core, _as_unsigned(values_zyx))


def scatter_labels(
    index_zyx: NDArray[np.int32],
    value: NDArray[np.uint8],
    corners_zyx: NDArray[np.int32],
    box: int,
    out: NDArray[np.uint8],
) -> None:
    """Write sparse labels into windows: `extract` of the dense mask, without making it.

    Parameters
    ----------
    index_zyx
        (m, 3) labeled voxels, z y x, unique and sorted in C order (z slowest).
    value
        (m,) their labels.
    corners_zyx
        (n, 3) first voxel of each window, any selection in any order.
    box
        Side of a window in voxels.
    out
        (n, box, box, box) C-contiguous uint8, zero-filled by the caller, changed in place.

    Raises
    ------
    ValueError
        If the voxels are not unique and sorted, or shapes or dtypes do not fit.
    """
    index = np.ascontiguousarray(index_zyx, dtype=np.int64)
    corners = _corners(corners_zyx)
    if index.ndim != 2 or index.shape[1] != 3 or value.shape != (len(index),):
        raise ValueError(
            f"expected (m, 3) voxels and (m,) labels, got {index.shape}, {value.shape}"
        )
    if out.shape != (len(corners), box, box, box) or out.dtype != np.uint8:
        raise ValueError(
            f"out must be uint8 of shape {(len(corners), box, box, box)}, "
            f"got {out.dtype} of shape {out.shape}"
        )
    if not _strictly_sorted(index):
        raise ValueError("label voxels must be unique and sorted in C order, z slowest")
    _scatter(index, value, corners, out)


def _box_of(subgrids: NDArray[Any]) -> int:
    if subgrids.ndim != 4 or len(set(subgrids.shape[1:])) != 1:
        raise ValueError(f"expected (n, box, box, box) subgrids, got shape {subgrids.shape}")
    return int(subgrids.shape[1])


def _corners(corners_zyx: NDArray[np.int32]) -> NDArray[np.int64]:
    corners = np.ascontiguousarray(corners_zyx, dtype=np.int64)
    if corners.ndim != 2 or corners.shape[1] != 3:
        raise ValueError(f"expected (n, 3) corners, got shape {corners.shape}")
    return corners


def _as_unsigned(values: NDArray[Any]) -> NDArray[Any]:
    """View as unsigned integers of the same width: numba has no float16, and a copy needs none."""
    if values.dtype.hasobject or values.dtype.itemsize not in (1, 2, 4, 8):
        raise ValueError(f"cannot copy voxels of type {values.dtype}; expected 1, 2, 4 or 8 bytes")
    return values.view(f"u{values.dtype.itemsize}")


@njit(cache=True, nogil=True)
def _gather(values_zyx: NDArray[Any], corners: NDArray[np.int64], subgrids: NDArray[Any]) -> None:
    # Flat arrays and unsigned offsets leave nothing but the copy in the inner loop.
    nz, ny, nx = values_zyx.shape
    box = subgrids.shape[1]
    values = values_zyx.reshape(-1)
    out = subgrids.reshape(-1)
    for n in range(corners.shape[0]):
        cz, cy, cx = corners[n, 0], corners[n, 1], corners[n, 2]
        z0, z1 = max(0, -cz), min(box, nz - cz)
        y0, y1 = max(0, -cy), min(box, ny - cy)
        x0, x1 = max(0, -cx), min(box, nx - cx)
        if min(z1 - z0, y1 - y0, x1 - x0) < box:
            subgrids[n] = 0
        width = np.uint64(max(x1 - x0, 0))
        for z in range(z0, z1):
            for y in range(y0, y1):
                source = np.uint64(((cz + z) * ny + cy + y) * nx + cx + x0)
                target = np.uint64(((n * box + z) * box + y) * box + x0)
                for x in range(width):
                    out[target + np.uint64(x)] = values[source + np.uint64(x)]


@njit(cache=True, nogil=True)
def _scatter_cores(
    subgrids: NDArray[Any], starts: NDArray[np.int64], core: int, values_zyx: NDArray[Any]
) -> None:
    nz, ny, nx = values_zyx.shape
    box = subgrids.shape[1]
    margin = (box - core) // 2
    values = subgrids.reshape(-1)
    out = values_zyx.reshape(-1)
    for n in range(starts.shape[0]):
        z0, y0, x0 = starts[n, 0], starts[n, 1], starts[n, 2]
        width = np.uint64(min(core, nx - x0))
        for z in range(min(core, nz - z0)):
            for y in range(min(core, ny - y0)):
                source = np.uint64(((n * box + margin + z) * box + margin + y) * box + margin)
                target = np.uint64(((z0 + z) * ny + y0 + y) * nx + x0)
                for x in range(width):
                    out[target + np.uint64(x)] = values[source + np.uint64(x)]


@njit(cache=True, nogil=True)
def _strictly_sorted(index: NDArray[np.int64]) -> bool:
    for i in range(1, index.shape[0]):
        dz = index[i, 0] - index[i - 1, 0]
        dy = index[i, 1] - index[i - 1, 1]
        dx = index[i, 2] - index[i - 1, 2]
        if not (dz > 0 or (dz == 0 and (dy > 0 or (dy == 0 and dx > 0)))):
            return False
    return True


@njit(cache=True, nogil=True)
def _first_at_or_after(index: NDArray[np.int64], z: int, y: int) -> int:
    low, high = 0, index.shape[0]
    while low < high:
        middle = (low + high) // 2
        if index[middle, 0] < z or (index[middle, 0] == z and index[middle, 1] < y):
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _scatter(
    index: NDArray[np.int64],
    value: NDArray[np.uint8],
    corners: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> None:
    box = out.shape[1]
    for n in range(corners.shape[0]):
        cz, cy, cx = corners[n, 0], corners[n, 1], corners[n, 2]
        for z in range(box):
            # Rows cy to cy + box of one plane are a run of the sorted voxels.
            p = _first_at_or_after(index, cz + z, cy)
            while p < index.shape[0] and index[p, 0] == cz + z and index[p, 1] < cy + box:
                x = index[p, 2] - cx
                if 0 <= x < box:
                    out[n, z, index[p, 1] - cy, x] = value[p]
                p += 1
