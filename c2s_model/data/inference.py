"""`MapSubgrids`: all subgrids of one map in order, and their way back into a map."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from c2s_data.schema import CLASS_NAMES
from c2s_data.store.catalog_table import StoredEntry
from c2s_data.store.reader import Store
from c2s_data.store.subgrid_reader import SubgridReader
from c2s_data.transforms.subgrid import stitch, stitch_into
from c2s_model.data.dataset import Batch
from c2s_model.data.store_handle import StoreHandle, StoreSource
from c2s_model.data.worker_batch import for_consumer


class MapSubgrids(IterableDataset[Batch]):
    """Batches of all subgrids of one map, in the order of the store, each once.

    The store keeps the subgrids with C-alphas first; `corner_zyx` says where each belongs. The
    workers of a DataLoader (``batch_size=None``) take batches in turn, so the order stays.

    A batch holds ``density`` (B, 1, 32, 32, 32) as stored, each target (B, 32, 32, 32) uint8,
    ``row`` (B,) int64 and ``corner_zyx`` (B, 3) int32.

    Parameters
    ----------
    store
        Path or URL of a committed store, or an open one.
    entry_id
        Which map.
    targets
        Names of masks to read as well.
    batch_size
        Subgrids of a batch; the last one may be short.

    Raises
    ------
    ValueError
        Unknown targets or a batch size below 1.
    c2s_data.errors.StoreError
        When first read: the store has no such entry, or it is damaged.
    """

    def __init__(
        self,
        store: StoreSource,
        entry_id: str,
        *,
        targets: Sequence[str] = (),
        batch_size: int = 32,
    ) -> None:
        super().__init__()
        unknown = set(targets) - set(CLASS_NAMES)
        if unknown or batch_size < 1:
            raise ValueError(
                f"targets {tuple(targets)} of {list(CLASS_NAMES)}, batch_size {batch_size}, not 0"
            )
        self.entry_id = entry_id
        self.targets = tuple(targets)
        self.batch_size = batch_size
        self._handle = StoreHandle(store)

    @property
    def entry(self) -> StoredEntry:
        """The catalog's entry of the map: shape, origin, resolution."""
        return self._handle.open().entry(self.entry_id)

    @property
    def corners_zyx(self) -> NDArray[np.int32]:
        """Lowest voxel of every subgrid, (n, 3), in the order of the batches."""
        entry = self.entry
        _, corner_zyx, _ = self._handle.open().index()
        return corner_zyx[entry.first_subgrid : entry.first_subgrid + entry.n_subgrids]

    def __len__(self) -> int:
        return math.ceil(self.entry.n_subgrids / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        store, entry, corners = self._handle.open(), self.entry, self.corners_zyx
        readers = _readers(store, ("density", *self.targets))
        for place in range(number, len(self), workers):
            first = place * self.batch_size
            stop = min(first + self.batch_size, entry.n_subgrids)
            batch = {
                name: torch.from_numpy(_read(reader, entry.first_subgrid, first, stop))
                for name, reader in readers.items()
            }
            batch["density"] = batch["density"].unsqueeze(1)
            batch["row"] = torch.arange(first, stop) + entry.first_subgrid
            batch["corner_zyx"] = torch.from_numpy(corners[first:stop].copy())
            yield for_consumer(batch)

    def stitch(self, subgrids: torch.Tensor) -> torch.Tensor:
        """Put the cores of all subgrids together again.

        Parameters
        ----------
        subgrids
            (n, 32, 32, 32), or (n, k, 32, 32, 32) with k channels, in the order of the batches.

        Returns
        -------
        torch.Tensor
            (z, y, x) or (k, z, y, x) of the map's shape, on the CPU, of the same dtype
            (float32 for bfloat16).

        Raises
        ------
        ValueError
            If the number of subgrids is not that of the map.
        """
        values = _on_cpu(subgrids)
        core = int(self._handle.open().attrs["core"])
        shape_zyx, corners = self.entry.shape_zyx, self.corners_zyx
        if values.ndim == 4:
            return torch.from_numpy(stitch(values, corners, shape_zyx, core))
        channels = [
            stitch(np.ascontiguousarray(values[:, k]), corners, shape_zyx, core)
            for k in range(values.shape[1])
        ]
        return torch.from_numpy(np.stack(channels))

    def stitch_into(
        self, values_zyx: torch.Tensor, subgrids: torch.Tensor, corner_zyx: torch.Tensor
    ) -> None:
        """Write the cores of one batch (B, 32, 32, 32) into a map on the CPU, in place."""
        core = int(self._handle.open().attrs["core"])
        corners = corner_zyx.cpu().numpy()
        stitch_into(values_zyx.numpy(), _on_cpu(subgrids), corners, core)


def _on_cpu(values: torch.Tensor) -> NDArray[np.generic]:
    # numpy has no bfloat16, which networks give under autocast; float32 holds it exactly.
    values = values.detach().cpu()
    array: NDArray[np.generic] = (
        values.float() if values.dtype == torch.bfloat16 else values
    ).numpy()
    return array


def _readers(store: Store, names: tuple[str, ...]) -> dict[str, SubgridReader]:
    return {
        name: SubgridReader(
            f"{store.url}/subgrids/{name}", store.subgrid_spec(name), root=store.url
        )
        for name in names
    }


def _read(reader: SubgridReader, origin: int, first: int, stop: int) -> NDArray[np.generic]:
    shard_rows, *shape = reader.spec.shard_shape
    out = np.empty((stop - first, *shape), reader.spec.dtype)
    start, end = origin + first, origin + stop
    while start < end:
        shard, row = divmod(start, shard_rows)
        n = min(end - start, shard_rows - row)
        place = start - origin - first
        reader.read_rows(shard, row, row + n, out[place : place + n])
        start += n
    return out
