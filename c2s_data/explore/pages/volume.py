"""The small volume that an isosurface is drawn from: around the model, coarse enough to travel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.store.layout import n_levels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from c2s_data.store.reader import Store

MAX_VOXELS: Final = 400_000
MARGIN_A: Final = 6.0
HIGHEST_CONTOUR: Final = 0.9
"""A surface can lie no higher than where the density was cut off."""
KEPT_BELOW: Final = 0.4
"""Share of the first contour below which voxels are set to 0, so that solvent costs no bytes."""


def first_contour(row: Mapping[str, Any]) -> tuple[float, str]:
    """Return where to draw the first surface, in units of the normalized map, and why there.

    The entry's contour level; without one, halfway from the map's mean to its mean at the C-alphas.
    """
    divisor = row["percentile_value"]
    if row.get("contour_level") is not None:
        level, why = row["contour_level"], "the entry's contour level"
    else:
        height = 0.5 * (row.get("ca_density_sigma") or 4.0) * row["raw_sd"]
        level, why = row["raw_mean"] + height, "halfway to the mean density at the C-alphas"
    contour = float(level) / divisor
    if contour > HIGHEST_CONTOUR:
        return HIGHEST_CONTOUR, f"{why} ({contour:.2f}) lies above the cut; drawn below it"
    return max(contour, 0.02), why


def coarse_volume(
    store: Store, entry_id: str, ca_xyz_A: NDArray[np.float64], max_voxels: int = MAX_VOXELS
) -> tuple[NDArray[np.float32], float, tuple[float, float, float]]:
    """Return the density around the model at the finest level that is small enough.

    Returns
    -------
    tuple
        Values (z, y, x) in [0, 1], voxel size in A, center of voxel (0, 0, 0) in A (x, y, z).
    """
    entry = store.entry(entry_id)
    origin_zyx = np.array(entry.origin_xyz_A[::-1])
    shape = np.array(entry.shape_zyx)
    low, high = _box(ca_xyz_A[:, ::-1] - origin_zyx, shape)
    level = 0
    while np.prod((high - low) / 2**level) > max_voxels and level + 1 < n_levels(entry.shape_zyx):
        level += 1
    step = 2**level
    here = slice_box(low // step, -(-high // step))
    values = store.map_array(entry_id, "density", level).read(here).astype(np.float32)
    start_A = origin_zyx + (low // step) * step + (step - 1) / 2
    values, factor = _coarser(values, max_voxels)
    start_A = start_A + (factor - 1) / 2 * step
    x, y, z = (float(one) for one in start_A[::-1])
    return values, float(step * factor), (x, y, z)


def slice_box(low: NDArray[np.int64], high: NDArray[np.int64]) -> tuple[slice, slice, slice]:
    """Return the slices of a box (z, y, x)."""
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return z, y, x


def volume_codes(values_zyx: NDArray[np.float32], contour: float) -> NDArray[np.uint8]:
    """Return values as bytes, 255 for 1; those far below the contour are 0."""
    codes = np.rint(np.clip(values_zyx, 0, 1) * 255).astype(np.uint8)
    codes[codes < KEPT_BELOW * contour * 255] = 0
    return codes


def _box(
    ca_zyx: NDArray[np.float64], shape: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    inside = ca_zyx[((ca_zyx >= 0) & (ca_zyx <= shape - 1)).all(axis=1)]
    if not len(inside):
        return np.zeros(3, np.int64), shape
    low = np.floor(inside.min(axis=0) - MARGIN_A).astype(np.int64)
    high = np.ceil(inside.max(axis=0) + MARGIN_A).astype(np.int64) + 1
    return np.maximum(low, 0), np.minimum(high, shape)


def _coarser(values: NDArray[np.float32], max_voxels: int) -> tuple[NDArray[np.float32], int]:
    """Average blocks until few enough are left; a last incomplete block is left out."""
    factor = max(1, int(np.ceil((values.size / max_voxels) ** (1 / 3))))
    if factor == 1:
        return values, 1
    z, y, x = (n // factor for n in values.shape)
    cut = values[: z * factor, : y * factor, : x * factor]
    blocks = cut.reshape(z, factor, y, factor, x, factor)
    return blocks.mean(axis=(1, 3, 5), dtype=np.float32), factor
