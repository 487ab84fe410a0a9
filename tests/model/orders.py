"""Epochs as a DataLoader would hand them out, from the order alone: no store, no tensor."""

from __future__ import annotations

import itertools

import numpy as np

from c2s_model.data.sampler import EpochOrder, OrderOptions, epoch_order
from c2s_model.data.selection import MapRows

SHARD, CHUNK = 512, 16


def laid_out(sizes: list[tuple[int, int]]) -> MapRows:
    first, rows = 0, []
    for n, occupied in sizes:
        rows.append((first, n, occupied))
        first += -(-n // SHARD) * SHARD
    return MapRows(*np.array(rows, np.int64).T)


SMALL = laid_out([(70, 33), (41, 41), (3, 1), (64, 0), (600, 120)])
TINY = laid_out([(2, 1), (3, 2)])
LARGE = laid_out([(1331, 57), (700, 300), (1100, 1100), (2048, 900), (150, 9)] * 5)
STORES = {"tiny": TINY, "small": SMALL, "large": LARGE}


def make(maps: MapRows, n_readers: int = 1, *, seed=3, epoch=0, **options) -> EpochOrder:
    options = OrderOptions(**({"batch_size": 8} | options))
    return epoch_order(maps, options, chunk_rows=CHUNK, seed=seed, epoch=epoch, n_readers=n_readers)


def wanted(maps: MapRows, occupied=False) -> list[int]:
    counts = maps.n_occupied if occupied else maps.n
    return [row for a, n in zip(maps.first, counts, strict=True) for row in range(a, a + n)]


def rows_of(order, batch, blocks=None, *, flags=False) -> list[int]:
    rows: list[int] = []
    blocks = {} if blocks is None else blocks
    for lane, number, begin, end in batch:
        if (lane, number) not in blocks:
            block = order.block(lane, number)
            loaded = np.concatenate([np.arange(*run) for run in block.runs])
            assert len(loaded) == len(block.order) == len(block.repeated)
            blocks[lane, number] = loaded[block.order], block.repeated[block.order]
        rows += blocks[lane, number][flags][begin:end].tolist()
    return rows


def batches_of(order, reader, n_readers):
    """Return the batches of one reader of an epoch from its beginning."""
    return [order.batch(number) for number in order.turns(0, n_readers, reader, n_readers)]


def reader_rows(order, reader, n_readers) -> list[list[int]]:
    blocks = {}
    return [rows_of(order, batch, blocks) for batch in batches_of(order, reader, n_readers)]


def planned_rows(order, turns, done) -> list[list[tuple[int, bool]]]:
    """Fill the batches of one reader as the loader does: (row, repeated) of every place."""
    batches = [None] * len(turns)
    for lane, number, targets, again in order.planned_blocks(turns, done):
        block = order.block(lane, number)
        loaded = np.concatenate([np.arange(*run) for run in block.runs])[block.order]
        repeated = block.repeated[block.order] | again
        for begin, end, batch, offset, size in targets:
            batches[batch] = batches[batch] or [None] * size
            for place in range(begin, end):
                assert batches[batch][offset + place - begin] is None
                row = int(loaded[place]), bool(repeated[place])
                batches[batch][offset + place - begin] = row
    assert all(None not in batch for batch in batches)
    return batches


def in_turn(queues: list[list]) -> list:
    """Take one of each in turn, as a DataLoader does of its workers."""
    rounds = itertools.zip_longest(*queues)
    return [batch for turn in rounds for batch in turn if batch is not None]


def ranks_of(order, world, workers, done=0) -> list[list]:
    """Return what each rank's DataLoader hands out after the first ``done`` batches."""
    workers = max(1, workers)
    readers = world * workers
    return [
        in_turn(
            [
                planned_rows(order, order.turns(done, world, rank + world * worker, readers), done)
                for worker in range(workers)
            ]
        )
        for rank in range(world)
    ]


def steps(maps, world, workers, **options) -> list[list[int]]:
    """Batches of a whole epoch in the order of training steps, rank after rank in each step."""
    order = make(maps, world * max(1, workers), **options)
    batches = in_turn(ranks_of(order, world, workers))
    return [[row for row, _ in batch] for batch in batches]
