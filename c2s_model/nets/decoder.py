"""The decoder: four depths of the transformer become features of every voxel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from c2s_model.nets.decoder_blocks import ConvBlock, Up, ups
from c2s_model.nets.variants import Architecture


class Decoder(nn.Module):
    """Upward half of the UNETR; numbers in names say how often the resolution was halved.

    With t = box / 16 tokens a side and F filters, features at 16, 8, 4 and 2 times the finest
    voxel size meet those of an earlier block at each step; the input itself joins last.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        width, filters = architecture.width, architecture.filters
        self.input_0 = ConvBlock(1, filters)
        self.block_1 = ups(width, 2 * filters, 3)
        self.block_2 = ups(width, 4 * filters, 2)
        self.block_3 = ups(width, 8 * filters, 1)
        self.up_3 = Up(width, 8 * filters)
        self.join_3 = ConvBlock(16 * filters, 8 * filters)
        self.up_2 = Up(8 * filters, 4 * filters)
        self.join_2 = ConvBlock(8 * filters, 4 * filters)
        self.up_1 = Up(4 * filters, 2 * filters)
        self.join_1 = ConvBlock(4 * filters, 2 * filters)
        self.up_0 = Up(2 * filters, filters)
        self.join_0 = ConvBlock(2 * filters, filters)

    def forward(self, density: Tensor, extracted: list[Tensor]) -> Tensor:
        """Decode (B, 1, 16t, 16t, 16t) and four (B, D, t, t, t): (B, F, 16t, 16t, 16t)."""
        z3, z6, z9, z12 = extracted
        y = torch.cat((self.up_3(z12), self.block_3(z9)), dim=1)  # (B, 16F, 2t, 2t, 2t)
        y = torch.cat((self.up_2(self.join_3(y)), self.block_2(z6)), dim=1)  # (B, 8F, 4t, 4t, 4t)
        y = torch.cat((self.up_1(self.join_2(y)), self.block_1(z3)), dim=1)  # (B, 4F, 8t, 8t, 8t)
        y = torch.cat((self.up_0(self.join_1(y)), self.input_0(density)), dim=1)  # (B, 2F, 16t, ..)
        decoded: Tensor = self.join_0(y)  # (B, F, 16t, 16t, 16t)
        return decoded
