"""What the protein's sequence adds to every token (the paper's "Full Train v2 + Seq")."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SequenceFusion(nn.Module):
    """One embedding for a whole map, projected, repeated and mixed into each token.

    Parameters
    ----------
    sequence_width
        S, features of the embedding: 1,280 for the mean of ESM-2 650M over the residues.
    width
        D, features of a token.
    """

    def __init__(self, sequence_width: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(sequence_width, width)
        self.mix = nn.Linear(2 * width, width)

    def forward(self, tokens: Tensor, sequence: Tensor) -> Tensor:
        """Mix (B, S) into (B, T, D): (B, T, D)."""
        projected = self.project(sequence).unsqueeze(1).expand(-1, tokens.shape[1], -1)  # (B, T, D)
        mixed: Tensor = self.mix(torch.cat((tokens, projected), dim=-1))  # (B, T, D)
        return mixed
