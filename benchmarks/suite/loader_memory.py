"""What an epoch takes of memory, in a process of its own, above what that had before it.

Before it is after the imports and the opening of the store. Beside each stands what the
documentation of `SubgridDataset` or `WindowDataset` allows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from torch.utils.data import DataLoader

from benchmarks.loader import StandIn, read_loader
from c2s_data.schema import BOX, MAP_CHUNK
from c2s_data.store.reader import open_store
from c2s_model.data import SubgridDataset, WindowDataset

BATCH: Final = 32
OPTIONS: Final = {"batch_size": BATCH, "rank": 0, "world_size": 1}
VOXEL_NBYTES: Final = 3
"""Two of density and one of a mask."""
LANES_OF_WINDOWS, BLOCKS_AHEAD, PARTS_OF_A_BLOCK = 6, 2, 4
"""As documented; not those of the code, which could grow unseen."""
_BATCHES_A_SAMPLE: Final = 50
"""A sample walks all pages of all processes, which takes longer than a batch."""


class Peak(NamedTuple):
    """Bytes that an epoch takes at most, and how many are documented."""

    nbytes: int
    documented: int


def in_own_process(measure: Callable[..., Peak], *arguments: object) -> Peak:
    """Measure in a new process, where nothing of another measurement lies in memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def of_threads(opener: Callable[[], Any], threads: int) -> Peak:
    """Measure a shuffled epoch of subgrids that this process reads itself."""
    dataset = SubgridDataset(opener, threads=threads, **OPTIONS)
    return Peak(_resident(dataset), documented(dataset))


def of_workers(opener: Callable[[], Any], workers: int) -> Peak:
    """Measure the same over workers of a DataLoader, with what passes between the processes."""
    dataset = SubgridDataset(opener, **OPTIONS)
    dataset.open_store()
    before = _proportional()
    # Forked, since this process was spawned and its own would be too, each with libraries of its
    # own; and to stay, so that they are still there at the last sample.
    loader = DataLoader(dataset, batch_size=None, num_workers=workers, persistent_workers=True,
                        multiprocessing_context="fork")  # fmt: skip
    taken = [_proportional() for n, _ in enumerate(loader) if n % _BATCHES_A_SAMPLE == 0]
    return Peak(max(taken) - before, documented(dataset, workers))


def of_windows(store: Path, copies: int) -> Peak:
    """Measure an epoch of random windows of a store's only map, which is listed so many times."""
    dataset = WindowDataset(partial(listed_again, store, copies), **OPTIONS)
    entry = dataset.open_store().entries[0]
    part = prod(-(-n // MAP_CHUNK) * MAP_CHUNK for n in entry.shape_zyx) * VOXEL_NBYTES
    n_parts = (LANES_OF_WINDOWS + BLOCKS_AHEAD) * PARTS_OF_A_BLOCK
    return Peak(_resident(dataset), part * n_parts)


def documented(dataset: SubgridDataset, readers: int = 1) -> int:
    """Return the bytes of the blocks of all lanes, and of a twelfth or two more a reader."""
    order = dataset.order(readers)
    lanes = order.n_lanes // readers
    rows = readers * (lanes + max(2, lanes // 12)) * order.block_rows
    return rows * BOX**3 * VOXEL_NBYTES


@dataclass(frozen=True)
class StandInWithMaps(StandIn):
    """What windows ask of a store besides."""

    attrs: Mapping[str, Any] = field(default_factory=dict)


def listed_again(path: Path, copies: int) -> StandInWithMaps:
    """Return a store that lists the only map of another so many times.

    So the lanes are full, and nobody waits for as many maps to be built.
    """
    store = open_store(path)
    (entry,) = store.entries
    corners = store.index()[1]
    entries = [
        replace(entry, map_index=number, first_subgrid=number * len(corners))
        for number in range(copies)
    ]
    map_index = np.repeat(np.arange(copies, dtype=np.int32), len(corners))
    return StandInWithMaps(
        store.url,
        entries,
        (map_index, np.tile(corners, (copies, 1)), None),
        {name: store.subgrid_spec(name) for name in ("density", "atom")},
        attrs=store.attrs,
    )


def _resident(dataset: SubgridDataset) -> int:
    """Return how far an epoch raises the largest resident size of this process."""
    dataset.open_store()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from what is held now
    before = _in_kB("status", "VmHWM")
    read_loader(dataset, BATCH)
    return 1024 * (_in_kB("status", "VmHWM") - before)


def _proportional() -> int:
    """Return the resident bytes of this process and its workers, shared pages counted once."""
    pids = ["self", *(str(worker.pid) for worker in active_children())]
    return 1024 * sum(_in_kB("smaps_rollup", "Pss", pid) for pid in pids)


def _in_kB(file: str, name: str, pid: str = "self") -> int:
    lines = Path("/proc", pid, file).read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
