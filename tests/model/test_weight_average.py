"""The average of the weights by its recurrence, and as it goes on after a state was taken."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from c2s_model.training.weight_average import WeightAverage


def moved(network: nn.Module, steps: int, average: WeightAverage) -> None:
    """Change the weights and average them, step by step."""
    for _ in range(steps):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        average.update()


def test_the_average_is_its_recurrence_and_lends_its_weights() -> None:
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    average = WeightAverage(network, 0.6)
    expected = network.weight.detach().clone().double()
    for number in range(12):
        with torch.no_grad():
            network.weight.add_(torch.randn(2, 3))
        average.update()
        keep = min(0.6, (1 + number) / (10 + number))
        expected = keep * expected + (1 - keep) * network.weight.detach().double()
    torch.testing.assert_close(average.weights["weight"].double(), expected, rtol=1e-5, atol=1e-6)
    own = network.weight.detach().clone()
    with average.in_place():
        torch.testing.assert_close(network.weight.double(), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(network.weight, own)
    other = WeightAverage(nn.Linear(3, 2), 0.6)
    other.load_state_dict(average.state_dict())
    assert torch.equal(other.weights["weight"], average.weights["weight"])
    assert other.updates == 12
    with pytest.raises(ValueError, match="another network"):
        other.load_state_dict({"updates": 0, "weights": {}})


def test_a_state_goes_on_to_the_same_bits() -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 2))
    average = WeightAverage(network, 0.9)
    moved(network, 4, average)
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    state = average.state_dict()
    state["weights"] = {name: value.clone() for name, value in state["weights"].items()}
    random = torch.get_rng_state()
    moved(network, 3, average)
    again = nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 2))
    again.load_state_dict(weights)
    second = WeightAverage(again, 0.9)
    second.load_state_dict(state)
    torch.set_rng_state(random)
    moved(again, 3, second)
    for name, value in average.network_weights().items():
        assert torch.equal(second.network_weights()[name], value), name


def test_the_network_has_its_own_weights_again_after_an_error() -> None:
    network = nn.Linear(2, 2)
    average = WeightAverage(network, 0.5)
    moved(network, 2, average)
    own, averaged = network.weight.detach().clone(), average.weights["weight"].clone()

    def fail() -> None:
        with average.in_place():
            assert torch.equal(network.weight, averaged)
            raise RuntimeError("in between")

    with pytest.raises(RuntimeError, match="in between"):
        fail()
    assert torch.equal(network.weight, own)
    assert torch.equal(average.weights["weight"], averaged)


def test_a_network_loads_its_average_and_buffers_stay() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = WeightAverage(network, 0.5)
    network(torch.randn(6, 3))
    moved(network, 2, average)
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    other.load_state_dict(average.network_weights())
    assert torch.equal(other[0].weight, average.weights["0.weight"])
    assert torch.equal(other[1].running_mean, network[1].running_mean)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_that_averages_nothing_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match="decay"):
        WeightAverage(nn.Linear(1, 1), decay)
