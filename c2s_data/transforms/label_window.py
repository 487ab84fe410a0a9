"""A map's grid and a part of it to label.

A window may reach beyond its map, as the margins of subgrids do; no voxel there is ever labeled.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

Shape = tuple[int, int, int]
Triple = tuple[float, float, float]

SLAB_PLANES: Final = 16
"""Planes at a time, so that a whole map is labeled in little memory."""


class Window(NamedTuple):
    """A box of voxels: its lowest voxel (z, y, x), perhaps outside of the map, and its sides."""

    corner_zyx: Shape
    shape_zyx: Shape


class Grid(NamedTuple):
    """A map's grid: shape (z, y, x), center of voxel (0, 0, 0) in A (x, y, z), voxel size in A."""

    shape_zyx: Shape
    origin_xyz_A: Triple
    voxel_size_zyx_A: Triple = (1.0, 1.0, 1.0)

    @property
    def whole(self) -> Window:
        """The window that is the map."""
        return Window((0, 0, 0), self.shape_zyx)

    def slabs(self) -> Iterator[Window]:
        """Yield windows of up to `SLAB_PLANES` planes that together are the map, z upward."""
        nz, ny, nx = self.shape_zyx
        for z in range(0, nz, SLAB_PLANES):
            yield Window((z, 0, 0), (min(SLAB_PLANES, nz - z), ny, nx))


def relative_positions_zyx_A(xyz_A: ArrayLike, grid: Grid, window: Window) -> NDArray[np.float64]:
    """Return (n, 3) positions z y x from the center of voxel 0, in A.

    Raises
    ------
    ValueError
        If a position is not finite, or a voxel size or a side is not positive.
    """
    relative = np.asarray(xyz_A, np.float64).reshape(-1, 3) - np.array(grid.origin_xyz_A)
    if not np.isfinite(relative).all():
        raise ValueError("positions and origin must be finite: leave absent atoms out first")
    if not all(math.isfinite(size) and size > 0 for size in grid.voxel_size_zyx_A):
        raise ValueError(f"voxel size {grid.voxel_size_zyx_A} A must be positive along each axis")
    if min(*grid.shape_zyx, *window.shape_zyx) < 1:
        raise ValueError(f"map {grid.shape_zyx} and window {window.shape_zyx} must not be empty")
    return np.ascontiguousarray(relative[:, ::-1])


def voxel_bounds(grid: Grid, window: Window) -> NDArray[np.int64]:
    """Return first and end of the window's voxels inside the map, and its corner; (3, 3)."""
    corner = np.array(window.corner_zyx, np.int64)
    end = np.minimum(corner + window.shape_zyx, grid.shape_zyx)
    return np.stack([np.maximum(corner, 0), end, corner])
