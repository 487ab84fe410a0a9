"""`SubgridDataset`: ready, shuffled batches of subgrids out of a store, for training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import gcd
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from c2s_data.schema import CLASS_NAMES
from c2s_data.store.object_cache import CacheOptions
from c2s_data.store.reader import Store
from c2s_data.store.shard import ShardSpec
from c2s_data.store.subgrid_reader import is_local
from c2s_model.data.batches_ahead import (
    THREADS_FROM_FILES,
    THREADS_THAT_WAIT,
    BatchesAhead,
    BatchPool,
    OpenBatch,
)
from c2s_model.data.corrupt import CorruptRows, OnCorrupt
from c2s_model.data.filler import Filler
from c2s_model.data.ranks import resolve_rank
from c2s_model.data.resume import Place, check_order, check_store, make_state, place_in
from c2s_model.data.sampler import Ends, EpochOrder, OrderOptions, epoch_order
from c2s_model.data.selection import Subgrids, maps_of_split
from c2s_model.data.store_handle import StoreHandle, StoreSource
from c2s_model.data.worker_batch import for_consumer

if TYPE_CHECKING:
    from c2s_model.data.windows_ahead import WindowsAhead

Batch = dict[str, torch.Tensor]
SHARDS_IN_MEMORY: Final = 16
CHUNKS_PER_LOCAL_READ: Final = 2
_COUNTERS: Final = 1024
"""Workers that count their corrupt rows each in a place of its own."""


class SubgridDataset(IterableDataset[Batch]):
    """Batches of density subgrids with their masks, each subgrid once an epoch.

    Give it to ``DataLoader(dataset, batch_size=None, num_workers=...)``, since batches are ready
    already, or iterate over it. Every rank and worker reads its own part. Call `set_epoch` before
    each epoch; the order is a pure function of the seed and the epoch (`c2s_model.data.sampler`).

    To go on where a training stopped, keep ``state_dict(batch)`` of the last batch used with the
    checkpoint and give it to `load_state_dict` before the next iteration, on every rank. The
    rest of the epoch then comes in the order it would have had, whatever the number of ranks and
    workers is now; rows that were used are neither given nor read again.

    A batch is a dict of tensors:

    ================  =====================  =====================================================
    ``density``       (B, 1, 32, 32, 32)     z y x, normalized to [0, 1]; float16, or as stored
    each target       (B, 32, 32, 32) uint8  class of each voxel (`c2s_data.schema`)
    ``row``           (B,) int64             row in the store
    ``map``           (B,) int32             row of the catalog
    ``corner_zyx``    (B, 3) int32           lowest voxel in the map; negative in the margin
    ``place``         (4,) int64             epoch, number of the batch in it over all ranks, and
                                             batches done and readers, for `state_dict`
    ``repeated``      (B,) bool              only under ``ends="pad"``: fills up the epoch; and
                                             ``on_corrupt="skip"``: stands in for a lost row
    ================  =====================  =====================================================

    Parameters
    ----------
    store
        Path or URL of a committed store, or an open one. It is opened again in every worker,
        always at the generation that was opened first.
    generation
        Which generation of the store; None for the newest, or that of the open store. Workers
        follow the process that opened it first, but every rank opens it for itself: give ranks
        that may start around a commit the same number.
    split
        Only maps of this split, such as ``"train"``; None for all.
    targets
        Names of masks: ``atom``, ``ca``, ``amino``, ``secondary``.
    batch_size
        Subgrids of a batch, on each rank.
    seed
        Non-negative integer; the same on every rank.
    density_dtype
        ``stored``, or ``float32``. A cast on the device is cheaper.
    rank, world_size
        By default those of torch.distributed, else of the environment, else 0 of 1.
    threads
        Threads that read and decode ahead in each reader; by default 4, from object storage 6.
    cache
        Keeps what comes from object storage on a disk.
    subgrids, rest_share, shuffle, ends
        `c2s_model.data.sampler.OrderOptions`.
    rows_per_read
        Subgrids read in one go: from files by default two chunks (32 subgrids, 1.5 MB), from
        object storage a shard (512, up to 24 MB), where each response takes long.
    buffer_rows
        Subgrids that all readers together hold to shuffle, by default as many as 16 shards: 8192
        of 96 KiB with one target, 0.8 GB, and a twelfth or two blocks more. A reader is allowed
        twelve reads in any case, to mix maps: 0.04 GB from files, 0.6 GB where a read is a shard.
    on_corrupt
        ``raise``, or ``skip``: copies of other rows of the batch, flagged in ``repeated``, stand
        in for those of a corrupt or missing chunk. Sizes and numbers of batches stay the same on
        all ranks. Each such chunk is logged as a warning, and `corrupt_rows` counts the rows.
    max_corrupt_rows
        Rows that each reader may replace in an epoch under ``skip``; more are an error.

    Raises
    ------
    ValueError
        Unknown targets, an empty split, or options that cannot stand together.
    c2s_data.errors.MissingChunkError, c2s_data.errors.CorruptChunkError
        While iterating, where the store is damaged; map, array, shard, chunk and its bytes are
        named. Under ``on_corrupt="skip"`` only beyond the limit, or where a batch has no good row.
    """

    def __init__(
        self,
        store: StoreSource,
        *,
        split: str | None = None,
        generation: int | None = None,
        targets: Sequence[str] = ("atom",),
        batch_size: int = 32,
        seed: int = 0,
        density_dtype: Literal["stored", "float32"] = "stored",
        subgrids: Subgrids = "all",
        rest_share: float = 0.0,
        shuffle: bool = True,
        ends: Ends = "exact",
        rows_per_read: int | None = None,
        buffer_rows: int | None = None,
        rank: int | None = None,
        world_size: int | None = None,
        threads: int | None = None,
        cache: CacheOptions | None = None,
        on_corrupt: OnCorrupt = "raise",
        max_corrupt_rows: int = 512,
    ) -> None:
        super().__init__()
        unknown = set(targets) - set(CLASS_NAMES)
        if unknown or len(set(targets)) != len(targets):
            raise ValueError(
                f"targets {tuple(targets)}: choose each once, from {tuple(CLASS_NAMES)}"
            )
        if density_dtype not in ("stored", "float32"):
            raise ValueError(f"density_dtype={density_dtype!r} is neither 'stored' nor 'float32'")
        if (threads is not None and threads < 1) or seed < 0:
            raise ValueError(f"threads={threads} must be at least 1 and seed={seed} at least 0")
        if on_corrupt not in ("raise", "skip"):
            raise ValueError(f"on_corrupt={on_corrupt!r} is neither 'raise' nor 'skip'")
        if max_corrupt_rows < 1:
            raise ValueError(f"max_corrupt_rows={max_corrupt_rows} must be at least 1")
        self.options = OrderOptions(
            batch_size,
            subgrids,
            rest_share,
            shuffle,
            ends,
            **_given(rows_per_read=rows_per_read, buffer_rows=buffer_rows),
        )
        self._default_rows = rows_per_read is None, buffer_rows is None
        self.split = split
        self.targets = tuple(targets)
        self.seed = seed
        self.rank, self.world_size = resolve_rank(rank, world_size)
        self.density_dtype = density_dtype
        self._threads, self._cache = threads, cache
        self._pools: list[BatchPool] = []
        self._order: tuple[tuple[Store, int, int], EpochOrder] | None = None
        self._max_corrupt_rows = max_corrupt_rows if on_corrupt == "skip" else None
        self._handle = StoreHandle(store, generation)
        # Shared memory, so that workers which persist over epochs see it change.
        self._place = torch.zeros(3, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        self._corrupt_rows = torch.zeros(_COUNTERS, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def open_store(self) -> Store:
        """Return the store at the generation that is read; each process opens its own."""
        return self._handle.open()

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration reads."""
        return self._current_place().epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, on every rank the same; also reaches workers that already run.

        Another epoch than the current one starts from its beginning; the current one stays where
        `load_state_dict` put it.
        """
        if epoch < 0:
            raise ValueError(f"epoch {epoch} is negative")
        if epoch != self.epoch:
            self._go_to(Place(epoch))

    @property
    def corrupt_rows(self) -> int:
        """Rows that were replaced under ``on_corrupt="skip"``, by all workers in all epochs."""
        return int(self._corrupt_rows.sum())

    def state_dict(self, batch: Mapping[str, torch.Tensor] | None = None) -> dict[str, Any]:
        """Return where the training stands, as plain data for a checkpoint or JSON.

        Parameters
        ----------
        batch
            The last batch that was used; that workers have others ready does not matter. All ranks
            are taken to have used as many batches, and have the same state. None: nothing of the
            current epoch was used since it was set or loaded.

        Returns
        -------
        dict
            Epoch, batches done, and what the rest of the epoch depends on: the generation of the
            store by its fingerprint, and the options by name.

        Raises
        ------
        ValueError
            `batch` is none of this dataset.
        """
        place = self._current_place()
        if batch is not None:
            if "place" not in batch:
                raise ValueError("the batch has no 'place'; give it as this dataset returned it")
            epoch, _, done, readers = batch["place"].tolist()
            place = Place(epoch, done, readers)
        return make_state(place, self._handle.open(), self.split, self._order_at(place))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on after the batch of a state, with any number of ranks and workers.

        What is left of the epoch keeps its order: rank ``r`` of ``w`` gets every ``w``-th batch of
        it. Where it cannot be dealt out evenly, ranks differ by one batch under ``ends="exact"``;
        under ``drop`` up to ``w - 1`` batches are left out, under ``pad`` as many are repeated.
        Where the ranks and workers do not divide the lanes of the epoch, a chunk is decoded by
        several readers until it ends; memory stays as it is. Later epochs are like any other.

        Raises
        ------
        ValueError
            The state is damaged, or was taken with other options.
        c2s_data.errors.StoreError
            It belongs to another store, or to another generation of this one.
        """
        place = place_in(state)
        check_store(state, self._handle.open())
        check_order(state, self.split, self._order_at(place))
        self._go_to(place)

    def _current_place(self) -> Place:
        return Place(*self._place.tolist())

    def _go_to(self, place: Place) -> None:
        self._place.copy_(torch.tensor(place))

    def order(self, num_workers: int = 0) -> EpochOrder:
        """Return the order of the current epoch for all ranks with so many workers each."""
        place = self._current_place()
        return self._order_at(place, self.world_size * max(1, num_workers))

    def _order_at(self, place: Place, n_readers: int = 1) -> EpochOrder:
        """Return an epoch's order; the readers that it began with, if any, come first."""
        store = self._handle.open()
        arguments = store, place.epoch, place.readers or n_readers
        if self._order is None or self._order[0] != arguments:
            self._order = arguments, self._new_order(*arguments)
        return self._order[1]

    def _new_order(self, store: Store, epoch: int, n_readers: int) -> EpochOrder:
        spec = store.subgrid_spec("density")
        return epoch_order(
            maps_of_split(store, self.split),
            self._options(spec, store.url),
            chunk_rows=spec.chunk_shape[0],
            seed=self.seed,
            epoch=epoch,
            n_readers=n_readers,
        )

    def _options(self, spec: ShardSpec, url: str) -> OrderOptions:
        options, (chunk, shard) = self.options, (spec.chunk_shape[0], spec.shard_shape[0])
        default_read, default_buffer = self._default_rows
        if default_read:
            local = CHUNKS_PER_LOCAL_READ * chunk
            local = chunk if shard % local else local
            options = replace(options, rows_per_read=local if is_local(url) else shard)
        if default_buffer:
            options = replace(options, buffer_rows=SHARDS_IN_MEMORY * shard)
        if options.rows_per_read % chunk or shard % options.rows_per_read:
            raise ValueError(
                f"rows_per_read={options.rows_per_read} must be a multiple of {chunk} "
                f"that divides {shard}"
            )
        return options

    def n_batches(self, num_workers: int = 0) -> int:
        """Count the batches that this rank gets in what is left of the current epoch."""
        done, world = self._current_place().done, self.world_size
        return len(self.order(num_workers).turns(done, world, self.rank, world))

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        place, order = self._current_place(), self.order(workers)
        reader, n_readers = self.rank + self.world_size * number, self.world_size * workers
        turns = order.turns(place.done, self.world_size, reader, n_readers)
        if not turns and not place.done:
            self._refuse_emptiness(n_readers)
        corrupt = CorruptRows(
            self._handle.open(), self._max_corrupt_rows, self._corrupt_rows[number % _COUNTERS]
        )
        return self._read(order, place, turns, corrupt)

    def _read(
        self, order: EpochOrder, place: Place, turns: range, corrupt: CorruptRows
    ) -> Iterator[Batch]:
        # A reader meets these lanes in turn, some of their batches going to other readers.
        lanes = order.n_lanes // gcd(order.n_lanes, turns.step)
        shared_by = turns.step * lanes // order.n_lanes
        max_blocks = lanes + max(2, lanes // 12)
        batch_rows = order.options.batch_size * shared_by
        # Taken out while in use, so that two iterations at once never share memory.
        pool = self._pools.pop() if self._pools else BatchPool()
        store = self._handle.open()
        filler = Filler(
            store,
            ("density", *self.targets),
            order,
            pool,
            keep=max_blocks * (2 + order.block_rows // batch_rows),
            corrupt=corrupt,
            cache=self._cache,
        )
        batches = BatchesAhead(
            order.planned_blocks(turns, place.done),
            filler.plan,
            filler.open_batch,
            max_blocks=max_blocks,
            threads=self._threads
            or (THREADS_FROM_FILES if is_local(store.url) else THREADS_THAT_WAIT),
        )
        try:
            for number, batch in zip(turns, batches, strict=True):
                corrupt.mend(batch)
                tensors = self._tensors(batch, filler)
                tensors["place"] = self._place_after(number, place, order)
                yield for_consumer(tensors)
        finally:
            batches.close()
            self._pools[:] = [pool]

    def _place_after(self, number: int, place: Place, order: EpochOrder) -> torch.Tensor:
        steps = (number - place.done) // self.world_size + 1
        done = min(place.done + steps * self.world_size, order.n_batches)
        return torch.tensor([place.epoch, number, done, order.n_readers])

    def _refuse_emptiness(self, n_readers: int) -> None:
        """Raise where full batches are asked for that no reader has; ``exact`` may end early."""
        if self.options.ends == "exact":
            return
        raise ValueError(
            f"{n_readers} readers (ranks x workers) find not one full batch of "
            f"{self.options.batch_size} each under ends={self.options.ends!r}; use a smaller "
            "batch_size or fewer readers"
        )

    def _tensors(self, filled: OpenBatch, filler: Filler | WindowsAhead) -> Batch:
        batch = {name: torch.from_numpy(buffer[0]) for name, buffer in filled.buffers.items()}
        density = batch["density"]
        if self.density_dtype == "float32" and density.dtype != torch.float32:
            wide = filler.pool.get("cast", tuple(density.shape), np.dtype("f4"), 4)
            density = torch.from_numpy(wide.values).copy_(density)
        batch["density"] = density.unsqueeze(1)
        batch["row"] = torch.from_numpy(filled.row)
        batch["map"] = torch.from_numpy(filler.map_index[filled.row])
        batch["corner_zyx"] = torch.from_numpy(filler.corner_zyx[filled.row])
        if self.options.ends == "pad" or self._max_corrupt_rows is not None:
            batch["repeated"] = torch.from_numpy(filled.repeated)
        return batch

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pools": [], "_order": None}


def _given(**options: int | None) -> dict[str, int]:
    return {name: value for name, value in options.items() if value is not None}
