"""Round a normalized map to float16, exactly, at memory speed.

numpy's ``astype(float16)`` rounds one value at a time. For values in [0, 1] rounding to nearest,
ties to even, is one integer addition or one float addition, and both vectorize.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from c2s_data.transforms.paging import slabs
from c2s_data.transforms.percentile import as_divisor


def to_float16(
    values: NDArray[np.float32], *, out: NDArray[np.float16] | None = None
) -> NDArray[np.float16]:
    """Round values in [0, 1] to float16: nearest, ties to even, subnormal halves included.

    Parameters
    ----------
    values
        float32 in [0, 1], any shape.
    out
        C-contiguous float16 buffer of the same shape, filled and returned.

    Returns
    -------
    NDArray[np.float16]
        Equal to ``values.astype(np.float16)`` to the bit. The largest error is 2.5e-4.

    Raises
    ------
    ValueError
        If a value is below 0, above 1 or nan, or dtype or shape do not fit.
    """
    flat, result = _prepare(values, out)
    n_outside = _round_all(flat, flat.view(np.uint32), result.reshape(-1).view(np.uint16))
    if n_outside:
        raise ValueError(
            f"{n_outside} of {flat.size} values are outside [0, 1]; normalize the map first"
        )
    return result


def normalize_to_float16(
    values: NDArray[np.float32], divisor: float, *, out: NDArray[np.float16] | None = None
) -> tuple[NDArray[np.float16], int]:
    """Divide, clip to [0, 1] and round to float16 in one pass over the map.

    Bit for bit ``to_float16(normalize(values, divisor)[0])``, with less than half of its memory
    traffic and no float32 copy.

    Parameters
    ----------
    values
        float32, any shape, finite.
    divisor
        See `c2s_data.transforms.normalize.normalize`.
    out
        C-contiguous float16 buffer of the same shape, filled and returned.

    Returns
    -------
    tuple[NDArray[np.float16], int]
        The map, and how many voxels the clipping put at (or found at) 1, counted before rounding
        to float16, which adds those within 2.5e-4 of it.

    Raises
    ------
    ValueError
        If the divisor is not positive and finite as a float32, or dtype or shape do not fit.
    """
    scale = as_divisor(divisor)
    flat, result = _prepare(values, out)
    bits = result.reshape(-1).view(np.uint16)
    parts = slabs(flat.size, flat, bits)
    return result, sum(int(_divide_clip_round(flat[part], scale, bits[part])) for part in parts)


def _prepare(
    values: NDArray[np.float32], out: NDArray[np.float16] | None
) -> tuple[NDArray[np.float32], NDArray[np.float16]]:
    if values.dtype != np.float32:
        raise ValueError(f"expected float32 values, got {values.dtype}")
    if out is None:
        out = np.empty(values.shape, dtype=np.float16)
    elif out.dtype != np.float16 or out.shape != values.shape or not out.flags.c_contiguous:
        raise ValueError(
            f"out must be a C-contiguous float16 array of shape {values.shape}, "
            f"got {out.dtype} of shape {out.shape}"
        )
    return np.ascontiguousarray(values).reshape(-1), out


@njit(cache=True, nogil=True)
def _half(value: np.float32) -> np.uint32:
    """Bits of the float16 nearest to a value in [+0, 1]."""
    bits = np.float32(value).view(np.uint32)
    # Normal halves: move the exponent bias from 127 to 15, then drop 13 mantissa bits; adding
    # 0xFFF, or 0x1000 when the last kept bit is 1, carries exactly when rounding goes up.
    odd = (bits >> np.uint32(13)) & np.uint32(1)
    rebias = np.uint32(112 << 23)
    normal = (bits - rebias + np.uint32(0xFFF) + odd) >> np.uint32(13)
    # Subnormal halves are multiples of 2^-24, the spacing of float32 in [0.5, 1): the addition of
    # 0.5 rounds to one of them, and its low mantissa bits count them.
    shifted = np.float32(value + np.float32(0.5)).view(np.uint32)
    subnormal = shifted - np.uint32(0x3F000000)
    return np.uint32(normal if value >= np.float32(2.0**-14) else subnormal)


@njit(cache=True, nogil=True)
def _round_all(
    values: NDArray[np.float32], bits: NDArray[np.uint32], half_bits: NDArray[np.uint16]
) -> int:
    n_outside = 0
    for i in range(values.size):
        value = values[i]
        n_outside += not ((value >= np.float32(0)) & (value <= np.float32(1)))
        sign = (bits[i] >> np.uint32(16)) & np.uint32(0x8000)  # numpy keeps that of -0.0
        half_bits[i] = np.uint16(_half(value) | sign)
    return n_outside


@njit(cache=True, nogil=True)
def _divide_clip_round(
    values: NDArray[np.float32], divisor: np.float32, half_bits: NDArray[np.uint16]
) -> int:
    n_saturated = 0
    for i in range(values.size):
        quotient = values[i] / divisor
        n_saturated += quotient >= np.float32(1)
        quotient = quotient if quotient > np.float32(0) else np.float32(0)
        quotient = quotient if quotient < np.float32(1) else np.float32(1)
        half_bits[i] = np.uint16(_half(quotient))
    return n_saturated
