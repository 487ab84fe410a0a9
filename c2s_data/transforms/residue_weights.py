"""How much a loss should trust the label of a residue, from its Q-score or its B-factor."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def weights_from_q_score(
    q_score: ArrayLike, resolution_A: float, *, floor: float = 0.0, unknown: float = 1.0
) -> NDArray[np.float32]:
    """Return how far to trust residues by their Q-score: ``clip(Q / Q_expected, floor, 1)``.

    ``Q_expected = 1.1192 - 0.1775 resolution`` is the published mean of proteins in deposited maps
    for the reference Gaussian of 0.6 A, at least 0.2 here, since the line reaches 0 at 6.3 A.

    Parameters
    ----------
    q_score
        (n,) of the residues, with reference sigma 0.6 A; nan where it was not measured.
    resolution_A
        Resolution of the map in A.
    floor
        The least weight of a residue.
    unknown
        The weight of a residue without a Q-score.

    Raises
    ------
    ValueError
        If the resolution is not positive and finite.
    """
    _check_resolution(resolution_A)
    expected = max(1.1192 - 0.1775 * resolution_A, 0.2)
    weight = np.clip(np.asarray(q_score, np.float64) / expected, floor, 1.0)
    return np.where(np.isnan(weight), unknown, weight).astype(np.float32)


def weights_from_b_factor(
    b_factor_A2: ArrayLike, resolution_A: float, *, floor: float = 0.0, unknown: float = 1.0
) -> NDArray[np.float32]:
    """Return how visible residues are by their B-factor, relative to the median residue.

    ``clip(exp(-(B - B_median) / (4 resolution^2)), floor, 1)``: the share of its amplitude at the
    wave length of the resolution that a residue keeps beside one of median B (Debye-Waller).
    B-factors of different entries are not comparable, hence the median of the given ones.

    Parameters
    ----------
    b_factor_A2
        (n,) of all residues of one entry, in A^2; nan where unknown.
    resolution_A
        Resolution of the map in A.
    floor, unknown
        As for `weights_from_q_score`.

    Raises
    ------
    ValueError
        If the resolution is not positive and finite.
    """
    _check_resolution(resolution_A)
    b_A2 = np.asarray(b_factor_A2, np.float64)
    known = b_A2[np.isfinite(b_A2)]
    median = np.median(known) if known.size else 0.0
    with np.errstate(over="ignore"):
        weight = np.clip(np.exp(-(b_A2 - median) / (4.0 * resolution_A**2)), floor, 1.0)
    return np.where(np.isnan(weight), unknown, weight).astype(np.float32)


def _check_resolution(resolution_A: float) -> None:
    if not (math.isfinite(resolution_A) and resolution_A > 0):
        raise ValueError(f"resolution {resolution_A} A must be a positive number")
