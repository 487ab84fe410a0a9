"""Evidence of residues, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from c2s_model.backbone.candidates import Candidates
from c2s_model.backbone.chain_trace import ChainTrace, empty_trace
from c2s_model.backbone.confidence import FEATURES, residue_features, uncalibrated_confidence
from c2s_model.backbone.residue_codes import residue_codes


def column(features, name: str):
    return features[:, FEATURES.index(name)]


@pytest.fixture
def traced():
    """Five candidates; residues 1, 2, 3 (the middle one interpolated) and, apart, 5 and 6."""
    amino = np.full((5, 20), 0.01)
    amino[np.arange(5), [0, 3, 19, 19, 7]] = 0.81
    candidates = Candidates(
        np.zeros((5, 3)),
        np.array([0.5, 0.9, 0.999, 0.6, 0.7], np.float32),
        amino,
        None,
        np.ones(5, np.int32),
    )
    trace = ChainTrace(
        np.array([1, 2, 3, 5, 6], np.int32),
        np.array([0, -1, 1, 2, 3], np.int32),
        np.array([0, 0, 0, 1, 1], np.int32),
        np.array([(0, 0, 0), (3.8, 0, 0), (8.0, 0, 0), (0, 9, 0), (0, 9, 30)], float),
    )
    return candidates, trace, residue_codes("GAGDGVX")


def test_features_are_what_they_say(traced) -> None:
    features = residue_features(*traced)
    logit = np.log([1, 0.02 / 0.98, 9, 0.98 / 0.02, 1.5])
    np.testing.assert_allclose(column(features, "logit_p_ca"), logit, rtol=1e-6)
    # A on A; none; D on D; V on V; X is unknown
    odds = np.array([np.log(16.2), 0, np.log(16.2), np.log(16.2), 0])
    np.testing.assert_allclose(column(features, "log_odds"), odds)
    around = [odds[:3].mean()] * 3 + [odds[3:].mean()] * 2
    np.testing.assert_allclose(column(features, "log_odds_around"), around)
    np.testing.assert_allclose(column(features, "log_length"), np.log([3, 3, 3, 2, 2]))
    np.testing.assert_allclose(
        column(features, "step_deviation_A"), [0, 0.2, 0.4, 2.0, 2.0], atol=1e-12
    )
    assert column(features, "interpolated").tolist() == [0, 1, 0, 0, 0]


def test_the_window_is_five_residues_on_either_side() -> None:
    n = 14
    amino = np.full((n, 20), 0.05)
    amino[0, 0] = 1.0
    candidates = Candidates(
        np.zeros((n, 3)), np.full(n, 0.9, np.float32), amino, None, np.ones(n, np.int32)
    )
    rows = np.arange(n, dtype=np.int32)
    trace = ChainTrace(rows, rows, np.zeros(n, np.int32), np.zeros((n, 3)))
    around = column(residue_features(candidates, trace, residue_codes("A" * n)), "log_odds_around")
    np.testing.assert_allclose(around[:7], [*(np.log(20) / np.arange(6, 12)), 0], atol=1e-12)


def test_evidence_raises_confidence(traced) -> None:
    features = residue_features(*traced)
    base = uncalibrated_confidence(features)
    assert ((base > 0) & (base < 1)).all()
    for name, sign in zip(FEATURES, (1, 1, 1, 1, -1, -1), strict=True):
        more = features.copy()
        more[:, FEATURES.index(name)] += 0.5
        assert (np.sign(uncalibrated_confidence(more) - base) == sign).all()


def test_an_empty_trace_has_no_residue(traced) -> None:
    assert residue_features(traced[0], empty_trace(), traced[2]).shape == (0, 6)
