"""All masks of one entry: the four of the paper from labels or files, and further ones."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.config import BuildConfig
from c2s_data.errors import MapError, MapReason
from c2s_data.label_model import VOXEL_SIZE_ZYX_A
from c2s_data.plan import PlannedEntry
from c2s_data.records.masks import read_record_masks
from c2s_data.schema import MASKS
from c2s_data.sources.atomic_model import AtomicModel
from c2s_data.sources.heavy_atoms import NUCLEIC, PROTEIN, HeavyAtoms
from c2s_data.transforms.ignore_mask import ignore_mask
from c2s_data.transforms.label import LabeledVoxels, VoxelLabels
from c2s_data.transforms.label_window import Grid
from c2s_data.transforms.nucleic_labels import nucleic_labels

MOST_LABELED: Final = {"atom": 0.1, "ignore": 0.5}
"""Share of the voxels that a mask may label, those of atoms all alike.

A residue fills some 135 A^3 and labels three voxels. Lists of labels are small because of that.
"""


def masks_of_entry(
    labels: LabeledVoxels, model: AtomicModel, planned: PlannedEntry, config: BuildConfig
) -> dict[str, VoxelLabels]:
    """Return the labeled voxels of every mask that the store keeps, by name.

    Raises
    ------
    MapError
        If a mask that lies beside the map is refused; see `c2s_data.records.masks`. NOT_A_MASK
        also if it labels far more than atoms could.
    """
    masks = {name: getattr(labels, name) for name in MASKS}
    masks |= _further_masks(labels, model.heavy, planned, config)
    if config.masks == "files":
        grid = planned.shape_zyx, planned.origin_xyz_A
        found = read_record_masks(planned.entry.map, *grid, names=tuple(masks))
        masks |= {name: _sparse(mask_zyx, name, planned) for name, mask_zyx in found}
    return masks


def _further_masks(
    labels: LabeledVoxels, heavy: HeavyAtoms, planned: PlannedEntry, config: BuildConfig
) -> dict[str, VoxelLabels]:
    grid = Grid(planned.shape_zyx, planned.origin_xyz_A, VOXEL_SIZE_ZYX_A)
    masks = {}
    if "ignore" in config.extra_masks:
        masks["ignore"] = ignore_mask(
            heavy.xyz_A[heavy.kind != PROTEIN],
            grid,
            radius_A=config.ignore_radius_A,
            protected_zyx=labels.atom.index_zyx,
        )
    if "nucleic" in config.extra_masks:
        rows = heavy.kind == NUCLEIC
        found = nucleic_labels(
            heavy.xyz_A[rows],
            heavy.atom_name[rows],
            heavy.residue_name[rows],
            grid,
            rule=config.label_rule,
        )
        masks |= {"nucleic_atom": found.atom, "nucleic_base": found.base}
    return masks


def _sparse(mask_zyx: NDArray[np.uint8], name: str, planned: PlannedEntry) -> VoxelLabels:
    n_labeled = int(np.count_nonzero(mask_zyx))
    if n_labeled > MOST_LABELED.get(name, MOST_LABELED["atom"]) * mask_zyx.size:
        raise MapError(
            MapReason.NOT_A_MASK,
            f"{planned.entry.map}: the {name} mask beside it labels {n_labeled / mask_zyx.size:.0%}"
            " of the voxels, where atoms would label 2 %; remove the mask, and it is made from the "
            "model",
        )
    index_zyx = np.empty((n_labeled, 3), np.int32)
    value = np.empty(len(index_zyx), np.uint8)
    first = 0
    for z, section_yx in enumerate(mask_zyx):
        y, x = np.nonzero(section_yx)
        here = slice(first, first + len(y))
        index_zyx[here, 0], index_zyx[here, 1], index_zyx[here, 2] = z, y, x
        value[here] = section_yx[y, x]
        first += len(y)
    return VoxelLabels(index_zyx, value)
