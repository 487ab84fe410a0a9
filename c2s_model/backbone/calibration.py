"""Confidences become probabilities: fitted on residues of which it is known whether they are right.

Two maps are tried, Platt's two-parameter logistic curve (1999) and isotonic regression (Zadrozny &
Elkan 2002); the one of lower Brier score under cross-validation over entries is kept. The expected
calibration error (ECE) is the mean over ten bins of equal width of the difference between mean
confidence and share of right residues, weighted by their number (Guo et al. 2017); "after" is
measured on residues that the fit did not see.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression

from c2s_data.errors import ConfigError
from c2s_model.backbone.structure import write_text_beside

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FORMAT: Final = 1
FILE_NAME: Final = "calibration.json"
BINS: Final = 10
FOLDS: Final = 5
MIN_RESIDUES: Final = 50
MAX_KNOTS: Final = 200
MAX_BYTES: Final = 2**20
_EDGE: Final = 1e-6


@dataclass(frozen=True)
class Calibration:
    """A map from uncalibrated confidence to probability.

    Parameters
    ----------
    method : {"platt", "isotonic"}
    parameters : tuple of float
        Platt: slope and intercept over the logit. Isotonic: empty.
    knots : tuple of (float, float)
        Isotonic: confidence and probability, both ascending; linear in between.
    n_residues, n_entries : int
        What it was fitted on.
    share_right : float
        Of those residues.
    ece_before, ece_after : float
        Expected calibration errors; after, by cross-validation.
    brier : dict of str to float
        Cross-validated Brier score of each method, and "none".
    facts : dict
        What made the residues: options of candidates and tracing, entries.
    """

    method: Literal["platt", "isotonic"]
    parameters: tuple[float, ...]
    knots: tuple[tuple[float, float], ...]
    n_residues: int
    n_entries: int
    share_right: float
    ece_before: float
    ece_after: float
    brier: dict[str, float]
    facts: dict[str, Any] = field(default_factory=dict)

    def __call__(self, confidence: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return probabilities of being right, (r,) float64."""
        confidence = np.asarray(confidence, np.float64)
        if self.method == "platt":
            slope, intercept = self.parameters
            return _logistic(slope * _logit(confidence) + intercept)
        x, y = np.array(self.knots).T
        return np.asarray(np.interp(confidence, x, y), np.float64)

    @property
    def sentence(self) -> str:
        """What a structure file says of its confidences."""
        return (
            f"calibrated by {self.method} on {self.n_residues} residues of {self.n_entries} "
            f"entries; ECE {self.ece_after:.3f}"
        )


class ReliabilityBins(NamedTuple):
    """A reliability diagram: per bin, mean confidence, share of right residues, their number."""

    confidence: NDArray[np.float64]
    share_right: NDArray[np.float64]
    number: NDArray[np.int64]


def fit_calibration(
    confidence: NDArray[np.float64],
    right: NDArray[np.bool_],
    entry: NDArray[np.integer[Any]],
    facts: dict[str, Any] | None = None,
) -> tuple[Calibration, NDArray[np.float64]]:
    """Fit both maps and keep the better.

    Parameters
    ----------
    confidence : (n,) float64
        Uncalibrated, 0 to 1.
    right : (n,) bool
    entry : (n,) int
        Number of the entry of each residue: cross-validation keeps entries whole. A single entry
        is cut into stretches of consecutive residues.
    facts
        As in `Calibration`.

    Returns
    -------
    tuple
        The calibration, and the cross-validated probabilities (n,) of its method.

    Raises
    ------
    ConfigError
        Fewer than 50 residues.
    """
    n = len(confidence)
    if n < MIN_RESIDUES:
        raise ConfigError(
            f"{n} residues were built, a calibration needs {MIN_RESIDUES}; give more validation "
            "entries"
        )
    truth = right.astype(np.float64)
    fold = _folds(np.asarray(entry))
    held_out = {}
    for method in ("platt", "isotonic"):
        predicted = np.empty(n)
        for one in np.unique(fold):
            train, test = fold != one, fold == one
            made = _fit(method, confidence[train], truth[train])
            predicted[test] = _apply(method, made, confidence[test])
        held_out[method] = predicted
    brier = {name: float(((p - truth) ** 2).mean()) for name, p in held_out.items()}
    best: Literal["platt", "isotonic"] = (
        "platt" if brier["platt"] <= brier["isotonic"] else "isotonic"
    )
    made = _fit(best, confidence, truth)
    calibration = Calibration(
        method=best,
        parameters=tuple(made.tolist()) if best == "platt" else (),
        knots=tuple((x, y) for x, y in made.tolist()) if best == "isotonic" else (),
        n_residues=n,
        n_entries=len(np.unique(entry)),
        share_right=float(truth.mean()),
        ece_before=expected_calibration_error(confidence, right),
        ece_after=expected_calibration_error(held_out[best], right),
        brier={"none": float(((confidence - truth) ** 2).mean()), **brier},
        facts=facts or {},
    )
    return calibration, held_out[best]


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> ReliabilityBins:
    """Sort residues into ten bins of equal width; empty bins are left out."""
    bins = np.minimum((np.asarray(confidence) * BINS).astype(np.int64), BINS - 1)
    number = np.bincount(bins, minlength=BINS)
    filled = number > 0
    total = np.bincount(bins, confidence, BINS)[filled]
    n_right = np.bincount(bins, np.asarray(right, np.float64), BINS)[filled]
    return ReliabilityBins(total / number[filled], n_right / number[filled], number[filled])


def expected_calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the mean gap between confidence and share of right residues over the bins."""
    bins = reliability(confidence, right)
    gap = np.abs(bins.confidence - bins.share_right)
    return float((gap * bins.number).sum() / bins.number.sum())


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration as JSON, in the place of the one of that name."""
    document = {"format": FORMAT, **asdict(calibration)}
    write_text_beside(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def read_calibration(path: Path) -> Calibration:
    """Read a calibration back.

    Raises
    ------
    ConfigError
        It is not there, not of this format, damaged, or no ascending map into 0 to 1.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES:,} bytes")
        document = json.loads(data)
        if document.pop("format") != FORMAT:
            raise ValueError(f"not of format {FORMAT}")
        document["parameters"] = tuple(float(one) for one in document["parameters"])
        document["knots"] = tuple((float(x), float(y)) for x, y in document["knots"])
        made = Calibration(**document)
        _check(made)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f"{path}: no usable calibration ({error}); make it with `c2s-model calibrate`"
        ) from error
    return made


def _check(made: Calibration) -> None:
    numbers = [*made.parameters, *(value for knot in made.knots for value in knot)]
    if not all(math.isfinite(one) for one in numbers) or len(made.knots) > MAX_KNOTS:
        raise ValueError("its numbers are not finite, or too many")
    if made.method == "platt":
        if len(made.parameters) != 2 or made.parameters[0] < 0:
            raise ValueError("Platt's curve has a rising slope and an intercept")
    elif made.method == "isotonic":
        knots = np.array(made.knots).reshape(-1, 2)
        if len(knots) < 1 or (np.diff(knots, axis=0) < 0).any() or not _within(knots):
            raise ValueError("isotonic knots ascend within 0 to 1")
    else:
        raise ValueError(f"unknown method {made.method!r}")
    for name in ("ece_before", "ece_after", "share_right"):
        if not 0 <= float(getattr(made, name)) <= 1:
            raise ValueError(f"{name} is not from 0 to 1")
    if not all(isinstance(n, int) for n in (made.n_residues, made.n_entries)):
        raise TypeError("numbers of residues and entries are whole")


def _within(knots: NDArray[np.float64]) -> bool:
    return bool(knots.min() >= 0 and knots.max() <= 1)


def _folds(entry: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return the fold of each residue: entries stay whole, a single one is cut in stretches."""
    _, number = np.unique(entry, return_inverse=True)
    if number.max() > 0:
        return np.asarray(number % FOLDS, np.int64)
    return np.arange(len(entry)) * FOLDS // len(entry)


def _fit(
    method: str, confidence: NDArray[np.float64], truth: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return slope and intercept (2,), or knots (k, 2)."""
    if method == "platt":
        return _fit_platt(_logit(confidence), truth)
    order = np.argsort(confidence, kind="stable")
    x, first, number = np.unique(confidence[order], return_index=True, return_counts=True)
    y = np.add.reduceat(truth[order], first) / number
    fitted = isotonic_regression(y, weights=number).x
    knots = np.stack((x, np.clip(fitted, 0.0, 1.0)), axis=1)
    # Inside a step nothing changes: its two ends carry it.
    same = np.concatenate(([False], np.diff(knots[:, 1]) == 0))
    inner = same & np.concatenate((same[1:], [False]))
    knots = knots[~inner]
    kept = np.unique(np.linspace(0, len(knots) - 1, MAX_KNOTS).round().astype(np.int64))
    return np.asarray(knots[kept], np.float64)


def _apply(
    method: str, made: NDArray[np.float64], confidence: NDArray[np.float64]
) -> NDArray[np.float64]:
    if method == "platt":
        return _logistic(made[0] * _logit(confidence) + made[1])
    return np.interp(confidence, made[:, 0], made[:, 1])


def _fit_platt(logit: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Newton's method on Platt's smoothed targets, so that separable data stay finite."""
    n_right, n = truth.sum(), len(truth)
    target = np.where(truth > 0, (n_right + 1) / (n_right + 2), 1 / (n - n_right + 2))
    design = np.stack((logit, np.ones(n)), axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(100):
        p = _logistic(design @ weights)
        gradient = design.T @ (p - target) + 1e-6 * weights
        curvature = (design * (p * (1 - p))[:, None]).T @ design + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights = weights - np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-10:
            break
    # A falling curve would turn the order around; then the confidence says nothing.
    return weights if weights[0] >= 0 else np.array([0.0, _logit(target.mean(keepdims=True))[0]])


def _logit(p: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(p, _EDGE, 1 - _EDGE)
    found: NDArray[np.float64] = np.log(clipped / (1 - clipped))
    return found


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 1 / (1 + np.exp(-x))
    return found
