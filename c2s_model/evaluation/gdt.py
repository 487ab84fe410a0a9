"""GDT in the frame of the map: the share of residues within a few distances of their own.

GDT_TS is the mean share within 1, 2, 4 and 8 A, GDT_HA within 0.5, 1, 2 and 4 A (A. Zemla, Nucleic
Acids Res. 31 (2003) 3370). There each distance has a superposition of its own; a model that is
built in a map needs none, and none is made.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

TS_A: Final = (1.0, 2.0, 4.0, 8.0)
HA_A: Final = (0.5, 1.0, 2.0, 4.0)


def gdt(
    distance_A: NDArray[np.float64], n_residues: int, within_A: tuple[float, ...] = TS_A
) -> float:
    """Return the score, 0 to 1, of mapped residues over all residues of the target."""
    counts = [np.count_nonzero(distance_A <= limit_A) for limit_A in within_A]
    return sum(counts) / (len(within_A) * max(1, n_residues))
