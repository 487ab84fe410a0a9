"""Exact percentiles of a part of a map, without sorting or copying it.

The bits of a float32, taken as an integer, are in the order of the values (once the bits of
negative values are turned round). So two counting passes, one over the upper and one over the
lower 16 bits, find the value of any rank exactly.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from c2s_data.transforms.paging import slabs

Scale = Literal["positive", "nonzero", "signal"]

NOISE_MULTIPLE = 4.0
"""Population ``signal`` starts at this multiple of the rms of the negative values."""
MIN_NEGATIVE_SHARE = 0.001
"""With a smaller share of negative voxels (a masked map) their rms says nothing about noise."""

_HALF_BITS = 16
_N_BINS = 1 << _HALF_BITS
_N_SPARE = 16
_BLOCK = 4096
_SHORT_BLOCK = 64


def percentile_of(values_zyx: NDArray[np.float32], population: Scale, q: float = 95.0) -> float:
    """Return the q-th percentile of one population of voxels, exactly.

    Equals ``numpy.percentile(population.astype(float64), q)`` (linear interpolation) to the bit.

    Parameters
    ----------
    values_zyx
        float32, any shape, finite.
    population
        ``"positive"``: values > 0 (paper, "Normalization").
        ``"nonzero"``: values != 0, negative ones included (the published programs); -0.0 is zero.
        ``"signal"``: values above `signal_threshold`.
    q
        Percentile, 0 to 100.

    Returns
    -------
    float
        The percentile; greater than 0.

    Raises
    ------
    ValueError
        If the population is empty, the percentile is not positive (it could not serve as a
        divisor), the dtype is not float32, or `population` or `q` is not one of the above.
    """
    _check_float32(values_zyx)
    if not 0.0 <= q <= 100.0:
        raise ValueError(f"percentile {q} is outside 0 to 100")
    flat = np.ascontiguousarray(values_zyx).reshape(-1)
    above = _lower_limit(flat, population)
    result = _percentile_above(flat, above, q, population)
    if not result > 0.0:
        raise ValueError(
            f"the {q:g}th percentile of the {population} values is {result:g}; "
            "a divisor must be positive: is the contrast of the map inverted?"
        )
    return result


def signal_threshold(values_zyx: NDArray[np.float32]) -> float:
    """Return where signal begins: 4 x the rms of the negative values, which are noise.

    Parameters
    ----------
    values_zyx
        float32, any shape, finite.

    Returns
    -------
    float
        The threshold in units of the map; 0.0 when fewer than 0.1 % of all voxels are negative,
        so that "above the threshold" then means the positive values. Sums of squares are kept in
        float64 in a fixed order.

    Raises
    ------
    ValueError
        If the dtype is not float32.
    """
    _check_float32(values_zyx)
    flat = np.ascontiguousarray(values_zyx).reshape(-1)
    count, sums = 0, np.zeros(4)
    for part in slabs(flat.size, flat):
        count += _add_negative(flat[part], sums)
    if count == 0 or count < MIN_NEGATIVE_SHARE * flat.size:
        return 0.0
    s0, s1, s2, s3 = sums.tolist()
    return NOISE_MULTIPLE * math.sqrt(((s0 + s1) + (s2 + s3)) / count)


def as_divisor(percentile: float) -> np.float32:
    """Return a percentile as the float32 that a map can be divided by.

    Raises
    ------
    ValueError
        If it is not positive and finite as a float32.
    """
    limit = float(np.finfo(np.float32).max)
    divisor = np.float32(percentile if -limit <= percentile <= limit else math.nan)
    if not divisor > 0:
        raise ValueError(
            f"cannot normalize by {percentile!r}: a divisor must be positive and finite in float32"
        )
    return divisor


def _lower_limit(flat: NDArray[np.float32], population: Scale) -> np.float32:
    """Return the float32 that members exceed; for float32 values exactly the float64 rule."""
    if population == "positive":
        return np.float32(0)
    if population == "nonzero":
        return np.float32(-np.inf)
    if population == "signal":
        threshold = signal_threshold(flat)
        nearest = np.float32(threshold)
        # v > threshold <=> v > the largest float32 that does not exceed the threshold
        return nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(0))
    raise ValueError(f"population must be 'positive', 'nonzero' or 'signal', not {population!r}")


def _percentile_above(
    flat: NDArray[np.float32], above: np.float32, q: float, population: Scale
) -> float:
    bits = flat.view(np.uint32)
    counts = np.zeros(_N_BINS, np.int64)
    for part in slabs(flat.size, flat):
        counts += _count_upper(flat[part], bits[part], above)
    cumulative = np.cumsum(counts)
    n_members = int(cumulative[-1])
    if n_members == 0:
        raise ValueError(f"no voxel of the map belongs to the population '{population}'")
    place = (n_members - 1) * (q / 100.0)
    rank = math.floor(place)
    low, high = _values_at(flat, bits, above, cumulative, (rank, min(rank + 1, n_members - 1)))
    share = place - rank
    # The form numpy uses: from the nearer end, so that it is exact at both.
    return high - (high - low) * (1 - share) if share >= 0.5 else low + (high - low) * share


def _values_at(
    flat: NDArray[np.float32],
    bits: NDArray[np.uint32],
    above: np.float32,
    cumulative: NDArray[np.int64],
    ranks: tuple[int, int],
) -> tuple[float, float]:
    lower_sums: dict[int, NDArray[np.int64]] = {}
    found = []
    for rank in ranks:
        upper = int(np.searchsorted(cumulative, rank, side="right"))
        if upper not in lower_sums:
            counts = np.zeros(_N_BINS, np.int64)
            for part in slabs(flat.size, flat):
                counts += _count_lower(flat[part], bits[part], above, upper)
            lower_sums[upper] = np.cumsum(counts)
        within = rank - (int(cumulative[upper - 1]) if upper else 0)
        lower = int(np.searchsorted(lower_sums[upper], within, side="right"))
        found.append(_value_of_key((upper << _HALF_BITS) | lower))
    return found[0], found[1]


def _value_of_key(key: int) -> float:
    bits = key ^ 0x80000000 if key & 0x80000000 else key ^ 0xFFFFFFFF
    return float(np.array([bits], dtype=np.uint32).view(np.float32)[0])


def _check_float32(values: NDArray[np.float32]) -> None:
    if values.dtype != np.float32:
        raise ValueError(f"expected a float32 map, got {values.dtype}")


@njit(cache=True, nogil=True)
def _ordered_key(bits: np.uint32) -> np.uint32:
    # Flip the sign bit of positive values, all bits of negative ones.
    return np.uint32(bits ^ (np.uint32(0x80000000) | np.uint32(np.int32(bits) >> 31)))


@njit(cache=True, nogil=True)
def _count_upper(
    flat: NDArray[np.float32], bits: NDArray[np.uint32], above: np.float32
) -> NDArray[np.int64]:
    # Bins first, for a block at a time, because that part vectorizes. Voxels outside the
    # population go to spare bins, which are then cut off: on noise a branch is mispredicted every
    # other time. Several of them, because each increment of one bin waits for the one before.
    counts = np.zeros(_N_BINS + _N_SPARE, np.int64)
    bins = np.empty(_BLOCK, np.uint32)
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK]
        block_bits = bits[start : start + _BLOCK]
        for i in range(block.size):
            member = (block[i] > above) & (block[i] != np.float32(0))
            key = _ordered_key(block_bits[i]) >> np.uint32(_HALF_BITS)
            bins[i] = key if member else np.uint32(_N_BINS + (i & (_N_SPARE - 1)))
        for i in range(block.size):
            counts[bins[i]] += 1
    return counts[:_N_BINS]


@njit(cache=True, nogil=True)
def _count_lower(
    flat: NDArray[np.float32], bits: NDArray[np.uint32], above: np.float32, upper: int
) -> NDArray[np.int64]:
    counts = np.zeros(_N_BINS, np.int64)
    wanted = np.uint32(upper)
    for start in range(0, flat.size, _SHORT_BLOCK):
        block = flat[start : start + _SHORT_BLOCK]
        block_bits = bits[start : start + _SHORT_BLOCK]
        hits = 0  # a vectorized look: most blocks have nothing in the wanted bin
        for i in range(block.size):
            hits += (_ordered_key(block_bits[i]) >> np.uint32(_HALF_BITS)) == wanted
        if hits == 0:
            continue
        for i in range(block.size):
            key = _ordered_key(block_bits[i])
            if key >> np.uint32(_HALF_BITS) == wanted and block[i] > above and block[i] != 0:
                counts[key & np.uint32(_N_BINS - 1)] += 1
    return counts


@njit(cache=True, nogil=True)
def _add_negative(flat: NDArray[np.float32], sums: NDArray[np.float64]) -> int:
    # Four sums: one alone would wait for every addition. Spelled out, so that their order, and
    # with it the last bit, is the same on every processor.
    s0, s1, s2, s3 = sums[0], sums[1], sums[2], sums[3]
    whole = flat.size // 4 * 4
    for i in range(0, whole, 4):
        v0 = np.float64(min(flat[i], np.float32(0)))
        v1 = np.float64(min(flat[i + 1], np.float32(0)))
        v2 = np.float64(min(flat[i + 2], np.float32(0)))
        v3 = np.float64(min(flat[i + 3], np.float32(0)))
        s0 += v0 * v0
        s1 += v1 * v1
        s2 += v2 * v2
        s3 += v3 * v3
    for i in range(whole, flat.size):
        value = np.float64(min(flat[i], np.float32(0)))
        s0 += value * value
    count = 0
    for i in range(flat.size):
        count += flat[i] < np.float32(0)
    sums[:] = s0, s1, s2, s3
    return count
