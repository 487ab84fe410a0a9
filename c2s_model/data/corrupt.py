"""What a reader does about chunks that cannot be read: say which map they are of, or replace them.

A row that is replaced leaves the number of batches and their sizes as they are, so ranks that
train together stay together.
"""

from __future__ import annotations

import logging
import threading
from typing import Final, Literal

import numpy as np
import torch

from c2s_data.errors import CorruptChunkError, MissingChunkError
from c2s_data.store.reader import Store
from c2s_model.data.batches_ahead import OpenBatch

OnCorrupt = Literal["raise", "skip"]
Fault = MissingChunkError | CorruptChunkError
_LOG: Final = logging.getLogger(__name__)


def with_map(error: Fault, store: Store, row: int) -> Fault:
    """Return the error with the name of the map that a row of the store belongs to."""
    for entry in store.entries:
        if entry.first_subgrid <= row < entry.first_subgrid + entry.n_subgrids:
            return type(error)(f"{entry.entry_id}: {error}")
    return error


class CorruptRows:
    """Replaces the rows of one reader and epoch that cannot be read, up to a limit.

    Parameters
    ----------
    store
        Names the map of each fault.
    limit
        Rows that may be replaced; None: a fault is raised at once.
    counter
        int64, 0-dimensional: counts the replaced rows.
    """

    def __init__(self, store: Store, limit: int | None, counter: torch.Tensor) -> None:
        self._store = store
        self._limit = limit
        self._counter = counter
        self._replaced = 0
        self._last: Fault | None = None
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def note(self, error: Fault, row: int) -> None:
        """Take notice of a chunk that cannot be read; raise its error where nothing is replaced."""
        named = with_map(error, self._store, row)
        if self._limit is None:
            raise named from error
        with self._lock:
            self._last = named
            if str(named) not in self._told:
                self._told.add(str(named))
                _LOG.warning(
                    "on_corrupt='skip': rows of other chunks stand in for those of %s", named
                )

    def mend(self, batch: OpenBatch) -> None:
        """Put copies of a batch's good rows in the place of those that could not be read.

        Raises
        ------
        CorruptChunkError
            The batch has no good row, or more rows than allowed had to be replaced.
        """
        if not batch.faulty:
            return
        bad = np.unique(np.concatenate(batch.faulty))
        good = np.setdiff1d(np.arange(len(batch.row)), bad)
        self._replaced += len(bad)
        self._counter += len(bad)
        if not len(good):
            raise CorruptChunkError(f"a batch of {len(bad)} rows has none to read: {self._last}")
        if self._limit is not None and self._replaced > self._limit:
            raise CorruptChunkError(
                f"{self._replaced} rows could not be read in this epoch, "
                f"max_corrupt_rows={self._limit} are allowed: {self._last}"
            )
        stand_in = good[np.arange(len(bad)) % len(good)]
        for buffer in batch.buffers.values():
            buffer.values[bad] = buffer.values[stand_in]
        batch.row[bad] = batch.row[stand_in]
        batch.repeated[bad] = True
