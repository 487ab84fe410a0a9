"""Random windows cut from stored maps: any voxel, any of 24 orientations, on one core."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.build import on_one_core
from benchmarks.loader import read_loader
from benchmarks.suite.limits import memcpy_rate
from benchmarks.suite.made_store import built_store
from benchmarks.suite.rows import Row, at_least, compared
from benchmarks.suite.size import Size
from benchmarks.suite.turns import in_turns, rate_of
from c2s_data.schema import BOX
from c2s_data.store.reader import open_store
from c2s_model.data import SubgridDataset, WindowDataset

WINDOWS_A_S: Final = 25_000.0
AT_MEMCPY: Final = 11e9
BATCH: Final = 32


def rows(size: Size, folder: Path) -> Iterator[Row]:
    """Yield windows a second on one core against the goal scaled by the run's memcpy."""
    on_one_core()
    side = size.pick(80, 220, 220)
    few = built_store(folder / "few", n_maps=size.pick(1, 2, 8), side=side)
    store = built_store(folder / "many", n_maps=size.pick(1, 6, 16), side=side)
    options = {"batch_size": BATCH, "rank": 0, "world_size": 1, "threads": 1}
    bare = {"targets": (), **options}
    datasets: dict[str, SubgridDataset] = {
        "density, 8 a subgrid": WindowDataset(few, per_subgrid=8, **bare),
        "density, 1 a subgrid": WindowDataset(store, per_subgrid=1, **bare),
        "with a mask, 8 a subgrid": WindowDataset(few, per_subgrid=8, **options),
        "not turned, density, 8 a subgrid": WindowDataset(few, per_subgrid=8, rotate=False, **bare),
        "subgrids": SubgridDataset(store, **bare),
    }
    volumes = [open_store(few).read_map(e.entry_id, "density") for e in open_store(few).entries]
    measures = {
        name: rate_of(partial(read_loader, dataset, BATCH)) for name, dataset in datasets.items()
    }
    measures["numpy"] = rate_of(partial(cut_with_numpy, volumes, size.pick(200, 4000, 8000)))
    measures["memcpy"] = memcpy_rate()
    found = in_turns(measures, size.repeats)
    scaled = [WINDOWS_A_S * rate / AT_MEMCPY for rate in found["memcpy"]]
    note = f"memcpy {np.median(found['memcpy']) / 1e9:.3g} GB/s"
    for name in datasets:
        if name == "subgrids":
            continue
        goal = at_least(1) if name.startswith("density") else None
        yield compared(name, "windows/s", found[name], scaled,
                       against="25,000 a core at a memcpy of 11 GB/s, scaled", role="limit",
                       goal=goal, note=note)  # fmt: skip
    ours = "density, 8 a subgrid"
    yield compared(ours, "windows/s", found[ours], found["numpy"],
                   against="numpy slices and turns of maps in memory, one by one")  # fmt: skip
    yield compared(ours, "windows/s", found[ours], found["subgrids"],
                   against="stored subgrids, density alone")  # fmt: skip


def cut_with_numpy(volumes: list[np.ndarray], n: int) -> int:
    """Cut and turn windows of maps held in memory into batches."""
    rng = np.random.default_rng(0)
    batch = np.empty((BATCH, BOX, BOX, BOX), np.float16)
    for number in range(n):
        volume = volumes[rng.integers(len(volumes))]
        z, y, x = (int(rng.integers(0, side - BOX)) for side in volume.shape)
        window = volume[z : z + BOX, y : y + BOX, x : x + BOX]
        axes = rng.permutation(3)
        batch[number % BATCH] = np.flip(np.transpose(window, axes), axis=int(rng.integers(3)))
    return n
