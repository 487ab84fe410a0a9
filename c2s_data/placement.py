"""Whether the model lies where the map has density, before anything is labeled."""

from __future__ import annotations

import numpy as np

from c2s_data.config import BuildConfig
from c2s_data.errors import ModelError, ModelReason
from c2s_data.label_model import inside_map
from c2s_data.origin_diagnosis import diagnose_origin
from c2s_data.plan import PlannedEntry
from c2s_data.sources.atomic_model import AtomicModel
from c2s_data.sources.density_map import DensityMap


def check_placement(
    model: AtomicModel, density: DensityMap, planned: PlannedEntry, config: BuildConfig
) -> tuple[str, ...]:
    """Return what is to be said of the origin that the map was read with.

    That is a sentence naming the origin convention that fits clearly better, if there is one.

    Raises
    ------
    ModelError
        NO_PROTEIN without a C-alpha, OUTSIDE_BOX if fewer than half of them lie inside the map.
    """
    ca_xyz_A = model.residues.ca_xyz_A
    ca_xyz_A = ca_xyz_A[np.isfinite(ca_xyz_A).all(axis=1)]
    if not len(ca_xyz_A):
        raise ModelError(
            ModelReason.NO_PROTEIN,
            f"{planned.entry.model}: no residue has a C-alpha; nothing can be labeled",
        )
    better = diagnose_origin(planned.entry.map, density, ca_xyz_A).message
    n_inside = int(inside_map(ca_xyz_A, planned, config).sum())
    if 2 * n_inside < len(ca_xyz_A):
        x, y, z = planned.origin_xyz_A
        raise ModelError(
            ModelReason.OUTSIDE_BOX,
            f"{planned.entry_id}: {len(ca_xyz_A) - n_inside} of {len(ca_xyz_A)} C-alphas lie "
            f"outside the map at origin ({x:g}, {y:g}, {z:g}) A; "
            f"{better or 'no other origin rule fits either: is this the model of this map?'}",
        )
    return (better,) if better else ()
