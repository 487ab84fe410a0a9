"""What `benchmarks.cloud` measures, as rows of the table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from torch.utils.data import DataLoader

from benchmarks.cloud import BATCH, OF_CODEC, OF_DISK, OF_GETS
from benchmarks.loader import read_loader, read_workers
from benchmarks.suite.rows import Row, at_least, at_most, compared, judged
from benchmarks.suite.turns import Samples, in_turns, rate_of
from c2s_model.data import SubgridDataset

_GETS, _CODEC = "whole-shard GETs", "codec, one thread"


def loader_rows(found: dict[str, list[float]]) -> Iterator[Row]:
    """Yield the loader against plain GETs and the codec; the goal goes to what is the lower."""
    gets, codec = (statistics.median(found[name]) for name in (_GETS, _CODEC))
    by_gets = OF_GETS * gets <= OF_CODEC * codec
    for name, goal, binding in ((_GETS, OF_GETS, by_gets), (_CODEC, OF_CODEC, not by_gets)):
        yield compared(
            "shuffled epoch from S3",
            "subgrids/s",
            found["loader"],
            found[name],
            against=name,
            role="limit",
            goal=at_least(goal) if binding else None,
        )


def worker_samples(opener: Callable[[], Any], counts: Sequence[int], repeats: int) -> Samples:
    """Return subgrids a second of 0 workers and of each number of them.

    In turns apart from those of `benchmarks.cloud.loader_samples`, so that nothing of the workers
    is in what is held against plain GETs.
    """
    options = {"batch_size": BATCH, "rank": 0, "world_size": 1}
    alone = SubgridDataset(opener, **options)
    measures = {"0": rate_of(partial(read_loader, alone, BATCH))}
    for n in counts:
        # Spawned, as a client of object storage must not be used on both sides of a fork.
        loader: DataLoader[Any] = DataLoader(
            SubgridDataset(opener, **options), batch_size=None, num_workers=n,
            persistent_workers=True, multiprocessing_context="spawn",
        )  # fmt: skip
        measures[str(n)] = rate_of(partial(read_workers, loader))
    return in_turns(measures, repeats)


def worker_rows(found: Samples) -> Iterator[Row]:
    """Yield workers of a DataLoader against the same epoch in one process."""
    for n, rates in found.items():
        if n != "0":
            yield compared(f"shuffled epoch from S3, {n} worker{'s' if n > '1' else ''}",
                           "subgrids/s", rates, found["0"], against="0 workers")  # fmt: skip


def traffic_row(found: dict[str, Any]) -> Row:
    """Return the row of requests or bytes, which are counted, not timed."""
    return judged(found["what"], "", [found["value"]], at_most(found["goal"]))


def build_row(seconds: dict[str, list[float]]) -> Row:
    """Return building into the bucket against building onto the disk."""
    return compared("build into a bucket, 1 worker", "s", seconds["bucket"], seconds["disk"],
                    against="onto the disk", ratio="other/own", goal=at_least(OF_DISK))  # fmt: skip
