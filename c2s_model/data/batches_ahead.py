"""Batches in memory: threads decode rows ahead, each straight to its place in its batch.

The order of an epoch is known beforehand, so a decoded row needs no shuffle buffer between the
store and its batch: the batches that are open at a time are the shuffle buffer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from c2s_model.data.sampler import PlannedBlock

THREADS_FROM_FILES: Final = 4
"""Threads that read files. From memory two do as well; from a disk half of them wait for it."""
THREADS_THAT_WAIT: Final = 6
"""Threads that read from object storage, where most of them wait for the next shards."""


class Buffer(NamedTuple):
    """An array, and where it lies in an arena of many: from row ``first`` on."""

    values: NDArray[Any]
    arena: NDArray[Any]
    first: int


@dataclass
class OpenBatch:
    """A batch that is being filled.

    ``buffers`` by name, of (rows, z, y, x); ``row`` int64 and ``repeated`` bool, (rows,).
    ``unclaimed`` rows belong to no block yet that is being loaded; ``blocks_ended`` have no later
    batch. ``faulty`` rows could not be read, in runs of places (`c2s_model.data.corrupt`).
    """

    buffers: dict[str, Buffer]
    row: NDArray[np.int64]
    repeated: NDArray[np.bool_]
    unclaimed: int
    loading: list[list[Future[None]]] = field(default_factory=list)
    blocks_ended: int = 0
    faulty: list[NDArray[np.int64]] = field(default_factory=list)


Plan = Callable[[PlannedBlock, Mapping[int, OpenBatch]], Iterable[Callable[[], None]]]


class BatchesAhead:
    """Fills batches in the background and gives them out in order.

    Parameters
    ----------
    blocks
        What to load, in the order of first use.
    plan
        Returns the tasks, run in threads, that put a block's rows into the batches it names,
        given by number. Several tasks a block, so that no thread waits for the last block.
    open_batch
        Makes a batch of so many rows to fill.
    max_blocks
        Blocks that may be in memory before their last batch is given out.
    threads
        Tasks that run at the same time.
    """

    def __init__(
        self,
        blocks: Iterator[PlannedBlock],
        plan: Plan,
        open_batch: Callable[[int], OpenBatch],
        *,
        max_blocks: int,
        threads: int,
    ) -> None:
        self._blocks = blocks
        self._plan = plan
        self._open_batch = open_batch
        self._max_blocks = max_blocks
        self._in_memory = 0
        self._open: dict[int, OpenBatch] = {}
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="subgrids")

    def __iter__(self) -> Iterator[OpenBatch]:
        """Yield finished batches; errors of a load are raised at the first batch they touch."""
        number, more = 0, True
        while True:
            while more and self._in_memory < self._max_blocks:
                more = self._submit_next()
            # Beyond the limit only what this batch itself needs, or it would wait for ever.
            while more and (number not in self._open or self._open[number].unclaimed):
                more = self._submit_next()
            batch = self._open.pop(number, None)
            if batch is None:
                return
            for parts in batch.loading:
                while parts:
                    parts[-1].result()
                    parts.pop()
            self._in_memory -= batch.blocks_ended
            number += 1
            yield batch

    def close(self) -> None:
        """Stop loading and wait until no thread touches a batch."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._open.clear()

    def _submit_next(self) -> bool:
        block = next(self._blocks, None)
        if block is None:
            return False
        batches = {}
        for target in block.targets:
            batch = self._open.get(target.batch)
            if batch is None:
                batch = self._open[target.batch] = self._open_batch(target.batch_rows)
            batch.unclaimed -= target.end - target.begin
            batches[target.batch] = batch
        batches[block.targets[-1].batch].blocks_ended += 1
        parts = [self._executor.submit(task) for task in self._plan(block, batches)]
        for batch in batches.values():
            batch.loading.append(parts)
        self._in_memory += 1
        return True


class BatchPool:
    """Batch buffers that are used again once nobody holds a tensor on them.

    Fresh pages, zeroed by the system, cost more than decoding into them. A torch tensor made by
    ``from_numpy``, and every view of it, holds a reference to the array, so the array's reference
    count says whether the consumer is done.

    All buffers of a kind lie in one arena, so that the rows of a chunk reach many batches in one
    call. It grows buffer by buffer: what was never needed at the same time takes no memory.
    """

    def __init__(self) -> None:
        self._rings: dict[tuple[Any, ...], _Ring] = {}

    def get(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], keep: int) -> Buffer:
        """Return an uninitialized buffer that nobody else holds; keep up to so many of a kind."""
        kind = (name, shape, dtype.str)
        ring = self._rings.get(kind)
        if ring is None or ring.room < keep:
            ring = self._rings[kind] = _Ring(shape, dtype, keep)
        place = ring.idle()
        if place is None:
            fresh: NDArray[Any] = np.empty(shape, dtype)
            return Buffer(fresh, fresh, 0)
        return Buffer(ring.kept[place], ring.arena, place * shape[0])


class _Ring:
    """Room for so many buffers; those that were used once are tried first, the oldest first."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], room: int) -> None:
        self.room = room
        self.arena: NDArray[Any] = np.empty((room * shape[0], *shape[1:]), dtype)
        self.kept: list[NDArray[Any]] = []
        self._rows, self._next = shape[0], 0

    def idle(self) -> int | None:
        n = len(self.kept)
        for step in range(n):
            place = (self._next + step) % n
            if _references(self.kept, place) == _IDLE:
                self._next = place + 1
                return place
        if n == self.room:
            return None
        self.kept.append(self.arena[n * self._rows : (n + 1) * self._rows])
        return n


def _references(kept: list[NDArray[Any]], place: int) -> int:
    return sys.getrefcount(kept[place])


_IDLE: Final = _references([np.empty(0)], 0)
"""The count while only the list holds an array, on this Python version."""
