"""What the decoder is made of: doubling of resolution, and residual pairs of convolutions."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

_SLOPE: Final = 0.01


class Up(nn.ConvTranspose3d):
    """Doubles the resolution: (B, a, Z, Y, X) to (B, b, 2Z, 2Y, 2X)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, kernel_size=2, stride=2, bias=False)


def ups(inputs: int, outputs: int, count: int) -> nn.Sequential:
    """Return ``count`` doublings; the first of them changes the number of features."""
    return nn.Sequential(*(Up(outputs if i else inputs, outputs) for i in range(count)))


class ConvBlock(nn.Module):
    """Two 3^3 convolutions with a residual connection.

    The norms have no parameters: each feature of each window gets mean 0 and variance 1 over that
    window, so what is predicted in its core depends on all of it, padding included.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv3d(inputs, outputs, 3, padding=1),
            nn.InstanceNorm3d(outputs),
            nn.LeakyReLU(_SLOPE, inplace=True),
            nn.Conv3d(outputs, outputs, 3, padding=1),
            nn.InstanceNorm3d(outputs),
        )
        self.shortcut: nn.Module = (
            nn.Identity()
            if inputs == outputs
            else nn.Sequential(nn.Conv3d(inputs, outputs, 1), nn.InstanceNorm3d(outputs))
        )
        self.activation = nn.LeakyReLU(_SLOPE, inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """Convolve (B, a, Z, Y, X): (B, b, Z, Y, X)."""
        activated: Tensor = self.activation(self.convolutions(features) + self.shortcut(features))
        return activated
