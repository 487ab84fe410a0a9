"""Trilinear resampling onto a cubic grid, with the rules of ChimeraX ``volume resample``.

Paper, "Resampling": every map goes onto a grid of 1 A voxels whose origin is that of the source.

The grid is separable: output plane k needs two source planes, output row j two rows of them. Per
output row the kernel blends the two planes into a source row (each such row once per plane, kept
while the next output row needs it), blends two of those rows, and only then gathers along x. Both
blends run over contiguous memory; the gather, the one scattered access, is done once per output
voxel.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import DTypeLike, NDArray

from c2s_data.transforms.paging import batches, slabs

Positions = Literal["float64", "float32"]
Triple = tuple[float, float, float]
Shape = tuple[int, int, int]


class _AxisPlan(NamedTuple):
    """Where the output planes of one axis that lie inside the source fall on its grid."""

    below: NDArray[np.uint32]  # source index b = floor(p)
    weight: NDArray[np.float32]  # p - b: the share of source index b + 1


def resampled_shape(
    shape_zyx: Shape, voxel_size_zyx_A: Triple, target_A: float = 1.0
) -> tuple[int, int, int]:
    """Return the shape after resampling: ``int(n * voxel / target)`` per axis, truncated.

    Parameters
    ----------
    shape_zyx
        Source shape in voxels, (z, y, x).
    voxel_size_zyx_A
        Source voxel size in Angstrom, (z, y, x).
    target_A
        New voxel size in Angstrom, the same on all axes.

    Raises
    ------
    ValueError
        If a size is not positive and finite, or an axis is shorter than one new voxel.
    """
    _check_sizes(voxel_size_zyx_A, target_A)
    nz, ny, nx = (
        int(n * voxel / target_A) for n, voxel in zip(shape_zyx, voxel_size_zyx_A, strict=True)
    )
    if min(nz, ny, nx) < 1:
        raise ValueError(
            f"a map of {tuple(shape_zyx)} voxels (z, y, x) of {tuple(voxel_size_zyx_A)} A is "
            f"thinner than one voxel of {target_A} A; check the voxel size"
        )
    return nz, ny, nx


def resample_trilinear(
    values_zyx: NDArray[np.float32],
    voxel_size_zyx_A: Triple,
    target_A: float = 1.0,
    *,
    positions: Positions = "float64",
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Resample a map trilinearly onto cubic voxels; the origin stays where it is.

    Sample k of an axis lies at p = k * target / voxel on the source grid, between b = floor(p)
    and b + 1. Outside, which is b < 0 or b >= n - 1, the result is 0: a sample exactly on the last
    plane is 0 too. No low-pass. A map that has the target voxel size on all axes is returned as
    it is, last plane included.

    Parameters
    ----------
    values_zyx
        float32 (z, y, x).
    voxel_size_zyx_A
        Voxel size in Angstrom, (z, y, x); the axes may differ.
    target_A
        New voxel size in Angstrom.
    positions
        ``"float64"``: p and its fraction in float64, the fraction then rounded to float32.
        ``"float32"``: p = float32(k) * float32(target / voxel), rounded to float32, as ChimeraX
        keeps its sample points; on a grid of hundreds of voxels a fraction is then good to about
        1e-5 only, and a sample within that of the last plane may fall on its other side.
    out
        float32 C-contiguous buffer of the resampled shape, filled and returned. Reusing one saves
        the page faults of a new array, about a third of the time.

    Returns
    -------
    NDArray[np.float32]
        A new array (or `out`) of `resampled_shape`; `values_zyx` itself, not a copy, where
        nothing changes and no `out` is given. Blends are plain float32 without fused
        multiply-add, so the bits do not depend on the processor.

    Raises
    ------
    ValueError
        If the array is not three-dimensional float32, a size is not positive and finite, an axis
        is thinner than one new voxel, or `out` does not fit.
    """
    if values_zyx.ndim != 3 or values_zyx.dtype != np.float32:
        raise ValueError(
            f"expected a float32 (z, y, x) map, got {values_zyx.dtype} of shape {values_zyx.shape}"
        )
    if positions not in ("float64", "float32"):
        raise ValueError(f"positions must be 'float64' or 'float32', not {positions!r}")
    nz, ny, nx = values_zyx.shape
    shape = resampled_shape((nz, ny, nx), voxel_size_zyx_A, target_A)
    unchanged = all(voxel == target_A for voxel in voxel_size_zyx_A)
    if unchanged and out is None:
        return values_zyx
    result = _buffer(out, shape)
    if unchanged:
        np.copyto(result, values_zyx)
        return result
    z, y, x = (
        _plan_axis(n, m, voxel, target_A, positions)
        for n, m, voxel in zip(values_zyx.shape, shape, voxel_size_zyx_A, strict=True)
    )
    source = np.ascontiguousarray(values_zyx)
    for new in slabs(shape[0], source, result):
        _resample(source, _AxisPlan(z.below[new], z.weight[new]), y, x, result[new])
    return result


def truncate_to(
    values: NDArray[np.float32], dtype: DTypeLike, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Return the values as a map stored in `dtype` holds them, still as float32.

    ChimeraX keeps the type of the source, so a resampled integer map loses its fractions; preset
    ``released`` does the same.

    Parameters
    ----------
    values
        float32, any shape; interpolated between values of `dtype`, hence inside its range.
    dtype
        Type of the source map. Integers: truncated toward zero. float16: rounded to nearest.
        float32 and float64: returned as they are, not copied.
    out
        float32 buffer for the values of an integer type; may be `values`.

    Raises
    ------
    ValueError
        If `dtype` is neither an integer nor a real floating type.
    """
    target = np.dtype(dtype)
    if target.kind in "iu":
        whole = np.trunc(values, out=out)
        whole += np.float32(0)  # -0.5 truncates to -0.0; an integer map has one zero
        return whole
    if target == np.float16:
        return values.astype(np.float16).astype(np.float32)
    if target.kind == "f":
        return values
    raise ValueError(f"a density map cannot be of type {target}; expected an integer or float type")


def sample_trilinear(
    values_zyx: NDArray[np.float32],
    points_zyx_voxel: NDArray[np.float64],
    fill: float = math.nan,
) -> NDArray[np.float64]:
    """Return the map at arbitrary points, interpolated in float64.

    Unlike resampling this counts the last plane as inside: 0 <= p <= n - 1 on each axis.

    Parameters
    ----------
    values_zyx
        float32 (z, y, x).
    points_zyx_voxel
        (m, 3) positions in voxels, z y x, voxel (0, 0, 0) at its centre value. For atoms:
        ``(xyz_A - origin_xyz_A)[:, ::-1] / voxel_size_zyx_A``.
    fill
        Value of points outside the map and of points with a nan coordinate.

    Returns
    -------
    NDArray[np.float64]
        (m,) values.

    Raises
    ------
    ValueError
        If the map is not three-dimensional or the points are not (m, 3).
    """
    points = np.asarray(points_zyx_voxel, dtype=np.float64)
    if values_zyx.ndim != 3 or points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(
            f"expected a (z, y, x) map and (m, 3) points, got {values_zyx.shape} and {points.shape}"
        )
    limit = np.array(values_zyx.shape) - 1
    inside = np.all((points >= 0) & (points <= limit), axis=1)
    result = np.full(len(points), fill, dtype=np.float64)
    position = points[inside]
    parts = [
        _interpolated(values_zyx, position[some]) for some in batches(len(position), values_zyx)
    ]
    result[inside] = np.concatenate(parts) if parts else 0.0
    return result


def _interpolated(
    values_zyx: NDArray[np.float32], position: NDArray[np.float64]
) -> NDArray[np.float64]:
    limit = np.array(values_zyx.shape) - 1
    below = np.minimum(np.floor(position).astype(np.int64), np.maximum(limit - 1, 0))
    weight = position - below
    total = np.zeros(len(position))
    for corner in np.ndindex(2, 2, 2):
        z, y, x = np.minimum(below + corner, limit).T
        share = np.where(corner, weight, 1 - weight).prod(axis=1)
        total += share * values_zyx[z, y, x]
    return total


def _check_sizes(voxel_size_zyx_A: Triple, target_A: float) -> None:
    for name, size in (*zip("zyx", voxel_size_zyx_A, strict=True), ("target", target_A)):
        if not (math.isfinite(size) and size > 0):
            raise ValueError(f"voxel size {name} is {size} A; it must be positive and finite")


def _buffer(out: NDArray[np.float32] | None, shape: Shape) -> NDArray[np.float32]:
    if out is None:
        return np.empty(shape, dtype=np.float32)
    if out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ValueError(
            f"out must be a C-contiguous float32 array of shape {shape}, "
            f"got {out.dtype} of shape {out.shape}"
        )
    return out


def _plan_axis(
    n_source: int, n_new: int, voxel_A: float, target_A: float, positions: Positions
) -> _AxisPlan:
    position: NDArray[np.float32] | NDArray[np.float64]
    if positions == "float32":
        position = np.arange(n_new, dtype=np.float32) * np.float32(target_A / voxel_A)
    else:
        position = np.arange(n_new, dtype=np.float64) * target_A / voxel_A
    below = np.floor(position)
    inside = below < n_source - 1  # a prefix: positions only grow
    return _AxisPlan(below[inside].astype(np.uint32), (position - below)[inside].astype(np.float32))


@njit(cache=True, nogil=True)
def _blend(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    weight: np.float32,
    out: NDArray[np.float32],
) -> None:
    for i in range(out.size):
        out[i] = first[i] + weight * (second[i] - first[i])


@njit(cache=True, nogil=True)
def _gather(
    row: NDArray[np.float32],
    below: NDArray[np.uint32],
    weight: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    for i in range(below.size):
        b = below[i]
        low = row[b]
        out[i] = low + weight[i] * (row[b + np.uint32(1)] - low)


@njit(cache=True, nogil=True)
def _resample(
    source: NDArray[np.float32],
    z_plan: _AxisPlan,
    y_plan: _AxisPlan,
    x_plan: _AxisPlan,
    out: NDArray[np.float32],
) -> None:
    n_z, n_y, n_x = z_plan.below.size, y_plan.below.size, x_plan.below.size
    lower = np.empty(source.shape[2], np.float32)  # row b of the two planes, blended
    upper = np.empty(source.shape[2], np.float32)  # row b + 1
    row = np.empty(source.shape[2], np.float32)
    for k in range(n_z):
        # Indices stay unsigned: numba would test a signed one for a negative, wrapping value.
        plane = source[z_plan.below[k]]
        next_plane = source[z_plan.below[k] + np.uint32(1)]
        z_weight = z_plan.weight[k]
        held = np.int64(-2)  # source row in `lower`
        for j in range(n_y):
            b = y_plan.below[j]
            above = b + np.uint32(1)
            step = np.int64(b) - held
            held = np.int64(b)
            if step == 1:
                lower, upper = upper, lower
            elif step != 0:
                _blend(plane[b], next_plane[b], z_weight, lower)
            if step != 0:
                _blend(plane[above], next_plane[above], z_weight, upper)
            _blend(lower, upper, y_plan.weight[j], row)
            _gather(row, x_plan.below, x_plan.weight, out[k, j])
            out[k, j, n_x:] = 0
        out[k, n_y:] = 0
    out[n_z:] = 0
