"""Probabilities block by block: subgrids by rising z, their cores put together as they come."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from c2s_data.store.prediction_facts import Block, PredictionFacts
from c2s_data.transforms.subgrid import extract
from c2s_model.nets.unetr import Unetr
from c2s_model.predict.probabilities import Compute, core_probabilities
from c2s_model.predict.slab import Slab
from c2s_model.predict.window_plan import WindowGrid

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Predictor:
    """A network on its device, with all that a batch needs.

    Parameters
    ----------
    network
        In evaluation mode, on the device.
    compute
        Where and how exactly.
    grid
        The subgrids of the map.
    rotations
        1 or 24.
    sequence
        (S,) embedding of the map's sequences, on the device, or None.
    """

    network: Unetr
    compute: Compute
    grid: WindowGrid
    rotations: int = 1
    sequence: Tensor | None = None

    def batches(
        self, values_zyx: NDArray[Any], starts_zyx: Iterable[NDArray[np.int64]]
    ) -> Iterator[CoreBatch]:
        """Predict the windows whose cores begin at some places, in their order.

        A batch is given to the device before the one ahead of it is waited for.
        """
        starts, ahead = iter(starts_zyx), deque[tuple[list[NDArray[np.int64]], Tensor]]()
        while batch := list(islice(starts, self.compute.batch_size)):
            corners = (np.stack(batch) - self.grid.margin).astype(np.int32)
            density = torch.from_numpy(extract(values_zyx, corners, self.grid.box))
            ahead.append(
                (
                    batch,
                    core_probabilities(
                        self.network,
                        density,
                        core=self.grid.core,
                        compute=self.compute,
                        sequence=self.sequence,
                        rotations=self.rotations,
                    ),
                )
            )
            if len(ahead) == 2:
                yield _fetched(*ahead.popleft())
        while ahead:
            yield _fetched(*ahead.popleft())


class CoreBatch(NamedTuple):
    """First voxels (z, y, x) of some cores, and float32 (B, classes of all targets, c, c, c)."""

    starts_zyx: list[NDArray[np.int64]]
    cores: NDArray[np.float32]


def _fetched(starts_zyx: list[NDArray[np.int64]], cores: Tensor) -> CoreBatch:
    return CoreBatch(starts_zyx, cores.cpu().numpy())


def predicted_blocks(
    predictor: Predictor,
    values_zyx: NDArray[Any],
    facts: PredictionFacts,
    needed: NDArray[np.bool_],
    *,
    has: Callable[[Block], bool] = lambda block: False,
    on_windows: Progress = lambda done, total: None,
    dtype: DTypeLike = np.float16,
) -> Iterator[tuple[Block, NDArray[np.floating[Any]]]]:
    """Yield each block that is not there yet with its probabilities (classes, z, y, x).

    Parameters
    ----------
    predictor
        What predicts.
    values_zyx
        Density in [0, 1], (z, y, x).
    facts
        Divides the map into blocks.
    needed
        Which windows to predict, from `WindowGrid.needed`; elsewhere there is background.
    has
        Says which blocks are there.
    on_windows
        Called with how many windows are predicted and how many there are to do.
    dtype
        float16 or float32.
    """
    columns = []
    for tile in facts.columns():
        missing = [block for block in facts.blocks(tile) if not has(block)]
        columns.append(Column(predictor.grid, facts, missing, needed, dtype))
    done, total = 0, sum(len(column.starts_zyx) for column in columns)
    on_windows(done, total)
    for column in columns:
        for batch in predictor.batches(values_zyx, column.starts_zyx):
            yield from column.add(batch)
            done += len(batch.starts_zyx)
            on_windows(done, total)
        yield from column.rest()


class Column:
    """The missing blocks above each other in one tile; at most two are in memory.

    Parameters
    ----------
    grid, facts
        The subgrids and the blocks of the map.
    missing
        The blocks, by rising z.
    needed
        Which windows to predict.
    dtype
        Of the probabilities.
    """

    def __init__(
        self,
        grid: WindowGrid,
        facts: PredictionFacts,
        missing: Sequence[Block],
        needed: NDArray[np.bool_],
        dtype: DTypeLike,
    ) -> None:
        self._grid = grid
        self._n_classes = [len(names) for names in facts.classes.values()]
        self._dtype = dtype
        self._waiting = deque(missing)
        self._slabs: dict[int, Slab] = {}  # by the first plane of its block
        self._added = 0
        self.starts_zyx = self._starts(missing, needed)
        """First voxels (n, 3) of the cores that reach into a missing block, by rising z."""

    def _starts(self, missing: Sequence[Block], needed: NDArray[np.bool_]) -> NDArray[np.int64]:
        if not missing:
            return np.empty((0, 3), np.int64)
        starts = self._grid.starts_in(missing[0].y, missing[0].x, needed)
        reaches = np.zeros(len(starts), np.bool_)
        for block in missing:
            ends = starts[:, 0] + self._grid.core
            reaches |= (starts[:, 0] < block.z.stop) & (ends > block.z.start)
        return starts[reaches]

    def add(self, batch: CoreBatch) -> Iterator[tuple[Block, NDArray[np.floating[Any]]]]:
        """Add the next cores of `starts_zyx`, and yield the blocks that are now complete."""
        for start, core in zip(batch.starts_zyx, batch.cores, strict=True):
            z, y, x = start.tolist()
            yield from self._below(z)  # They come by rising z: what ends below is complete.
            for block in self._waiting:
                if block.z.start >= z + self._grid.core:
                    break
                if block.z.start not in self._slabs:
                    self._slabs[block.z.start] = self._slab(block)
                self._slabs[block.z.start].add(
                    (z - block.z.start, y - block.y.start, x - block.x.start), core
                )
        self._added += len(batch.starts_zyx)
        last = self._added == len(self.starts_zyx)
        reached = math.inf if last else int(self.starts_zyx[self._added, 0])
        yield from self._below(reached)

    def rest(self) -> Iterator[tuple[Block, NDArray[np.floating[Any]]]]:
        """Yield the blocks that no window reaches into any more."""
        yield from self._below(math.inf)

    def _below(self, z: float) -> Iterator[tuple[Block, NDArray[np.floating[Any]]]]:
        while self._waiting and self._waiting[0].z.stop <= z:
            block = self._waiting.popleft()
            yield block, (self._slabs.pop(block.z.start, None) or self._slab(block)).finish()

    def _slab(self, block: Block) -> Slab:
        averaged = self._grid.overlap > 1
        return Slab(block.shape_zyx, self._n_classes, averaged=averaged, dtype=self._dtype)
