"""Scores of a network on maps it is not trained on."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.data import DataLoader

from c2s_model.data.dataset import Batch
from c2s_model.training.distributed import Ranks
from c2s_model.training.epoch_totals import EpochTotals
from c2s_model.training.examples import ExampleMaker
from c2s_model.training.history import HistoryRow
from c2s_model.training.loss import UNWEIGHTED, SegmentationLoss
from c2s_model.training.step import ResolvedPrecision, predict_logits
from c2s_model.training.weight_average import WeightAverage


class Validated(NamedTuple):
    """What a validation came to: the loss, macro F1 without background, and all numbers."""

    loss: float
    macro_f1: float
    rows: list[HistoryRow]


@dataclass(frozen=True, eq=False)
class Validation:
    """Validates a network, each process on its part of the split.

    The loss is plain cross-entropy of all voxels under any training loss, as published: a number
    that trainings with different losses share.

    Parameters
    ----------
    network
        What is validated, not wrapped: processes may have different numbers of batches.
    average
        Validate these weights in the place of the network's own, or None.
    loader, examples
        Batches, not turned.
    heads
        Target -> number of classes.
    precision
        What the network computes in.
    """

    network: nn.Module
    average: WeightAverage | None
    loader: DataLoader[Batch]
    examples: ExampleMaker
    heads: dict[str, int]
    precision: ResolvedPrecision

    @torch.no_grad()
    def measure(self, ranks: Ranks) -> Validated:
        """Predict the whole split once, and score it; a call of all processes."""
        totals = EpochTotals(self.heads, ranks.device)
        loss = SegmentationLoss(UNWEIGHTED, self.heads)
        names = ("loss", *self.heads)
        sums = torch.zeros(1 + len(names), dtype=torch.float64, device=ranks.device)
        weights = nullcontext() if self.average is None else self.average.in_place()
        was_training = self.network.training
        self.network.eval()
        with weights:
            for batch in self.loader:
                example = self.examples.of(batch)
                logits = predict_logits(self.network, example, self.precision)
                found = loss(logits, example.targets, example.ignore)
                values = torch.stack([found.total, *(found.of_target[t] for t in self.heads)])
                sums[0] += len(example.density)
                sums[1:] += len(example.density) * values.double()
                totals.update(logits, example.targets, example.ignore)
        self.network.train(was_training)
        n, *of_names = ranks.sum(sums).tolist()
        losses = {name: total / n for name, total in zip(names, of_names, strict=True)}
        f1 = [found.macro_f1_foreground for found in totals.scores(ranks).values()]
        known = [value for value in f1 if not math.isnan(value)]
        macro_f1 = sum(known) / len(known) if known else math.nan
        return Validated(losses["loss"], macro_f1, totals.rows(ranks, "validation", losses))
