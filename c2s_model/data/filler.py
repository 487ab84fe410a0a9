"""Fills batches: reads the runs of a block, of every array, each row straight to its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import CorruptChunkError, MissingChunkError
from c2s_data.store.object_cache import CacheOptions, ObjectCache
from c2s_data.store.reader import Store
from c2s_data.store.subgrid_reader import SubgridReader, is_local
from c2s_model.data.batches_ahead import BatchPool, Buffer, OpenBatch
from c2s_model.data.corrupt import CorruptRows
from c2s_model.data.sampler import EpochOrder, PlannedBlock, Target

TASK_ROWS: Final = 128
_NOWHERE: Final = -1


class _Run(NamedTuple):
    """Rows ``start`` to ``stop`` of the store, with ``before`` rows of the block before them."""

    start: int
    stop: int
    before: int


class Filler:
    """Opens the batches of one reader and epoch, and loads blocks into them.

    Parameters
    ----------
    store
        Of this process.
    names
        Arrays to read.
    order
        Of the epoch.
    pool
        Where buffers come from.
    keep
        Whole batches that may be open or in use at a time, for which the pool keeps buffers.
    corrupt
        What becomes of rows that cannot be read.
    cache
        Where what comes over a network is kept; None for nowhere.
    """

    def __init__(
        self,
        store: Store,
        names: tuple[str, ...],
        order: EpochOrder,
        pool: BatchPool,
        *,
        keep: int,
        corrupt: CorruptRows,
        cache: CacheOptions | None = None,
    ) -> None:
        self.pool = pool
        self.map_index, self.corner_zyx, _ = store.index()
        kept = (
            None if cache is None or is_local(store.url) else ObjectCache(cache, store.fingerprint)
        )
        shard_rows = store.subgrid_spec("density").shard_shape[0]
        rows_in_use = np.add.reduceat(
            self.map_index >= 0, range(0, len(self.map_index), shard_rows)
        )
        self._readers = {
            name: SubgridReader(
                f"{store.url}/subgrids/{name}",
                store.subgrid_spec(name),
                root=store.url,
                rows_in_use=rows_in_use,
                cache=kept,
            )
            for name in names
        }
        self._order = order
        self._keep = keep
        self._corrupt = corrupt
        self._shard_rows = shard_rows

    def open_batch(self, n: int) -> OpenBatch:
        """Return a batch of ``n`` rows to fill."""
        keep = self._keep if n == self._order.options.batch_size else 0
        buffers = {
            name: self.pool.get(name, (n, *reader.spec.shard_shape[1:]), reader.spec.dtype, keep)
            for name, reader in self._readers.items()
        }
        return OpenBatch(buffers, np.empty(n, np.int64), np.empty(n, np.bool_), n)

    def plan(
        self, planned: PlannedBlock, batches: Mapping[int, OpenBatch]
    ) -> list[Callable[[], None]]:
        """Note the rows of a block in its batches; return the tasks that load them."""
        block, targets = self._order.block(planned.lane, planned.number), planned.targets
        runs = block.runs.tolist()
        rows = np.concatenate([np.arange(start, stop) for start, stop in runs])[block.order]
        repeated = block.repeated[block.order] | planned.again
        for begin, end, number, offset, _ in targets:
            batch, part = batches[number], slice(offset, offset + end - begin)
            batch.row[part], batch.repeated[part] = rows[begin:end], repeated[begin:end]
        slots = np.concatenate([np.arange(target.begin, target.end) for target in targets])
        loaded = block.order[slots]
        homes = {}
        for name in self._readers:
            buffers = [batches[target.batch].buffers[name] for target in targets]
            homes[name] = _Homes.of(len(rows), slots, loaded, targets, buffers)
        lose = partial(_lose, len(rows), slots, loaded, targets, batches)
        wanted = homes["density"].which != _NOWHERE
        return [partial(self._load, task, homes, lose) for task in _tasks(runs, wanted)]

    def _load(
        self, runs: list[_Run], homes: Mapping[str, _Homes], lose: Callable[[slice], None]
    ) -> None:
        for run in runs:
            try:
                for name in self._readers:
                    self._read(name, homes[name], run)
            except (MissingChunkError, CorruptChunkError):
                # Once more chunk by chunk, to tell the good ones from the others.
                for name, reader in self._readers.items():
                    for part in _by_chunks(run, reader.spec.chunk_shape[0]):
                        try:
                            self._read(name, homes[name], part)
                        except (MissingChunkError, CorruptChunkError) as error:
                            self._corrupt.note(error, part.start)
                            lose(slice(part.before, part.before + part.stop - part.start))

    def _read(self, name: str, homes: _Homes, run: _Run) -> None:
        shard, first = divmod(run.start, self._shard_rows)
        rows = run.stop - run.start
        part = slice(run.before, run.before + rows)
        which, place = homes.which[part], homes.place[part]
        self._readers[name].scatter_rows(shard, first, first + rows, homes.arenas, which, place)


class _Homes(NamedTuple):
    """Where each loaded row of a block goes: which arena, and row in it; -1 is nowhere."""

    arenas: list[NDArray[Any]]
    which: NDArray[np.int64]
    place: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        n: int,
        slots: NDArray[np.int64],
        loaded: NDArray[np.int64],
        targets: Sequence[Target],
        buffers: Sequence[Buffer],
    ) -> _Homes:
        arenas = list({id(buffer.arena): buffer.arena for buffer in buffers}.values())
        number_of = {id(arena): number for number, arena in enumerate(arenas)}
        counts = [target.end - target.begin for target in targets]
        shifts = [b.first + t.offset - t.begin for t, b in zip(targets, buffers, strict=True)]
        which, place = np.full(n, _NOWHERE), np.zeros(n, np.int64)
        which[loaded] = np.repeat([number_of[id(buffer.arena)] for buffer in buffers], counts)
        place[loaded] = np.repeat(shifts, counts) + slots
        return cls(arenas, which, place)


def _lose(
    n: int,
    slots: NDArray[np.int64],
    loaded: NDArray[np.int64],
    targets: Sequence[Target],
    batches: Mapping[int, OpenBatch],
    part: slice,
) -> None:
    """Mark loaded rows of a block as faulty in their batches."""
    lost = np.zeros(n, np.bool_)
    lost[part] = True
    lost_slots = slots[lost[loaded]]
    for begin, end, number, offset, _ in targets:
        places = lost_slots[(lost_slots >= begin) & (lost_slots < end)]
        if len(places):
            batches[number].faulty.append(places - begin + offset)


def _tasks(runs: Sequence[Sequence[int]], wanted: NDArray[np.bool_]) -> Iterator[list[_Run]]:
    """Group the runs that hold a wanted row into tasks."""
    task: list[_Run] = []
    before = rows = 0
    for start, stop in runs:
        if wanted[before : before + stop - start].any():
            task.append(_Run(start, stop, before))
            rows += stop - start
        before += stop - start
        if rows >= TASK_ROWS:
            yield task
            task, rows = [], 0
    if task:
        yield task


def _by_chunks(run: _Run, chunk_rows: int) -> Iterator[_Run]:
    for chunk in range(run.start // chunk_rows, -(-run.stop // chunk_rows)):
        start = max(run.start, chunk * chunk_rows)
        stop = min(run.stop, (chunk + 1) * chunk_rows)
        yield _Run(start, stop, run.before + start - run.start)
