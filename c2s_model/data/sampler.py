"""Which subgrids are read in what order: a pure function of the seed and the epoch. No I/O.

The selected rows are cut into pieces of a few whole chunks. The pieces of an epoch, in random
order, form one line; equal cuts of the line are the *lanes*, the canonical streams of a store.
Each lane shuffles within blocks of several pieces, that is of several maps, and batch ``t`` of an
epoch is the next one of lane ``t mod lanes``. Reader ``i`` of ``n`` owns the lanes ``i mod n``.

Because batch ``t`` then comes from reader ``t mod n``, and a torch DataLoader takes batches from
its workers in turn, the sequence of batches is the same for every number of ranks and workers
whose product divides the number of lanes. For any other product the number of lanes is the next
multiple, so that readers always differ by one sample at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Subgrids = Literal["all", "occupied"]
Ends = Literal["exact", "drop", "pad"]

LANES: Final = (48, 24, 12, 6, 3, 1)
"""Numbers of lanes, the most that leaves every lane `LANE_ROWS` rows, 16 batches, and
`BLOCK_READS` reads of the buffer. More lanes fit more combinations of ranks and workers, but each
keeps a block of its own in memory."""
LANE_ROWS: Final = 512
BLOCK_READS: Final = 4
"""Reads that a block holds at least, so that its batches mix maps."""
_REST, _PIECES, _BLOCK = range(3)


class MapRows(NamedTuple):
    """Where the maps lie: int64 (m,) first row, rows, and how many with C-alphas come first."""

    first: Rows
    n: Rows
    n_occupied: Rows


class Block(NamedTuple):
    """Rows that are in memory together.

    ``runs`` (k, 2) are the rows [start, stop) to load one after another, ``order`` (n,) the place
    among the loaded rows that is given out first, second and so on, ``repeated`` (n,) says which
    of the loaded rows only fill up the last batches.
    """

    runs: Rows
    order: Rows
    repeated: NDArray[np.bool_]


class Segment(NamedTuple):
    """Part of a batch: places ``begin`` to ``end`` in the order of one block of one lane."""

    lane: int
    block: int
    begin: int
    end: int


class Target(NamedTuple):
    """Where places ``begin`` to ``end`` of a block's order go: from ``offset`` on in a batch."""

    begin: int
    end: int
    batch: int
    offset: int
    batch_rows: int


class PlannedBlock(NamedTuple):
    """A block that a reader needs, and where in which of its batches the rows go."""

    lane: int
    number: int
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class OrderOptions:
    """What decides the order besides the store, the seed and the epoch.

    Parameters
    ----------
    batch_size
        Subgrids of a batch.
    subgrids
        ``all``, or ``occupied`` for those with C-alphas.
    rest_share
        Under ``occupied``: this share of each map's other subgrids, newly drawn every epoch.
    shuffle
        False keeps the rows of each lane in order.
    ends
        ``exact``: every subgrid once; the last batch of a reader may be short, and readers may
        differ by one batch. ``drop``: full batches only, the same number on every reader; what
        is left over, less than a batch a lane, is another part every epoch. ``pad``: the same
        number of full batches with every subgrid at least once; repeated ones are flagged.
    rows_per_read
        Rows read in one go: whole chunks, and a divisor of the shard.
    buffer_rows
        Rows that all readers together (up to 48 of them) hold in memory to shuffle, but never
        less than `BLOCK_READS` reads a lane.
    """

    batch_size: int
    subgrids: Subgrids = "all"
    rest_share: float = 0.0
    shuffle: bool = True
    ends: Ends = "exact"
    rows_per_read: int = 32
    buffer_rows: int = 8192

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.rows_per_read < 1 or self.buffer_rows < 1:
            raise ValueError("batch_size, rows_per_read and buffer_rows must be at least 1")
        if self.subgrids not in ("all", "occupied"):
            raise ValueError(f"subgrids={self.subgrids!r} is neither 'all' nor 'occupied'")
        if self.ends not in ("exact", "drop", "pad"):
            raise ValueError(f"ends={self.ends!r} is none of 'exact', 'drop' and 'pad'")
        if not 0 <= self.rest_share <= 1:
            raise ValueError(f"rest_share={self.rest_share} is not between 0 and 1")
        if self.rest_share and self.subgrids == "all":
            raise ValueError("rest_share needs subgrids='occupied'; 'all' has no rest")


@dataclass(frozen=True)
class EpochOrder:
    """The order of one epoch for a given number of readers; make it with `epoch_order`.

    Parameters
    ----------
    pieces
        (k, 2) rows [start, stop) in the order of the line.
    n_rows
        Rows selected; the line beyond them repeats rows (``ends="pad"``).
    n_lanes
        Lanes; a multiple of the readers.
    lane_edges
        (n_lanes + 1,) where the lanes are cut out of the line.
    options, seed, epoch
        As given.
    """

    pieces: Rows
    n_rows: int
    n_lanes: int
    lane_edges: Rows
    options: OrderOptions
    seed: int
    epoch: int

    @cached_property
    def _line(self) -> Rows:
        return np.concatenate(([0], np.cumsum(self.pieces[:, 1] - self.pieces[:, 0])))

    @cached_property
    def _edges_of(self) -> dict[int, Rows]:
        return {}

    @cached_property
    def block_rows(self) -> int:
        """Rows of a whole block; to end with a read it may hold up to one read more."""
        # More lanes than usual mean more readers, each with memory of its own.
        share = self.options.buffer_rows // min(self.n_lanes, LANES[0])
        return max(share, BLOCK_READS * self.options.rows_per_read)

    def lane_rows(self, lane: int) -> int:
        """Rows of a lane; lanes differ by one at most."""
        return int(self.lane_edges[lane + 1] - self.lane_edges[lane])

    def block_edges(self, lane: int) -> Rows:
        """Places in a lane where its blocks begin, and its end."""
        if lane not in self._edges_of:
            begin, end = self.lane_edges[lane : lane + 2].tolist()
            # The first blocks have all sizes, so that lanes never need new blocks all at once.
            first = max(1, self.block_rows * (lane + 1) // self.n_lanes)
            wanted = np.arange(begin + first, end, self.block_rows)
            # A chunk that two blocks share would be decoded twice.
            inner = np.unique(self._line[np.searchsorted(self._line, wanted)])
            edges = np.concatenate(([begin], inner[inner < end], [end])) - begin
            self._edges_of[lane] = edges
        return self._edges_of[lane]

    def block(self, lane: int, number: int) -> Block:
        """Return what a block holds and in what order it is given out."""
        edges = self.lane_edges[lane] + self.block_edges(lane)
        begin, end = int(edges[number]), int(edges[number + 1])
        low = int(np.searchsorted(self._line, begin, side="right")) - 1
        high = int(np.searchsorted(self._line, end, side="left"))
        runs = self.pieces[low:high].copy()
        runs[0, 0] += begin - self._line[low]
        runs[-1, 1] -= self._line[high] - end
        order = np.arange(end - begin)
        if self.options.shuffle:
            _rng(self.seed, self.epoch, _BLOCK, lane, number).shuffle(order)
        return Block(runs, order, np.arange(begin, end) >= self.n_rows)

    def batches(self, reader: int, n_readers: int) -> Iterator[tuple[Segment, ...]]:
        """Yield the batches of one reader; every segment of a block follows the one before it.

        Raises
        ------
        ValueError
            If the order was made for a number of readers that `n_readers` does not divide.
        """
        if self.n_lanes % n_readers or not 0 <= reader < n_readers:
            raise ValueError(
                f"reader {reader} of {n_readers} does not fit {self.n_lanes} lanes; "
                "make the order for this number of readers"
            )
        size = self.options.batch_size
        lanes = range(reader, self.n_lanes, n_readers)
        rounds = min(map(self.lane_rows, range(self.n_lanes))) // size
        cutters = [_Cutter(lane, self.block_edges(lane)) for lane in lanes]
        for _ in range(rounds):
            for cutter in cutters:
                yield tuple(cutter.take(size))
        yield from _joined_tails(cutters, size)

    def planned_blocks(self, reader: int, n_readers: int) -> Iterator[PlannedBlock]:
        """Yield the blocks of one reader in the order in which `batches` first needs them."""
        growing: dict[tuple[int, int], list[Target]] = {}
        finished: set[tuple[int, int]] = set()
        for number, batch in enumerate(self.batches(reader, n_readers)):
            offset, rows = 0, sum(segment.end - segment.begin for segment in batch)
            for lane, block, begin, end in batch:
                target = Target(begin, end, number, offset, rows)
                growing.setdefault((lane, block), []).append(target)
                offset += end - begin
                if end == self._block_size(lane, block):
                    finished.add((lane, block))
            # A dict keeps the order of first use; a block waits for those before it.
            while growing and (first := next(iter(growing))) in finished:
                finished.remove(first)
                yield PlannedBlock(*first, tuple(growing.pop(first)))

    def _block_size(self, lane: int, number: int) -> int:
        edges = self.block_edges(lane)
        return int(edges[number + 1] - edges[number])

    def n_batches(self, reader: int, n_readers: int) -> int:
        """Count the batches of one reader."""
        rows = sum(self.lane_rows(lane) for lane in range(reader, self.n_lanes, n_readers))
        return -(-rows // self.options.batch_size)


def epoch_order(
    maps: MapRows,
    options: OrderOptions,
    *,
    chunk_rows: int,
    seed: int,
    epoch: int,
    n_readers: int,
) -> EpochOrder:
    """Lay out one epoch.

    Parameters
    ----------
    maps
        The maps of the split.
    options
        Selection and sizes.
    chunk_rows
        Rows of a chunk; reads are whole chunks.
    seed, epoch
        Any non-negative integers.
    n_readers
        Ranks times workers.

    Returns
    -------
    EpochOrder
        The same for the same arguments on every machine with the same numpy.
    """
    ranges = selected_ranges(maps, options, chunk_rows, _rng(seed, epoch, _REST))
    pieces = cut_to_grid(ranges, options.rows_per_read)
    if options.shuffle:
        pieces = _rng(seed, epoch, _PIECES).permutation(pieces)
    n_rows = int((pieces[:, 1] - pieces[:, 0]).sum())
    n_lanes = lanes_for(n_rows, options, n_readers)
    n_placed = n_rows
    if options.ends != "exact":
        # Whole batches on every lane: then the sequence does not depend on the readers either.
        unit = n_lanes * options.batch_size
        n_placed = n_rows // unit * unit if options.ends == "drop" else -(-n_rows // unit) * unit
    copies = max(1, -(-n_placed // max(1, n_rows)))
    edges = np.arange(n_lanes + 1) * (n_placed // n_lanes)
    edges += np.minimum(np.arange(n_lanes + 1), n_placed % n_lanes)
    line = np.tile(pieces, (copies, 1))
    return EpochOrder(line, n_rows, n_lanes, edges, options, seed, epoch)


def lanes_for(n_rows: int, options: OrderOptions, n_readers: int) -> int:
    """Return the number of lanes: of the store and options alone where the readers divide it."""
    enough, block = max(LANE_ROWS, 16 * options.batch_size), BLOCK_READS * options.rows_per_read
    fitting = (n for n in LANES if n * enough <= n_rows and n * block <= options.buffer_rows)
    lanes = next(fitting, 1)
    return -(-lanes // n_readers) * n_readers


def selected_ranges(
    maps: MapRows, options: OrderOptions, chunk_rows: int, rng: np.random.Generator
) -> Rows:
    """Return the wanted rows as (k, 2) ranges [start, stop), in the order of the store."""
    everything = options.subgrids == "all"
    stops = maps.first + (maps.n if everything else maps.n_occupied)
    ranges = np.stack([maps.first, stops], axis=1)
    if options.rest_share:
        drawn = [
            _drawn_rest(int(start), int(stop), options.rest_share, chunk_rows, rng)
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


class _Cutter:
    """Cuts one lane into segments that never cross a block."""

    def __init__(self, lane: int, edges: Rows) -> None:
        self._lane = lane
        self._edges = edges.tolist()
        self._block = 0
        self._place = 0

    @property
    def left(self) -> int:
        return int(self._edges[-1]) - self._place

    def take(self, n: int) -> Iterator[Segment]:
        while n:
            begin, end = self._edges[self._block], self._edges[self._block + 1]
            stop = min(end, self._place + n)
            yield Segment(self._lane, self._block, self._place - begin, stop - begin)
            n -= stop - self._place
            self._place = stop
            self._block += stop == end


def _joined_tails(cutters: list[_Cutter], size: int) -> Iterator[tuple[Segment, ...]]:
    batch: list[Segment] = []
    room = size
    for cutter in cutters:
        while cutter.left:
            n = min(room, cutter.left)
            batch += cutter.take(n)
            room -= n
            if not room:
                yield tuple(batch)
                batch, room = [], size
    if batch:
        yield tuple(batch)


def _rng(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))
