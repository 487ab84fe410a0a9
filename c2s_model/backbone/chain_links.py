"""How far apart two residues of one chain lie, as a likelihood.

For residues g apart along a chain the C-alpha distance is taken as normal with the mean and
standard deviation that 2,800 residues of the four real structures show (g from 1 to 10; beyond,
mean 16.3 (g / 10)^0.29 and a third of it as deviation), never more than 3.8 g. A link is worth, in
nats, with rho the density of candidates,

    ln P(g) + ln f(d; g) / (4 pi d^2 rho),    P(g) = 0.05 (g - 1)^-1.5

where P is the share of gaps of that length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEAN_A: Final = np.array([3.8, 3.8, 5.9, 7.0, 8.6, 10.4, 11.8, 13.0, 14.2, 15.4, 16.3])
SD_A: Final = np.array([0.1, 0.1, 0.6, 2.0, 2.65, 2.9, 3.4, 3.9, 4.2, 4.5, 4.8])
STRETCHED_A: Final = 3.8
GAP_SHARE: Final = 0.05
GAP_POWER: Final = 1.5


def log_reach(
    apart: NDArray[np.integer] | int, distance_A: NDArray[np.float64], noise_A: float
) -> NDArray[np.float64]:
    """Return ln f(d; g) / (4 pi d^2), -inf where no chain reaches; arguments broadcast.

    Parameters
    ----------
    apart
        Residue numbers g between the two, at least 1.
    distance_A
        Between their C-alphas.
    noise_A
        Standard deviation of a point's position on each axis.
    """
    g = np.asarray(apart)
    far = np.minimum(g, len(MEAN_A) - 1)
    growth = np.maximum(g / (len(MEAN_A) - 1), 1.0) ** 0.29
    mean, sd = MEAN_A[far] * growth, np.hypot(SD_A[far] * growth, np.sqrt(2) * noise_A)
    d = np.maximum(distance_A, 1.0)
    log_f = -0.5 * ((d - mean) / sd) ** 2 - np.log(sd * np.sqrt(2 * np.pi))
    reach = STRETCHED_A * g + 3 * np.sqrt(2) * noise_A
    return np.where(d <= reach, log_f - np.log(4 * np.pi * d**2), -np.inf)


def log_gap(apart: NDArray[np.integer] | int) -> NDArray[np.float64]:
    """Return ln P(g) for residues g apart, g - 1 of them unplaced; 0 for g = 1."""
    g = np.asarray(apart)
    unplaced = np.maximum(g - 1, 1)
    return np.where(g > 1, np.log(GAP_SHARE) - GAP_POWER * np.log(unplaced), 0.0)
