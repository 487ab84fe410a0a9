"""How well map and model fit, measured while the raw density is at hand, and the gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.config import BuildConfig
from c2s_data.errors import MapError, MapReason
from c2s_data.plan import PlannedEntry
from c2s_data.quality import gate, measure_quality
from c2s_data.schema import QUALITY_FACTS
from c2s_data.sources.atomic_model import AtomicModel
from c2s_data.sources.density_map import DensityMap

NOT_MEASURED: Final[Mapping[str, Any]] = dict.fromkeys(QUALITY_FACTS)


def measure_fit(
    density: DensityMap,
    model: AtomicModel,
    planned: PlannedEntry,
    config: BuildConfig,
    origin_notes: tuple[str, ...] = (),
) -> tuple[dict[str, Any], NDArray[np.float32], tuple[str, ...]]:
    """Measure the quality of an entry where the options ask for it.

    ``origin_notes`` is what `c2s_data.placement` said: a reason like the others.

    Returns
    -------
    tuple
        Columns of the catalog, mean Q-score of each residue (n_residues,), and what to warn of.

    Raises
    ------
    MapError
        QUALITY_GATE under ``gate: drop``, with the numbers.
    """
    n_residues = len(model.residues)
    if not config.quality:
        return dict(NOT_MEASURED), np.full(n_residues, np.nan, np.float32), origin_notes
    heavy = model.heavy
    quality = measure_quality(
        *density.grid,
        heavy.xyz_A,
        heavy.element,
        heavy.residue_index,
        model.residues.ca_xyz_A,
        n_residues,
        planned.entry.resolution_A,
        # A contour level is in the units of the deposited map.
        planned.entry.contour_level if config.density == "raw" else None,
    )
    reasons = origin_notes + gate(quality, config.gate)
    if reasons and config.gate == "drop":
        raise MapError(
            MapReason.QUALITY_GATE,
            f"{planned.entry_id}: {'; '.join(reasons)}; correct the entry, or let it pass with "
            "--gate warn",
        )
    facts = dict(quality.facts)
    if origin_notes:
        facts["quality_flags"] = [*facts["quality_flags"], "origin-convention"]
    return facts, quality.residue_q_score, reasons
