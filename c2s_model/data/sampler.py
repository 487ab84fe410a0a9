"""Which subgrids are read in what order: a pure function of the seed and the epoch. No I/O.

The selected rows are cut into pieces of a few whole chunks. The pieces of an epoch, in random
order, form one line; equal cuts of the line are the *lanes*, the canonical streams of a store.
Each lane shuffles within blocks of several pieces, that is of several maps, and batch ``t`` of an
epoch is the next one of lane ``t mod lanes``. Reader ``i`` of ``n`` owns the lanes ``i mod n``.

Because batch ``t`` then comes from reader ``t mod n``, and a torch DataLoader takes batches from
its workers in turn, the sequence of batches is the same for every number of ranks and workers
whose product divides the number of lanes. For any other product the number of lanes is the next
multiple, so that readers always differ by one sample at most.

An epoch that was interrupted keeps the sequence it began with: `EpochOrder.batch` gives any batch
of it without those before, and `EpochOrder.turns` deals what is left to any number of readers.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from c2s_model.data.selection import MapRows, Rows, Subgrids, cut_to_grid, selected_ranges

Ends = Literal["exact", "drop", "pad"]

LANES: Final = (48, 24, 12, 6, 3, 1)
"""Numbers of lanes, the most that leaves every lane `LANE_ROWS` rows, 16 batches, and
`BLOCK_READS` reads of the buffer. More lanes fit more combinations of ranks and workers, but each
keeps a block of its own in memory."""
LANE_ROWS: Final = 512
BLOCK_READS: Final = 4
"""Reads that a block holds at least, so that its batches mix maps."""
REST, PIECES, BLOCK = range(3)
"""What random numbers of an epoch are for."""


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
    """A block that a reader needs, and where in which of its batches the rows go.

    ``again`` says that another batch of the epoch has these rows already (``ends="pad"``).
    """

    lane: int
    number: int
    targets: tuple[Target, ...]
    again: bool = False


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
    n_readers
        Readers that the epoch began with; they decide which lanes' ends share a batch.
    options, seed, epoch
        As given.
    """

    pieces: Rows
    n_rows: int
    n_lanes: int
    lane_edges: Rows
    n_readers: int
    options: OrderOptions
    seed: int
    epoch: int

    @cached_property
    def _line(self) -> Rows:
        return np.concatenate(([0], np.cumsum(self.pieces[:, 1] - self.pieces[:, 0])))

    @cached_property
    def _edges_of(self) -> dict[int, list[int]]:
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

    def block_edges(self, lane: int) -> list[int]:
        """Places in a lane where its blocks begin, and its end."""
        if lane not in self._edges_of:
            begin, end = self.lane_edges[lane : lane + 2].tolist()
            # The first blocks have all sizes, so that lanes never need new blocks all at once.
            first = max(1, self.block_rows * (lane + 1) // self.n_lanes)
            wanted = np.arange(begin + first, end, self.block_rows)
            # A chunk that two blocks share would be decoded twice.
            inner = np.unique(self._line[np.searchsorted(self._line, wanted)])
            edges = np.concatenate(([begin], inner[inner < end], [end])) - begin
            self._edges_of[lane] = edges.tolist()
        return self._edges_of[lane]

    def block(self, lane: int, number: int) -> Block:
        """Return what a block holds and in what order it is given out."""
        edges, first = self.block_edges(lane), int(self.lane_edges[lane])
        begin, end = first + edges[number], first + edges[number + 1]
        low = int(np.searchsorted(self._line, begin, side="right")) - 1
        high = int(np.searchsorted(self._line, end, side="left"))
        runs = self.pieces[low:high].copy()
        runs[0, 0] += begin - self._line[low]
        runs[-1, 1] -= self._line[high] - end
        order = np.arange(end - begin)
        if self.options.shuffle:
            generator(self.seed, self.epoch, BLOCK, lane, number).shuffle(order)
        return Block(runs, order, np.arange(begin, end) >= self.n_rows)

    @cached_property
    def _rounds(self) -> int:
        """Whole batches that every lane has."""
        return min(map(self.lane_rows, range(self.n_lanes))) // self.options.batch_size

    @cached_property
    def _joined_tails(self) -> dict[int, list[tuple[Segment, ...]]]:
        return {}

    def _tail(self, reader: int) -> list[tuple[Segment, ...]]:
        """Join what the rounds leave of one first reader's lanes to batches."""
        if reader not in self._joined_tails:
            size = self.options.batch_size
            batches: list[list[Segment]] = [[]]
            room = size
            for lane in range(reader, self.n_lanes, self.n_readers):
                place, end = self._rounds * size, self.lane_rows(lane)
                while place < end:
                    n = min(room, end - place)
                    batches[-1] += self._segments(lane, place, place + n)
                    place, room = place + n, room - n
                    if not room:
                        batches.append([])
                        room = size
            self._joined_tails[reader] = [tuple(batch) for batch in batches if batch]
        return self._joined_tails[reader]

    def _segments(self, lane: int, begin: int, end: int) -> Iterator[Segment]:
        """Yield places ``begin`` to ``end`` of a lane, cut where its blocks are."""
        edges = self.block_edges(lane)
        block = bisect_right(edges, begin) - 1
        while begin < end:
            stop = min(end, edges[block + 1])
            yield Segment(lane, block, begin - edges[block], stop - edges[block])
            begin, block = stop, block + 1

    @cached_property
    def n_batches(self) -> int:
        """Batches of the epoch, over all readers."""
        lanes = np.diff(self.lane_edges).reshape(-1, self.n_readers)
        return int((-(-lanes.sum(axis=0) // self.options.batch_size)).sum())

    @cached_property
    def digest(self) -> str:
        """The order as a short text that says whether another program laid out the same."""
        parts = [self.pieces, self.lane_edges]
        parts += [self.block(0, 0).order] if self.lane_rows(0) else []
        joined = b"".join(part.astype("<i8").tobytes() for part in parts)
        return hashlib.sha256(joined).hexdigest()[:16]

    def batch(self, number: int) -> tuple[Segment, ...]:
        """Return where the rows of any batch of the epoch lie, 0 <= number < n_batches."""
        turn, lane = divmod(number, self.n_lanes)
        if turn < self._rounds:
            size = self.options.batch_size
            return tuple(self._segments(lane, turn * size, turn * size + size))
        # Readers whose ends need more batches come first, so the numbers have no gaps.
        turn, reader = divmod(number - self._rounds * self.n_lanes, self.n_readers)
        return self._tail(reader)[turn]

    def turns(self, done: int, world_size: int, reader: int, n_readers: int) -> range:
        """Return which batches one reader gives out after the first ``done`` of the epoch.

        Reader ``rank + world_size * worker`` of ``n_readers`` takes every ``n_readers``-th. Ranks
        get equally many under ``drop`` and ``pad``: what is left is cut, or its last batches are
        given again, by fewer than ``world_size`` batches. Numbers of `n_batches` and more mean
        such a repeated batch. Without an interruption nothing is cut or repeated here.
        """
        left = max(0, self.n_batches - done)
        if left and self.options.ends == "drop":
            left -= left % world_size
        if left and self.options.ends == "pad":
            left += -left % world_size
        return range(done + reader, done + left, n_readers)

    def planned_blocks(self, turns: range, done: int = 0) -> Iterator[PlannedBlock]:
        """Yield the blocks that some batches need, in the order in which they first do.

        Parameters
        ----------
        turns
            Numbers of the batches, from `turns`.
        done
            Batches of the epoch that were given out before.
        """
        growing: dict[tuple[int, int, bool], list[Target]] = {}
        finished: set[tuple[int, int, bool]] = set()
        current: dict[int, tuple[int, int, bool]] = {}
        for place, number in enumerate(turns):
            segments, again = self.segments(number, done)
            offset, rows = 0, sum(segment.end - segment.begin for segment in segments)
            for lane, block, begin, end in segments:
                # A repeated batch loads its rows anew: a row of a load has but one place to go to.
                key = lane, block, again
                target = Target(begin, end, place, offset, rows)
                growing.setdefault(key, []).append(target)
                offset += end - begin
                # Other readers may have the end of a block after an interruption.
                before = current.get(lane, key)
                if before != key and before in growing:
                    finished.add(before)
                current[lane] = key
                if end == self._block_size(lane, block):
                    finished.add(key)
            # A dict keeps the order of first use; a block waits for those before it.
            while growing and (first := next(iter(growing))) in finished:
                finished.remove(first)
                yield _planned(first, growing.pop(first))
        for key, targets in growing.items():
            yield _planned(key, targets)

    def segments(self, number: int, done: int) -> tuple[tuple[Segment, ...], bool]:
        """Return where the rows of a batch of `turns` lie, and whether it is a repeated one."""
        if number < self.n_batches:
            return self.batch(number), False
        left = self.n_batches - done
        return self.batch(self.n_batches - 1 - (number - self.n_batches) % left), True

    def _block_size(self, lane: int, number: int) -> int:
        edges = self.block_edges(lane)
        return edges[number + 1] - edges[number]


def _planned(key: tuple[int, int, bool], targets: list[Target]) -> PlannedBlock:
    lane, number, again = key
    return PlannedBlock(lane, number, tuple(targets), again)


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
    rng = generator(seed, epoch, REST)
    ranges = selected_ranges(maps, options.subgrids, options.rest_share, chunk_rows, rng)
    pieces = cut_to_grid(ranges, options.rows_per_read)
    if options.shuffle:
        pieces = generator(seed, epoch, PIECES).permutation(pieces)
    n_lanes = lanes_for(int((pieces[:, 1] - pieces[:, 0]).sum()), options, n_readers)
    return EpochOrder(*lay_out(pieces, n_lanes, options), n_readers, options, seed, epoch)


def lay_out(pieces: Rows, n_lanes: int, options: OrderOptions) -> tuple[Rows, int, int, Rows]:
    """Cut pieces in their order to lanes; return the first four fields of an `EpochOrder`."""
    n_rows = n_placed = int((pieces[:, 1] - pieces[:, 0]).sum())
    if options.ends != "exact":
        # Whole batches on every lane: then the sequence does not depend on the readers either.
        unit = n_lanes * options.batch_size
        n_placed = n_rows // unit * unit if options.ends == "drop" else -(-n_rows // unit) * unit
    copies = max(1, -(-n_placed // max(1, n_rows)))
    edges = np.arange(n_lanes + 1) * (n_placed // n_lanes)
    edges += np.minimum(np.arange(n_lanes + 1), n_placed % n_lanes)
    return np.tile(pieces, (copies, 1)), n_rows, n_lanes, edges


def lanes_for(n_rows: int, options: OrderOptions, n_readers: int) -> int:
    """Return the number of lanes: of the store and options alone where the readers divide it."""
    enough, block = max(LANE_ROWS, 16 * options.batch_size), BLOCK_READS * options.rows_per_read
    fitting = (n for n in LANES if n * enough <= n_rows and n * block <= options.buffer_rows)
    lanes = next(fitting, 1)
    return -(-lanes // n_readers) * n_readers


def generator(*key: int) -> np.random.Generator:
    """Return random numbers that are a function of the key alone."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))
