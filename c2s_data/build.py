"""Build one entry: the steps of the paper's Figure 1 as one sentence; a part is a loop of it."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from c2s_data.assembly import assemble
from c2s_data.config import BuildConfig
from c2s_data.entry_sequences import sequences_of_entry
from c2s_data.errors import C2SError, MapError, ModelError, StoreError
from c2s_data.fit import measure_fit
from c2s_data.inputs import checked_inputs
from c2s_data.label_model import label_model, residue_columns, secondary_structure
from c2s_data.masks import masks_of_entry
from c2s_data.measure import ca_facts, histogram, label_facts, measure_raw, warnings_of
from c2s_data.placement import check_placement
from c2s_data.plan import Failure, Plan, PlannedEntry
from c2s_data.scratch import scratch_array
from c2s_data.sources.atomic_model import read_atomic_model
from c2s_data.sources.density_map import MAX_VOXELS, read_density_map
from c2s_data.store.begin import claim_lineage
from c2s_data.store.layout import Layout
from c2s_data.store.objects import open_objects
from c2s_data.store.receipt import valid_receipt, write_failure
from c2s_data.store.traffic import traffic
from c2s_data.store.writer import LabeledMap, write_entry
from c2s_data.stored_density import resample, scale


@dataclass(frozen=True)
class EntryOutcome:
    """What became of one entry: done (perhaps already before) or failed.

    ``repeated_requests`` are those that its worker had to send to object storage again meanwhile.
    """

    entry_id: str
    failure: Failure | None
    n_subgrids: int = 0
    nbytes: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    was_finished: bool = False
    repeated_requests: int = 0


def build_entry(planned: PlannedEntry, config: BuildConfig) -> LabeledMap:
    """Read, measure, label, resample and normalize one map.

    Parameters
    ----------
    planned
        The entry with its grid, from the plan.
    config
        The options.

    Returns
    -------
    LabeledMap
        Everything the store keeps of the entry, on the 1 A grid of ``planned.shape_zyx``.

    Raises
    ------
    MapError, ModelError
        If a file is refused, or map and model do not fit each other.
    """
    allocate = scratch_array if planned.paged else np.empty
    density = read_density_map(
        planned.entry.map,
        origin=planned.entry.origin or config.origin,
        max_voxels=max(MAX_VOXELS, math.prod(planned.source_shape_zyx)),  # the plan allowed it
        non_finite=config.non_finite,
        sha256=True,
        allocate=allocate,
    )
    inputs = checked_inputs(planned, density)
    model = read_atomic_model(planned.entry.model, zero_occupancy=config.zero_occupancy)
    origin_notes = check_placement(model, density, planned, config)
    model = assemble(model, planned.entry.assembly or config.assembly, *density.grid)
    sequences = sequences_of_entry(model.residues, planned)
    secondary = secondary_structure(model, config)
    labels = label_model(model, secondary, planned, config)
    masks = masks_of_entry(labels, model, planned, config)
    facts, statistics = measure_raw(density, model)
    fit_facts, residue_q_score, fit_notes = measure_fit(
        density, model, planned, config, origin_notes
    )
    map_notes = density.notes
    resampled_zyx = resample(density, planned.entry.map, config, allocate)
    del density  # The raw map and the normalized one need not live together.
    statistics |= histogram(resampled_zyx, "resampled")
    density_zyx, scale_facts = scale(resampled_zyx, planned.entry.map, config, allocate)
    del resampled_zyx
    facts |= fit_facts | sequences.facts | scale_facts
    facts |= label_facts(labels, masks, model, planned, config)
    facts |= ca_facts(masks["ca"], density_zyx)
    facts |= {"secondary_source": secondary.source}
    facts["notes"] = [
        *(*map_notes, *model.notes, *sequences.notes, *secondary.notes, *fit_notes),
        *warnings_of(facts, config),
    ]
    return LabeledMap(
        density_zyx=density_zyx,
        labels=masks,
        sequences=sequences.fasta,
        residues=residue_columns(model, secondary, planned, config)
        | {"sequence_index": sequences.sequence_index, "q_score": residue_q_score},
        statistics=statistics,
        facts=facts,
        inputs=inputs,
    )


def build_and_write(url: str, planned: PlannedEntry, plan_facts: PlanFacts) -> EntryOutcome:
    """Build one entry and write it, or quarantine it with its reason; never raise for an entry.

    A valid receipt means that there is nothing to do.

    Raises
    ------
    StoreError
        If the store cannot be written (a full disk, no permission) or was planned anew meanwhile:
        that is no fault of the entry, and the next one would meet it too.
    """
    started, asked = time.perf_counter(), traffic()
    objects = open_objects(url)
    receipt = valid_receipt(objects, planned)
    was_finished = receipt is not None
    try:
        if receipt is None:
            made = build_entry(planned, plan_facts.config)
            claim_lineage(objects, plan_facts.lineage)
            # Another part may have finished it while this one computed, or was stopped.
            receipt = valid_receipt(objects, planned)
            if receipt is None:
                receipt = write_entry(objects, Layout.of(plan_facts.config), planned, made)
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001 - one entry must never stop the others
        failure = failure_of(error)
        write_failure(objects, planned, failure)
        return EntryOutcome(
            planned.entry_id,
            failure,
            seconds=time.perf_counter() - started,
            repeated_requests=(traffic() - asked).repeated.total(),
        )
    return EntryOutcome(
        planned.entry_id,
        None,
        n_subgrids=planned.n_subgrids,
        nbytes=sum(item.nbytes for item in receipt.objects),
        seconds=time.perf_counter() - started,
        notes=tuple(receipt.facts["notes"]),
        was_finished=was_finished,
        repeated_requests=(traffic() - asked).repeated.total(),
    )


@dataclass(frozen=True)
class PlanFacts:
    """What a task must know of the plan besides its own entry."""

    config: BuildConfig
    lineage: str

    @classmethod
    def of(cls, plan: Plan) -> PlanFacts:
        """Return the facts of a plan."""
        return cls(plan.config, plan.lineage)


def run_entries(
    url: str,
    plan: Plan,
    entries: Iterable[PlannedEntry],
    on_outcome: Callable[[EntryOutcome], None],
) -> None:
    """Build entries one after another in this process: a part without Dask."""
    for planned in entries:
        on_outcome(build_and_write(url, planned, PlanFacts.of(plan)))


def failure_of(error: Exception) -> Failure:
    """Return the record of a failed entry; an unforeseen error keeps its place in the code."""
    if isinstance(error, MapError | ModelError):
        return Failure("build", error.reason, error.message)
    if isinstance(error, C2SError):
        return Failure("build", type(error).__name__, str(error))
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    return Failure("build", type(error).__name__, f"{error} (unforeseen, at {where})")
