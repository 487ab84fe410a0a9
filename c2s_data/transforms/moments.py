"""Mean and standard deviation of a map in one pass each, without a copy of it."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from c2s_data.transforms.paging import slabs


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
    sums, squares = np.zeros(4), np.zeros(4)
    for part in slabs(flat.size, flat):
        _add(flat[part], sums)
    mean = _total(sums) / flat.size
    for part in slabs(flat.size, flat):
        _add_squares(flat[part], mean, squares)
    return mean, math.sqrt(_total(squares) / flat.size)


def _total(sums: NDArray[np.float64]) -> float:
    a, b, c, d = sums.tolist()
    return float(a + b + c + d)


@njit(cache=True, nogil=True)
def _add(flat: NDArray[np.float32], sums: NDArray[np.float64]) -> None:
    # Four partial sums break the chain of dependent additions, which halves the time.
    a, b, c, d = sums[0], sums[1], sums[2], sums[3]
    whole = flat.size - flat.size % 4
    for i in range(0, whole, 4):
        a += flat[i]
        b += flat[i + 1]
        c += flat[i + 2]
        d += flat[i + 3]
    for i in range(whole, flat.size):
        a += flat[i]
    sums[:] = a, b, c, d


@njit(cache=True, nogil=True)
def _add_squares(flat: NDArray[np.float32], mean: float, sums: NDArray[np.float64]) -> None:
    a, b, c, d = sums[0], sums[1], sums[2], sums[3]
    whole = flat.size - flat.size % 4
    for i in range(0, whole, 4):
        a += (flat[i] - mean) ** 2
        b += (flat[i + 1] - mean) ** 2
        c += (flat[i + 2] - mean) ** 2
        d += (flat[i + 3] - mean) ** 2
    for i in range(whole, flat.size):
        a += (flat[i] - mean) ** 2
    sums[:] = a, b, c, d
