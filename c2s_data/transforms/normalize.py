"""Scale a map to [0, 1]: paper, "Normalization".

Divide by the 95th percentile of a population of voxels (`percentile_of`) and clip.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from c2s_data.transforms.float16 import normalize_to_float16, to_float16
from c2s_data.transforms.paging import slabs
from c2s_data.transforms.percentile import Scale, as_divisor, percentile_of, signal_threshold

__all__ = [
    "Scale",
    "density_histogram",
    "normalize",
    "normalize_to_float16",
    "percentile_of",
    "signal_threshold",
    "to_float16",
]

_BLOCK = 2048
_NEAR_AN_EDGE = 1e-5  # in bins; far above what rounding moves a place


def normalize(
    values: NDArray[np.float32], divisor: float, *, out: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], int]:
    """Divide by `divisor` and clip to [0, 1] in one pass.

    Parameters
    ----------
    values
        float32, any shape, finite.
    divisor
        The percentile. It is rounded to float32 once and the division is that of float32: what
        ``values / np.float32(divisor)`` gives.
    out
        C-contiguous float32 buffer of the same shape, filled and returned; may be `values`.

    Returns
    -------
    tuple[NDArray[np.float32], int]
        The map, and how many of its voxels are exactly 1 (saturated): those that were at least
        ``float32(divisor)``. Zeros are +0.0.

    Raises
    ------
    ValueError
        If the divisor is not positive and finite as a float32, or dtype or shape do not fit.
    """
    scale = as_divisor(divisor)
    if values.dtype != np.float32:
        raise ValueError(f"expected float32 values, got {values.dtype}")
    if out is None:
        out = np.empty(values.shape, dtype=np.float32)
    elif out.dtype != np.float32 or out.shape != values.shape or not out.flags.c_contiguous:
        raise ValueError(
            f"out must be a C-contiguous float32 array of shape {values.shape}, "
            f"got {out.dtype} of shape {out.shape}"
        )
    flat, target = np.ascontiguousarray(values).reshape(-1), out.reshape(-1)
    parts = slabs(flat.size, flat, target)
    return out, sum(int(_divide_clip(flat[part], scale, target[part])) for part in parts)


def density_histogram(
    values: NDArray[np.float32], n_bins: int = 256
) -> tuple[NDArray[np.int64], float, float]:
    """Count values in equal bins between the smallest and the largest.

    Parameters
    ----------
    values
        float32, any shape, finite, not empty.
    n_bins
        Number of bins.

    Returns
    -------
    tuple[NDArray[np.int64], float, float]
        Counts (n_bins,), smallest and largest value. Bin i holds ``edges[i] <= v < edges[i + 1]``
        of ``edges = np.linspace(low, high, n_bins + 1)``, the last bin also its upper edge: what
        ``numpy.histogram`` counts in float64. All values equal: all are in the first bin.

    Raises
    ------
    ValueError
        If there are no values, no bins, the dtype is not float32, or a value is not finite.
    """
    if values.dtype != np.float32 or values.size == 0 or n_bins < 1:
        raise ValueError(
            f"expected float32 values and at least one bin, got {values.size} of {values.dtype} "
            f"and {n_bins} bins"
        )
    flat = np.ascontiguousarray(values).reshape(-1)
    low, high = value_range(flat)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"values reach from {low} to {high}; a histogram needs finite values")
    if low == high:
        counts = np.zeros(n_bins, dtype=np.int64)
        counts[0] = flat.size
    else:
        edges = np.linspace(low, high, n_bins + 1)
        counts = np.zeros(n_bins, dtype=np.int64)
        for part in slabs(flat.size, flat):
            counts += _count_bins(flat[part], edges)
    return counts, low, high


def value_range(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return the smallest and the largest value of an array that is not empty; nan if one is."""
    flat = np.ascontiguousarray(values).reshape(-1)
    ends = [(flat[part].min(), flat[part].max()) for part in slabs(flat.size, flat)]
    # Added, because which zero of -0.0 and 0.0 is the smaller depends on the processor.
    low, high = np.min(ends) + 0.0, np.max(ends) + 0.0
    return float(low), float(high)


@njit(cache=True, nogil=True)
def _divide_clip(values: NDArray[np.float32], divisor: np.float32, out: NDArray[np.float32]) -> int:
    n_saturated = 0
    for i in range(values.size):
        quotient = values[i] / divisor
        n_saturated += quotient >= np.float32(1)
        quotient = quotient if quotient > np.float32(0) else np.float32(0)
        out[i] = quotient if quotient < np.float32(1) else np.float32(1)
    return n_saturated


@njit(cache=True, nogil=True)
def _count_bins(values: NDArray[np.float32], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    # Bins first, for a block at a time, because that part vectorizes; four rows of counts,
    # because each increment of one bin waits for the one before.
    n_bins = edges.size - 1
    scale = n_bins / (edges[n_bins] - edges[0])
    counts = np.zeros((4, n_bins), np.int64)
    bins = np.empty(_BLOCK, np.int32)
    for start in range(0, values.size, _BLOCK):
        block = values[start : start + _BLOCK]
        n_near = 0
        for i in range(block.size):
            place = (np.float64(block[i]) - edges[0]) * scale
            bins[i] = np.int32(place)
            n_near += abs(place - np.rint(place)) < _NEAR_AN_EDGE
        if n_near:
            _let_edges_decide(block, edges, bins)
        for i in range(block.size):
            counts[i & 3, np.uint32(min(bins[i], n_bins - 1))] += 1
    total: NDArray[np.int64] = counts.sum(axis=0)
    return total


@njit(cache=True, nogil=True)
def _let_edges_decide(
    block: NDArray[np.float32], edges: NDArray[np.float64], bins: NDArray[np.int32]
) -> None:
    for i in range(block.size):
        place = min(bins[i], edges.size - 2)
        if block[i] < edges[place]:
            place -= 1
        elif block[i] >= edges[place + 1]:
            place += 1  # past the last edge: counted in the last bin
        bins[i] = place
