"""`WindowDataset`: batches of windows at any voxel of the stored maps, in any orientation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

import torch

from c2s_data.store.map_reader import MapReader
from c2s_data.store.object_cache import ObjectCache
from c2s_data.store.reader import Store
from c2s_data.store.subgrid_reader import is_local
from c2s_model.data.batches_ahead import THREADS_THAT_WAIT, BatchPool
from c2s_model.data.corrupt import CorruptRows
from c2s_model.data.dataset import Batch, SubgridDataset
from c2s_model.data.resume import Place
from c2s_model.data.sampler import EpochOrder
from c2s_model.data.selection import maps_of_split
from c2s_model.data.store_handle import StoreSource
from c2s_model.data.window_order import WindowOptions, WindowOrder, window_order
from c2s_model.data.windows_ahead import WindowsAhead
from c2s_model.data.worker_batch import for_consumer

_OF_SUBGRIDS: Final = ("rows_per_read", "buffer_rows")


class WindowDataset(SubgridDataset):
    """Batches of windows cut from the maps of a store at 1 A instead of its stored subgrids.

    A window is a stored subgrid moved by a random number of voxels, up to half a core along each
    axis, and turned by one of the 24 rotations of a cube: other windows every epoch, a pure
    function of the seed and the epoch. Split, selection, ends, ranks, workers and going on after a
    batch are those of `SubgridDataset`.

    A batch holds what one of a `SubgridDataset` does, with the ``corner_zyx`` of the window in its
    map before it was turned, and ``rotation`` (B,) uint8, for `c2s_model.data.rotations`. ``row``
    is the stored subgrid that was moved. Under ``subgrids="occupied"`` windows are near C-alphas;
    one that had its only C-alpha in a corner may have lost it.

    Six lanes (more where there are more readers) each hold four parts of maps decoded, of up to
    256^3 voxels and what their windows reach beyond them: 1.2 GB of 400^3 maps with one mask, over
    all readers, and 2.4 GB of larger ones.

    Parameters
    ----------
    store
        As for `SubgridDataset`.
    per_subgrid
        Windows for each selected subgrid in an epoch. A part of a map is decoded once for all of
        its windows.
    rotate
        Turn windows. Labels by formula 1 lie half a voxel low on each axis and would be wrong
        after it: only for stores whose ``label_rule`` is ``nearest``.
    **options
        Of `SubgridDataset`, without ``rows_per_read`` and ``buffer_rows``; by default two threads
        cut windows of files, since cutting takes a core and decoding is the smaller part.

    Raises
    ------
    ValueError
        As `SubgridDataset`; an option that has no meaning here; or rotation of such labels.
    """

    def __init__(
        self,
        store: StoreSource,
        *,
        per_subgrid: int = 1,
        rotate: bool = True,
        **options: Any,  # noqa: ANN401 - those of the class above, which checks them
    ) -> None:
        meaningless = sorted(options.keys() & set(_OF_SUBGRIDS))
        if meaningless:
            raise ValueError(f"{', '.join(meaningless)}: windows are not read in runs of subgrids")
        super().__init__(store, **options)
        given = asdict(self.options)
        self.options: WindowOptions = WindowOptions(**given, per_subgrid=per_subgrid, rotate=rotate)

    def _new_order(self, store: Store, epoch: int, n_readers: int) -> WindowOrder:
        rule = store.attrs.get("label_rule", "nearest")
        if self.options.rotate and self.targets and rule != "nearest":
            raise ValueError(
                f"{store.url}: labels by {rule!r} lie half a voxel low on each axis and cannot be "
                "turned with the density; give rotate=False"
            )
        placed = {entry.first_subgrid: entry for entry in store.entries}
        maps = maps_of_split(store, self.split)
        return window_order(
            maps,
            [placed[first] for first in maps.first.tolist()],
            store.index()[1],
            self.options,
            box=int(store.attrs["box"]),
            core=int(store.attrs["core"]),
            chunk_rows=store.subgrid_spec("density").chunk_shape[0],
            seed=self.seed,
            epoch=epoch,
            n_readers=n_readers,
        )

    def _read(
        self, order: EpochOrder, place: Place, turns: range, corrupt: CorruptRows
    ) -> Iterator[Batch]:
        assert isinstance(order, WindowOrder)
        store = self._handle.open()
        local = is_local(store.url)
        kept = None
        if self._cache is not None and not local:
            kept = ObjectCache(self._cache, store.fingerprint)
        pool = self._pools.pop() if self._pools else BatchPool()
        filler = WindowsAhead(
            order,
            turns,
            place.done,
            reader=MapReader(store, ("density", *self.targets), kept),
            entries={entry.map_index: entry for entry in store.entries},
            index=store.index()[:2],
            pool=pool,
            corrupt=corrupt,
            threads=self._threads or (2 if local else THREADS_THAT_WAIT),
        )
        try:
            for number in turns:
                batch = filler.batch(number)
                corrupt.mend(batch)
                tensors = self._tensors(batch, filler)
                tensors["corner_zyx"] = torch.from_numpy(batch.buffers["corner_zyx"].values)
                tensors["place"] = self._place_after(number, place, order)
                # A batch that nobody else holds can be filled again.
                del batch
                yield for_consumer(tensors)
        finally:
            filler.close()
            self._pools[:] = [pool]
