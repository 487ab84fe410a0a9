"""Voxels to leave out of a loss: near nucleic acids, ligands and whatever else is no protein.

Their density is real, but the masks call it background, so a network would learn that strong
density can be nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from c2s_data.transforms.label import VoxelLabels
from c2s_data.transforms.label_shapes import NOBODY, sphere_owners
from c2s_data.transforms.label_window import Grid
from c2s_data.transforms.windows import check_inside

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def ignore_mask(
    xyz_A: ArrayLike, grid: Grid, *, radius_A: float = 3.0, protected_zyx: NDArray[np.int32]
) -> VoxelLabels:
    """Return the voxels near atoms that are no protein, as 1.

    Parameters
    ----------
    xyz_A
        (n, 3) finite positions x, y, z in A of all such atoms but water; those outside of the map
        count for the voxels inside that they reach.
    grid
        The map.
    radius_A
        A voxel counts whose center is at most so far from an atom.
    protected_zyx
        (m, 3) voxels that carry a protein label and are never ignored, z y x.

    Returns
    -------
    VoxelLabels
        Sorted as every mask; value 1.

    Raises
    ------
    ValueError
        If a position is not finite, the radius is not positive or a protected voxel lies outside.
    """
    kept = np.ravel_multi_index(
        tuple(check_inside(protected_zyx, grid.shape_zyx).T), grid.shape_zyx
    )
    found = [np.empty(0, np.int64)]
    for slab in grid.slabs():
        near = sphere_owners(xyz_A, grid, slab, radius_A=radius_A) != NOBODY
        first = slab.corner_zyx[0] * near[0].size
        inside = kept[(kept >= first) & (kept < first + near.size)]
        near.ravel()[inside - first] = False
        found.append(np.flatnonzero(near) + first)
    flat = np.concatenate(found)
    index_zyx = np.empty((len(flat), 3), np.int32)
    for axis, column in enumerate(np.unravel_index(flat, grid.shape_zyx)):
        index_zyx[:, axis] = column
    return VoxelLabels(index_zyx, np.ones(len(flat), np.uint8))
