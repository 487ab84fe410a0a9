"""Learning rates by their formulas, and as they go on after a state was taken."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from c2s_model.nets.unetr import make_network
from c2s_model.nets.variants import Architecture
from c2s_model.training.schedule import Cosine, Plateau, make_optimizer, make_schedule


def optimizer(rate: float = 0.2) -> torch.optim.Optimizer:
    return torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=rate)


def test_the_cosine_rises_and_falls_to_zero_after_the_last_step() -> None:
    schedule = make_schedule("cosine", optimizer(), 20, 0.2)
    rates = []
    for step in range(20):
        schedule.before_step(step)
        rates.append(schedule.learning_rate)
    assert rates[:5] == pytest.approx([0.2 * k / 5 for k in (1, 2, 3, 4, 5)])
    assert rates[4:] == pytest.approx([0.1 * (1 + math.cos(math.pi * k / 16)) for k in range(16)])
    assert isinstance(schedule, Cosine)
    assert schedule.factor(20) == pytest.approx(0.0)
    again = Cosine(optimizer(rate=7.0), 20, 0.2)
    again.load_state_dict(schedule.state_dict())
    again.before_step(9)
    assert again.learning_rate == pytest.approx(rates[9])


def test_the_plateau_waits_ten_epochs_also_over_a_resume() -> None:
    first = make_schedule("plateau", optimizer(), 1)
    losses = [1.0] + [1.5] * 10
    for loss in losses[:6]:
        first.after_epoch(loss)
    second = Plateau(optimizer(rate=0.7))
    second.load_state_dict(first.state_dict())
    assert second.learning_rate == pytest.approx(0.2)
    for loss in losses[6:]:
        second.after_epoch(loss)
    assert second.learning_rate == pytest.approx(0.2)
    second.after_epoch(1.5)
    assert second.learning_rate == pytest.approx(0.02)


def test_biases_norms_and_positions_are_not_decayed() -> None:
    sizes = Architecture(4, 2, (1, 2, 3, 4), width=8, hidden=8, filters=2)
    network = make_network(sizes, {"atom": 4}, torch.Generator())
    found = make_optimizer("adamw", network, 1e-3, 0.1)
    decay = {
        id(value): group["weight_decay"]
        for group in found.param_groups
        for value in group["params"]
    }
    assert len(decay) == len(list(network.parameters()))
    for name, value in network.named_parameters():
        free = value.ndim == 1 or "position" in name
        assert decay[id(value)] == (0.0 if free else 0.1), name
    assert make_optimizer("nadam", network, 1e-4).param_groups[0]["weight_decay"] == 0.0
