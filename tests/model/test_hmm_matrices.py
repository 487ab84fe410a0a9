"""Matrices of the paper's hidden Markov model, against scipy and the dense description."""

from __future__ import annotations

import numpy as np
import pytest
from plain_viterbi import plain_matrices
from scipy.stats import norm

from c2s_model.backbone.hmm_matrices import (
    BACKGROUND,
    emission_matrix,
    log_initial,
    near_cutoff_A,
    sparse_transitions,
)


def _dense(transitions):
    n = len(transitions.log_far)
    log_t = np.repeat(transitions.log_far[:, None], n, axis=1)
    target = np.repeat(np.arange(n), np.diff(transitions.start))
    log_t[transitions.source, target] = transitions.log_near
    return log_t


@pytest.mark.parametrize(
    ("lambda_", "expected_A"), [(5, 6.15), (10, 8.48), (15, 10.80), (20, 13.12)]
)
def test_cutoff_is_where_the_density_no_longer_changes_the_floor(lambda_, expected_A):
    cutoff_A = near_cutoff_A(lambda_)
    assert cutoff_A == pytest.approx(expected_A, abs=0.005)
    density = norm(3.8047179727719045, 0.03622304 * lambda_).pdf
    assert density(cutoff_A * (1 + 1e-9)) + 1e-20 == 1e-20
    assert density(cutoff_A * (1 - 1e-3)) + 1e-20 > 1e-20


@pytest.mark.parametrize("lambda_", [3.0, 10.0, 20.0])
def test_sparse_transitions_are_the_dense_ones_bit_by_bit(lambda_):
    rng = np.random.default_rng(5)
    xyz_A = rng.uniform(-7, 23, (301, 3))
    xyz_A[17] = xyz_A[230]
    transitions = sparse_transitions(xyz_A, lambda_)
    expected, _ = plain_matrices(xyz_A, np.ones((301, 20)), BACKGROUND, lambda_)
    found = _dense(transitions)
    off = ~np.eye(301, dtype=bool)  # a state never follows itself
    assert (found[off] == expected[off]).all()
    assert (found != transitions.log_far[:, None]).sum() > 301
    assert len(transitions.source) < 301 * 300


def test_near_entries_descend_and_never_lead_to_themselves():
    xyz_A = np.random.default_rng(6).uniform(0, 15, (60, 3))
    transitions = sparse_transitions(xyz_A)
    for state in range(60):
        entries = slice(*transitions.start[state : state + 2])
        assert state not in transitions.source[entries]
        assert (np.diff(transitions.log_near[entries]) <= 0).all()


def test_transitions_against_a_written_out_case():
    xyz_A = np.array([[0.0, 0, 0], [3.8, 0, 0], [3.8, 6.0, 0], [50, 60, 70]])
    density = norm(3.8047179727719045, 0.3622304).pdf
    row = density([3.8, 0.0, 6.0, np.hypot(np.hypot(46.2, 60), 70)]) + 1e-20
    log_t = _dense(sparse_transitions(xyz_A))
    np.testing.assert_allclose(log_t[1, [0, 2, 3]], np.log(row / row.sum())[[0, 2, 3]], rtol=1e-13)
    assert log_t[3, 0] == pytest.approx(np.log(1e-20 / (density(0) + 4e-20)), rel=1e-12)


def test_one_candidate_has_no_near_entry():
    transitions = sparse_transitions(np.array([[4.0, 5, 6]]))
    assert transitions.start.tolist() == [0, 0]
    assert len(transitions.log_far) == 1


def test_emission_is_the_normalized_geometric_mean():
    predicted = np.zeros((2, 20))
    predicted[0, 3], predicted[0, 7], predicted[1] = 0.9, 0.1, 5.0
    found = emission_matrix(predicted)
    share = np.sqrt([0.9 * BACKGROUND[3], 0.1 * BACKGROUND[7]])
    assert found[0, [3, 7]] == pytest.approx(share / share.sum(), rel=1e-8)
    assert found[1] == pytest.approx(np.sqrt(BACKGROUND) / np.sqrt(BACKGROUND).sum())
    assert found[0, 0] > 0
    assert found.sum(axis=1) == pytest.approx([1, 1], abs=1e-15)
    assert sum(BACKGROUND) == pytest.approx(1, abs=1e-9)


def test_initial_is_the_share_in_the_first_residue():
    emission = np.full((3, 20), 0.05)
    emission[:, 4] = [0.1, 0.3, 0.6]
    assert np.exp(log_initial(emission, 4)) == pytest.approx([0.1, 0.3, 0.6])
    assert np.exp(log_initial(emission, 5)) == pytest.approx([1 / 3] * 3)
