"""One step: a batch through the network, and what it says about the weights into the weights."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from c2s_model.training.loss import Losses, SegmentationLoss
from c2s_model.training.weight_average import WeightAverage

ResolvedPrecision = Literal["float32", "bf16", "fp16"]
DTYPES: Final[Mapping[ResolvedPrecision, torch.dtype]] = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


class Example(NamedTuple):
    """A batch as the network and its loss take it, on their device.

    ``density`` (B, 1, Z, Y, X) floating; ``targets`` name -> (B, Z, Y, X) uint8; ``ignore``
    (B, Z, Y, X) bool or None; ``sequence`` (B, S) float32 or None.
    """

    density: Tensor
    targets: dict[str, Tensor]
    ignore: Tensor | None = None
    sequence: Tensor | None = None


class Stepped(NamedTuple):
    """What a step came to: losses, logits without gradients, length of the gradient ()."""

    losses: Losses
    logits: dict[str, Tensor]
    gradient_norm: Tensor


class SequenceEmbeddings(Protocol):
    """Where the embeddings of a variant with a sequence come from."""

    def of(self, map_index: Tensor) -> Tensor:
        """Return (B, S) float32 for the maps of a batch."""


def autocast(device: torch.device, precision: ResolvedPrecision) -> AbstractContextManager[object]:
    """Return the context in which a network computes in a precision."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, DTYPES[precision])


def predict_logits(
    network: nn.Module, example: Example, precision: ResolvedPrecision
) -> dict[str, Tensor]:
    """Return the logits of an example in float32, whatever the network computed in."""
    density = example.density
    with autocast(density.device, precision):
        # Without a sequence it is not passed at all: other networks take only a density.
        arguments = (density.float(),) if example.sequence is None else (
            density.float(), example.sequence
        )  # fmt: skip
        logits: dict[str, Tensor] = network(*arguments)
    return {target: values.float() for target, values in logits.items()}


@dataclass(frozen=True, eq=False)
class TrainingStep:
    """Everything that a step changes, and how.

    Parameters
    ----------
    network
        What is trained; wrapped where several processes train together.
    loss
        What is to become small.
    optimizer
        Of the network's parameters.
    scaler
        Keeps gradients of fp16 from vanishing; disabled in other precisions.
    precision
        What the network computes in.
    clip_norm
        Longest gradient, or None.
    average
        Running average of the weights, or None.
    """

    network: nn.Module
    loss: SegmentationLoss
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    precision: ResolvedPrecision = "float32"
    clip_norm: float | None = None
    average: WeightAverage | None = None

    def __call__(self, example: Example) -> Stepped:
        """Take one step along the gradient of an example.

        Only the loss waits for the device, for counts of classes; no number is fetched from it.
        """
        logits = predict_logits(self.network, example, self.precision)
        losses = self.loss(logits, example.targets, example.ignore)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(losses.total).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm or torch.inf)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update()
        detached = {target: values.detach() for target, values in logits.items()}
        return Stepped(losses, detached, norm.detach())
