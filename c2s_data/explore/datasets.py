"""Maps and catalogs of a store as xarray objects that read what is indexed.

`open_map` costs the four small reads of opening a store and no more: shapes, types and coordinates
follow from the catalog. Voxels are read chunk by chunk when they are asked for, from a path or a
bucket.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import xarray as xr

import c2s_data.explore.accessor  # noqa: F401 - registers ds.c2s
from c2s_data.errors import StoreError
from c2s_data.explore.lazy_boxes import Triple, Window, lazy
from c2s_data.explore.map_coordinates import AXES, CONVENTIONS, map_coordinates, without_none
from c2s_data.schema import MAP_CHUNK, masks_of
from c2s_data.store.catalog_table import FACTS
from c2s_data.store.layout import array_attributes, level_shape, n_levels
from c2s_data.store.map_array import MapArray
from c2s_data.store.reader import Store, open_store

StoreAddress = Store | str | os.PathLike[str]

_LISTS: Final = {
    "shape_zyx": AXES, "source_shape_zyx": AXES, "source_voxel_size_zyx_A": AXES,
    "origin_xyz_A": AXES[::-1],
}  # fmt: skip
_NUMBERS: Final = {"resolution_A", "contour_level"} | {
    name for name, kind in FACTS.items() if str(kind) in ("double", "int64")
}
_KEPT_STORES: Final = 8


class StoredBoxes:
    """One array of a map of a store, opened when it is first read; may be sent to a worker."""

    def __init__(self, store: Store, entry_id: str, array: str, level: int) -> None:
        self._store = (store.url, store.generation, store.fingerprint)
        self._place = (entry_id, array, level)
        self._opened: tuple[Store, MapArray | None] | None = (store, None)
        self.shape_zyx: Triple = level_shape(store.entry(entry_id).shape_zyx, level)
        self.dtype = store.subgrid_spec(array).dtype

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_opened": None}

    def read(self, window: Window) -> np.ndarray[Any, Any]:
        """Return the voxels of a window; raises as `MapArray.read`."""
        return self._array().read(window)

    def _array(self) -> MapArray:
        store, array = self._opened or (_reopened(*self._store), None)
        if array is None:
            array = store.map_array(*self._place)
            self._opened = store, array
        return array


@lru_cache(_KEPT_STORES)
def _reopened(url: str, generation: int, fingerprint: str) -> Store:
    store = open_store(url, generation)
    if store.fingerprint != fingerprint:
        raise StoreError(f"{url}: another store is there now; open the map again")
    return store


def opened(store: StoreAddress, generation: int | None = None) -> Store:
    """Return a store that may be open already."""
    return store if isinstance(store, Store) else open_store(store, generation)


def open_map(
    store: StoreAddress, entry_id: str, level: int = 0, *, generation: int | None = None
) -> xr.Dataset:
    """Open one map of a store: density and masks (z, y, x) with coordinates in A.

    Parameters
    ----------
    store
        Path, URL or an open `Store`.
    entry_id
        Its name in the catalog.
    level
        0 for 1 A, with masks; 1 and 2 for the density at 2 and 4 A.
    generation
        Which generation of the store; None for the newest.

    Returns
    -------
    xarray.Dataset
        Nothing of it is read before it is used; ``ds.c2s`` has what is particular to maps (see
        `c2s_data.explore.accessor`).

    Raises
    ------
    StoreError
        If there is no such store, generation, entry or level.
    """
    return _map_dataset(opened(store, generation), entry_id, level)


def open_catalog(store: StoreAddress, *, generation: int | None = None) -> xr.Dataset:
    """Open the catalog: one row an entry along ``entry``, failed and withdrawn ones included.

    Shapes and origins have a second dimension, ``zyx`` or ``xyz``; columns that hold lists or
    mappings are JSON. ``open_catalog(...).to_dataframe()`` is a table.

    Raises
    ------
    StoreError
        If there is no such store or generation.
    """
    known = opened(store, generation)
    names = list(dict.fromkeys(name for row in known.rows for name in row))
    columns = {name: _column(name, [row.get(name) for row in known.rows]) for name in names}
    entries = columns.pop("entry_id", xr.Variable(("entry",), np.empty(0, np.str_)))
    attributes = {"Conventions": CONVENTIONS, "store": known.url, "generation": known.generation}
    return xr.Dataset(columns, {"entry": entries}, attributes)


def open_tree(
    store: StoreAddress, ids: Sequence[str] | None = None, *, generation: int | None = None
) -> xr.DataTree:
    """Open several maps with all their levels: nodes ``/EMD-22898/s0``, ``s1`` and ``s2``.

    Parameters
    ----------
    store, generation
        As for `open_map`.
    ids
        Entries; None for all finished ones, of which a store may have thousands.

    Raises
    ------
    StoreError
        If there is no such store, generation or entry.
    """
    known = opened(store, generation)
    nodes: dict[str, xr.Dataset] = {
        "/": xr.Dataset(attrs={"store": known.url, "generation": known.generation})
    }
    for entry_id in ids if ids is not None else [entry.entry_id for entry in known.entries]:
        for level in range(n_levels(known.entry(entry_id).shape_zyx)):
            nodes[f"/{entry_id}/s{level}"] = _map_dataset(known, entry_id, level)
    return xr.DataTree.from_dict(nodes)


def _map_dataset(store: Store, entry_id: str, level: int) -> xr.Dataset:
    entry = store.entry(entry_id)
    levels = n_levels(entry.shape_zyx)
    if not 0 <= level < levels:
        raise StoreError(f"{store.url}: {entry_id} has levels 0 to {levels - 1}, not {level}")
    masks = masks_of(store.attrs.get("config", {}).get("extra_masks", ())) if level == 0 else ()
    variables = {
        name: _variable(StoredBoxes(store, entry_id, name, level), name)
        for name in ("density", *masks)
    }
    size_A = float(2**level)
    shift_A = (size_A - 1) / 2  # a coarser voxel is the mean of eight
    coordinates = map_coordinates(
        level_shape(entry.shape_zyx, level),
        (size_A,) * 3,
        [origin + shift_A for origin in entry.origin_xyz_A],
    )
    return xr.Dataset(variables, coordinates, _map_attributes(store, entry_id, level))


def _variable(source: StoredBoxes, name: str) -> xr.Variable:
    chunks = {axis: min(MAP_CHUNK, n) for axis, n in zip(AXES, source.shape_zyx, strict=True)}
    encoding = {"preferred_chunks": chunks, "dtype": source.dtype}
    return xr.Variable(AXES, lazy(source), array_attributes(name), encoding)


def _map_attributes(store: Store, entry_id: str, level: int) -> dict[str, Any]:
    entry = store.entry(entry_id)
    row: Mapping[str, Any] = next(r for r in store.rows if r["map_index"] == entry.map_index)
    contour, divisor = row.get("contour_level"), row.get("percentile_value")
    return without_none(
        {
            "Conventions": CONVENTIONS,
            "title": entry_id,
            "entry_id": entry_id,
            "emdb_id": row.get("emdb_id"),
            "pdb_id": row.get("pdb_id"),
            "resolution_A": entry.resolution_A,
            "split": entry.split,
            "level": level,
            "voxel_size_zyx_A": [float(2**level)] * 3,
            "origin_xyz_A": list(entry.origin_xyz_A),
            "contour_level": contour / divisor if contour and divisor else None,
            "percentile_value": divisor,
            "decode_offset_voxel": store.attrs.get("decode_offset_voxel"),
            "store": store.url,
            "generation": store.generation,
        }
    )


def _column(name: str, values: list[Any]) -> xr.Variable:
    if name in _LISTS:
        kept = [v if v is not None else [np.nan] * 3 for v in values]
        return xr.Variable(("entry", "".join(_LISTS[name])), np.array(kept).reshape(-1, 3))
    known = [value for value in values if value is not None]
    if name in _NUMBERS or (known and all(isinstance(v, bool | int | float) for v in known)):
        if known and len(known) == len(values):
            return xr.Variable(("entry",), np.array(values))
        gaps = [np.nan if value is None else float(value) for value in values]
        return xr.Variable(("entry",), np.array(gaps, np.float64))
    texts = ["" if value is None else _text(value) for value in values]
    return xr.Variable(("entry",), np.array(texts, np.str_))


def _text(value: Any) -> str:  # noqa: ANN401 - what a catalog holds
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
