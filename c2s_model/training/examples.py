"""Batches of the store as the network takes them: on its device, turned, with what to leave out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from c2s_model.data.rotations import N_ROTATIONS, rotate_zyx
from c2s_model.training.step import Example, SequenceEmbeddings

IGNORE_MASK = "ignore"


@dataclass(frozen=True)
class ExampleMaker:
    """Makes examples of batches.

    Parameters
    ----------
    targets
        Masks that the network predicts.
    device
        Where to.
    rotation_seed
        Decides the rotations; None leaves subgrids as they are.
    sequence
        Where sequence embeddings come from, if the network takes them.
    """

    targets: tuple[str, ...]
    device: torch.device
    rotation_seed: int | None = None
    sequence: SequenceEmbeddings | None = None

    def of(self, batch: Mapping[str, Tensor]) -> Example:
        """Return the example of a batch of a `SubgridDataset`."""
        names = ("density", *self.targets, *({IGNORE_MASK} & batch.keys()))
        values = {name: batch[name].to(self.device, non_blocking=True) for name in names}
        if self.rotation_seed is not None:
            epoch = int(batch["place"][0])
            numbers = rotation_numbers(self.rotation_seed, epoch, batch["row"])
            values = {name: rotated(one, numbers) for name, one in values.items()}
        ignore = values.get(IGNORE_MASK)
        embedding = None if self.sequence is None else self.sequence.of(batch["map"])
        return Example(
            values["density"],
            {target: values[target] for target in self.targets},
            None if ignore is None else ignore != 0,
            None if embedding is None else embedding.to(self.device, non_blocking=True),
        )


def rotation_numbers(seed: int, epoch: int, rows: Tensor) -> list[int]:
    """Return the rotation of each row of the store in an epoch.

    A function of the three alone: the same whatever the batch, the number of processes, and where
    a training was resumed.
    """
    return [
        int(np.random.SeedSequence((seed, epoch, row)).generate_state(1)[0] % N_ROTATIONS)
        for row in rows.tolist()
    ]


def rotated(values: Tensor, numbers: list[int]) -> Tensor:
    """Turn each of (B, ..., Z, Y, X) by its rotation; a copy."""
    turned = torch.empty_like(values)
    for number in sorted(set(numbers)):
        which = torch.tensor([place for place, n in enumerate(numbers) if n == number])
        which = which.to(values.device)
        turned[which] = rotate_zyx(values[which], number)
    return turned
