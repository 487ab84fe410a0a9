"""Coordinates of a map in Angstrom and the attributes that tell programs what they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import xarray as xr

CONVENTIONS: Final = "CF-1.11"
AXES: Final = ("z", "y", "x")


def map_coordinates(
    shape_zyx: Sequence[int], voxel_size_zyx_A: Sequence[float], origin_xyz_A: Sequence[float]
) -> dict[str, xr.Variable]:
    """Return the coordinates z, y and x: the centers of the voxels, float64, in A.

    Parameters
    ----------
    shape_zyx, voxel_size_zyx_A
        Voxels and their size along z, y, x.
    origin_xyz_A
        Center of voxel (0, 0, 0), x, y, z.
    """
    return {
        axis: xr.Variable(
            (axis,),
            origin + size * np.arange(n, dtype=np.float64),
            {"units": "angstrom", "long_name": f"{axis} of the voxel", "axis": axis.upper()},
        )
        for axis, n, size, origin in zip(
            AXES, shape_zyx, voxel_size_zyx_A, reversed(origin_xyz_A), strict=True
        )
    }


def without_none(attributes: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is not known: no file format has an attribute without a value."""
    return {name: value for name, value in attributes.items() if value is not None}
