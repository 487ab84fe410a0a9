"""Half the resolution of a map: the mean of every 2^3 voxels."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from c2s_data.transforms.float16 import to_float16
from c2s_data.transforms.paging import slabs

# Every float16 as float32, by its bits: numba has no float16, and 256 kB stay in the cache.
_FLOAT32_OF_HALF: Final = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)


def coarsen(values_zyx: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of every 2^3 voxels; a last odd plane of an axis is left out.

    Parameters
    ----------
    values_zyx
        (z, y, x), float16 or float32 in [0, 1].

    Returns
    -------
    NDArray[Any]
        (z // 2, y // 2, x // 2) of the same type; sums are float32, in a fixed order.

    Raises
    ------
    ValueError
        If the type is another one or an axis has fewer than two voxels.
    """
    if values_zyx.ndim != 3 or min(values_zyx.shape) < 2:
        raise ValueError(f"a map of shape {values_zyx.shape} has no coarser level")
    z, y, x = (n // 2 for n in values_zyx.shape)
    half = np.empty((z, y, x), values_zyx.dtype)
    plane = np.empty((y, x), np.float32)
    if values_zyx.dtype not in (np.float16, np.float32):
        raise ValueError(f"expected float16 or float32 values, got {values_zyx.dtype}")
    for some in slabs(z, values_zyx):
        for k in range(some.start, some.stop):
            # One plane at a time: a whole float32 map would double the memory of a task.
            if values_zyx.dtype == np.float16:
                _mean_of_halves(values_zyx.view(np.uint16), k, _FLOAT32_OF_HALF, plane)
                to_float16(plane, out=half[k])
            else:
                _mean(values_zyx, k, half[k])
    return half


@njit(cache=True, nogil=True)
def _mean_of_halves(
    bits: NDArray[np.uint16], k: int, table: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            total = np.float32(0)
            for a in range(2):
                for b in range(2):
                    total += table[bits[2 * k + a, 2 * j + b, 2 * i]]
                    total += table[bits[2 * k + a, 2 * j + b, 2 * i + 1]]
            out[j, i] = total * np.float32(0.125)


@njit(cache=True, nogil=True)
def _mean(values: NDArray[np.float32], k: int, out: NDArray[np.float32]) -> None:
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            total = np.float32(0)
            for a in range(2):
                for b in range(2):
                    total += values[2 * k + a, 2 * j + b, 2 * i]
                    total += values[2 * k + a, 2 * j + b, 2 * i + 1]
            out[j, i] = total * np.float32(0.125)
