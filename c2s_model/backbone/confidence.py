"""How sure a placed residue is: what speaks for it, put into one number.

Evidence of a residue: how probable its C-alpha is, how well its amino acid fits the candidate's
emission, how well those of its fragment fit around it (a wrong register shows there first), how
long the fragment is, and how far the steps to its neighbours are from 3.8 A.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from c2s_model.backbone.candidates import Candidates
    from c2s_model.backbone.chain_trace import ChainTrace

FEATURES: Final = (
    "logit_p_ca", "log_odds", "log_odds_around", "log_length", "step_deviation_A", "interpolated",
)  # fmt: skip
WINDOW: Final = 5
"""Residues on either side, of the same fragment, that `log_odds_around` averages."""
STEP_A: Final = 3.8
WEIGHTS: Final = (0.25, 0.2, 2.0, 0.3, -0.5, -1.0)
INTERCEPT: Final = -2.0
"""Of the uncalibrated confidence: a plausible order, not a probability."""
_LOG_ODDS_RANGE: Final = (-4.0, 3.0)
_STEP_MAX_A: Final = 2.0
_P_RANGE: Final = (0.02, 0.98)


def residue_features(
    candidates: Candidates, trace: ChainTrace, codes: NDArray[np.int8]
) -> NDArray[np.float64]:
    """Return what speaks for each residue of a chain.

    Parameters
    ----------
    candidates
        What the trace refers to.
    trace
        Of one chain.
    codes : (n,) int8
        The chain's sequence, 0 to 19, -1 for unknown.

    Returns
    -------
    (r, 6) float64
        Columns `FEATURES`; log odds are natural and against a uniform draw of 20.
    """
    r = len(trace.residue)
    found = trace.candidate >= 0
    p = np.full(r, _P_RANGE[0])
    p[found] = np.clip(candidates.p_ca[trace.candidate[found]], *_P_RANGE)
    log_odds = np.zeros(r)
    known = found & (codes[trace.residue] >= 0)
    emitted = candidates.amino[trace.candidate[known], codes[trace.residue[known]]]
    log_odds[known] = np.clip(np.log(20 * np.maximum(emitted, 1e-9)), *_LOG_ODDS_RANGE)
    length = np.bincount(trace.fragment)[trace.fragment] if r else np.zeros(0)
    return np.stack(
        (
            np.log(p / (1 - p)),
            log_odds,
            _around(log_odds, trace.fragment),
            np.log(np.maximum(length, 1)),
            _step_deviation_A(trace),
            ~found,
        ),
        axis=1,
    ).astype(np.float64)


def uncalibrated_confidence(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a number from 0 to 1 that rises with the evidence: (r,) float64."""
    score = features @ np.array(WEIGHTS) + INTERCEPT
    confidence: NDArray[np.float64] = 1 / (1 + np.exp(-score))
    return confidence


def _around(values: NDArray[np.float64], fragment: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return means over `WINDOW` residues on either side within the fragment."""
    r = len(values)
    row = np.arange(r)
    first = np.searchsorted(fragment, fragment, side="left")
    last = np.searchsorted(fragment, fragment, side="right")
    low, high = np.maximum(row - WINDOW, first), np.minimum(row + WINDOW + 1, last)
    total = np.concatenate(([0.0], np.cumsum(values)))
    means: NDArray[np.float64] = (total[high] - total[low]) / np.maximum(high - low, 1)
    return means


def _step_deviation_A(trace: ChainTrace) -> NDArray[np.float64]:
    """Return the mean deviation from 3.8 A of the steps to bonded neighbours, 0 to 2 A."""
    r = len(trace.residue)
    if r == 0:
        return np.zeros(0)
    bonded = (np.diff(trace.fragment) == 0) & (np.diff(trace.residue) == 1)
    length_A = np.linalg.norm(np.diff(trace.xyz_A, axis=0), axis=1)
    off = np.where(bonded, np.minimum(np.abs(length_A - STEP_A), _STEP_MAX_A), 0.0)
    total = np.zeros(r)
    total[:-1] += off
    total[1:] += off
    number = np.zeros(r)
    number[:-1] += bonded
    number[1:] += bonded
    # A residue that nothing holds is as suspicious as one at the end of a bad step.
    return np.where(number > 0, total / np.maximum(number, 1), _STEP_MAX_A / 2)
