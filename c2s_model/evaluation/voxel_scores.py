"""C-alpha voxels of a prediction against those of a mask (paper, Figures 6, 7, 9 and 11)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c2s_model.evaluation.voxel_curve import F1Curve, ThresholdCounts

Slabs = Callable[[], Iterable[tuple[slice, NDArray[np.float64]]]]
"""Gives a volume in slabs along z, from the first plane to the last: which planes, and values."""


@dataclass(frozen=True, eq=False)
class VoxelScores:
    """A prediction's C-alphas, voxel by voxel.

    Parameters
    ----------
    curve
        Counts at every threshold, over all voxels of the map.
    true_xyz_A : (t, 3) float64
        Centers of the voxels that the mask calls C-alpha.
    found_xyz_A : (f, 3) float64
        Centers of the voxels at or above the threshold of the highest F1.
    is_hit : (f,) bool
        Which of these the mask calls C-alpha.
    """

    curve: F1Curve
    true_xyz_A: NDArray[np.float64]
    found_xyz_A: NDArray[np.float64]
    is_hit: NDArray[np.bool_]


def score_voxels(
    probability: Slabs,
    is_ca_zyx: NDArray[np.bool_],
    origin_xyz_A: tuple[float, float, float],
    voxel_size_A: float,
) -> VoxelScores:
    """Compare probabilities with a mask on the same grid.

    Parameters
    ----------
    probability
        Of C-alpha; asked twice, for the best threshold and for what reaches it.
    is_ca_zyx : (z, y, x) bool
        The true voxels.
    origin_xyz_A
        Center of voxel (0, 0, 0).
    voxel_size_A
        Along every axis.

    Raises
    ------
    ValueError
        A probability is not a number, or a slab has another shape than the mask.
    """
    counts = ThresholdCounts()
    for z, values in probability():
        counts.add(values, is_ca_zyx[z])
    curve = counts.curve()
    at, _ = curve.best
    reaches = np.concatenate([values >= at for _, values in probability()])
    found_zyx = np.argwhere(reaches)
    origin = np.asarray(origin_xyz_A, np.float64)
    return VoxelScores(
        curve,
        origin + np.argwhere(is_ca_zyx)[:, ::-1] * voxel_size_A,
        origin + found_zyx[:, ::-1] * voxel_size_A,
        is_ca_zyx[tuple(found_zyx.T)],
    )
