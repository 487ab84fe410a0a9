"""The low-pass that keeps detail finer than the new voxels from folding back when a map shrinks.

A grid of voxel size t holds waves down to a length of 2 t, its Nyquist limit. What a finer map has
beyond that, mostly noise, would come back at longer waves. The filter passes waves up to
`PASS_SHARE` of the limit's wave number unchanged, stops those beyond the limit, and falls as half a
period of a cosine between them: a raised cosine. Its impulse response falls with the third power
of the distance, so it is cut off where it no longer matters, and filtering needs no Fourier
transform, no padding and only a halo of known width.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PASS_SHARE: Final = 0.8
"""Where the fall begins, of the Nyquist wave number of the target: at 1 A voxels 2.5 A waves."""
REACH_TARGET_VOXELS: Final = 16
"""Where the impulse response is cut; amplitudes are then right to 0.9 % of the incoming ones."""
ANTIALIAS_BELOW: Final = 0.9
"""An axis is filtered where its voxels are smaller than this share of the target's."""


def needs_lowpass(voxel_A: float, target_A: float) -> bool:
    """Say whether an axis of such voxels is filtered before it is resampled to ``target_A``."""
    return voxel_A < ANTIALIAS_BELOW * target_A


def raised_cosine_taps(voxel_A: float, target_A: float) -> NDArray[np.float64]:
    """Return the raised-cosine low-pass for one axis as a symmetric filter.

    With ``f2 = 1 / (2 target)``, ``f1 = PASS_SHARE * f2``, ``c = f1 + f2`` and
    ``b = (f2 - f1) / (f2 + f1)``, the impulse response at distance d is
    ``sinc(c d) cos(pi b c d) / (1 - (2 b c d)^2)`` with ``sinc(u) = sin(pi u) / (pi u)``.

    Parameters
    ----------
    voxel_A
        Voxel size of the map along the axis, in A; finer than the target's.
    target_A
        Voxel size of the grid to come, in A.

    Returns
    -------
    NDArray[np.float64]
        (2 h + 1,) weights of the voxels -h to h, with ``h = floor(REACH_TARGET_VOXELS * target /
        voxel)``; their sum is 1, so that a constant stays as it is.

    Raises
    ------
    ValueError
        If a size is not positive and finite, or the voxel is not finer than the target's.
    """
    if not (0.0 < voxel_A < target_A and math.isfinite(target_A)):
        raise ValueError(
            f"a low-pass is for voxels finer than the target's, got {voxel_A} and {target_A} A"
        )
    reach = math.floor(REACH_TARGET_VOXELS * target_A / voxel_A)
    distance_A = np.arange(-reach, reach + 1) * voxel_A
    stop = 1.0 / (2.0 * target_A)
    center, half_width = (1 + PASS_SHARE) * stop, (1 - PASS_SHARE) / (1 + PASS_SHARE)
    u = center * distance_A
    pole = 1.0 - (2.0 * half_width * u) ** 2
    at_pole = np.abs(pole) < 1e-9  # where cos / pole is 0 / 0, and tends to pi / 4
    fall = np.cos(np.pi * half_width * u) / np.where(at_pole, 1.0, pole)
    taps: NDArray[np.float64] = np.sinc(u) * np.where(at_pole, np.pi / 4, fall)
    taps /= taps.sum()
    return taps
