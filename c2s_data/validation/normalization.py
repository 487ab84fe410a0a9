"""P5 to P8: the normalized values (paper, "Normalization validation")."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.validation.checks import Finding
from c2s_data.validation.figure_13 import statistics
from c2s_data.validation.subject import Subject

MAX_SATURATED_SHARE: Final = 0.5
"""Share of the C-alphas at 1.0 beyond which their contrast is lost."""


def density(
    subject: Subject, values_zyx: NDArray[np.float32], ca_index_zyx: NDArray[np.int64]
) -> Iterator[Finding]:
    """P5 to P9: the normalized values, and what was recorded of them before and after.

    Parameters
    ----------
    subject
        The entry.
    values_zyx
        Stored density (z, y, x) as float32.
    ca_index_zyx
        (n, 3) voxels of the mask ``ca``.
    """
    name = subject.entry_id
    finite = np.isfinite(values_zyx)
    n_bad = values_zyx.size - int(np.count_nonzero(finite))
    if n_bad:
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        message = f"{name}: {n_bad:,} voxels are nan or infinite, first {where}; build it anew"
        yield subject.found("P5", "fail", message, n_bad, n_not_finite=n_bad)
        known = values_zyx[finite]
    else:
        yield subject.found("P5", "pass", f"{name}: all values are finite", n_not_finite=0)
        known = values_zyx.reshape(-1)
    del finite
    low, high = (float(known.min()), float(known.max())) if known.size else (math.nan, math.nan)
    n_one = int(np.count_nonzero(known == 1))
    yield _value_range(subject, known, low, high)
    if n_one:
        yield subject.found("P7", "pass", f"{name}: {n_one:,} voxels are 1.0", largest=high)
    else:
        message = (
            f"{name}: no voxel is 1.0, the largest is {high:g}, so the density was not divided by "
            "a percentile of itself; build it anew"
        )
        yield subject.found("P7", "fail", message, abs(1 - high), largest=high)
    at_ca = values_zyx[tuple(ca_index_zyx.T)]
    share = float((at_ca == 1).mean()) if at_ca.size else 0.0
    yield _saturation(subject, share, n_one / values_zyx.size)
    yield statistics(subject, n_one, share, float(known.mean(dtype=np.float64)))


def _value_range(subject: Subject, known: NDArray[np.float32], low: float, high: float) -> Finding:
    n_outside = int(np.count_nonzero((known < 0) | (known > 1))) if low < 0 or high > 1 else 0
    numbers = {"smallest": low, "largest": high, "n_outside": n_outside}
    if not n_outside:
        message = f"{subject.entry_id}: values from {low:g} to {high:g}"
        return subject.found("P6", "pass", message, **numbers)
    message = (
        f"{subject.entry_id}: {n_outside:,} voxels are outside [0, 1], from {low:g} to {high:g}; "
        "build it anew"
    )
    return subject.found("P6", "fail", message, n_outside, **numbers)


def _saturation(subject: Subject, ca_share: float, voxel_share: float) -> Finding:
    numbers = {"saturated_ca_share": ca_share, "saturated_voxel_share": voxel_share}
    told = f"{subject.entry_id}: {ca_share:.1%} of the C-alphas and {voxel_share:.1%} of all voxels"
    if ca_share <= MAX_SATURATED_SHARE:
        return subject.found("P8", "pass", f"{told} are 1.0", ca_share, **numbers)
    message = (
        f"{told} are 1.0, so the C-alphas have lost their contrast; preset recommended takes the "
        "scale from the signal (docs/beware.md)"
    )
    return subject.found("P8", "warn", message, ca_share, **numbers)
