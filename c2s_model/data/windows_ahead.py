"""Holds parts of maps decoded, reads the next ones in the background, and fills batches."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import CorruptChunkError, MissingChunkError
from c2s_data.store.catalog_table import StoredEntry
from c2s_data.store.map_reader import MapReader
from c2s_data.transforms.cut_windows import CHUNK, cut_windows, window_strides
from c2s_model.data.batches_ahead import BatchPool, Buffer, OpenBatch
from c2s_model.data.corrupt import CorruptRows
from c2s_model.data.rotations import ROTATIONS
from c2s_model.data.sampler import Block
from c2s_model.data.window_order import WindowOrder, Windows

AHEAD: Final = 2
"""Blocks that are read before the ones in use are done with."""
BATCHES_KEPT: Final = 8
_NOTHING: Final = 0
"""Slot of a chunk of zeros, for what lies beyond the map."""


@dataclass
class HeldPart:
    """A decoded part of a map: `c2s_data.transforms.cut_windows` says how. No arrays: unreadable.

    ``first`` is the number of its first window, ``corner_zyx`` of each window is counted from the
    first voxel of `slot_zyx`.
    """

    arrays: dict[str, NDArray[Any]]
    slot_zyx: NDArray[np.int64]
    corner_zyx: NDArray[np.int64]
    windows: Windows


@dataclass
class HeldBlock:
    """The parts of a block, and ``before`` (k + 1,) how many windows precede each."""

    block: Block
    before: NDArray[np.int64]
    parts: list[HeldPart]


class WindowsAhead:
    """Fills batches of windows, one after another.

    Parameters
    ----------
    order
        Of the epoch.
    turns, done
        Which batches, and how many of the epoch were given out before (`EpochOrder.turns`).
    reader
        Reads the maps.
    entries
        Of the catalog, by their row in it.
    index
        ``map`` and ``corner_zyx`` of the rows of the store.
    box
        Side of a window.
    pool
        Where buffers of batches come from.
    corrupt
        What becomes of windows that cannot be read.
    threads
        Parts that are decoded at the same time.
    """

    def __init__(
        self,
        order: WindowOrder,
        turns: range,
        done: int,
        *,
        reader: MapReader,
        entries: Mapping[int, StoredEntry],
        index: tuple[NDArray[np.int32], NDArray[np.int32]],
        pool: BatchPool,
        corrupt: CorruptRows,
        threads: int,
    ) -> None:
        self.pool = pool
        self.map_index, self.corner_zyx = index
        self._order, self._done = order, done
        self._reader, self._entries = reader, entries
        self._corrupt = corrupt
        self._strides = np.array([window_strides(*turn, order.box) for turn in ROTATIONS])
        self._uses = order.block_uses(turns, done)
        self._coming: deque[tuple[tuple[int, int], list[Future[HeldPart]]]] = deque()
        self._held: dict[int, tuple[int, HeldBlock]] = {}
        lanes = len({lane % order.n_lanes for lane in turns[: order.n_lanes]})
        self._max_blocks = lanes + AHEAD
        self._shelf = _Shelf()
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="windows")

    def batch(self, number: int) -> OpenBatch:
        """Return a batch of the epoch; they must be asked for in the order of the turns."""
        segments, again = self._order.segments(number, self._done)
        n = sum(segment.end - segment.begin for segment in segments)
        batch = self._open(n)
        offset = 0
        for lane, block, begin, end in segments:
            held = self._block(lane, block)
            self._cut(held, begin, end, batch, offset)
            batch.repeated[offset : offset + end - begin] |= again
            offset += end - begin
            if end == len(held.block.order):
                self._drop(lane)
        return batch

    def close(self) -> None:
        """Stop reading and wait for what is under way."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._held.clear()
        self._coming.clear()

    def _open(self, n: int) -> OpenBatch:
        keep = BATCHES_KEPT if n == self._order.options.batch_size else 0
        box = (self._order.box,) * 3
        buffers = {
            name: self.pool.get(name, (n, *box), dtype, keep)
            for name, dtype in self._reader.dtypes.items()
        }
        for name, values in (
            ("corner_zyx", np.empty((n, 3), np.int32)),
            ("rotation", np.empty(n, np.uint8)),
        ):
            buffers[name] = Buffer(values, values, 0)
        return OpenBatch(buffers, np.empty(n, np.int64), np.empty(n, np.bool_), 0)

    def _cut(self, held: HeldBlock, begin: int, end: int, batch: OpenBatch, offset: int) -> None:
        loaded = held.block.order[begin:end]
        batch.repeated[offset : offset + end - begin] = held.block.repeated[loaded]
        which = np.searchsorted(held.before, loaded, side="right") - 1
        for number in np.unique(which).tolist():
            part = held.parts[number]
            chosen = np.flatnonzero(which == number)
            place, n = chosen + offset, loaded[chosen] - held.before[number]
            batch.row[place] = part.windows.row[n]
            batch.buffers["corner_zyx"].values[place] = part.windows.corner_zyx[n]
            batch.buffers["rotation"].values[place] = part.windows.rotation[n]
            if not part.arrays:
                batch.faulty.append(place)
                continue
            strides = self._strides[part.windows.rotation[n]]
            for name, chunks in part.arrays.items():
                out = batch.buffers[name].values
                cut_windows(chunks, part.slot_zyx, part.corner_zyx[n], strides, out, place)

    def _block(self, lane: int, block: int) -> HeldBlock:
        """Return a block once its parts are there, and read on while there is room."""
        if lane in self._held and self._held[lane][0] == block:
            return self._held[lane][1]
        self._drop(lane)
        while len(self._held) + len(self._coming) < self._max_blocks and self._read_next():
            pass
        if not self._coming:
            self._read_next()
        (key, futures) = self._coming.popleft()
        assert key == (lane, block), "batches are asked for in the order of the turns"
        laid_out = self._order.block(lane, block)
        before = np.concatenate(([0], np.cumsum(laid_out.runs[:, 1] - laid_out.runs[:, 0])))
        held = HeldBlock(laid_out, before, [future.result() for future in futures])
        self._held[lane] = block, held
        return held

    def _drop(self, lane: int) -> None:
        _, held = self._held.pop(lane, (0, None))
        for part in held.parts if held else ():
            self._shelf.take_back(part.arrays)

    def _read_next(self) -> bool:
        key = next(self._uses, None)
        if key is None:
            return False
        runs = self._order.block(*key).runs.tolist()
        self._coming.append((key, [self._executor.submit(self._read, *run) for run in runs]))
        return True

    def _read(self, start: int, stop: int) -> HeldPart:
        """Decode the chunks that the windows of one part of a map touch."""
        numbers = np.arange(start, stop)
        entry = self._entry_of(start)
        windows = self._order.windows(numbers, self.corner_zyx, entry.shape_zyx)
        origin = windows.corner_zyx.min(axis=0) // CHUNK
        corner = windows.corner_zyx - origin * CHUNK
        slot_zyx, chunk_zyx = _slots(corner, origin, entry.shape_zyx, self._order.box)
        n_chunks = 1 + len(chunk_zyx)
        arrays = self._shelf.get(n_chunks, self._reader.dtypes)
        try:
            for name, chunks in arrays.items():
                chunks[_NOTHING] = 0
                self._reader.read(entry, name, chunk_zyx, chunks[1:])
        except (MissingChunkError, CorruptChunkError) as error:
            self._shelf.take_back(arrays)
            self._corrupt.note(error, int(windows.row[0]))
            arrays = {}
        return HeldPart(arrays, slot_zyx, corner, windows)

    def _entry_of(self, number: int) -> StoredEntry:
        per_subgrid = self._order.n_windows_of_a_row
        return self._entries[int(self.map_index[self._order.rows[number // per_subgrid]])]


def _slots(
    corner_zyx: NDArray[np.int64],
    origin_zyx: NDArray[np.int64],
    shape_zyx: tuple[int, int, int],
    box: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where each chunk that a window touches stands, and which chunks of the map those are.

    Slot 0 is zeros, slot ``i + 1`` the ``i``-th of the chunks, -1 none.
    """
    low, high = corner_zyx // CHUNK, (corner_zyx + box - 1) // CHUNK
    touched = np.zeros(high.max(axis=0) + 1, np.bool_)
    for step in np.ndindex(*(high - low).max(axis=0) + 1):
        touched[tuple(np.minimum(low + step, high).T)] = True
    places = np.argwhere(touched)
    chunks = places + origin_zyx
    inside = ((chunks >= 0) & (chunks * CHUNK < shape_zyx)).all(axis=1)
    slots = np.full(touched.shape, -1)
    slots[tuple(places[~inside].T)] = _NOTHING
    slots[tuple(places[inside].T)] = np.arange(1, 1 + np.count_nonzero(inside))
    return slots, chunks[inside]


class _Shelf:
    """Memory of parts that were done with, for the next ones: fresh pages cost more."""

    def __init__(self) -> None:
        self._free: list[NDArray[np.uint8]] = []
        self._lock = threading.Lock()

    def get(self, n_chunks: int, dtypes: Mapping[str, np.dtype[Any]]) -> dict[str, NDArray[Any]]:
        """Return uninitialized chunks of each array; safe from several threads."""
        found = {}
        for name, dtype in dtypes.items():
            nbytes = n_chunks * CHUNK**3 * dtype.itemsize
            memory = self._memory(nbytes)[:nbytes]
            found[name] = memory.view(dtype).reshape(n_chunks, CHUNK, CHUNK, CHUNK)
        return found

    def take_back(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep the memory of some arrays, which nobody uses any more."""
        with self._lock:
            for values in arrays.values():
                assert values.base is not None
                self._free.append(values.base)

    def _memory(self, nbytes: int) -> NDArray[np.uint8]:
        with self._lock:
            self._free.sort(key=len)
            for place, memory in enumerate(self._free):
                if nbytes <= len(memory) <= 2 * nbytes:
                    return self._free.pop(place)
            # What does not fit is given up one by one, so that memory does not grow.
            if self._free:
                self._free.pop(0)
        return np.empty(nbytes, np.uint8)
