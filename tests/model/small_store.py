"""A small store of random subgrids, written by plain zarr-python."""

from __future__ import annotations

import dataclasses
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import zarr

from c2s_data.errors import StoreError
from c2s_data.store.shard import ShardSpec
from c2s_model.data import SubgridDataset


@dataclasses.dataclass(frozen=True)
class Entry:
    entry_id: str
    map_index: int
    split: str | None
    first_subgrid: int
    n_subgrids: int
    n_occupied: int
    shape_zyx: tuple[int, int, int] = (9, 7, 5)
    origin_xyz_A: tuple[float, float, float] = (1.5, -2.0, 40.25)


class PlainStore:
    """What a loader needs of a store, over arrays that zarr-python wrote."""

    def __init__(self, folder: Path, entries: tuple[Entry, ...], specs: dict[str, ShardSpec]):
        self.url = str(folder)
        self.generation, self.fingerprint = 1, "f1" * 32
        self.entries = entries
        self.attrs = {"box": specs["density"].shard_shape[1], "core": 4}
        self._specs = specs

    def entry(self, entry_id):
        for entry in self.entries:
            if entry.entry_id == entry_id:
                return entry
        raise StoreError(f"no entry {entry_id}")

    def subgrid_spec(self, array):
        return self._specs[array]

    def index(self):
        group = zarr.open_group(self.url, path="subgrids", mode="r")
        return tuple(np.asarray(group[name]) for name in ("map", "corner_zyx", "n_ca"))


BOX, SHARD, CHUNK = 6, 32, 4


def write_store(
    folder: Path,
    maps,
    *,
    density_dtype="f2",
    seed=0,
    box=BOX,
    shard=SHARD,
    chunk=CHUNK,
    compressor="lz4",
):
    """``maps``: (split, n_subgrids, n_occupied) of each; every map begins on a shard border."""
    rng = np.random.default_rng(seed)
    first, entries = 0, []
    for number, (split, n, n_occupied) in enumerate(maps):
        entries.append(Entry(f"EMD-{number + 1000}", number, split, first, n, n_occupied))
        first += -(-n // shard) * shard
    cube = (box,) * 3
    group = zarr.create_group(folder / "subgrids")
    specs = {
        name: ShardSpec((shard, *cube), (chunk, *cube), np.dtype(dtype), packed)
        for name, dtype, packed in (
            ("density", density_dtype, compressor), ("atom", "u1", "lz4"), ("amino", "u1", "lz4")
        )
    }  # fmt: skip
    for name, spec in specs.items():
        values = rng.integers(0, 4, (first, *cube)).astype(spec.dtype)
        if name == "density":
            values = rng.random((first, *cube)).astype(spec.dtype)
        array = group.create_array(name, shape=values.shape, **spec.zarr_codecs())
        array[...] = values
    map_index, n_ca = np.full(first, -1, "i4"), np.zeros(first, "i4")
    corner = rng.integers(-6, 90, (first, 3)).astype("i4")
    for entry in entries:
        rows = slice(entry.first_subgrid, entry.first_subgrid + entry.n_subgrids)
        map_index[rows] = entry.map_index
        n_ca[rows][: entry.n_occupied] = 3
    for name, values in (("map", map_index), ("corner_zyx", corner), ("n_ca", n_ca)):
        group.create_array(name, data=values)
    return partial(PlainStore, folder, tuple(entries), specs)


def small(opener, **options) -> SubgridDataset:
    return SubgridDataset(opener, **({"batch_size": 7, "rank": 0, "world_size": 1} | options))


def rows(batches) -> list[int]:
    return [row for batch in batches for row in batch["row"].tolist()]


def all_rows(store: PlainStore, split=None, occupied=False) -> list[int]:
    return [
        row
        for entry in store.entries
        if split in (None, entry.split)
        for row in range(
            entry.first_subgrid,
            entry.first_subgrid + (entry.n_occupied if occupied else entry.n_subgrids),
        )
    ]


def copy_of(opener, folder: Path):
    """The same store again, in a folder of its own that a test may damage."""
    store = opener()
    shutil.copytree(store.url, folder)
    return lambda: PlainStore(folder, store.entries, store._specs)
