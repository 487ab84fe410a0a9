"""Cubic-spline resampling onto a cubic grid, with anti-aliasing, whole or block by block.

Cubic B-splines through the values of a map, as in ``scipy.ndimage`` with ``order=3`` and
``mode="mirror"``. Trilinear interpolation is a blur that takes 20 to 30 % of the amplitudes at 3 A;
this keeps 96 to 99 % of them (``benchmarks/resample_spline.py``).

The usual way runs a recursive filter over whole lines first. Here low-pass, prefilter and spline of
an axis are one weighted sum of neighbors per new plane, its weights computed once in float64. The
prefilter's weights shrink by 0.268 a voxel; cut off after `PREFILTER_REACH` of them the error is
below 2e-8 of the values, less than float32 holds. So every new voxel depends on a block of known
size and is computed in the same way wherever that block comes from: **any division of the grid into
blocks gives the bits of the whole**. Nor is a map of coefficients needed beside the map.

All three passes add up rows that are contiguous in memory; a transposed plane makes the third one
(along x) so too.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from c2s_data.transforms.lowpass import REACH_TARGET_VOXELS, needs_lowpass, raised_cosine_taps
from c2s_data.transforms.paging import slabs
from c2s_data.transforms.resample import resampled_shape

Triple = tuple[float, float, float]
Shape = tuple[int, int, int]
Block = tuple[slice, slice, slice]

PREFILTER_REACH: Final = 14
_POLE: Final = math.sqrt(3.0) - 2.0
_PLANES: Final = 8
"""New planes made together, so that the source planes they share come from memory once."""


class SplineAxis(NamedTuple):
    """New planes of an axis as weighted sums of source planes; those after the last one are 0.

    Parameters
    ----------
    first : (m,) int64
        First source plane of each new plane that lies inside the source.
    weight : (m, taps) float32
        Weights of the source planes from there on.
    """

    first: NDArray[np.int64]
    weight: NDArray[np.float32]

    def part(self, new: slice) -> tuple[slice, SplineAxis]:
        """Return the source planes that new planes need, and their sums counted from there."""
        first, weight = self.first[new], self.weight[new]
        if not len(first):
            return slice(0, 0), SplineAxis(first, weight)
        needed = slice(int(first.min()), int(first.max()) + weight.shape[1])
        return needed, SplineAxis(first - needed.start, weight)


class SplineGrid(NamedTuple):
    """How a map becomes its resampled self: the sums of each axis, z y x."""

    shape_zyx: Shape
    axes_zyx: tuple[SplineAxis, SplineAxis, SplineAxis]

    def source_block(self, block: Block) -> Block:
        """Return the part of the source that a block of the new grid depends on, halo included.

        Parameters
        ----------
        block
            Slices with start and stop inside the new grid, z y x.

        Raises
        ------
        ValueError
            If the block is empty or reaches beyond the new grid.
        """
        _check_block(block, self.shape_zyx)
        z, y, x = (axis.part(new)[0] for axis, new in zip(self.axes_zyx, block, strict=True))
        return z, y, x


def spline_grid(
    shape_zyx: Shape, voxel_size_zyx_A: Triple, target_A: float = 1.0, *, antialias: bool
) -> SplineGrid:
    """Plan the resampling of a map; same grid and same inside as `resample_trilinear`.

    Parameters
    ----------
    shape_zyx
        Source shape in voxels, (z, y, x).
    voxel_size_zyx_A
        Source voxel size in A, (z, y, x); the axes may differ.
    target_A
        New voxel size in A.
    antialias
        Low-pass axes with voxels below 0.9 of the target's; see `c2s_data.transforms.lowpass`.

    Raises
    ------
    ValueError
        As `resampled_shape`.
    """
    shape = resampled_shape(shape_zyx, voxel_size_zyx_A, target_A)
    if all(voxel == target_A for voxel in voxel_size_zyx_A):
        return SplineGrid(shape, (_same(shape[0]), _same(shape[1]), _same(shape[2])))
    z, y, x = (
        _spline_axis(n, m, voxel, target_A, antialias)
        for n, m, voxel in zip(shape_zyx, shape, voxel_size_zyx_A, strict=True)
    )
    return SplineGrid(shape, (z, y, x))


def resample_spline(
    values_zyx: NDArray[np.float32],
    voxel_size_zyx_A: Triple,
    target_A: float = 1.0,
    *,
    antialias: bool,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Resample a map by cubic splines onto cubic voxels; the origin stays where it is.

    Sample k of an axis lies at p = k * target / voxel on the source grid. As in
    `resample_trilinear`, the result is 0 where p >= n - 1 (a sample exactly on the last plane
    included) and a map that has the target voxel size on all axes is returned as it is. At the
    borders the map goes on as its mirror image about the center of the last voxel. Splines
    overshoot at steep edges: results may lie somewhat outside the range of the values.

    Parameters
    ----------
    values_zyx
        float32 (z, y, x), finite.
    voxel_size_zyx_A
        Voxel size in A, (z, y, x); the axes may differ.
    target_A
        New voxel size in A.
    antialias
        Low-pass axes with voxels below 0.9 of the target's first. For every map but one that was
        filtered already it is the better choice.
    out
        float32 C-contiguous buffer of the resampled shape, filled and returned.

    Returns
    -------
    NDArray[np.float32]
        A new array (or `out`) of `resampled_shape`; `values_zyx` itself where nothing changes and
        no `out` is given. Sums are plain float32 without fused multiply-add, in an order that
        depends on nothing but the grid. Peak memory: `spline_memory_bytes`.

    Raises
    ------
    ValueError
        If the array is not three-dimensional float32, a size is not positive and finite, an axis
        is thinner than one new voxel, or `out` does not fit.
    """
    _check_map(values_zyx)
    nz, ny, nx = values_zyx.shape
    grid = spline_grid((nz, ny, nx), voxel_size_zyx_A, target_A, antialias=antialias)
    if out is None and all(voxel == target_A for voxel in voxel_size_zyx_A):
        return values_zyx
    if out is None:
        out = np.empty(grid.shape_zyx, np.float32)
    elif out.shape != grid.shape_zyx or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ValueError(
            f"out must be a C-contiguous float32 array of shape {grid.shape_zyx}, "
            f"got {out.dtype} of shape {out.shape}"
        )
    source, (z, y, x) = np.ascontiguousarray(values_zyx), grid.axes_zyx
    for new in slabs(len(out), source, out):
        _resample(source, SplineAxis(z.first[new], z.weight[new]), y, x, out[new])
    return out


def resample_spline_block(
    source_zyx: NDArray[np.float32], grid: SplineGrid, block: Block
) -> NDArray[np.float32]:
    """Resample one block of the new grid from the part of the map that it depends on.

    Parameters
    ----------
    source_zyx
        float32: ``values_zyx[grid.source_block(block)]``.
    grid
        From `spline_grid`, for the whole map.
    block
        Slices with start and stop inside the new grid, z y x.

    Returns
    -------
    NDArray[np.float32]
        A new array, the same bits as ``resample_spline(values_zyx, ...)[block]``.

    Raises
    ------
    ValueError
        If the block does not lie in the grid or the part is not of the right size.
    """
    _check_map(source_zyx)
    needed = grid.source_block(block)
    shape = tuple(part.stop - part.start for part in needed)
    if source_zyx.shape != shape:
        raise ValueError(f"the block depends on {shape} voxels (z, y, x), got {source_zyx.shape}")
    z, y, x = (axis.part(new)[1] for axis, new in zip(grid.axes_zyx, block, strict=True))
    out = np.empty([new.stop - new.start for new in block], np.float32)
    _resample(np.ascontiguousarray(source_zyx), z, y, x, out)
    return out


def spline_planes_bytes(source_shape_zyx: Shape, target_shape_zyx: Shape) -> int:
    """Return the bytes of source planes that one new plane depends on, with those in work."""
    (nz, ny, nx), (mz, my, mx) = source_shape_zyx, target_shape_zyx
    reach_A = PREFILTER_REACH * mz / nz + REACH_TARGET_VOXELS
    planes = math.ceil(2 * reach_A * nz / mz) + 2 * _PLANES
    return 4 * (planes * ny * nx + 2 * my * nx + mx * my)


def spline_memory_bytes(source_shape_zyx: Shape, target_shape_zyx: Shape) -> int:
    """Return the bytes that resampling holds at its peak: both maps and a few planes."""
    (_, ny, nx), (_, my, mx) = source_shape_zyx, target_shape_zyx
    planes = _PLANES * ny * nx + 2 * my * nx + mx * my
    return 4 * (math.prod(source_shape_zyx) + math.prod(target_shape_zyx) + planes)


def _check_map(values_zyx: NDArray[np.float32]) -> None:
    if values_zyx.ndim != 3 or values_zyx.dtype != np.float32:
        raise ValueError(
            f"expected a float32 (z, y, x) map, got {values_zyx.dtype} of shape {values_zyx.shape}"
        )


def _check_block(block: Block, shape_zyx: Shape) -> None:
    for name, new, n in zip("zyx", block, shape_zyx, strict=True):
        if not (0 <= new.start < new.stop <= n and new.step in (None, 1)):
            raise ValueError(f"block {new} along {name} does not lie within 0 to {n}")


def _same(n: int) -> SplineAxis:
    return SplineAxis(np.arange(n), np.ones((n, 1), np.float32))


def _spline_axis(
    n_source: int, n_new: int, voxel_A: float, target_A: float, antialias: bool
) -> SplineAxis:
    """Fold low-pass, prefilter and spline into one filter, and its ends back into the map."""
    position = np.arange(n_new, dtype=np.float64) * target_A / voxel_A
    below = np.floor(position).astype(np.int64)
    inside = below < n_source - 1  # a prefix: positions only grow
    below, share = below[inside], (position - below)[inside]
    if voxel_A == target_A:
        return SplineAxis(below, np.ones((len(below), 1), np.float32))
    kernel = _prefilter_taps()
    if antialias and needs_lowpass(voxel_A, target_A):
        kernel = np.convolve(kernel, raised_cosine_taps(voxel_A, target_A))
    reach = len(kernel) // 2
    full = np.zeros((len(below), len(kernel) + 3))
    for j, spline in enumerate(_spline_weights(share)):
        full[:, j : j + len(kernel)] += spline[:, None] * kernel
    taps = min(full.shape[1], n_source)
    first = np.clip(below - reach - 1, 0, n_source - taps)
    plane = (below - reach - 1)[:, None] + np.arange(full.shape[1])
    row = np.broadcast_to(np.arange(len(below))[:, None], plane.shape)
    weight = np.zeros((len(below), taps))
    np.add.at(weight, (row, _mirrored(plane, n_source) - first[:, None]), full)
    return SplineAxis(first, weight.astype(np.float32))


def _prefilter_taps() -> NDArray[np.float64]:
    """Inverse of sampling a cubic B-spline, (1/6, 4/6, 1/6): sqrt(3) (sqrt(3) - 2)^|k|."""
    distance = np.abs(np.arange(-PREFILTER_REACH, PREFILTER_REACH + 1))
    taps: NDArray[np.float64] = _POLE**distance
    taps /= taps.sum()
    return taps


def _spline_weights(share: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return the cubic B-splines of the four neighbors of positions, given their fractions."""
    rest = 1.0 - share
    return (
        rest**3 / 6,
        2 / 3 - share**2 * (2 - share) / 2,
        2 / 3 - rest**2 * (2 - rest) / 2,
        share**3 / 6,
    )


def _mirrored(plane: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    period = max(1, 2 * (n - 1))
    folded: NDArray[np.int64] = np.abs(plane) % period
    return np.asarray(np.minimum(folded, period - folded))


@njit(cache=True, nogil=True)
def _add_four(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    c: NDArray[np.float32],
    d: NDArray[np.float32],
    weight: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    wa, wb, wc, wd = weight[0], weight[1], weight[2], weight[3]
    for i in range(out.size):
        out[i] += (wa * a[i] + wb * b[i]) + (wc * c[i] + wd * d[i])


@njit(cache=True, nogil=True)
def _add_one(a: NDArray[np.float32], weight: np.float32, out: NDArray[np.float32]) -> None:
    for i in range(out.size):
        out[i] += weight * a[i]


@njit(cache=True, nogil=True)
def _add_rows(
    rows: NDArray[np.float32], axis: SplineAxis, new: int, out: NDArray[np.float32]
) -> None:
    """Make row `new` of an axis from rows (n, width)."""
    first, weight = axis.first[new], axis.weight[new]
    whole = weight.size // 4 * 4
    out[:] = 0
    for t in range(0, whole, 4):
        r = first + t
        _add_four(rows[r], rows[r + 1], rows[r + 2], rows[r + 3], weight[t : t + 4], out)
    for t in range(whole, weight.size):
        _add_one(rows[first + t], weight[t], out)


@njit(cache=True, nogil=True)
def _resample(
    source: NDArray[np.float32],
    z_axis: SplineAxis,
    y_axis: SplineAxis,
    x_axis: SplineAxis,
    out: NDArray[np.float32],
) -> None:
    n_z, n_y, n_x = z_axis.first.size, y_axis.first.size, x_axis.first.size
    out[n_z:] = 0
    planes = np.empty((_PLANES, source.shape[1], source.shape[2]), np.float32)
    rows = np.empty((n_y, source.shape[2]), np.float32)
    columns = np.empty((source.shape[2], n_y), np.float32)
    new_columns = np.empty((n_x, n_y), np.float32)
    for start in range(0, n_z, _PLANES):
        together = min(_PLANES, n_z - start)
        for j in range(source.shape[1]):
            for k in range(together):
                _add_lines(source, j, z_axis, start + k, planes[k, j])
        for k in range(together):
            for j in range(n_y):
                _add_rows(planes[k], y_axis, j, rows[j])
            columns[:] = rows.T
            for i in range(n_x):
                _add_rows(columns, x_axis, i, new_columns[i])
            out[start + k, n_y:] = 0
            out[start + k, :, n_x:] = 0
            out[start + k, :n_y, :n_x] = new_columns.T


@njit(cache=True, nogil=True)
def _add_lines(
    source: NDArray[np.float32], j: int, axis: SplineAxis, new: int, out: NDArray[np.float32]
) -> None:
    """Make line j of plane `new` from the lines j of the planes around it."""
    first, weight = axis.first[new], axis.weight[new]
    whole = weight.size // 4 * 4
    out[:] = 0
    for t in range(0, whole, 4):
        z = first + t
        lines = source[z, j], source[z + 1, j], source[z + 2, j], source[z + 3, j]
        _add_four(*lines, weight[t : t + 4], out)
    for t in range(whole, weight.size):
        _add_one(source[first + t, j], weight[t], out)
