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
from c2s_data.transforms.normalize import normalize
from c2s_data.transforms.percentile import percentile_of
from c2s_data.transforms.resample import resample_trilinear, truncate_to
from c2s_data.transforms.resample_spline import resample_spline

# Cells are float32 and some programs write 217.99 for 218 voxels: not another grid.
_CELL_TOLERANCE_A: Final = 1e-4


def resample(density: DensityMap, path: str, config: BuildConfig) -> NDArray[np.float32]:
    """Return the map on the 1 A grid, float32 (z, y, x); errors name the file.

    Raises
    ------
    MapError
        BAD_CELL or NOT_NORMALIZED under ``density: normalized``, where the map must be finished.
    """
    if config.density == "normalized":
        _check_normalized(density, path)
        return density.values_zyx
    grid = density.values_zyx, density.voxel_size_zyx_A
    if config.resampling == "spline3":
        resampled = resample_spline(*grid, antialias=config.antialias)
        if resampled is not density.values_zyx:
            clear_outside(resampled, *grid)
    else:
        resampled = resample_trilinear(*grid, positions=config.positions)
    if config.integer_maps == "truncate" and density.source_dtype.kind in "iu":
        return truncate_to(resampled, density.source_dtype)
    return resampled


def scale(
    resampled_zyx: NDArray[np.float32], path: str, config: BuildConfig
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Return the stored density (z, y, x) in [0, 1] and the facts of its scale.

    The resampled map may be overwritten.

    Raises
    ------
    MapError
        EMPTY_POPULATION if the scale cannot be set.
    """
    divisor = _divisor(resampled_zyx, path, config)
    stored: NDArray[Any]
    if config.density_dtype == "float16":
        stored, n_saturated = normalize_to_float16(resampled_zyx, divisor)
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
    low, high = float(density.values_zyx.min()), float(density.values_zyx.max())
    if low < 0 or high > 1:
        raise MapError(
            MapReason.NOT_NORMALIZED,
            f"{path}: a normalized map lies in [0, 1], this one in "
            f"[{low:g}, {high:g}]; build it as a raw map",
        )
