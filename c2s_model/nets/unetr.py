"""The network: a UNETR (Hatamizadeh et al. 2022) with the sizes of the paper's Table 3.

Patches of the density become tokens, a transformer relates them, and a decoder brings four of
its depths back to every voxel, where a 1x1 convolution gives the logits of each class.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from c2s_data.errors import ConfigError
from c2s_model.nets.decoder import Decoder
from c2s_model.nets.initial_weights import fill_initial_weights
from c2s_model.nets.patch_embedding import PatchEmbedding
from c2s_model.nets.transformer import Transformer
from c2s_model.nets.variants import Architecture


class Unetr(nn.Module):
    """A density to the logits of every class at every voxel, for one target or several.

    Several heads share everything but their last 1x1 convolution, so atom, amino acid and
    secondary structure cost one pass; with one head this is exactly the network of the paper.
    Weights are not filled here: see `make_network`.

    Parameters
    ----------
    architecture
        The sizes.
    heads
        Target -> number of classes.
    """

    def __init__(self, architecture: Architecture, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.architecture = architecture
        self.embedding = PatchEmbedding(architecture)
        self.transformer = Transformer(architecture)
        self.decoder = Decoder(architecture)
        self.heads = nn.ModuleDict(
            {target: nn.Conv3d(architecture.filters, n, 1) for target, n in heads.items()}
        )

    @property
    def classes(self) -> dict[str, int]:
        """Target -> number of classes, in the order of the heads."""
        return {
            target: head.out_channels
            for target, head in self.heads.items()
            if isinstance(head, nn.Conv3d)
        }

    def forward(self, density: Tensor, sequence: Tensor | None = None) -> dict[str, Tensor]:
        """Predict the logits of a batch of subgrids.

        Parameters
        ----------
        density
            Normalized density, (B, 1, Z, Y, X) with the sides of the architecture's box.
        sequence
            Embedding of the sequence that each subgrid's map shows, (B, S); only, and always, for
            an architecture with ``sequence_width`` S.

        Returns
        -------
        dict
            Target -> logits (B, classes, Z, Y, X).

        Raises
        ------
        ValueError
            Other shapes, or a sequence where none is taken, or none where one is.
        """
        self._check(density, sequence)
        tokens = self.embedding(density, sequence)  # (B, T, D)
        grids = [
            depth.transpose(1, 2).unflatten(2, self.architecture.tokens_zyx)
            for depth in self.transformer(tokens)
        ]  # four times (B, D, Z/16, Y/16, X/16)
        features = self.decoder(density, grids)  # (B, F, Z, Y, X)
        return {target: head(features) for target, head in self.heads.items()}

    def _check(self, density: Tensor, sequence: Tensor | None) -> None:
        box = self.architecture.box_zyx
        if density.ndim != 5 or tuple(density.shape[1:]) != (1, *box):
            raise ValueError(
                f"density {tuple(density.shape)} in a network for (B, 1, {box[0]}, {box[1]}, "
                f"{box[2]}); cut it so, or build the network for another box_zyx"
            )
        width = self.architecture.sequence_width
        if (sequence is None) != (width == 0):
            raise ValueError(
                f"a network with sequence_width {width} was given "
                f"{'no sequence' if sequence is None else 'a sequence'}; variants ending in -seq "
                "take one, the others none"
            )
        if sequence is not None and tuple(sequence.shape) != (density.shape[0], width):
            raise ValueError(
                f"sequence {tuple(sequence.shape)} beside {density.shape[0]} subgrids; "
                f"({density.shape[0]}, {width}) is needed, one embedding for each"
            )


def make_network(
    architecture: Architecture,
    heads: Mapping[str, int],
    generator: torch.Generator,
) -> Unetr:
    """Build a network with initial weights that the generator alone decides.

    Parameters
    ----------
    architecture
        The sizes; `variants.VARIANTS` holds those of the paper.
    heads
        Target -> number of classes; `variants.classes_of` gives it.
    generator
        Source of the weights, on the CPU.

    Returns
    -------
    Unetr
        On the CPU, float32, in training mode.
    """
    network = shapes_only(architecture, heads).to_empty(device="cpu")
    fill_initial_weights(network, generator)
    return network


def shapes_only(architecture: Architecture, heads: Mapping[str, int]) -> Unetr:
    """Build a network without memory for its weights (torch's "meta" device).

    Raises
    ------
    ConfigError
        No head, or one without at least two classes.
    """
    if not heads or any(classes < 2 for classes in heads.values()):
        raise ConfigError(f"heads {dict(heads)} of a network; each needs at least two classes")
    with torch.device("meta"):
        return Unetr(architecture, heads)
