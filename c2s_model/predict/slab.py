"""One block of a prediction while the subgrids that reach into it come in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray


class Slab:
    """Puts the cores together that reach into a block; where none does, there is background.

    Parameters
    ----------
    shape_zyx
        Voxels of the block.
    n_classes
        Classes of each target, in order; the first of each is its background.
    averaged
        Whether several cores may cover a voxel: then their mean counts, summed in float32.
    dtype
        Of the result.
    """

    def __init__(
        self,
        shape_zyx: tuple[int, int, int],
        n_classes: Sequence[int],
        *,
        averaged: bool,
        dtype: DTypeLike = np.float16,
    ) -> None:
        self._background = np.cumsum([0, *n_classes])[:-1]
        self._dtype = np.dtype(dtype)
        shape = (sum(n_classes), *shape_zyx)
        self._values = np.zeros(shape, np.float32 if averaged else self._dtype)
        self._count = np.zeros(shape_zyx, np.uint16) if averaged else None
        if not averaged:
            self._values[self._background] = 1

    def add(self, start_zyx: Sequence[int], core: NDArray[np.float32]) -> None:
        """Add a core (classes, c, c, c) that begins at a place of the block, or outside of it.

        What lies outside the block is left out.
        """
        side = core.shape[-1]
        here = [slice(max(0, a), max(0, a + side)) for a in start_zyx]
        there = [
            slice(max(0, -a), max(0, n - a))
            for a, n in zip(start_zyx, self._values.shape[1:], strict=True)
        ]
        if self._count is None:
            self._values[:, *here] = core[:, *there]
        else:
            self._values[:, *here] += core[:, *there]
            self._count[*here] += 1

    def finish(self) -> NDArray[np.floating]:
        """Return the probabilities (classes, z, y, x); nothing may be added any more."""
        if self._count is not None:
            empty = self._count == 0
            self._values /= np.maximum(self._count, 1)
            for row in self._background:
                self._values[row][empty] = 1
        if self._values.dtype == self._dtype:
            return self._values
        # torch rounds to float16 many times faster than numpy.
        return torch.from_numpy(self._values).half().numpy()
