"""The learning rate over a training: the published plateaus, or a cosine with warm-up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Literal, Protocol

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

FACTOR: Final = 0.1
PATIENCE: Final = 10


class Schedule(Protocol):
    """Sets the learning rate of an optimizer."""

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""

    def before_step(self, step: int) -> None:
        """Set the rate of step `step`, counted from 0."""

    def after_epoch(self, training_loss: float) -> None:
        """Take note of an epoch's mean training loss."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that `load_state_dict` needs."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""


class Plateau:
    """A tenth of the rate when the training loss has not fallen for ten epochs (as published).

    Parameters
    ----------
    optimizer
        Whose rate is set.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._plateau = ReduceLROnPlateau(optimizer, factor=FACTOR, patience=PATIENCE)

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def before_step(self, step: int) -> None:
        """Change nothing: the rate stays for an epoch."""

    def after_epoch(self, training_loss: float) -> None:
        """Lower the rate if the loss has not fallen for long."""
        self._plateau.step(training_loss)

    def state_dict(self) -> dict[str, Any]:
        """Return best loss, epochs since, and the rate."""
        state = self._plateau.state_dict()
        return {
            "best": float(state["best"]),
            "num_bad_epochs": int(state["num_bad_epochs"]),
            "last_epoch": int(state["last_epoch"]),
            "learning_rate": self.learning_rate,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state, the rate included."""
        known = {name: state[name] for name in ("best", "num_bad_epochs", "last_epoch")}
        self._plateau.load_state_dict({**self._plateau.state_dict(), **known})
        for group in self._optimizer.param_groups:
            group["lr"] = state["learning_rate"]


class Cosine:
    """A linear rise over the first steps, then half a cosine down to zero after the last.

    With n steps of which w warm up, and the rate r of the optimizer as it is given:
    r (k + 1) / (w + 1) at step k < w, then r (1 + cos(pi (k - w) / (n - w))) / 2.

    Parameters
    ----------
    optimizer
        Whose rate is set.
    total_steps
        Steps of the whole training.
    warmup_share
        Share of them that warm up.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, total_steps: int, warmup_share: float = 0.0
    ) -> None:
        if total_steps < 1 or not 0 <= warmup_share < 1:
            raise ValueError(
                f"total_steps {total_steps} must be positive, warmup_share {warmup_share} from 0 "
                "to below 1"
            )
        self._optimizer = optimizer
        self._peaks = [float(group["lr"]) for group in optimizer.param_groups]
        self._total = total_steps
        self._warmup = int(total_steps * warmup_share)
        self.before_step(0)

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def before_step(self, step: int) -> None:
        """Set the rate of a step."""
        factor = self.factor(step)
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor

    def factor(self, step: int) -> float:
        """Return the rate of a step over the highest one."""
        if step < self._warmup:
            return (step + 1) / (self._warmup + 1)
        done = min(1.0, (step - self._warmup) / (self._total - self._warmup))
        return (1 + math.cos(math.pi * done)) / 2

    def after_epoch(self, training_loss: float) -> None:
        """Change nothing: the step alone decides."""

    def state_dict(self) -> dict[str, Any]:
        """Return the highest rates: the optimizer's own state holds the present ones."""
        return {"peaks": list(self._peaks)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""
        self._peaks = [float(peak) for peak in state["peaks"]]


def make_optimizer(
    name: Literal["nadam", "adamw"],
    network: torch.nn.Module,
    learning_rate: float,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """Return NAdam, as published, or AdamW with the decay on matrices and kernels alone.

    Biases, norms and the table of positions are not pulled to zero: they have no scale to be kept
    small.
    """
    parameters = list(network.named_parameters())
    if name == "nadam":
        return torch.optim.NAdam(
            [value for _, value in parameters], lr=learning_rate, weight_decay=weight_decay
        )
    decayed = [value for key, value in parameters if value.ndim > 1 and "position" not in key]
    chosen = {id(value) for value in decayed}
    others = [value for _, value in parameters if id(value) not in chosen]
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate)


def make_schedule(
    kind: Literal["plateau", "cosine"],
    optimizer: torch.optim.Optimizer,
    total_steps: int,
    warmup_share: float = 0.0,
) -> Schedule:
    """Return the schedule of a kind."""
    if kind == "plateau":
        return Plateau(optimizer)
    return Cosine(optimizer, total_steps, warmup_share)
