"""Figures of what a store holds: one of its maps, its splits, its classes."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import numpy as np

from c2s_data.errors import ConfigError, StoreError
from c2s_data.explore.dataset_figures import class_figure, resolution_figure
from c2s_data.explore.slices import slice_figure
from c2s_data.schema import MASKS
from c2s_data.sources.density_map import read_density_map

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from c2s_data.store.reader import Store

NO_SPLIT: Final = "no split"


def draw_map(store: Store, entry_id: str, raw: str | Path | None = None) -> Figure:
    """Draw planes, histograms and labels of one map (the paper's Figures 2, 3 and 13).

    Parameters
    ----------
    store, entry_id
        Which map.
    raw
        The file it was made from, for a row of planes as they were before: on the same gray
        scale, because the normalized values are the raw ones divided by the entry's percentile.

    Raises
    ------
    StoreError
        There is no such entry, or none of its voxels is labeled.
    MapError
        The file cannot be read.
    """
    entry = store.entry(entry_id)
    labels = {name: store.read_map(entry_id, name) for name in MASKS}
    facts = [f"preset {store.attrs['preset']}"]
    facts += [f"{entry.resolution_A:g} Å"] if entry.resolution_A else []
    facts += [entry.split] if entry.split else []
    before = None if raw is None else read_density_map(raw)
    try:
        return slice_figure(
            store.read_map(entry_id, "density").astype(np.float32),
            labels,
            entry_id=entry_id,
            origin_xyz_A=entry.origin_xyz_A,
            raw_zyx=None if before is None else before.values_zyx,
            raw_voxel_size_zyx_A=None if before is None else before.voxel_size_zyx_A,
            raw_white=None if before is None else entry.facts["percentile_value"],
            subtitle=", ".join(facts),
        )
    except ValueError as error:
        raise StoreError(f"{store.url}: {error}") from error


def draw_splits(store: Store) -> Figure:
    """Draw the resolutions of the store's maps, split by split.

    Raises
    ------
    StoreError
        No entry has a resolution.
    """
    resolutions: dict[str, list[float]] = defaultdict(list)
    for entry in store.entries:
        resolution_A = np.nan if entry.resolution_A is None else entry.resolution_A
        resolutions[entry.split or NO_SPLIT].append(resolution_A)
    try:
        return resolution_figure(dict(sorted(resolutions.items(), key=_in_use)), _name(store))
    except ValueError as error:
        raise StoreError(f"{store.url}: {error}") from error


def draw_classes(store: Store) -> Figure:
    """Draw how many voxels of the store's maps are in each class of the masks.

    Raises
    ------
    StoreError
        Nothing is labeled.
    """
    counts: dict[str, NDArray[np.int64]] = {}
    for entry in store.entries:
        for mask, found in dict(entry.facts["label_counts"] or {}).items():
            added = np.asarray(found, np.int64)
            counts[mask] = counts[mask] + added if mask in counts else added
    n_voxels = sum(int(np.prod(entry.shape_zyx)) for entry in store.entries)
    try:
        return class_figure(
            {name: c.tolist() for name, c in counts.items()}, n_voxels, _name(store)
        )
    except ValueError as error:
        raise StoreError(f"{store.url}: {error}") from error


def draw(store: Store, kind: str, entry_id: str | None, raw: str | Path | None) -> Figure:
    """Draw a figure by its name, ``map``, ``splits`` or ``classes``.

    Raises
    ------
    ConfigError
        The entry is missing, or given for a figure of the whole store.
    StoreError, MapError
        As the figure's own function.
    """
    if kind == "map":
        if entry_id is None:
            some = ", ".join(entry.entry_id for entry in store.entries[:5])
            raise ConfigError(f"which map? give --entry, for example one of {some}")
        return draw_map(store, entry_id, raw)
    if entry_id is not None or raw is not None:
        raise ConfigError(f"{kind} is of the whole store: leave out --entry and --raw")
    return draw_splits(store) if kind == "splits" else draw_classes(store)


def _in_use(item: tuple[str, object]) -> tuple[bool, str]:
    """Sort splits as they are used."""
    order = ("train", "validation", "test")
    name = item[0]
    return (name not in order, str(order.index(name)) if name in order else name)


def _name(store: Store) -> str:
    name = store.url.rstrip("/").rpartition("/")[2]
    return f"{name}: {len(store.entries):,} maps, generation {store.generation}"
