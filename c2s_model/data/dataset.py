"""`SubgridDataset`: ready, shuffled batches of subgrids out of a store, for training."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from c2s_data.schema import MASKS
from c2s_data.store.reader import Store, open_store
from c2s_data.store.shard import ShardSpec
from c2s_data.store.subgrid_reader import SubgridReader, is_local
from c2s_model.data.batches_ahead import BatchesAhead, BatchPool, Buffer, OpenBatch
from c2s_model.data.sampler import (
    Ends,
    EpochOrder,
    MapRows,
    OrderOptions,
    PlannedBlock,
    Subgrids,
    Target,
    epoch_order,
)

Batch = dict[str, torch.Tensor]
StoreSource = str | os.PathLike[str] | Store | Callable[[], Store]
SHARDS_IN_MEMORY: Final = 16
CHUNKS_PER_LOCAL_READ: Final = 2
TASK_ROWS: Final = 128


class SubgridDataset(IterableDataset[Batch]):
    """Batches of density subgrids with their masks, each subgrid once an epoch.

    Give it to ``DataLoader(dataset, batch_size=None, num_workers=...)``, since batches are ready
    already, or iterate over it. Every rank and worker reads its own part. Call `set_epoch` before
    each epoch; the order is a pure function of the seed and the epoch (`c2s_model.data.sampler`).

    A batch is a dict of tensors:

    ================  =====================  =====================================================
    ``density``       (B, 1, 32, 32, 32)     z y x, normalized to [0, 1]; float16, or as stored
    each target       (B, 32, 32, 32) uint8  class of each voxel (`c2s_data.schema`)
    ``row``           (B,) int64             row in the store
    ``map``           (B,) int32             row of the catalog
    ``corner_zyx``    (B, 3) int32           lowest voxel in the map; negative in the margin
    ``repeated``      (B,) bool              only under ``ends="pad"``: fills up the epoch
    ================  =====================  =====================================================

    Parameters
    ----------
    store
        Path or URL of a committed store, or an open one. It is opened again in every worker.
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
        Threads that read and decode ahead, in each reader.
    subgrids, rest_share, shuffle, ends
        `c2s_model.data.sampler.OrderOptions`.
    rows_per_read
        Subgrids read in one go: from files by default two chunks (32 subgrids, 1.5 MB), from
        object storage a shard (512, up to 24 MB), where each response takes long.
    buffer_rows
        Subgrids that all readers together hold to shuffle, by default as many as 16 shards: 8192
        of 96 KiB with one target, 0.8 GB, and a twelfth or two blocks more. A reader is allowed
        twelve reads in any case, to mix maps: 0.04 GB from files, 0.6 GB where a read is a shard.

    Raises
    ------
    ValueError
        Unknown targets, an empty split, or options that cannot stand together.
    c2s_data.errors.MissingChunkError, c2s_data.errors.CorruptChunkError
        While iterating, where the store is damaged; array, shard and chunk are named.
    """

    def __init__(
        self,
        store: StoreSource,
        *,
        split: str | None = None,
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
        threads: int = 2,
    ) -> None:
        super().__init__()
        unknown = set(targets) - set(MASKS)
        if unknown or len(set(targets)) != len(targets):
            raise ValueError(f"targets {tuple(targets)}: choose each once, from {MASKS}")
        if density_dtype not in ("stored", "float32"):
            raise ValueError(f"density_dtype={density_dtype!r} is neither 'stored' nor 'float32'")
        if threads < 1 or seed < 0:
            raise ValueError(f"threads={threads} must be at least 1 and seed={seed} at least 0")
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
        self._threads = threads
        self._pools: list[BatchPool] = []
        self._handle = StoreHandle(store)
        # Shared memory, so that workers which persist over epochs see it change.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration reads."""
        return int(self._epoch.item())

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, on every rank the same; also reaches workers that already run."""
        if epoch < 0:
            raise ValueError(f"epoch {epoch} is negative")
        self._epoch.fill_(epoch)

    def order(self, num_workers: int = 0) -> EpochOrder:
        """Return the order of the current epoch for all ranks with so many workers each."""
        store = self._handle.open()
        spec = store.subgrid_spec("density")
        return epoch_order(
            maps_of_split(store, self.split),
            self._options(spec, store.url),
            chunk_rows=spec.chunk_shape[0],
            seed=self.seed,
            epoch=self.epoch,
            n_readers=self.world_size * max(1, num_workers),
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
        """Count the batches that this rank gets in the current epoch."""
        order = self.order(num_workers)
        readers = range(self.rank, self.world_size * max(1, num_workers), self.world_size)
        n_readers = self.world_size * max(1, num_workers)
        return sum(order.n_batches(reader, n_readers) for reader in readers)

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        reader, n_readers = self.rank + self.world_size * number, self.world_size * workers
        order = self.order(workers)
        if not order.n_batches(reader, n_readers):
            self._refuse_emptiness(n_readers)
        lanes = order.n_lanes // n_readers
        max_blocks = lanes + max(2, lanes // 12)
        # Taken out while in use, so that two iterations at once never share memory.
        pool = self._pools.pop() if self._pools else BatchPool()
        filler = _Filler(self._handle.open(), ("density", *self.targets), order, pool)
        filler.keep = max_blocks * (2 + order.block_rows // order.options.batch_size)
        batches = BatchesAhead(
            order.planned_blocks(reader, n_readers),
            filler.plan,
            filler.open_batch,
            max_blocks=max_blocks,
            threads=self._threads,
        )
        try:
            for batch in batches:
                yield self._tensors(batch, filler)
        finally:
            batches.close()
            self._pools[:] = [pool]

    def _refuse_emptiness(self, n_readers: int) -> None:
        """Raise where full batches are asked for that no reader has; ``exact`` may end early."""
        if self.options.ends == "exact":
            return
        raise ValueError(
            f"{n_readers} readers (ranks x workers) find not one full batch of "
            f"{self.options.batch_size} each under ends={self.options.ends!r}; use a smaller "
            "batch_size or fewer readers"
        )

    def _tensors(self, filled: OpenBatch, filler: _Filler) -> Batch:
        batch = {name: torch.from_numpy(buffer[0]) for name, buffer in filled.buffers.items()}
        density = batch["density"]
        if self.density_dtype == "float32" and density.dtype != torch.float32:
            wide = filler.pool.get("cast", tuple(density.shape), np.dtype("f4"), 4)
            density = torch.from_numpy(wide.values).copy_(density)
        batch["density"] = density.unsqueeze(1)
        batch["row"] = torch.from_numpy(filled.row)
        batch["map"] = torch.from_numpy(filler.map_index[filled.row])
        batch["corner_zyx"] = torch.from_numpy(filler.corner_zyx[filled.row])
        if self.options.ends == "pad":
            batch["repeated"] = torch.from_numpy(filled.repeated)
        return batch

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pools": []}


class StoreHandle:
    """Opens a store in the process that reads it; what was opened before a fork is left alone."""

    def __init__(self, source: StoreSource) -> None:
        self._opener: Callable[[], Store]
        self._store: Store | None = None
        if isinstance(source, str | os.PathLike):
            self._opener = partial(open_store, source)
        elif callable(source):
            self._opener = source
        else:
            self._opener, self._store = partial(open_store, source.url), source
        self._pid = os.getpid()

    def open(self) -> Store:
        """Return the store of this process."""
        if self._store is None or self._pid != os.getpid():
            self._store, self._pid = self._opener(), os.getpid()
        return self._store

    def __getstate__(self) -> dict[str, Any]:
        return {"_opener": self._opener, "_store": None, "_pid": -1}


class _Filler:
    """Opens batches, and reads the runs of a block, of every array, to their places in them."""

    keep = 8

    def __init__(
        self, store: Store, names: tuple[str, ...], order: EpochOrder, pool: BatchPool
    ) -> None:
        self.pool = pool
        self.map_index, self.corner_zyx, _ = store.index()
        self._readers = {
            name: SubgridReader(f"{store.url}/subgrids/{name}", store.subgrid_spec(name))
            for name in names
        }
        self._order = order
        self._shard_rows = self._readers["density"].spec.shard_shape[0]

    def open_batch(self, n: int) -> OpenBatch:
        keep = self.keep if n == self._order.options.batch_size else 0
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
        repeated = block.repeated[block.order]
        for begin, end, number, offset, _ in targets:
            batch, part = batches[number], slice(offset, offset + end - begin)
            batch.row[part], batch.repeated[part] = rows[begin:end], repeated[begin:end]
        homes = {}
        for name in self._readers:
            buffers = [batches[target.batch].buffers[name] for target in targets]
            homes[name] = _Homes.of(block.order, targets, buffers)
        return [partial(self._load, task, done, homes) for task, done in _tasks(runs)]

    def _load(self, runs: list[list[int]], done: int, homes: Mapping[str, _Homes]) -> None:
        for start, stop in runs:
            shard, first = divmod(start, self._shard_rows)
            part = slice(done, done + stop - start)
            for name, reader in self._readers.items():
                arenas, which, place = homes[name]
                last = first + stop - start
                reader.scatter_rows(shard, first, last, arenas, which[part], place[part])
            done = part.stop


class _Homes(NamedTuple):
    """Where each loaded row of a block goes: which arena, and row in it."""

    arenas: list[NDArray[Any]]
    which: NDArray[np.int64]
    place: NDArray[np.int64]

    @classmethod
    def of(
        cls, order: NDArray[np.int64], targets: Sequence[Target], buffers: Sequence[Buffer]
    ) -> _Homes:
        arenas = list({id(buffer.arena): buffer.arena for buffer in buffers}.values())
        number_of = {id(arena): number for number, arena in enumerate(arenas)}
        counts = [target.end - target.begin for target in targets]
        shifts = [b.first + t.offset - t.begin for t, b in zip(targets, buffers, strict=True)]
        which, place = np.empty_like(order), np.empty_like(order)
        which[order] = np.repeat([number_of[id(buffer.arena)] for buffer in buffers], counts)
        place[order] = np.repeat(shifts, counts) + np.arange(len(order))
        return cls(arenas, which, place)


def _tasks(runs: list[list[int]]) -> Iterator[tuple[list[list[int]], int]]:
    """Group runs into tasks; yield each with the number of rows before it."""
    task: list[list[int]] = []
    before = rows = 0
    for run in runs:
        task.append(run)
        rows += run[1] - run[0]
        if rows - before >= TASK_ROWS or run is runs[-1]:
            yield task, before
            task, before = [], rows


def maps_of_split(store: Store, split: str | None) -> MapRows:
    """Return where the maps of a split lie in the store.

    Raises
    ------
    ValueError
        No map with any subgrid is in this split.
    """
    chosen = [entry for entry in store.entries if split is None or entry.split == split]
    if not any(entry.n_subgrids for entry in chosen):
        known = sorted({str(entry.split) for entry in store.entries})
        raise ValueError(f"{store.url}: no subgrids in split {split!r}; it has {known}")
    columns = np.array(
        [(entry.first_subgrid, entry.n_subgrids, entry.n_occupied) for entry in chosen], np.int64
    )
    return MapRows(*columns.T)


def _given(**options: int | None) -> dict[str, int]:
    return {name: value for name, value in options.items() if value is not None}


def resolve_rank(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Return rank and world size: as given, of torch.distributed, of the environment, or 0 of 1.

    Raises
    ------
    ValueError
        One is given without the other, or the rank is not below the world size.
    """
    if (rank is None) != (world_size is None):
        raise ValueError("give both rank and world_size, or neither")
    if rank is None or world_size is None:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        else:
            rank = int(os.environ.get("RANK", "0"))
            world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if not 0 <= rank < world_size:
        raise ValueError(f"rank {rank} is not below world_size {world_size}")
    return rank, world_size
