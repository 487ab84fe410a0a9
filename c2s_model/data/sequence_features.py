"""Sequence embeddings of a store, looked up for the maps that the subgrids of a batch come from."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from c2s_data.errors import ConfigError
from c2s_data.store.reader import Store


class SequenceFeatures:
    """The embedding of every entry of a store, in memory once: 5 kB a map with ESM-2 650M.

    Parameters
    ----------
    store
        An open store.
    needed
        The entries that will be asked for; None for all.

    Raises
    ------
    ConfigError
        The store has no embeddings, or none of an entry that is needed.
    c2s_data.errors.StoreError
        The table of embeddings is damaged.
    """

    def __init__(self, store: Store, needed: Iterable[str] | None = None) -> None:
        found = store.sequence_embeddings()
        names = [entry.entry_id for entry in store.entries] if needed is None else list(needed)
        missing = [name for name in names if name not in found]
        if missing or not found:
            which = f"of {len(missing)} entries, first {missing[0]}," if missing else ""
            raise ConfigError(
                f"{store.url}: generation {store.generation} has no sequence embeddings {which} "
                "which networks of a variant ending in -seq need; run `c2s-model embed` first"
            )
        self._url = store.url
        self.model = next(iter(found.values())).model
        width = len(next(iter(found.values())).vector)
        self._row = {e.entry_id: e.map_index for e in store.entries if e.entry_id in found}
        table = np.full((1 + max(self._row.values()), width), np.nan, np.float32)
        for entry_id, row in self._row.items():
            table[row] = found[entry_id].vector
        self._table = torch.from_numpy(table)

    @property
    def width(self) -> int:
        """Numbers of an embedding: the ``sequence_width`` of a network that takes them."""
        return self._table.shape[1]

    def of(self, map_index: Tensor) -> Tensor:
        """Return the embeddings (B, S) float32 of the maps of a batch, ``batch["map"]``.

        Raises
        ------
        ConfigError
            A map has none.
        """
        found = self._table[map_index.long()]
        # One number of each row tells: embeddings are finite.
        lacking = map_index[torch.isnan(found[:, 0])]
        if len(lacking):
            raise ConfigError(
                f"{self._url}: the map in row {int(lacking[0])} of the catalog has no sequence "
                "embedding; run `c2s-model embed`"
            )
        return found

    def of_entry(self, entry_id: str) -> Tensor:
        """Return the embedding (S,) float32 of one entry.

        Raises
        ------
        ConfigError
            It has none.
        """
        if entry_id not in self._row:
            raise ConfigError(
                f"{self._url}: {entry_id} has no sequence embedding; run `c2s-model embed`"
            )
        return self._table[self._row[entry_id]]
