"""Calibrations against known probabilities, against scipy, and against damaged files."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from scipy.optimize import minimize

from c2s_data.errors import ConfigError
from c2s_model.backbone import calibration as module
from c2s_model.backbone.backbone_report import reliability_figure
from c2s_model.backbone.calibration import (
    expected_calibration_error,
    fit_calibration,
    read_calibration,
    reliability,
    write_calibration,
)


def drawn(n: int, truth_of, seed: int = 0, n_entries: int = 6):
    """Confidences uniform in 0 to 1, of which a share ``truth_of(confidence)`` is right."""
    rng = np.random.default_rng(seed)
    confidence = rng.random(n)
    return confidence, rng.random(n) < truth_of(confidence), np.arange(n) % n_entries


def logistic(x):
    return 1 / (1 + np.exp(-x))


def test_bins_and_error_by_hand() -> None:
    confidence = np.array([0.05, 0.07, 0.95, 1.0, 0.55])
    right = np.array([False, True, True, True, False])
    bins = reliability(confidence, right)
    np.testing.assert_allclose(bins.confidence, [0.06, 0.55, 0.975])
    np.testing.assert_allclose(bins.share_right, [0.5, 0.0, 1.0])
    assert bins.number.tolist() == [2, 1, 2]
    wanted = (2 * 0.44 + 1 * 0.55 + 2 * 0.025) / 5
    assert expected_calibration_error(confidence, right) == pytest.approx(wanted)


def test_a_logistic_distortion_is_undone_by_platt() -> None:
    def truth(p):
        return logistic(2.0 * np.log(p / (1 - p)) - 1.0)

    confidence, right, entry = drawn(6000, truth)
    made, after = fit_calibration(confidence, right, entry, {"hmm": "gap"})
    assert made.method == "platt"
    assert made.parameters == pytest.approx((2.0, -1.0), abs=0.15)
    assert made.ece_before > 0.1
    assert made.ece_after < 0.025
    assert made.ece_after == expected_calibration_error(after, right)
    grid = np.linspace(0.01, 0.99, 50)
    assert np.abs(made(grid) - truth(grid)).max() < 0.04
    assert made.n_entries == 6
    assert made.share_right == right.mean()
    assert made.brier["platt"] < made.brier["isotonic"] < made.brier["none"]


def test_a_step_is_better_described_by_isotonic() -> None:
    confidence, right, entry = drawn(4000, lambda p: np.where(p < 0.7, 0.15, 0.8))
    made, _ = fit_calibration(confidence, right, entry)
    assert made.method == "isotonic"
    assert made([0.2, 0.5, 0.9]) == pytest.approx([0.15, 0.15, 0.8], abs=0.06)
    assert (np.diff(made(np.linspace(0, 1, 300))) >= 0).all()
    assert len(made.knots) <= 200


def test_platt_minimizes_the_likelihood_of_smoothed_targets() -> None:
    confidence, right, _ = drawn(300, lambda p: p**2, seed=3)
    x = np.log(confidence / (1 - confidence))
    target = np.where(right, (right.sum() + 1) / (right.sum() + 2), 1 / ((~right).sum() + 2))

    def loss(w):
        z = w[0] * x + w[1]
        return (np.logaddexp(0, z) - target * z).sum()

    wanted = minimize(loss, (1.0, 0.0)).x
    found = module._fit_platt(x, right.astype(float))
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    separable = module._fit_platt(x, (x > 0).astype(float))
    assert np.isfinite(separable).all()
    falling = module._fit_platt(x, (x < 0).astype(float))
    assert falling[0] == 0


def test_isotonic_knots_reproduce_the_full_fit() -> None:
    from scipy.optimize import isotonic_regression

    confidence, right, _ = drawn(500, lambda p: p, seed=5)
    order = np.argsort(confidence)
    full = isotonic_regression(right[order].astype(float)).x
    knots = module._fit("isotonic", confidence, right.astype(float))
    np.testing.assert_allclose(module._apply("isotonic", knots, confidence[order]), full, atol=1e-9)


def test_entries_stay_whole_in_cross_validation() -> None:
    """Two entries that contradict each other: no fit of the one may help the other."""
    confidence = np.tile(np.linspace(0.05, 0.95, 200), 2)
    entry = np.repeat([0, 1], 200)
    right = np.where(entry == 0, confidence > 0.5, confidence < 0.5)
    made, after = fit_calibration(confidence, right, entry)
    assert made.brier["isotonic"] > 0.25
    assert ((after - right) ** 2).mean() == pytest.approx(made.brier[made.method])
    folds = module._folds(np.zeros(10, int))
    assert folds.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_all_right_or_all_wrong_stays_a_probability(share: float) -> None:
    confidence, _, entry = drawn(400, lambda p: p)
    made, after = fit_calibration(confidence, np.full(400, share > 0.5), entry)
    assert np.abs(after - share).max() < 0.01
    assert made.ece_after < 0.01
    assert np.abs(made(np.linspace(0, 1, 9)) - share).max() < 0.01


def test_too_few_residues_are_refused() -> None:
    confidence, right, entry = drawn(49, lambda p: p)
    with pytest.raises(ConfigError, match="49 residues were built"):
        fit_calibration(confidence, right, entry)


@pytest.fixture(params=["platt", "isotonic"])
def made(request):
    truth = {"platt": lambda p: p, "isotonic": lambda p: np.where(p < 0.7, 0.15, 0.8)}
    found, _ = fit_calibration(*drawn(2000, truth[request.param], seed=1), {"entries": ["a"]})
    assert found.method == request.param
    return found


def test_a_calibration_comes_back(made, tmp_path) -> None:
    write_calibration(tmp_path / "c.json", made)
    again = read_calibration(tmp_path / "c.json")
    assert again == made
    grid = np.linspace(0, 1, 30)
    np.testing.assert_array_equal(again(grid), made(grid))
    assert ((made(grid) >= 0) & (made(grid) <= 1)).all()
    assert made.method in made.sentence
    assert f"{made.ece_after:.3f}" in made.sentence


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"method": "best"},
        {"method": "platt", "parameters": [1.0], "knots": []},
        {"method": "platt", "parameters": [-1.0, 0.0], "knots": []},
        {"method": "platt", "parameters": [1.0, float("nan")], "knots": []},
        {"method": "isotonic", "knots": [[0.0, 0.9], [1.0, 0.1]], "parameters": []},
        {"method": "isotonic", "knots": [[0.0, 0.0], [1.0, 1.1]], "parameters": []},
        {"method": "isotonic", "knots": [], "parameters": []},
        {"ece_after": 7},
        {"n_residues": "many"},
        {"surprise": 1},
    ],
)
def test_a_damaged_calibration_is_refused(tmp_path, change) -> None:
    found, _ = fit_calibration(*drawn(500, lambda p: p))
    path = tmp_path / "c.json"
    write_calibration(path, found)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError, match="no usable calibration"):
        read_calibration(path)


def test_what_is_no_calibration_is_refused(tmp_path, monkeypatch) -> None:
    path = tmp_path / "c.json"
    for text in ("", "[" * 3000, "[]", "{}"):
        path.write_text(text)
        with pytest.raises(ConfigError, match="c2s-model calibrate"):
            read_calibration(path)
    with pytest.raises(ConfigError, match="no usable calibration"):
        read_calibration(tmp_path / "none.json")
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    write_calibration(path, fit_calibration(*drawn(500, lambda p: p))[0])
    with pytest.raises(ConfigError, match="larger than"):
        read_calibration(path)


def test_the_diagram_shows_both_curves(made) -> None:
    confidence, right, _ = drawn(2000, lambda p: p, seed=1)
    bins = reliability(confidence, right)
    figure = reliability_figure(dataclasses.replace(made, ece_before=0.125), bins, bins)
    axis = figure.axes[0]
    np.testing.assert_allclose(axis.lines[1].get_xdata(), bins.confidence)
    np.testing.assert_allclose(axis.lines[2].get_ydata(), bins.share_right)
    assert [text.get_text() for text in axis.get_legend().get_texts()][1] == "before, ECE 0.125"
