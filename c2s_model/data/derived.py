"""Labels of other shapes beside those that a store holds, derived for each batch as it is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset

from c2s_data.transforms.derived_target import (
    DerivedTarget,
    TargetAtoms,
    derive_window,
    target_atoms,
)
from c2s_data.transforms.label_window import Grid, Window
from c2s_model.data.worker_batch import for_consumer

if TYPE_CHECKING:
    from c2s_data.store.reader import Store
    from c2s_model.data.dataset import Batch, SubgridDataset

MAPS_IN_MEMORY: Final = 512
"""Maps whose atoms are kept; half a megabyte each for 5,000 residues and three atoms of each."""


class DerivedTargets:
    """Derives label volumes for subgrids of a store.

    Parameters
    ----------
    store
        An open store; the residue tables of its maps are read when they are first needed.
    wanted
        What to derive, by the name it gets in a batch.
    """

    def __init__(self, store: Store, wanted: Mapping[str, DerivedTarget]) -> None:
        self._store = store
        self._wanted = dict(wanted)
        self._entries = {entry.map_index: entry for entry in store.entries}
        self._box = int(store.attrs["box"])
        self._of_map = lru_cache(MAPS_IN_MEMORY)(self._read)

    def volumes(
        self, map_index: NDArray[np.int32], corner_zyx: NDArray[np.int32]
    ) -> dict[str, NDArray[Any]]:
        """Return the volumes of some subgrids by name.

        Parameters
        ----------
        map_index, corner_zyx
            (B,) and (B, 3) of the subgrids, as batches and the index of the store give them.

        Returns
        -------
        dict
            ``(B, *channels, box, box, box)`` arrays.
        """
        sides = (self._box,) * 3
        out = {
            name: np.empty((len(map_index), *wanted.channels, *sides), wanted.dtype)
            for name, wanted in self._wanted.items()
        }
        for row, (number, corner) in enumerate(
            zip(map_index.tolist(), corner_zyx.tolist(), strict=True)
        ):
            grid, atoms = self._of_map(number)
            z, y, x = corner
            for name, wanted in self._wanted.items():
                out[name][row] = derive_window(atoms[name], wanted, grid, Window((z, y, x), sides))
        return out

    def _read(self, map_index: int) -> tuple[Grid, dict[str, TargetAtoms]]:
        entry = self._entries[map_index]
        columns = self._store.residues(entry.entry_id)
        atoms = {
            name: target_atoms(columns, wanted, entry.resolution_A)
            for name, wanted in self._wanted.items()
        }
        return Grid(entry.shape_zyx, entry.origin_xyz_A), atoms


class WithDerivedLabels(IterableDataset["Batch"]):
    """The batches of a `SubgridDataset` with derived labels added.

    Give it to ``DataLoader(..., batch_size=None)`` in the dataset's place; epochs, states and
    counters remain the dataset's own affair.

    Parameters
    ----------
    dataset
        Where batches come from.
    wanted
        What to derive, by the name it gets in a batch; no name that a batch has already.

    Raises
    ------
    ValueError
        While iterating: a name is taken, or weights are asked for that the store holds nothing for.
    """

    def __init__(self, dataset: SubgridDataset, wanted: Mapping[str, DerivedTarget]) -> None:
        super().__init__()
        self.dataset = dataset
        self.wanted = dict(wanted)

    def __iter__(self) -> Iterator[Batch]:
        derived = DerivedTargets(self.dataset.open_store(), self.wanted)
        for batch in self.dataset:
            taken = self.wanted.keys() & batch.keys()
            if taken:
                raise ValueError(f"a batch has {sorted(taken)} already; choose other names")
            volumes = derived.volumes(batch["map"].numpy(), batch["corner_zyx"].numpy())
            more = {name: torch.from_numpy(volume) for name, volume in volumes.items()}
            yield for_consumer(batch | more)
