"""Which rows of a store an epoch is made of: those of a split, all or the occupied ones. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from c2s_data.store.reader import Store

Rows = NDArray[np.int64]
Subgrids = Literal["all", "occupied"]


class MapRows(NamedTuple):
    """Where the maps lie: int64 (m,) first row, rows, and how many with C-alphas come first."""

    first: Rows
    n: Rows
    n_occupied: Rows


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


def selected_ranges(
    maps: MapRows,
    subgrids: Subgrids,
    rest_share: float,
    chunk_rows: int,
    rng: np.random.Generator,
) -> Rows:
    """Return the wanted rows as (k, 2) ranges [start, stop), in the order of the store.

    Parameters
    ----------
    maps
        The maps to choose from.
    subgrids
        ``all``, or ``occupied`` for the rows with C-alphas, which come first in each map.
    rest_share
        This share of each map's other rows as well, drawn in chunks of ``chunk_rows`` by ``rng``.
    """
    stops = maps.first + (maps.n if subgrids == "all" else maps.n_occupied)
    ranges = np.stack([maps.first, stops], axis=1)
    if rest_share:
        drawn = [
            _drawn_rest(int(start), int(stop), rest_share, chunk_rows, rng)
            for start, stop in zip(stops, maps.first + maps.n, strict=True)
        ]
        ranges = np.concatenate([ranges, *drawn])
        ranges = ranges[np.argsort(ranges[:, 0], kind="stable")]
    return ranges[ranges[:, 1] > ranges[:, 0]]


def _drawn_rest(
    start: int, stop: int, share: float, chunk_rows: int, rng: np.random.Generator
) -> Rows:
    # Whole chunks, since a chunk is decoded for one row as for all.
    runs: Rows = rng.permutation(cut_to_grid(np.array([[start, stop]]), chunk_rows))
    wanted = round(share * (stop - start))
    after = np.cumsum(runs[:, 1] - runs[:, 0])
    before = after - (runs[:, 1] - runs[:, 0])
    runs = runs[before < wanted]
    if len(runs):
        runs[-1, 1] -= max(0, int(after[len(runs) - 1]) - wanted)
    return runs


def cut_to_grid(ranges: Rows, step: int) -> Rows:
    """Cut ranges at every multiple of `step`; (k, 2) in, (m, 2) out, in the same order."""
    ranges = ranges[ranges[:, 1] > ranges[:, 0]]
    low, high = ranges[:, 0] // step, (ranges[:, 1] - 1) // step
    counts = high - low + 1
    owner = np.repeat(np.arange(len(ranges)), counts)
    cell = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts) + low[owner]
    starts = np.maximum(ranges[owner, 0], cell * step)
    stops = np.minimum(ranges[owner, 1], (cell + 1) * step)
    return np.stack([starts, stops], axis=1)
