"""How a time grows with a size: the exponent of a power law."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def fitted_power(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Return b of the least squares fit of a N^b, in logarithms."""
    slope, _ = np.polyfit(np.log(sizes), np.log(seconds), 1)
    return float(slope)
