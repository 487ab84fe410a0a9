"""What an epoch's predictions come to: tables of counts, and means over batches, by target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

from c2s_data.schema import CLASS_NAMES
from c2s_model.training.distributed import Ranks
from c2s_model.training.history import HistoryRow
from c2s_model.training.metrics import BatchMeans, Confusion, Scores, scores

BATCH_MEAN: Final = "batch_mean_"
"""What the names of the published means over batches begin with."""


class EpochTotals:
    """Counts predictions, on each process those of its own batches.

    Parameters
    ----------
    heads
        Target -> number of classes.
    device
        Where predictions are counted.
    """

    def __init__(self, heads: Mapping[str, int], device: torch.device) -> None:
        self._heads, self._device = dict(heads), device
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Forget everything."""
        self._counts = {t: torch.zeros(n, n, dtype=torch.int64) for t, n in self._heads.items()}
        self._means = {target: BatchMeans() for target in self._heads}
        self._waiting: dict[str, list[Tensor]] = {target: [] for target in self._heads}

    @torch.no_grad()
    def update(
        self, logits: Mapping[str, Tensor], targets: Mapping[str, Tensor], ignore: Tensor | None
    ) -> None:
        """Count a batch: logits (B, C, Z, Y, X), targets and ignore (B, Z, Y, X)."""
        for target, n_classes in self._heads.items():
            of_batch = Confusion(n_classes, device=self._device)
            of_batch.update(logits[target].max(dim=1).indices, targets[target], ignore)
            self._waiting[target].append(of_batch.counts)

    def look(self) -> None:
        """Fetch the tables of the last batches from the device, for which a GPU waits."""
        for target, tables in self._waiting.items():
            for counts in torch.stack(tables).cpu() if tables else ():
                self._counts[target] += counts
                self._means[target].update(counts)
            tables.clear()

    def state_dict(self, ranks: Ranks) -> dict[str, Any]:
        """Return the totals of all processes; a call of all."""
        self.look()
        return {
            target: {
                "counts": ranks.sum(self._counts[target]),
                "means": _packed(self._means[target], self._names(target), ranks),
            }
            for target in self._heads
        }

    def _names(self, target: str) -> list[str]:
        """Return the scores that have means: the same on every process."""
        return list(scores(torch.eye(self._heads[target])).means())

    def load_state_dict(self, state: Mapping[str, Any], ranks: Ranks) -> None:
        """Take over totals: the first process has those of all."""
        self.begin_epoch()
        for target in self._heads if ranks.is_first else ():
            self._counts[target] = state[target]["counts"].clone()
            for name, (total, number) in zip(
                self._names(target), state[target]["means"].tolist(), strict=True
            ):
                if number:
                    self._means[target].sums[name] = total
                    self._means[target].numbers[name] = int(number)

    def scores(self, ranks: Ranks) -> dict[str, Scores]:
        """Return the scores over all processes by target; a call of all."""
        self.look()
        return {target: scores(ranks.sum(counts)) for target, counts in self._counts.items()}

    def rows(self, ranks: Ranks, part: str, losses: Mapping[str, float]) -> list[HistoryRow]:
        """Return all numbers of the epoch, for the history; a call of all processes.

        Parameters
        ----------
        ranks
            Processes whose totals are summed.
        part
            ``train`` or ``validation``.
        losses
            Mean losses: "loss" over all targets, and each target's.
        """
        rows = [HistoryRow(0, 0, part, "", "loss", "", losses["loss"])]
        for target, found in self.scores(ranks).items():
            rows.append(HistoryRow(0, 0, part, target, "loss", "", losses[target]))
            numbers = found.means() | {
                BATCH_MEAN + name: value for name, value in self._batch_means(target, ranks).items()
            }
            rows += [HistoryRow(0, 0, part, target, name, "", one) for name, one in numbers.items()]
            rows += [
                HistoryRow(0, 0, part, target, name, CLASS_NAMES[target][number], value)
                for name, number, value in found.of_classes()
            ]
        return rows

    def _batch_means(self, target: str, ranks: Ranks) -> dict[str, float]:
        names = self._names(target)
        packed = _packed(self._means[target], names, ranks).tolist()
        return {
            name: total / number
            for name, (total, number) in zip(names, packed, strict=True)
            if number
        }


def _packed(means: BatchMeans, names: list[str], ranks: Ranks) -> Tensor:
    """Return (names, 2) float64 sums and numbers over all processes."""
    rows = [(means.sums.get(name, 0.0), means.numbers.get(name, 0)) for name in names]
    return ranks.sum(torch.tensor(rows, dtype=torch.float64))
