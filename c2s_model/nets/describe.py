"""The layers of a network as a table, from the network itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import torch
from torch import nn

from c2s_model.nets.unetr import Unetr, shapes_only
from c2s_model.nets.variants import Architecture


class Layer(NamedTuple):
    """One row: a module, the shape it gives for one subgrid, and its parameters."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


class Description(NamedTuple):
    """All rows, which together hold all parameters."""

    architecture: Architecture
    heads: Mapping[str, int]
    layers: tuple[Layer, ...]
    parameters: int

    def as_json(self) -> dict[str, Any]:
        """Return a document for programs."""
        return {
            "parameters": self.parameters,
            "classes": dict(self.heads),
            "architecture": asdict(self.architecture),
            "layers": [layer._asdict() for layer in self.layers],
        }


def describe(architecture: Architecture, heads: Mapping[str, int]) -> Description:
    """Return the layers of a network in the order they run, without filling its weights."""
    network = shapes_only(architecture, heads).eval()
    ran: list[Layer] = []
    names = {module: name for name, module in network.named_modules()}

    def note(module: nn.Module, _: object, output: torch.Tensor) -> None:
        kind = type(module).__name__
        ran.append(Layer(names[module], kind, tuple(output.shape), count_parameters(module)))

    for module in _rows(network):
        module.register_forward_hook(note)
    sequence = torch.empty(1, architecture.sequence_width, device="meta")
    density = torch.empty(1, 1, *architecture.box_zyx, device="meta")
    network(density, sequence if architecture.sequence_width else None)
    return Description(architecture, dict(heads), tuple(ran), count_parameters(network))


def count_parameters(module: nn.Module) -> int:
    """Return how many numbers training adjusts."""
    return sum(weight.numel() for weight in module.parameters() if weight.requires_grad)


def _rows(network: Unetr) -> list[nn.Module]:
    return [
        network.embedding,
        *network.transformer.blocks,
        *network.decoder.children(),
        *network.heads.values(),
    ]
