"""Maps of a store, read as far as somebody looks: a coarse level at once, planes one by one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import StoreError
from c2s_data.explore.pages.gray import gray
from c2s_data.explore.pages.map_document import trace_of
from c2s_data.explore.pages.volume import coarse_volume, first_contour, volume_codes
from c2s_data.schema import MAP_CHUNK, masks_of
from c2s_data.store.layout import n_levels

if TYPE_CHECKING:
    from c2s_data.store.map_array import MapArray
    from c2s_data.store.reader import Store

KEPT_BYTES: Final = 256 * 2**20
HALF_THICKNESS: Final = 2
"""Planes on each side whose labels are shown with those of a plane."""


class LazyMaps:
    """What a viewer asks of one generation of a store; safe from several threads.

    Parameters
    ----------
    store
        An opened store.
    kept_bytes
        Memory for slabs that were read: a slab holds the planes of one layer of chunks.
    """

    def __init__(self, store: Store, kept_bytes: int = KEPT_BYTES) -> None:
        self.store = store
        self._rows = {row["map_index"]: row for row in store.rows}
        self._kept: OrderedDict[tuple[object, ...], NDArray[np.uint8]] = OrderedDict()
        self._arrays: dict[tuple[str, str, int], MapArray] = {}
        self._room, self._lock = kept_bytes, threading.Lock()

    @property
    def masks(self) -> tuple[str, ...]:
        """The label arrays of the store."""
        return masks_of(self.store.attrs.get("config", {}).get("extra_masks", ()))

    def row(self, entry_id: str) -> Mapping[str, Any]:
        """Return the entry's row of the catalog."""
        return self._rows[self.store.entry(entry_id).map_index]

    def overview(self, entry_id: str) -> dict[str, Any]:
        """Return the facts of a map and its coarsest level in gray: the first picture."""
        entry = self.store.entry(entry_id)
        level = n_levels(entry.shape_zyx) - 1
        array = self._array(entry_id, "density", level)
        whole = (slice(None), slice(None), slice(None))
        row = {name: value for name, value in self.row(entry_id).items() if name != "label_counts"}
        return {
            "entry_id": entry_id,
            "row": row,
            "shape_zyx": entry.shape_zyx,
            "origin_xyz_A": entry.origin_xyz_A,
            "masks": self.masks,
            "level": level,
            "step": 2**level,
            "codes": self._slab((entry_id, "overview"), lambda: gray(array.read(whole))),
        }

    def volume(self, entry_id: str) -> dict[str, Any]:
        """Return the volume for the surface, and the C-alpha trace."""
        table = self.store.residues(entry_id)
        trace = trace_of(table, np.stack([table[f"ca_{axis}_A"] for axis in "xyz"], axis=1))
        contour, why = first_contour(self.row(entry_id))
        values, step_A, origin_xyz_A = coarse_volume(self.store, entry_id, trace["xyz_A"])
        volume = {
            "codes": volume_codes(values, contour),
            "step_A": step_A,
            "origin_xyz_A": origin_xyz_A,
            "contour": contour,
            "why": why,
        }
        return {"entry_id": entry_id, "volume": volume, "trace": trace}

    def plane(self, entry_id: str, name: str, axis: int, index: int) -> dict[str, Any]:
        """Return one plane at full resolution: density in gray, or the classes of a mask.

        ``around`` of a mask holds, where the plane has none, the label of the nearest plane within
        2 voxels.

        Raises
        ------
        StoreError
            If there is no such entry, array or plane.
        """
        shape = self.store.entry(entry_id).shape_zyx
        if name not in ("density", *self.masks) or axis not in (0, 1, 2):
            raise StoreError(f"{entry_id}: no plane of {name!r} along axis {axis}")
        if not 0 <= index < shape[axis]:
            raise StoreError(f"{entry_id}: {name} has planes 0 to {shape[axis] - 1}, not {index}")
        found = {"entry_id": entry_id, "name": name, "axis": axis, "index": index}
        plane = self._plane(entry_id, name, axis, index)
        if name == "density":
            return found | {"plane": plane}
        around = plane.copy()
        for offset in (k * side for k in range(1, HALF_THICKNESS + 1) for side in (-1, 1)):
            if 0 <= index + offset < shape[axis]:
                near = self._plane(entry_id, name, axis, index + offset)
                np.copyto(around, near, where=around == 0)
        return found | {"plane": plane, "around": around}

    def _plane(self, entry_id: str, name: str, axis: int, index: int) -> NDArray[np.uint8]:
        layer = index // MAP_CHUNK

        def read() -> NDArray[np.uint8]:
            window = [slice(None)] * 3
            window[axis] = slice(layer * MAP_CHUNK, (layer + 1) * MAP_CHUNK)
            values = self._array(entry_id, name, 0).read((window[0], window[1], window[2]))
            codes = gray(values) if name == "density" else values.astype(np.uint8)
            return np.ascontiguousarray(np.moveaxis(codes, axis, 0))

        slab = self._slab((entry_id, name, axis, layer), read)
        plane: NDArray[np.uint8] = slab[index - layer * MAP_CHUNK]
        return plane

    def _array(self, entry_id: str, name: str, level: int) -> MapArray:
        key = (entry_id, name, level)
        if key not in self._arrays:
            self._arrays[key] = self.store.map_array(entry_id, name, level)
        return self._arrays[key]

    def _slab(
        self, key: tuple[object, ...], read: Callable[[], NDArray[np.uint8]]
    ) -> NDArray[np.uint8]:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = read()  # Two threads may both read it; neither waits for another map's.
        with self._lock:
            self._kept[key] = made
            while (
                sum(one.nbytes for one in self._kept.values()) > self._room and len(self._kept) > 1
            ):
                self._kept.popitem(last=False)
        return made
