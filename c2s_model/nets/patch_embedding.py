"""Subgrids become tokens: one linear map of every 16^3 patch, and what its place adds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from c2s_model.nets.sequence_fusion import SequenceFusion
from c2s_model.nets.variants import PATCH, Architecture


class PatchEmbedding(nn.Module):
    """Patches to tokens, joined by the sequence where there is one, plus learned positions.

    The tokens run through the box with z slowest and x fastest.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        z, y, x = architecture.tokens_zyx
        self.patches = nn.Conv3d(1, architecture.width, PATCH, stride=PATCH, bias=False)
        self.sequence = (
            SequenceFusion(architecture.sequence_width, architecture.width)
            if architecture.sequence_width
            else None
        )
        self.positions = nn.Parameter(torch.empty(1, z * y * x, architecture.width))
        self.dropout = nn.Dropout(architecture.dropout)

    def forward(self, density: Tensor, sequence: Tensor | None) -> Tensor:
        """Embed (B, 1, Z, Y, X), and (B, S) of the sequence: (B, T, D), T = Z/16 * Y/16 * X/16."""
        tokens = self.patches(density).flatten(2).transpose(1, 2)  # (B, T, D)
        if self.sequence is not None:
            assert sequence is not None  # the network has checked it
            tokens = self.sequence(tokens, sequence)  # (B, T, D)
        embedded: Tensor = self.dropout(tokens + self.positions)  # (B, T, D)
        return embedded
