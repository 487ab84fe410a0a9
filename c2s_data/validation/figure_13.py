"""P9: what was recorded of a map before and after preprocessing (paper, Figure 13)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c2s_data.validation.checks import Finding
from c2s_data.validation.subject import Subject


def statistics(
    subject: Subject, n_one: int, saturated_ca_share: float, normalized_mean: float
) -> Finding:
    """P9: hold histograms, slices and facts of the raw and the resampled map against each other.

    Parameters
    ----------
    subject
        The entry.
    n_one
        Voxels whose stored density is 1.0; none at all is P7's fault and told there.
    saturated_ca_share
        Share of the C-alpha voxels at 1.0.
    normalized_mean
        Mean of the stored density.
    """
    stored, facts = subject.store.statistics(subject.entry_id), subject.entry.facts
    source = tuple(subject.row["source_shape_zyx"])
    size = math.prod(subject.entry.shape_zyx)
    faults = [
        *_histogram_faults(stored, "raw", math.prod(source)),
        *_histogram_faults(stored, "resampled", size),
        *_slice_faults(stored, source),
    ]
    numbers = {"normalized_mean": normalized_mean}
    if not faults:
        low, high = (float(value) for value in stored["raw_histogram_range"])
        numbers |= {"raw_smallest": low, "raw_largest": high}
        numbers |= {name: facts[name] for name in ("raw_mean", "raw_sd") if facts[name] is not None}
        faults = [
            *_moment_faults(stored, facts),
            *_saturation_faults(stored, facts, n_one, size),
        ]
    said = facts["saturated_ca_share"]
    if said is not None and abs(said - saturated_ca_share) > 1e-12:
        faults.append(
            f"the catalog has {said:.4%} of the C-alphas at 1.0, counted are "
            f"{saturated_ca_share:.4%}"
        )
    if faults:
        message = f"{subject.entry_id}: {'; '.join(faults)}; build it anew"
        return subject.found("P9", "fail", message, len(faults), **numbers)
    message = (
        f"{subject.entry_id}: raw {numbers['raw_smallest']:.4g} to {numbers['raw_largest']:.4g}, "
        f"mean {numbers.get('raw_mean', math.nan):.4g}; normalized 0 to 1, mean "
        f"{normalized_mean:.4g}"
    )
    return subject.found("P9", "pass", message, **numbers)


def _histogram_faults(
    stored: Mapping[str, NDArray[Any]], name: str, n_voxels: int
) -> Iterator[str]:
    counts = stored.get(f"{name}_histogram")
    limits = stored.get(f"{name}_histogram_range")
    if counts is None or limits is None:
        yield f"there is no histogram of the {name} map"
    elif limits.shape != (2,) or not (np.isfinite(limits).all() and limits[0] <= limits[1]):
        yield f"the histogram of the {name} map has no range"
    elif counts.min() < 0 or int(counts.sum()) != n_voxels:
        yield f"the {name} histogram counts {int(counts.sum()):,} of {n_voxels:,} voxels"


def _slice_faults(stored: Mapping[str, NDArray[Any]], shape_zyx: tuple[int, ...]) -> Iterator[str]:
    z, y, x = shape_zyx
    for name, shape in {"yx": (y, x), "zx": (z, x), "zy": (z, y)}.items():
        values = stored.get(f"raw_slice_{name}")
        if values is None or values.shape != shape:
            yield f"the raw slice {name} is missing or not {shape}"


def _moment_faults(stored: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> Iterator[str]:
    counts, (low, high) = stored["raw_histogram"], stored["raw_histogram_range"]
    width = (high - low) / len(counts)
    mean = float(counts @ (low + width * (np.arange(len(counts)) + 0.5)) / counts.sum())
    recorded = facts["raw_mean"]
    # A value lies at most half a bin from the middle of its bin.
    if recorded is not None and abs(recorded - mean) > width / 2 + 1e-6 * abs(mean):
        yield f"the raw mean is {recorded:g}, by the histogram {mean:g} +- {width / 2:g}"


def _saturation_faults(
    stored: Mapping[str, NDArray[Any]], facts: Mapping[str, Any], n_one: int, size: int
) -> Iterator[str]:
    """Compare the voxels at 1.0 with those that the histogram has above the percentile."""
    divisor, share = facts["percentile_value"], facts["saturated_voxel_share"]
    if divisor is None or share is None or not n_one:
        return
    # Rounding to float16 adds voxels within 2.5e-4 of 1, never takes one away.
    if round(share * size) > n_one:
        yield f"the catalog has {round(share * size):,} voxels at 1.0, counted are {n_one:,}"
    counts, (low, high) = stored["resampled_histogram"], stored["resampled_histogram_range"]
    edges = np.linspace(low, high, len(counts) + 1)
    most = int(counts[edges[1:] >= divisor * (1 - 3e-4)].sum())
    least = int(counts[edges[:-1] >= divisor * (1 + 1e-6)].sum())
    if not least <= n_one <= most:
        yield (
            f"{n_one:,} voxels are 1.0, but the histogram before scaling has {least:,} to "
            f"{most:,} above the percentile {divisor:g}"
        )
