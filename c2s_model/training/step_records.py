"""The losses of the last few steps, kept on the device until all processes look at them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from c2s_data.errors import C2SError
from c2s_model.training.distributed import Ranks
from c2s_model.training.step import Stepped


class DivergedError(C2SError):
    """The loss or the gradient is no longer a number; the last checkpoint is kept."""


class StepMeans(NamedTuple):
    """Means over steps and processes: ``of`` "loss", each target, and "gradient_norm"."""

    steps: int
    of: dict[str, float]


class StepRecords:
    """Gathers what steps came to, and sums it over the epoch under way.

    Looking at a number makes a GPU wait, so that is done for several steps at once. The sums are
    those of single steps in their order, so they do not depend on when one looked.

    Parameters
    ----------
    targets
        Names of the losses.
    ranks
        Processes whose steps these are.
    checks_gradient
        Whether an infinite gradient is an error; under fp16 it is a step that is left out.
    """

    def __init__(self, targets: tuple[str, ...], ranks: Ranks, *, checks_gradient: bool) -> None:
        self._names = ("loss", *targets)
        self._ranks, self._checks_gradient = ranks, checks_gradient
        self._waiting: list[Tensor] = []
        self.sums = dict.fromkeys(self._names, 0.0)
        self.steps = 0

    def add(self, stepped: Stepped) -> None:
        """Take one step."""
        losses = stepped.losses
        of_target = [losses.of_target[target].detach() for target in self._names[1:]]
        values = (losses.total.detach(), *of_target, stepped.gradient_norm)
        self._waiting.append(torch.stack([value.double() for value in values]))

    def look(self, step: int, learning_rate: float) -> StepMeans | None:
        """Return the means since the last look; None if there was no step since.

        Parameters
        ----------
        step
            Steps of the whole run so far.
        learning_rate
            Of the last step, for the message.

        Raises
        ------
        DivergedError
            A step's loss is nan or infinite, or its gradient is.
        """
        if not self._waiting:
            return None
        values = self._ranks.sum(torch.stack(self._waiting)) / self._ranks.size  # (steps, numbers)
        self._waiting = []
        rows: list[list[float]] = values.tolist()
        finite = torch.isfinite(values[:, : None if self._checks_gradient else -1]).all(dim=1)
        if not finite.all():
            bad = int((~finite).nonzero()[0])
            raise DivergedError(
                f"step {step - len(rows) + 1 + bad}: loss {rows[bad][0]:g}, gradient "
                f"{rows[bad][-1]:g} at learning rate {learning_rate:.3g}"
            )
        for row in rows:
            for name, value in zip(self._names, row, strict=False):
                self.sums[name] += value
        self.steps += len(rows)
        means = values.mean(dim=0).tolist()
        return StepMeans(len(rows), dict(zip((*self._names, "gradient_norm"), means, strict=True)))

    def epoch_means(self) -> dict[str, float]:
        """Return the means of the epoch so far, as far as it was looked at."""
        return {name: total / max(1, self.steps) for name, total in self.sums.items()}

    def begin_epoch(self) -> None:
        """Forget the sums."""
        self.sums, self.steps = dict.fromkeys(self._names, 0.0), 0

    def state_dict(self) -> dict[str, Any]:
        """Return the sums; look first, or steps that wait are lost."""
        return {"sums": dict(self.sums), "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the sums of a state."""
        self.sums, self.steps = dict(state["sums"]), int(state["steps"])
