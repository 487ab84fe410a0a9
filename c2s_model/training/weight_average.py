"""A running average of a network's weights, which predicts better than the last step's do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """Exponential moving average of the parameters (Polyak and Juditsky 1992).

    The first steps count more than the decay says, min(decay, (1 + n) / (10 + n)) at step n, so
    that the initial weights are soon forgotten.

    Parameters
    ----------
    network
        What is averaged; its buffers are taken as they are.
    decay
        What remains of the average at each step.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay {decay} of an average must be at least 0 and below 1")
        self._network = network
        self.decay = decay
        self.updates = 0
        self.weights = {
            name: parameter.detach().clone() for name, parameter in network.named_parameters()
        }

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now; after each step of the optimizer."""
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        averages = list(self.weights.values())
        current = [parameter.detach() for _, parameter in self._network.named_parameters()]
        get_ema_multi_avg_fn(keep)(averages, current, None)  # type: ignore[no-untyped-call]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the network the averaged weights for as long as the context lasts."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self._network.named_parameters():
            current = parameter.detach().clone()
            parameter.copy_(self.weights[name])
            self.weights[name].copy_(current)

    def network_weights(self) -> dict[str, Tensor]:
        """Return a state dict of the network with the averaged weights."""
        return {**self._network.state_dict(), **self.weights}

    def state_dict(self) -> dict[str, Any]:
        """Return all that `load_state_dict` needs."""
        return {"updates": self.updates, "weights": dict(self.weights)}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""
        if state["weights"].keys() != self.weights.keys():
            raise ValueError("the average is that of another network")
        self.updates = int(state["updates"])
        for name, values in state["weights"].items():
            self.weights[name].copy_(values)
