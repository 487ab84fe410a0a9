"""Scores against counting voxel by voxel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from c2s_model.training.metrics import BatchMeans, Confusion, scores


def plain(truth: np.ndarray, given: np.ndarray, n: int):
    rows = []
    for c in range(n):
        tp = int(((truth == c) & (given == c)).sum())
        fp = int(((truth != c) & (given == c)).sum())
        fn = int(((truth == c) & (given != c)).sum())
        if tp + fp + fn:
            precision = tp / (tp + fp) if tp + fp else 0.0
            recall = tp / (tp + fn) if tp + fn else 0.0
            rows.append((c, precision, recall, 2 * tp / (2 * tp + fp + fn), tp + fn))
    return rows


def test_every_score_is_what_counting_gives() -> None:
    rng = np.random.default_rng(5)
    truth = rng.choice([0, 1, 2, 4], (3, 4, 5, 6), p=[0.7, 0.15, 0.1, 0.05])
    given = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, 4, truth.shape))
    left_out = rng.random(truth.shape) < 0.2
    marked = np.where(rng.random(truth.shape) < 0.1, 255, truth)
    table = Confusion(6)
    for part in (slice(0, 1), slice(1, 3)):
        table.update(
            torch.from_numpy(given[part]),
            torch.from_numpy(marked[part].astype(np.uint8)),
            torch.from_numpy(left_out[part]),
        )
    kept = ~left_out & (marked != 255)
    t, g = truth[kept], given[kept]
    expected = np.zeros((6, 6), int)
    np.add.at(expected, (t, g), 1)
    np.testing.assert_array_equal(table.counts, expected)
    found, rows = scores(table.counts), plain(t, g, 6)
    assert [row[0] for row in rows] == [0, 1, 2, 3, 4]  # 3 only predicted, 5 nowhere
    assert found.accuracy == pytest.approx((t == g).mean())
    for name, place in (("precision", 1), ("recall", 2), ("f1", 3)):
        values = [row[place] for row in rows]
        assert getattr(found, name)[:5] == pytest.approx(values)
        assert math.isnan(getattr(found, name)[5])
        assert getattr(found, f"macro_{name}") == pytest.approx(np.mean(values))
        assert getattr(found, f"macro_{name}_foreground") == pytest.approx(np.mean(values[1:]))
        weights = [row[4] for row in rows]
        assert getattr(found, f"weighted_{name}") == pytest.approx(
            np.average(values, weights=weights)
        )
    assert found.macro_accuracy == found.macro_recall
    assert ("recall", 1, found.recall[1]) in list(found.of_classes())
    assert found.means().keys() >= {"accuracy", "macro_f1", "weighted_f1", "macro_f1_foreground"}
    assert "f1" not in found.means()


def test_the_published_mean_is_over_batches_and_not_that_of_the_epoch() -> None:
    first = torch.tensor([[8, 0], [0, 2]])
    second = torch.tensor([[0, 10], [0, 0]])
    means = BatchMeans()
    means.update(first)
    means.update(second)
    assert means.means()["accuracy"] == pytest.approx(0.5)
    assert means.means()["macro_f1"] == pytest.approx((1.0 + 0.0) / 2)
    assert scores(first + second).macro_f1 != pytest.approx(means.means()["macro_f1"])
    empty = BatchMeans()
    empty.update(torch.tensor([[5, 0], [0, 0]]))
    assert empty.means()["macro_f1"] == 1.0
    assert "macro_f1_foreground" not in empty.means()
