"""What is measured of a map while its raw density is at hand, and of its labels afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c2s_data.config import BuildConfig
from c2s_data.label_model import excluded_atoms, inside_map
from c2s_data.plan import PlannedEntry
from c2s_data.schema import CLASS_NAMES
from c2s_data.sources.atomic_model import AtomicModel
from c2s_data.sources.density_map import DensityMap
from c2s_data.transforms.label import LabeledVoxels, VoxelLabels
from c2s_data.transforms.normalize import density_histogram
from c2s_data.transforms.paging import batches, slabs
from c2s_data.transforms.resample import sample_trilinear


def measure_raw(
    density: DensityMap, model: AtomicModel
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Measure what clipping will destroy: moments, histogram, slices, density at the C-alphas."""
    values = density.values_zyx
    mean, sd = density.moments
    z, y, x = (n // 2 for n in values.shape)
    statistics = histogram(values, "raw") | {
        "raw_slice_yx": values[z].copy(),
        "raw_slice_zx": _across(values, (slice(None), y)),
        "raw_slice_zy": _across(values, (slice(None), slice(None), x)),
    }
    ca_xyz_A = model.residues.ca_xyz_A
    offset_xyz_A = ca_xyz_A[np.isfinite(ca_xyz_A).all(axis=1)] - density.origin_xyz_A
    at_ca = sample_trilinear(values, offset_xyz_A[:, ::-1] / density.voxel_size_zyx_A)
    inside = at_ca[np.isfinite(at_ca)]
    sigma = (float(inside.mean()) - mean) / sd if inside.size else None
    return {"raw_mean": mean, "raw_sd": sd, "ca_density_sigma": sigma}, statistics


def _across(values_zyx: NDArray[np.float32], place: tuple[slice | int, ...]) -> NDArray[np.float32]:
    """Cut a plane that touches every other one."""
    planes = slabs(len(values_zyx), values_zyx)
    return np.concatenate([values_zyx[some][place].copy() for some in planes])


def histogram(values_zyx: NDArray[np.float32], name: str) -> dict[str, NDArray[Any]]:
    """Return the histogram of a map and its range, named for the entry's statistics."""
    counts, low, high = density_histogram(values_zyx)
    return {f"{name}_histogram": counts, f"{name}_histogram_range": np.array([low, high])}


def label_facts(
    labels: LabeledVoxels,
    masks: Mapping[str, VoxelLabels],
    model: AtomicModel,
    planned: PlannedEntry,
    config: BuildConfig,
) -> dict[str, Any]:
    """Count residues, labels, and what was lost between them."""
    has_ca = np.isfinite(model.residues.ca_xyz_A).all(axis=1)
    n_ca = int(has_ca.sum())
    in_box = int(inside_map(model.residues.ca_xyz_A[has_ca], planned, config).sum())
    return {
        "n_residues": len(model.residues.chain),
        "n_ca": n_ca,
        "ca_in_box": in_box / n_ca,
        "n_atoms_outside": labels.n_outside,
        "n_collisions": labels.n_collisions,
        "excluded_atoms": excluded_atoms(model, config),
        "label_counts": {
            name: np.bincount(mask.value, minlength=256)[1 : len(CLASS_NAMES[name])].tolist()
            for name, mask in masks.items()
        },
    }


def ca_facts(ca: VoxelLabels, density_zyx: NDArray[Any]) -> dict[str, Any]:
    """Return the share of C-alpha voxels whose stored density is 1.0."""
    z, y, x = ca.index_zyx.T
    n_saturated = sum(
        int((density_zyx[z[some], y[some], x[some]] == 1).sum())
        for some in batches(len(z), density_zyx)
    )
    return {"saturated_ca_share": n_saturated / len(z) if len(z) else 0.0}


def warnings_of(facts: Mapping[str, Any], config: BuildConfig) -> list[str]:
    """Return what a user should know before trusting the entry."""
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
