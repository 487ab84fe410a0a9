"""Build one entry: the steps of the paper's Figure 1 as one sentence; a part is a loop of it."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c2s_data.config import BuildConfig
from c2s_data.errors import C2SError, MapError, MapReason, ModelError, ModelReason, StoreError
from c2s_data.label_model import (
    excluded_atoms,
    inside_map,
    label_model,
    residue_columns,
    secondary_structure,
)
from c2s_data.plan import Failure, Plan, PlannedEntry, digest_of_ends, digest_of_file
from c2s_data.schema import CLASS_NAMES, MASKS
from c2s_data.sources.atomic_model import AtomicModel, read_atomic_model
from c2s_data.sources.density_map import MAX_VOXELS, DensityMap, read_density_map
from c2s_data.store.begin import claim_lineage
from c2s_data.store.layout import Layout
from c2s_data.store.objects import open_objects
from c2s_data.store.receipt import InputFile, valid_receipt, write_failure
from c2s_data.store.writer import LabeledMap, write_entry
from c2s_data.transforms.float16 import normalize_to_float16
from c2s_data.transforms.label import LabeledVoxels
from c2s_data.transforms.moments import moments
from c2s_data.transforms.normalize import density_histogram, normalize
from c2s_data.transforms.percentile import percentile_of
from c2s_data.transforms.resample import resample_trilinear, sample_trilinear, truncate_to


@dataclass(frozen=True)
class EntryOutcome:
    """What became of one entry: done (perhaps already before) or failed."""

    entry_id: str
    failure: Failure | None
    n_subgrids: int = 0
    nbytes: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    was_finished: bool = False


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
    model = read_atomic_model(planned.entry.model, zero_occupancy=config.zero_occupancy)
    secondary = secondary_structure(model, config)
    labels = label_model(model, secondary, planned, config)
    density = read_density_map(
        planned.entry.map,
        origin=planned.entry.origin or config.origin,
        max_voxels=max(MAX_VOXELS, math.prod(planned.source_shape_zyx)),  # the plan allowed it
        non_finite=config.non_finite,
        sha256=True,
    )
    map_notes = density.notes
    inputs = _planned_inputs(planned, density)
    facts, statistics = _measure_raw(density, model)
    resampled_zyx = _resample(density, config)
    del density  # The raw map and the normalized one need not live together.
    divisor = _divisor(resampled_zyx, planned, config)
    statistics |= _histogram(resampled_zyx, "resampled")
    normalized_zyx, n_saturated = _normalize(resampled_zyx, divisor, config)
    facts |= {
        "percentile_value": divisor,
        "saturated_voxel_share": n_saturated / resampled_zyx.size,
    }
    facts |= _label_facts(labels, model, planned, config, normalized_zyx)
    facts |= {"secondary_source": secondary.source}
    facts["notes"] = [*map_notes, *model.notes, *secondary.notes, *_warnings(facts, config)]
    return LabeledMap(
        density_zyx=normalized_zyx,
        labels={name: getattr(labels, name) for name in MASKS},
        residues=residue_columns(model, secondary, planned, config),
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
    started = time.perf_counter()
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
        return EntryOutcome(planned.entry_id, failure, seconds=time.perf_counter() - started)
    return EntryOutcome(
        planned.entry_id,
        None,
        n_subgrids=planned.n_subgrids,
        nbytes=sum(item.nbytes for item in receipt.objects),
        seconds=time.perf_counter() - started,
        notes=tuple(receipt.facts["notes"]),
        was_finished=was_finished,
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


def _resample(density: DensityMap, config: BuildConfig) -> NDArray[np.float32]:
    resampled = resample_trilinear(
        density.values_zyx, density.voxel_size_zyx_A, positions=config.positions
    )
    if config.integer_maps == "truncate" and density.source_dtype.kind in "iu":
        return truncate_to(resampled, density.source_dtype)
    return resampled


def _divisor(
    resampled_zyx: NDArray[np.float32], planned: PlannedEntry, config: BuildConfig
) -> float:
    try:
        return percentile_of(resampled_zyx, config.scale, config.percentile)
    except ValueError as error:
        raise MapError(
            MapReason.EMPTY_POPULATION,
            f"{planned.entry.map}: the density cannot be scaled: {error}",
        ) from error


def _normalize(
    resampled_zyx: NDArray[np.float32], divisor: float, config: BuildConfig
) -> tuple[NDArray[Any], int]:
    if config.density_dtype == "float16":
        return normalize_to_float16(resampled_zyx, divisor)
    return normalize(resampled_zyx, divisor, out=resampled_zyx)


def _measure_raw(
    density: DensityMap, model: AtomicModel
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Measure what clipping will destroy: moments, histogram, slices, density at the C-alphas."""
    values = density.values_zyx
    mean, sd = moments(values)
    z, y, x = (n // 2 for n in values.shape)
    statistics = _histogram(values, "raw") | {
        "raw_slice_yx": values[z].copy(),
        "raw_slice_zx": values[:, y].copy(),
        "raw_slice_zy": values[:, :, x].copy(),
    }
    ca_xyz_A = model.residues.ca_xyz_A
    offset_xyz_A = ca_xyz_A[np.isfinite(ca_xyz_A).all(axis=1)] - density.origin_xyz_A
    at_ca = sample_trilinear(values, offset_xyz_A[:, ::-1] / density.voxel_size_zyx_A)
    inside = at_ca[np.isfinite(at_ca)]
    sigma = (float(inside.mean()) - mean) / sd if inside.size else None
    return {"raw_mean": mean, "raw_sd": sd, "ca_density_sigma": sigma}, statistics


def _histogram(values_zyx: NDArray[np.float32], name: str) -> dict[str, NDArray[Any]]:
    counts, low, high = density_histogram(values_zyx)
    return {f"{name}_histogram": counts, f"{name}_histogram_range": np.array([low, high])}


def _label_facts(
    labels: LabeledVoxels,
    model: AtomicModel,
    planned: PlannedEntry,
    config: BuildConfig,
    normalized_zyx: NDArray[Any],
) -> dict[str, Any]:
    z, y, x = labels.ca.index_zyx.T
    at_ca = normalized_zyx[z, y, x]
    has_ca = np.isfinite(model.residues.ca_xyz_A).all(axis=1)
    n_ca = int(has_ca.sum())
    in_box = int(inside_map(model.residues.ca_xyz_A[has_ca], planned, config).sum())
    return {
        "saturated_ca_share": float((at_ca == 1).mean()) if at_ca.size else 0.0,
        "n_residues": len(model.residues.chain),
        "n_ca": n_ca,
        "ca_in_box": in_box / n_ca,
        "n_atoms_outside": labels.n_outside,
        "n_collisions": labels.n_collisions,
        "excluded_atoms": excluded_atoms(model, config),
        "label_counts": {
            name: np.bincount(getattr(labels, name).value, minlength=256)[
                1 : len(CLASS_NAMES[name])
            ].tolist()
            for name in MASKS
        },
    }


def _warnings(facts: dict[str, Any], config: BuildConfig) -> list[str]:
    found = []
    share = facts["saturated_ca_share"]
    if share > 0.5 and config.scale == "signal":
        found.append(
            f"{share:.0%} of the C-alphas have density 1.0: the map has hardly any negative values "
            "(masked, or shifted by a constant), so its scale could not be set by its noise"
        )
    elif share > 0.5:
        found.append(
            f"{share:.0%} of the C-alphas have density 1.0, so their contrast is lost; preset "
            "recommended takes the scale from the signal (docs/beware.md)"
        )
    if facts["ca_in_box"] < 0.99:
        found.append(f"only {facts['ca_in_box']:.1%} of the C-alphas lie inside the map")
    return found


def _planned_inputs(planned: PlannedEntry, density: DensityMap) -> tuple[InputFile, ...]:
    """Return what was read, after checking that it is what was planned."""
    assert density.file_bytes is not None
    assert density.file_sha256 is not None
    read = (density.values_zyx.shape, density.voxel_size_zyx_A, density.origin_xyz_A)
    expected = (planned.source_shape_zyx, planned.voxel_size_zyx_A, planned.origin_xyz_A)
    same_size = read == expected and density.file_bytes == planned.map_bytes
    if not same_size or digest_of_ends(planned.entry.map) != planned.map_ends_sha256:
        raise MapError(
            MapReason.CHANGED,
            f"{planned.entry.map}: the file is not the one that was planned (shape, voxel size, "
            f"origin {read}, planned {expected}); restore it, or plan again",
        )
    digest = digest_of_file(planned.entry.model)
    if digest != planned.model_sha256:
        raise ModelError(
            ModelReason.CHANGED,
            f"{planned.entry.model}: the file is not the one that was planned; restore it, or "
            "plan again",
        )
    return (
        InputFile("map", Path(planned.entry.map).name, density.file_bytes, density.file_sha256),
        InputFile("model", Path(planned.entry.model).name, planned.model_bytes, digest),
    )
