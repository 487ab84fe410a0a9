"""One-to-one matching against enumeration; voxel curves against counting at each threshold."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from c2s_model.evaluation.one_to_one import match_one_to_one
from c2s_model.evaluation.voxel_curve import (
    THRESHOLDS,
    ThresholdCounts,
    drawn_random_curve,
    f1_curve,
    random_f1,
)


def best_of_all(apart_A, radius_A):
    """Return the most pairs, and their least sum, over all ways to match the shorter side."""
    apart_A = apart_A if apart_A.shape[0] <= apart_A.shape[1] else apart_A.T
    best = (0, 0.0)
    for columns in permutations(range(apart_A.shape[1]), apart_A.shape[0]):
        taken = apart_A[np.arange(len(columns)), list(columns)]
        taken = taken[taken <= radius_A]
        best = min(best, (-len(taken), float(taken.sum())))
    return -best[0], best[1]


def test_matching_is_the_best_of_all():
    for seed in range(60):
        rng = np.random.default_rng([seed, 3])
        target = rng.uniform((5, -52, -1.5), (9, -48, 2.5), (rng.integers(1, 6), 3))
        query = rng.uniform((5, -52, -1.5), (9, -48, 2.5), (rng.integers(1, 8), 3))
        found = match_one_to_one(target, query, 1.8)
        n_pairs, total_A = best_of_all(cdist(target, query), 1.8)
        assert len(found.pairs) == n_pairs
        assert found.distance_A.sum() == pytest.approx(total_A, abs=1e-6)


@pytest.mark.parametrize("radius_A", [1.0, 3.0])
def test_matching_of_many_equals_a_dense_assignment(radius_A):
    rng = np.random.default_rng(8)
    target = rng.uniform(0, 30, (250, 3))
    query = rng.uniform(0, 30, (300, 3))
    apart_A = cdist(target, query)
    rows, columns = linear_sum_assignment(np.where(apart_A <= radius_A, apart_A - 1e4, 0.0))
    expected = apart_A[rows, columns]
    expected = expected[expected <= radius_A]
    found = match_one_to_one(target, query, radius_A)
    assert len(found.pairs) == len(expected)
    assert found.distance_A.sum() == pytest.approx(expected.sum(), abs=1e-6)
    assert len(np.unique(found.pairs[:, 1])) == len(found.pairs)
    assert found.precision == len(expected) / 300
    assert found.recall == len(expected) / 250
    assert found.f1 == pytest.approx(
        2 * found.precision * found.recall / (found.precision + found.recall)
    )


def test_one_more_pair_goes_before_any_distance():
    target = np.array([[0.0, 0, 0], [2.9, 0, 0]])
    query = np.array([[2.8, 0, 0], [5.7, 0, 0]])  # the nearest pair alone would leave two out
    found = match_one_to_one(target, query, 3.0)
    assert found.pairs.tolist() == [[0, 0], [1, 1]]
    swapped = match_one_to_one(query, target, 3.0)
    assert (swapped.precision, swapped.recall) == (found.recall, found.precision)


def test_the_radius_is_inclusive_and_equal_points_match():
    target = np.array([[0.0, 0, 0], [10.0, 0, 0]])
    query = np.array([[0.0, 3.0, 0], [10.0, 0, 0]])
    assert match_one_to_one(target, query, 3.0).distance_A.tolist() == [3.0, 0.0]
    assert len(match_one_to_one(target, query, np.nextafter(3.0, 0)).pairs) == 1


def test_nothing_to_match_is_zero_and_nonsense_is_refused():
    some = np.ones((3, 3))
    for target, query in (([], some), (some, []), (some, some + 40)):
        found = match_one_to_one(target, query, 2.0)
        assert (found.precision, found.recall, found.f1, len(found.pairs)) == (0, 0, 0, 0)
    for bad in (np.ones((3, 2)), np.full((2, 3), np.nan)):
        with pytest.raises(ValueError, match="finite"):
            match_one_to_one(some, bad)
    with pytest.raises(ValueError, match="radius"):
        match_one_to_one(some, some, 0.0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_curve_counts_what_reaches_each_threshold(dtype):
    rng = np.random.default_rng(9)
    probability = rng.random((7, 11, 13)).astype(dtype)
    on_the_edge = rng.random(probability.shape) < 0.4
    probability[on_the_edge] = rng.choice(THRESHOLDS, int(on_the_edge.sum())).astype(dtype)
    truth = (rng.random(probability.shape) < 0.2).astype(np.uint8)
    use = rng.random(probability.shape) < 0.9
    found = f1_curve(probability, truth, use_zyx=use)
    for k, threshold in enumerate(THRESHOLDS):
        predicted = (probability.astype(np.float64) >= threshold) & use
        assert found.n_predicted[k] == predicted.sum()
        assert found.n_hit[k] == (predicted & (truth == 1)).sum()
    precision, recall = found.precision, found.recall
    both = np.where(precision + recall > 0, precision + recall, 1)
    assert found.f1 == pytest.approx(2 * precision * recall / both)
    assert (found.n_voxels, found.n_true) == (use.sum(), (truth[use] == 1).sum())


def test_blocks_add_up_to_the_whole():
    rng = np.random.default_rng(10)
    probability, truth = rng.random((9, 5, 6)), rng.random((9, 5, 6)) < 0.3
    counts = ThresholdCounts()
    for start in (0, 2, 3, 8):
        stop = {0: 2, 2: 3, 3: 8, 8: 9}[start]
        counts.add(probability[start:stop], truth[start:stop])
    assert counts.curve().as_json() == f1_curve(probability, truth).as_json()


def test_thresholds_are_the_papers():
    assert (len(THRESHOLDS), THRESHOLDS[0], THRESHOLDS[-1]) == (51, 0.0, 1.0)
    assert THRESHOLDS[7] == 0.14  # 7 * 0.02 is 0.14000000000000001


def test_random_f1_is_the_reference_formula_and_what_draws_show():
    prevalence = 0.02
    t = np.array([0.0, 0.3, 0.9, 1.0])
    expected = [2 * prevalence / (prevalence + 1), 0.014 * 2 / 0.72, 0.002 * 2 / 0.12, 0.0]
    assert random_f1(prevalence, t) == pytest.approx(expected)
    assert (random_f1(4e-5) < 1e-4).all()
    rng = np.random.default_rng(12)
    truth = np.zeros(200_000, bool)
    truth[:4000] = True
    by_voxel = f1_curve(rng.random(truth.shape), truth)
    drawn = drawn_random_curve(200_000, 4000, rng)
    assert by_voxel.prevalence == drawn.prevalence == prevalence
    for curve in (by_voxel, drawn):
        assert curve.f1[:46] == pytest.approx(curve.random[:46], rel=0.15)
        assert (curve.n_predicted[0], curve.n_predicted[-1]) == (200_000, 0)
    assert random_f1(0.0, [1.0]) == 0.0


def test_bad_input_of_a_curve_is_refused():
    ones = np.ones((2, 3, 4))
    with pytest.raises(ValueError, match="shapes"):
        f1_curve(ones, np.ones((2, 4, 3)))
    with pytest.raises(ValueError, match="not a number"):
        f1_curve(np.full((2, 3, 4), np.nan), ones)
    for thresholds in ([], [0.5, 0.5], [0.6, 0.5], [0.1, np.nan]):
        with pytest.raises(ValueError, match="ascending"):
            ThresholdCounts(thresholds)
    with pytest.raises(ValueError, match="between"):
        random_f1(1.5)


def test_nothing_true_or_predicted_is_zero_not_a_fault():
    found = f1_curve(np.zeros((2, 3, 4)), np.zeros((2, 3, 4)), [0.5, 0.7])
    assert found.f1.tolist() == found.recall.tolist() == found.precision.tolist() == [0, 0]
    assert found.best == (0.5, 0.0)
