"""Initial weights, decided by a generator that is passed in."""

from __future__ import annotations

import math

import torch
from torch import nn

from c2s_model.nets.patch_embedding import PatchEmbedding


@torch.no_grad()
def fill_initial_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Fill all weights in place, module after module.

    The distributions are those the published networks were started from, torch's defaults:
    convolutions and linear layers uniform within +-1/sqrt(fan-in), where torch counts the fan-in
    of a transposed convolution along its outputs; norms 1 and 0; positions standard normal.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d | nn.Linear):
            bound = 1.0 / math.sqrt(module.weight[0].numel())
            module.weight.uniform_(-bound, bound, generator=generator)
            if module.bias is not None:
                module.bias.uniform_(-bound, bound, generator=generator)
        elif isinstance(module, nn.LayerNorm):
            module.weight.fill_(1.0)
            module.bias.fill_(0.0)
        elif isinstance(module, PatchEmbedding):
            module.positions.normal_(generator=generator)
