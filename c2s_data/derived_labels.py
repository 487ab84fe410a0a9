"""Label volumes of whole maps, derived from the residue table of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from c2s_data.transforms.derived_target import DerivedTarget, derive_window, target_atoms
from c2s_data.transforms.label_window import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from c2s_data.store.reader import Store


def derive_labels(store: Store, entry_id: str, wanted: DerivedTarget | None = None) -> NDArray[Any]:
    """Derive labels for the whole map of an entry.

    Parameters
    ----------
    store
        A committed store.
    entry_id
        A finished entry.
    wanted
        What to derive; spheres of 1.5 A around the backbone atoms by default.

    Returns
    -------
    NDArray
        ``(*wanted.channels, z, y, x)`` of ``wanted.dtype`` on the 1 A grid of the map.

    Raises
    ------
    StoreError
        If the entry does not exist or its table is damaged.
    ValueError
        If weights are asked for that the store holds nothing for.
    """
    wanted = wanted or DerivedTarget()
    entry = store.entry(entry_id)
    atoms = target_atoms(store.residues(entry_id), wanted, entry.resolution_A)
    grid = Grid(entry.shape_zyx, entry.origin_xyz_A)
    out = np.empty((*wanted.channels, *grid.shape_zyx), wanted.dtype)
    for slab in grid.slabs():  # a window works in 12 bytes a voxel
        z = slab.corner_zyx[0]
        planes = slice(z, z + slab.shape_zyx[0])
        out[..., planes, :, :] = derive_window(atoms, wanted, grid, slab)
    return out
