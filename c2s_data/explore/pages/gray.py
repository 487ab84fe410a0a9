"""Densities as bytes: what a page draws, and what a byte means."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BELOW: Final = 0
"""Negative: normalization cuts it to 0."""
CLIPPED: Final = 255
"""At 1 or above it: normalization cuts it to 1."""
_STEPS: Final = 254


def gray(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return densities in units of the normalized map as bytes of one gray scale.

    0 stands for negative values, 1 to 254 for 254 equal steps from 0 to 1, 255 for 1 and more.
    """
    steps = np.floor(values.astype(np.float32) * _STEPS)
    codes = np.clip(steps, -1, _STEPS) + 1
    return codes.astype(np.uint8)
