"""The loader in memory: warm files, against raw reads and the codec, by threads and workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle, product
from pathlib import Path
from typing import Any, Final

import google_crc32c
import numpy as np
from numcodecs import blosc
from torch.utils.data import DataLoader

from benchmarks.loader import (
    ARRAYS,
    chunks_of,
    read_loader,
    read_npz,
    read_workers,
    write_npz,
    write_store,
)
from benchmarks.suite.limits import files_below
from benchmarks.suite.rows import Row, at_least, compared
from benchmarks.suite.size import Size
from benchmarks.suite.turns import in_turns, rate_of
from c2s_data.schema import BOX, SUBGRIDS_PER_CHUNK, SUBGRIDS_PER_SHARD
from c2s_model.data import SubgridDataset

BATCH: Final = 32
UNIT: Final = "subgrids/s"
OPTIONS: Final = {"batch_size": BATCH, "rank": 0, "world_size": 1}
_PIECE: Final = 1 << 20
_BATCHES_NBYTES: Final = 600 << 20
"""What the batches of a loader take (group memory)."""
_BUFFER: Final = SUBGRIDS_PER_SHARD * BOX**3 * 2 + 2**20


def rows(size: Size, folder: Path) -> Iterator[Row]:
    """Yield epochs of ready batches with a mask, in one process and over workers."""
    n_maps = size.pick(2, 8, 16)
    opener = write_store(folder / "store.zarr", n_maps, "lz4")
    yield from rows_of_threads(size, folder, opener)
    yield from rows_of_workers(size, opener)
    yield from rows_uncompressed(size, folder / "raw.zarr", n_maps)


def rows_of_threads(size: Size, folder: Path, opener: Callable[[], Any]) -> Iterator[Row]:
    """Yield one process, shuffled, in order and by single chunks."""
    paths = write_npz(folder / "npz", opener)
    packed = write_npz(folder / "packed", opener, np.savez_compressed)
    store = opener()
    datasets = {
        "1": SubgridDataset(opener, threads=1, **OPTIONS),
        "2": SubgridDataset(opener, threads=2, **OPTIONS),
        "in order": SubgridDataset(opener, threads=1, shuffle=False, **OPTIONS),
        "chunks": SubgridDataset(opener, threads=1, rows_per_read=SUBGRIDS_PER_CHUNK, **OPTIONS),
    }
    measures = {
        name: rate_of(partial(read_loader, dataset, BATCH)) for name, dataset in datasets.items()
    }
    measures |= {
        "limit, 1": rate_of(partial(read_and_decode, store, 1)),
        "limit, 2": rate_of(partial(read_and_decode, store, 2)),
        "npz": rate_of(partial(read_npz, paths, BATCH)),
    }
    found = in_turns(measures, size.repeats)
    slow = {"packed": rate_of(partial(read_npz, packed, BATCH))}
    found |= in_turns(slow, 1)
    of = partial(compared, unit=UNIT, role="limit")
    for threads in ("1", "2"):
        readers = "thread that reads" if threads == "1" else "threads that read"
        yield of(f"shuffled, lz4, {threads} {readers} ahead",
                 own=found[threads], other=found[f"limit, {threads}"],
                 against="preadv and decoding, as many threads", goal=at_least(0.8))  # fmt: skip
    yield compared("shuffled, lz4, 1 thread that reads ahead", UNIT, found["1"], found["npz"],
                   against="an .npz a subgrid", goal=at_least(8))  # fmt: skip
    yield compared("shuffled, lz4, 1 thread that reads ahead", UNIT, found["1"], found["packed"],
                   against="a compressed .npz a subgrid")  # fmt: skip
    yield of("in order, lz4", own=found["in order"], other=found["limit, 1"],
             against="preadv and decoding, 1 thread")  # fmt: skip
    yield of("single chunks in random order, lz4", own=found["chunks"], other=found["limit, 1"],
             against="preadv and decoding, 1 thread")  # fmt: skip


def read_and_decode(store: Any, n_threads: int) -> int:  # noqa: ANN401 - a stand-in store
    """Read whole shards and decode every chunk into one buffer a thread; return the subgrids."""
    shards = [
        (name, (entry.first_subgrid + place) // SUBGRIDS_PER_SHARD,
         min(SUBGRIDS_PER_SHARD, entry.n_subgrids - place))
        for name in ARRAYS
        for entry in store.entries
        for place in range(0, entry.n_subgrids, SUBGRIDS_PER_SHARD)
    ]  # fmt: skip

    def decode(mine: list[tuple[str, int, int]]) -> int:
        buffer, done = np.empty(_BUFFER, np.uint8), 0
        for name, shard, rows in mine:
            spec = store.subgrid_spec(name)
            out = np.empty(spec.chunk_shape, spec.dtype)
            path = Path(store.url, "subgrids", name, spec.shard_key(shard))
            for chunk in chunks_of(path, spec, -(-rows // SUBGRIDS_PER_CHUNK), buffer):
                assert google_crc32c.value(chunk[:-4]) == int(chunk[-4:].view("<u4")[0])
                blosc.decompress(chunk[:-4], out)
            done += rows if name == ARRAYS[0] else 0
        return done

    if n_threads == 1:
        return decode(shards)
    with ThreadPoolExecutor(n_threads) as pool:
        return sum(pool.map(decode, [shards[i::n_threads] for i in range(n_threads)]))


def rows_of_workers(size: Size, opener: Callable[[], Any]) -> Iterator[Row]:
    """Yield workers of a DataLoader against the same epoch in this process."""
    counts = [n for n in (1, 2) if n <= len(os.sched_getaffinity(0))]
    dataset = SubgridDataset(opener, **OPTIONS)
    loaders = {
        n: DataLoader(dataset, batch_size=None, num_workers=n, persistent_workers=True)
        for n in counts
    }
    measures = {str(n): rate_of(partial(read_workers, loader)) for n, loader in loaders.items()}
    measures["0"] = rate_of(partial(read_loader, SubgridDataset(opener, **OPTIONS), BATCH))
    found = in_turns(measures, size.repeats)
    for n in counts:
        yield compared(f"shuffled, lz4, {n} worker{'s' if n > 1 else ''}", UNIT, found[str(n)],
                       found["0"], against="0 workers")  # fmt: skip


def rows_uncompressed(size: Size, folder: Path, n_maps: int) -> Iterator[Row]:
    """Yield a store of plain density against preadv alone, by as many threads.

    Into one buffer that stays in the processor's cache, which no batch does, and into as much
    memory as the batches of a loader take.
    """
    opener = write_store(folder, n_maps, "none")
    files = files_below(folder)
    n_bytes = sum(path.stat().st_size for path in files)
    limits = {"preadv of the same files": 1 << 24, "preadv into as much memory": _BATCHES_NBYTES}
    measures = {}
    for threads in (1, 2):
        dataset = SubgridDataset(opener, threads=threads, **OPTIONS)
        n = read_loader(dataset, BATCH)
        measures[f"{threads}"] = rate_of(partial(read_loader, dataset, BATCH))
        for against, nbytes in limits.items():
            buffers = [np.ones(nbytes // threads, np.uint8) for _ in range(threads)]
            raw = partial(read_by_threads, files, buffers)
            measures[f"{threads}, {against}"] = rate_of(
                lambda raw=raw, n=n: n * raw() // n_bytes  # type: ignore[misc]
            )
    found = in_turns(measures, size.repeats)
    for threads, against in product((1, 2), limits):
        yield compared(f"shuffled, uncompressed, {threads} thread{'s'[: threads > 1]}", UNIT,
                       found[f"{threads}"], found[f"{threads}, {against}"],
                       against=f"{against}, as many threads", role="limit",
                       goal=at_least(0.5) if against == next(iter(limits)) else None)  # fmt: skip


def read_by_threads(files: list[Path], buffers: list[np.ndarray]) -> int:
    """Read whole files, as many threads as buffers; return the bytes."""
    n = len(buffers)
    with ThreadPoolExecutor(n) as pool:
        return sum(pool.map(read_around, [files[i::n] for i in range(n)], buffers))


def read_around(files: list[Path], buffer: np.ndarray) -> int:
    """Read files in pieces one after another into a buffer, and again from its beginning."""
    pieces = [memoryview(buffer)[i : i + _PIECE] for i in range(0, buffer.size, _PIECE)]
    places, total = cycle(pieces), 0
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            place = 0
            while n := os.preadv(descriptor, [next(places)], place):
                place += n
            total += place
        finally:
            os.close(descriptor)
    return total
