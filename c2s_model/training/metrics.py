"""Scores of a segmentation: from one table of counts, and the published mean over batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from c2s_data.schema import IGNORE


class Confusion:
    """Counts of voxels by true and predicted class; tables of several batches or ranks add up.

    Parameters
    ----------
    n_classes
        Classes.
    ignore_index
        Class of voxels that are not counted.
    device
        Where the table is.
    """

    def __init__(
        self,
        n_classes: int,
        ignore_index: int = IGNORE,
        device: torch.device | str = "cpu",
    ) -> None:
        self.n_classes = n_classes
        self.ignore_index = ignore_index
        self.counts = torch.zeros(n_classes, n_classes, dtype=torch.int64, device=device)
        """(truth, predicted) int64."""

    @torch.no_grad()
    def update(self, predicted: Tensor, target: Tensor, ignore: Tensor | None = None) -> None:
        """Count voxels.

        Parameters
        ----------
        predicted, target
            Classes, of equal shape, integers.
        ignore
            The same shape, bool: voxels not to count; None for none.
        """
        n = self.n_classes
        pairs = target.long() * n + predicted.long()
        left_out = target == self.ignore_index
        if ignore is not None:
            left_out = left_out | ignore
        # A last place takes what is left out: cheaper than selecting, which copies every voxel.
        pairs = pairs.masked_fill_(left_out, n * n)
        counts = torch.bincount(pairs.reshape(-1), minlength=n * n + 1)
        self.counts += counts[:-1].reshape(n, n)


@dataclass(frozen=True)
class Scores:
    """Scores of a table of counts.

    The ``macro`` ones are plain means over classes, the ``weighted`` ones weigh each class by its
    true voxels; those that end in ``_foreground`` leave out class 0. A class that neither occurs
    nor is predicted is in no mean; precision without a prediction, or recall without a voxel of the
    class, is 0. Nan where no class is left.
    """

    accuracy: float
    macro_accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    weighted_precision: float
    weighted_recall: float
    weighted_f1: float
    macro_precision_foreground: float
    macro_recall_foreground: float
    macro_f1_foreground: float
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    f1: tuple[float, ...]

    def means(self) -> dict[str, float]:
        """Return the scores over all classes by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, float)}

    def of_classes(self) -> Iterator[tuple[str, int, float]]:
        """Yield metric, class and value of the scores of single classes; nan where absent."""
        for name in ("precision", "recall", "f1"):
            for number, value in enumerate(getattr(self, name)):
                yield name, number, value


def scores(counts: Tensor) -> Scores:
    """Return the scores of a table (truth, predicted) of counts.

    Macro accuracy is the mean of the classes' recalls, as in the published programs.
    """
    table = counts.detach().to("cpu", torch.float64)
    right, true, given = table.diagonal(), table.sum(1), table.sum(0)
    precision, recall = _ratio(right, given), _ratio(right, true)
    f1 = _ratio(2 * right, true + given)
    known = (true + given) > 0
    shown = {
        name: tuple(torch.where(known, values, torch.nan).tolist())
        for name, values in (("precision", precision), ("recall", recall), ("f1", f1))
    }
    all_classes = torch.arange(len(table)) >= 0
    foreground = torch.arange(len(table)) >= 1

    def macro(values: Tensor, which: Tensor) -> float:
        return float(values[known & which].mean())

    def weighted(values: Tensor) -> float:
        return float((values * true).sum() / true.sum())

    return Scores(
        accuracy=float(right.sum() / true.sum()),
        macro_accuracy=macro(recall, all_classes),
        macro_precision=macro(precision, all_classes),
        macro_recall=macro(recall, all_classes),
        macro_f1=macro(f1, all_classes),
        weighted_precision=weighted(precision),
        weighted_recall=weighted(recall),
        weighted_f1=weighted(f1),
        macro_precision_foreground=macro(precision, foreground),
        macro_recall_foreground=macro(recall, foreground),
        macro_f1_foreground=macro(f1, foreground),
        precision=shown["precision"],
        recall=shown["recall"],
        f1=shown["f1"],
    )


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    return part / whole.clamp(min=1)


class BatchMeans:
    """The published curves: the mean over batches of the scores of each batch.

    Not what the scores of the epoch are: a batch without atoms has no F1 of them, and one with few
    counts as much as one with many.
    """

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.numbers: dict[str, int] = {}

    def update(self, counts: Tensor) -> None:
        """Take the table of counts of one batch; a score that it has not is left out."""
        for name, value in scores(counts).means().items():
            if not math.isnan(value):
                self.sums[name] = self.sums.get(name, 0.0) + value
                self.numbers[name] = self.numbers.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """Return the means by name, of the scores that some batch had."""
        return {name: self.sums[name] / self.numbers[name] for name in self.sums}
