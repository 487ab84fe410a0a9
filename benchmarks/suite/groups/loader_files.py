"""The loader from a disk: cold files, what an epoch reads, and the time to the first batch."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.loader import read_loader, write_store
from benchmarks.suite.limits import cold, files_below, read_whole
from benchmarks.suite.made_store import built_store
from benchmarks.suite.rows import Row, at_least, compared, figure
from benchmarks.suite.size import Size
from benchmarks.suite.turns import in_turns
from c2s_model.data import SubgridDataset

BATCH: Final = 32


def rows(size: Size, folder: Path) -> Iterator[Row]:
    """Yield cold epochs, coverage and first batches."""
    store = folder / "store.zarr"
    opener = write_store(store, size.pick(2, 8, 16), "lz4")
    dataset = SubgridDataset(opener, batch_size=BATCH, rank=0, world_size=1)
    files, buffer = files_below(store), np.empty(1 << 24, np.uint8)
    n_bytes = sum(path.stat().st_size for path in files)

    def ours() -> int:
        read_loader(dataset, BATCH)
        return n_bytes

    measures = {
        "ours": cold(files, ours),
        "limit": cold(files, partial(read_whole, files, buffer)),
    }
    found = in_turns(measures, size.repeats)
    yield compared("shuffled, lz4, files the kernel has forgotten", "B/s", found["ours"],
                   found["limit"], against="reading them one after another, as cold",
                   role="limit", goal=at_least(0.7), note="of stored bytes")  # fmt: skip
    yield coverage(dataset, n_bytes)
    yield first_batch(folder, size.repeats)


def coverage(dataset: SubgridDataset, n_bytes: int) -> Row:
    """Return the bytes that a shuffled epoch asks the kernel for, over those that are stored."""
    before = bytes_asked_for()
    counts: Counter[int] = Counter()
    for batch in dataset:
        counts.update(batch["row"].tolist())
    asked = bytes_asked_for() - before
    assert set(counts.values()) == {1}, "each subgrid once"
    return compared("bytes read in a shuffled epoch that gives every subgrid once", "B",
                    [float(asked)], [float(n_bytes)], against="bytes stored", role="limit",
                    better="lower", note=f"{len(counts):,} subgrids")  # fmt: skip


def bytes_asked_for() -> int:
    """Return what this process has read by system calls."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("rchar"))


def first_batch(folder: Path, repeats: int) -> Row:
    """Return the time from a path to the first shuffled batch, store opened anew each time."""
    store = built_store(folder / "small", n_maps=2, side=80)

    def measure() -> float:
        started = time.perf_counter()
        batches = iter(SubgridDataset(store, batch_size=BATCH, rank=0, world_size=1))
        next(batches)
        seconds = time.perf_counter() - started
        batches.close()  # type: ignore[attr-defined]
        return seconds

    seconds = in_turns({"ours": measure}, repeats)["ours"]
    return figure("time to the first batch, opening included", "s", seconds)
