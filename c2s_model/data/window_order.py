"""Which windows of which maps an epoch cuts, in what order: a function of seed and epoch. No I/O.

A window is a stored subgrid that was moved by up to half a core along each axis, and turned. Over
the subgrids of a map, whose cores tile it, windows therefore begin at every voxel alike (twice as
often in the outer half of the outermost cores, since cores stay inside the map), and an epoch of
windows is made of the same splits, occupied subgrids and shares of the rest as one of subgrids.

A map is cut into *parts* small enough to be held decoded. Parts take the place that runs of rows
have in `c2s_model.data.sampler`: in random order they form the line that is cut to lanes, and a
block is a few parts whose windows are shuffled together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from c2s_model.data.rotations import N_ROTATIONS
from c2s_model.data.sampler import PIECES, REST, EpochOrder, OrderOptions, generator, lay_out
from c2s_model.data.selection import MapRows, Rows, selected_ranges

PART_SIDE: Final = 256
"""Longest side of a part in voxels. A part and what its windows reach beyond it take at most 72 MB
with one mask, those of a 400^3 map 36 MB; smaller ones would decode more of what they share."""
PARTS_PER_BLOCK: Final = 4
"""Maps, mostly, that a batch can be mixed from."""
WINDOW_LANES: Final = 6
"""Each lane holds a block of parts, so there are fewer than of subgrids."""
_GOLDEN: Final = 0x9E3779B97F4A7C15
_TURN: Final = 3


class PlacedMap(Protocol):
    """What is asked of the catalog's entry of a map."""

    @property
    def map_index(self) -> int:
        """Row of the catalog."""

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Voxels along each axis."""


@dataclass(frozen=True)
class WindowOptions(OrderOptions):
    """What decides the order of windows besides the store, the seed and the epoch.

    Parameters
    ----------
    per_subgrid
        Windows for each selected subgrid in an epoch. A part is decoded once for all of its
        windows, so that more of them make each cheaper.
    rotate
        Turn each window by one of the 24 rotations of a cube.
    """

    per_subgrid: int = 1
    rotate: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.per_subgrid < 1:
            raise ValueError(f"per_subgrid={self.per_subgrid} must be at least 1")


class Windows(NamedTuple):
    """Windows of one map: row of the store (n,), lowest voxel (n, 3), rotation by number (n,)."""

    row: Rows
    corner_zyx: NDArray[np.int64]
    rotation: NDArray[np.int64]


@dataclass(frozen=True)
class WindowOrder(EpochOrder):
    """The order of one epoch of windows; make it with `window_order`.

    Its rows are numbers of windows: window ``n`` belongs to row ``rows[n // per_subgrid]`` of the
    store, and a piece is the windows of a part.
    """

    rows: Rows
    box: int
    core: int

    def block_edges(self, lane: int) -> list[int]:
        """Places in a lane where its blocks begin, and its end: every few parts."""
        if lane not in self._edges_of:
            begin, end = self.lane_edges[lane : lane + 2].tolist()
            low = int(np.searchsorted(self._line, begin, side="right"))
            high = int(np.searchsorted(self._line, end, side="left"))
            # The first blocks have all sizes, so that lanes never need new blocks all at once.
            first = PARTS_PER_BLOCK * lane // self.n_lanes
            inner = self._line[low:high][first::PARTS_PER_BLOCK]
            self._edges_of[lane] = [0, *(inner - begin).tolist(), end - begin]
        return self._edges_of[lane]

    def block_uses(self, turns: range, done: int) -> Iterator[tuple[int, int]]:
        """Yield lane and number of each block that some batches need, whenever they turn to it."""
        current: dict[int, int] = {}
        for number in turns:
            for lane, block, _, end in self.segments(number, done)[0]:
                if current.get(lane) != block:
                    current[lane] = block
                    yield lane, block
                if end == self._block_size(lane, block):
                    del current[lane]

    @cached_property
    def n_windows_of_a_row(self) -> int:
        """Windows of each selected row of the store."""
        assert isinstance(self.options, WindowOptions)
        return self.options.per_subgrid

    def windows(
        self, numbers: Rows, stored_zyx: NDArray[np.int32], shape_zyx: Sequence[int]
    ) -> Windows:
        """Return where some windows of one map lie.

        Parameters
        ----------
        numbers
            (n,) windows of the epoch.
        stored_zyx
            Lowest voxel of every subgrid of the store.
        shape_zyx
            Of the map.
        """
        assert isinstance(self.options, WindowOptions)
        rows = self.rows[numbers // self.n_windows_of_a_row]
        corner = stored_zyx[rows].astype(np.int64)
        margin = (self.box - self.core) // 2
        copy = numbers % self.n_windows_of_a_row
        moved = np.empty_like(corner)
        for axis, n in enumerate(shape_zyx):
            last = max(-margin, n - self.core - margin)
            low = np.clip(corner[:, axis] - self.core // 2, -margin, last)
            high = np.clip(corner[:, axis] + (self.core - 1) // 2, -margin, last)
            moved[:, axis] = low + self._drawn(rows, copy, axis, high - low + 1)
        turns = N_ROTATIONS if self.options.rotate else 1
        return Windows(rows, moved, self._drawn(rows, copy, _TURN, np.int64(turns)))

    def _drawn(
        self, rows: Rows, copy: Rows, what: int, below: NDArray[np.int64] | np.int64
    ) -> NDArray[np.int64]:
        """Return a number from 0 to `below` for each window, of seed, epoch, row and copy alone."""
        mixed = np.full(len(rows), self.seed % 2**64, np.uint64)
        for part in (self.epoch, rows, copy, what):
            mixed = _mixed(mixed ^ np.asarray(part).astype(np.uint64))
        drawn: NDArray[np.int64] = (mixed >> np.uint64(32)).astype(np.int64) * below >> 32
        return drawn


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the next number of the generator splitmix64 (Steele et al., OOPSLA 2014)."""
    values = values + np.uint64(_GOLDEN)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def window_order(
    maps: MapRows,
    placed: Sequence[PlacedMap],
    corner_zyx: NDArray[np.int32],
    options: WindowOptions,
    *,
    box: int,
    core: int,
    chunk_rows: int,
    seed: int,
    epoch: int,
    n_readers: int,
) -> WindowOrder:
    """Lay out one epoch of windows.

    Parameters
    ----------
    maps, placed
        Rows and catalog entries of the maps of the split, in the order of their rows.
    corner_zyx
        (n, 3) lowest voxel of every subgrid of the store.
    options
        Selection and sizes.
    box, core
        Of the store.
    chunk_rows
        Under ``rest_share`` the rest is drawn in runs of so many subgrids.
    seed, epoch
        Any non-negative integers.
    n_readers
        Ranks times workers.

    Returns
    -------
    WindowOrder
        The same for the same arguments on every machine with the same numpy.
    """
    rng = generator(seed, epoch, REST)
    ranges = selected_ranges(maps, options.subgrids, options.rest_share, chunk_rows, rng)
    rows, edges = _parts(maps, placed, corner_zyx, ranges, box // 2)
    edges *= options.per_subgrid
    pieces = np.stack([edges[:-1], edges[1:]], axis=1)
    if options.shuffle:
        pieces = generator(seed, epoch, PIECES).permutation(pieces)
    n_lanes = WINDOW_LANES if len(rows) >= 16 * WINDOW_LANES * options.batch_size else 1
    n_lanes = -(-n_lanes // n_readers) * n_readers
    laid_out = lay_out(pieces, n_lanes, options)
    return WindowOrder(*laid_out, n_readers, options, seed, epoch, rows, box, core)


def _parts(
    maps: MapRows,
    placed: Sequence[PlacedMap],
    corner_zyx: NDArray[np.int32],
    ranges: Rows,
    half: int,
) -> tuple[Rows, Rows]:
    """Return the rows of some ranges, those of a part together, and (k + 1,) where parts begin."""
    owner = np.searchsorted(maps.first, ranges[:, 0], side="right") - 1
    found: list[Rows] = []
    counts: list[int] = []
    for number, first, last in _runs(owner):
        rows = np.concatenate([np.arange(a, b) for a, b in ranges[first:last]])
        shape = np.array(placed[number].shape_zyx)
        n_parts = -(-shape // PART_SIDE)
        part_zyx = np.clip((corner_zyx[rows] + half) * n_parts // shape, 0, n_parts - 1)
        part = np.ravel_multi_index(tuple(part_zyx.T), tuple(n_parts))
        found.append(rows[np.argsort(part, kind="stable")])
        sizes = np.bincount(part)
        counts += sizes[sizes > 0].tolist()
    rows = np.concatenate(found) if found else np.empty(0, np.int64)
    return rows, np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))


def _runs(owner: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """Yield value, begin and end of each run of equal values."""
    edges = np.flatnonzero(np.diff(owner, prepend=-1, append=-1))
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        yield int(owner[first]), first, last
