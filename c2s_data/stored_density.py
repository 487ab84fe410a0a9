"""From the raw density to the stored one: resampled to 1 A, scaled, clipped, rounded."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.config import BuildConfig
from c2s_data.errors import MapError, MapReason
from c2s_data.sources.density_map import DensityMap
from c2s_data.transforms.empty_outside import clear_outside
from c2s_data.transforms.float16 import normalize_to_float16
from c2s_data.transforms.normalize import normalize, value_range
from c2s_data.transforms.paging import Allocate, slabs
from c2s_data.transforms.percentile import percentile_of
from c2s_data.transforms.resample import resample_trilinear, resampled_shape, truncate_to
from c2s_data.transforms.resample_spline import resample_spline

# Cells are float32 and some programs write 217.99 for 218 voxels: not another grid.
_CELL_TOLERANCE_A: Final = 1e-4


def resample(
    density: DensityMap, path: str, config: BuildConfig, allocate: Allocate = np.empty
) -> NDArray[np.float32]:
    """Return the map on the 1 A grid, float32 (z, y, x); errors name the file.

    ``allocate`` gives the array; where the grid does not change it is the map's own.

    Raises
    ------
    MapError
        BAD_CELL or NOT_NORMALIZED under ``density: normalized``, where the map must be finished.
    """
    if config.density == "normalized":
        _check_normalized(density, path)
        return density.values_zyx
    grid = density.values_zyx, density.voxel_size_zyx_A
    if all(voxel == 1.0 for voxel in density.voxel_size_zyx_A):
        return density.values_zyx
    nz, ny, nx = density.values_zyx.shape
    out = allocate(resampled_shape((nz, ny, nx), density.voxel_size_zyx_A), np.float32)
    if config.resampling == "spline3":
        resample_spline(*grid, antialias=config.antialias, out=out)
        clear_outside(out, *grid)
    else:
        resample_trilinear(*grid, positions=config.positions, out=out)
    if config.integer_maps == "truncate" and density.source_dtype.kind in "iu":
        for some in slabs(len(out), out):
            truncate_to(out[some], density.source_dtype, out=out[some])
    return out


def scale(
    resampled_zyx: NDArray[np.float32],
    path: str,
    config: BuildConfig,
    allocate: Allocate = np.empty,
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Return the stored density (z, y, x) in [0, 1] and the facts of its scale.

    The resampled map may be overwritten; ``allocate`` gives an array of another type.

    Raises
    ------
    MapError
        EMPTY_POPULATION if the scale cannot be set.
    """
    divisor = _divisor(resampled_zyx, path, config)
    stored: NDArray[Any]
    if config.density_dtype == "float16":
        stored = allocate(resampled_zyx.shape, np.float16)
        _, n_saturated = normalize_to_float16(resampled_zyx, divisor, out=stored)
    else:
        stored, n_saturated = normalize(resampled_zyx, divisor, out=resampled_zyx)
    share = n_saturated / resampled_zyx.size
    return stored, {"percentile_value": divisor, "saturated_voxel_share": share}


def _divisor(resampled_zyx: NDArray[np.float32], path: str, config: BuildConfig) -> float:
    if config.density == "normalized":
        return 1.0
    try:
        return percentile_of(resampled_zyx, config.scale, config.percentile)
    except ValueError as error:
        raise MapError(
            MapReason.EMPTY_POPULATION,
            f"{path}: the density cannot be scaled: {error}",
        ) from error


def _check_normalized(density: DensityMap, path: str) -> None:
    if any(abs(size - 1) > _CELL_TOLERANCE_A for size in density.voxel_size_zyx_A):
        raise MapError(
            MapReason.BAD_CELL,
            f"{path}: a normalized map has voxels of 1 A, this one of "
            f"{density.voxel_size_zyx_A} (z, y, x); build it as a raw map",
        )
    low, high = value_range(density.values_zyx)
    if low < 0 or high > 1:
        raise MapError(
            MapReason.NOT_NORMALIZED,
            f"{path}: a normalized map lies in [0, 1], this one in "
            f"[{low:g}, {high:g}]; build it as a raw map",
        )
