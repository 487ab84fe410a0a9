"""F1 of the voxels against the threshold on their probability (paper, Figure 6).

A voxel counts as predicted when p >= t. The population is every voxel that is handed in: precision
and F1 of the same prediction change with the solvent around it, so whoever quotes them says which
box they are of. F1 is the harmonic mean of precision and recall, 2 TP / (predicted + true); the
paper's text says geometric.

The chance level of uniform scores: a share 1 - t of all voxels and of the true ones is predicted,
so that with the prevalence pi of true voxels

    F1(t) = 2 pi (1 - t) / (pi + 1 - t)

for many voxels. `drawn_random_curve` draws it instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

THRESHOLDS: Final = np.round(np.arange(51) * 0.02, 2)
"""0 to 1 in steps of 0.02, the paper's."""
_BLOCK: Final = 2**20


@dataclass(frozen=True, eq=False)
class F1Curve:
    """Counts of voxels by threshold.

    Parameters
    ----------
    thresholds : (t,) float64
    n_predicted, n_hit : (t,) int64
        Voxels at or above each threshold, and how many of them are true.
    n_true, n_voxels : int
        True voxels and all of them.
    """

    thresholds: NDArray[np.float64]
    n_predicted: NDArray[np.int64]
    n_hit: NDArray[np.int64]
    n_true: int
    n_voxels: int

    @property
    def prevalence(self) -> float:
        """Share of true voxels."""
        return self.n_true / max(1, self.n_voxels)

    @property
    def precision(self) -> NDArray[np.float64]:
        """Share of the predicted voxels that are true; 0 where none is predicted."""
        return self.n_hit / np.maximum(1, self.n_predicted)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Share of the true voxels that are predicted; 0 where none is true."""
        return self.n_hit / max(1, self.n_true)

    @property
    def f1(self) -> NDArray[np.float64]:
        """Harmonic mean of precision and recall; 0 where nothing is true nor predicted."""
        return 2 * self.n_hit / np.maximum(1, self.n_predicted + self.n_true)

    @property
    def random(self) -> NDArray[np.float64]:
        """F1 that uniform scores would have at the same prevalence."""
        return random_f1(self.prevalence, self.thresholds)

    @property
    def best(self) -> tuple[float, float]:
        """Lowest threshold of the highest F1, and that F1."""
        at = int(np.argmax(self.f1))
        return float(self.thresholds[at]), float(self.f1[at])

    def as_json(self) -> dict[str, object]:
        """Return the counts and what follows from them."""
        threshold, f1 = self.best
        return {
            "n_voxels": self.n_voxels,
            "n_true": self.n_true,
            "prevalence": self.prevalence,
            "best_threshold": threshold,
            "best_f1": f1,
            "thresholds": self.thresholds.tolist(),
            "n_predicted": self.n_predicted.tolist(),
            "n_hit": self.n_hit.tolist(),
            "f1": self.f1.tolist(),
            "random_f1": self.random.tolist(),
        }


class ThresholdCounts:
    """Counts that a curve is made of, gathered block by block.

    Parameters
    ----------
    thresholds
        (t,) ascending.

    Raises
    ------
    ValueError
        There are none, they do not ascend, or one is not a number.
    """

    def __init__(self, thresholds: ArrayLike = THRESHOLDS) -> None:
        self.thresholds = np.array(thresholds, dtype=np.float64)
        ascending = self.thresholds.ndim == 1 and bool((np.diff(self.thresholds) > 0).all())
        if not ascending or not self.thresholds.size or np.isnan(self.thresholds).any():
            raise ValueError("thresholds must be a list of ascending numbers")
        # Bin k holds the voxels that reach k thresholds.
        self._reached = np.zeros((2, len(self.thresholds) + 1), np.int64)

    def add(
        self,
        probability: NDArray[np.floating[Any]],
        truth: NDArray[Any],
        use: NDArray[np.bool_] | None = None,
    ) -> None:
        """Count a block of voxels.

        Parameters
        ----------
        probability
            Any shape; compared with the thresholds in float64, as it is stored.
        truth
            The same shape; non-zero voxels are true.
        use
            The same shape; the voxels that belong to the population, by default all.

        Raises
        ------
        ValueError
            Shapes differ, or a probability is not a number.
        """
        shapes = {np.shape(array) for array in (probability, truth, use) if array is not None}
        if len(shapes) != 1:
            raise ValueError(f"arrays of shapes {sorted(shapes)}; they must agree voxel by voxel")
        flat, is_true = np.ravel(probability), np.ravel(truth).astype(bool, copy=False)
        if use is not None:
            flat, is_true = flat[np.ravel(use)], is_true[np.ravel(use)]
        for start in range(0, len(flat), _BLOCK):
            part = flat[start : start + _BLOCK]
            if np.isnan(part).any():
                raise ValueError("a probability is not a number; predict the map again")
            reached = np.searchsorted(self.thresholds, part.astype(np.float64), side="right")
            n_bins = len(self.thresholds) + 1
            hit = np.bincount(reached[is_true[start : start + _BLOCK]], minlength=n_bins)
            self._reached[1] += hit
            self._reached[0] += np.bincount(reached, minlength=n_bins) - hit

    def curve(self) -> F1Curve:
        """Return the curve of everything counted so far."""
        at_least = self._reached[:, ::-1].cumsum(axis=1)[:, ::-1]
        false, hit = at_least[:, 1:]
        n_false, n_true = at_least[:, 0].tolist()
        return F1Curve(self.thresholds, false + hit, hit, n_true, n_false + n_true)


def f1_curve(
    probability_zyx: NDArray[np.floating[Any]],
    truth_zyx: NDArray[Any],
    thresholds: ArrayLike = THRESHOLDS,
    use_zyx: NDArray[np.bool_] | None = None,
) -> F1Curve:
    """Return the curve of one map in a single pass; arguments as for `ThresholdCounts.add`."""
    counts = ThresholdCounts(thresholds)
    counts.add(probability_zyx, truth_zyx, use_zyx)
    return counts.curve()


def random_f1(prevalence: float, thresholds: ArrayLike = THRESHOLDS) -> NDArray[np.float64]:
    """Return F1 of uniform scores, 2 pi (1 - t) / (pi + 1 - t), for thresholds in 0 to 1.

    It is the ratio of expected counts, to which F1 converges with the number of voxels; 0 at t = 1.

    Raises
    ------
    ValueError
        A prevalence or threshold outside of 0 to 1.
    """
    t = np.asarray(thresholds, dtype=np.float64)
    if not 0 <= prevalence <= 1 or not ((t >= 0) & (t <= 1)).all():
        raise ValueError("prevalence and thresholds lie between 0 and 1")
    predicted = 1 - t
    both = np.where(predicted + prevalence > 0, predicted + prevalence, 1.0)
    return np.asarray(2 * prevalence * predicted / both)


def drawn_random_curve(
    n_voxels: int, n_true: int, generator: np.random.Generator, thresholds: ArrayLike = THRESHOLDS
) -> F1Curve:
    """Return the curve of one draw of uniform scores, in distribution that of voxel-wise draws.

    How many voxels fall between two thresholds is multinomial, so no voxel is drawn.
    """
    counts = ThresholdCounts(thresholds)
    edges = np.clip(np.concatenate([[0.0], counts.thresholds, [1.0]]), 0, 1)
    shares = np.diff(edges)
    drawn = [generator.multinomial(n, shares) for n in (n_voxels - n_true, n_true)]
    counts._reached += np.array(drawn)
    return counts.curve()
