"""Open a committed store: one generation, strictly checked, in four small reads.

Opening reads ``LATEST.json``, ``COMMITTED``, the catalog and the document of ``subgrids``, however
many maps the store has. Nothing is ever listed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import MissingChunkError, NotCommittedError, StoreError
from c2s_data.schema import INDEX_CHUNK_ROWS, SCHEMA_VERSION
from c2s_data.store.catalog_table import StoredEntry, decode_catalog, stored_entry
from c2s_data.store.documents import plain_spec
from c2s_data.store.layout import (
    INDEX_COLUMNS,
    LATEST,
    PLAN,
    generation_key,
    level_shape,
    n_map_shards,
)
from c2s_data.store.objects import Objects, open_objects
from c2s_data.store.shard import ShardSpec, decode_chunk, decode_shard
from c2s_data.store.subgrid_reader import read_rows


@dataclass(frozen=True)
class Store:
    """One generation of a store.

    Parameters
    ----------
    url
        Path or URL of the store.
    generation
        Number of the generation that was opened.
    n_rows
        Rows of the subgrid arrays that belong to it, padding included.
    attrs
        What the group says of itself: ``box``, ``core``, ``preset``, ``decode_offset_voxel``, ...
    rows
        The catalog: one mapping per entry, failed ones included.
    """

    url: str
    generation: int
    n_rows: int
    attrs: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...] = field(repr=False)
    _arrays: Mapping[str, Any] = field(repr=False)

    @cached_property
    def entries(self) -> tuple[StoredEntry, ...]:
        """The finished entries, in catalog order."""
        return tuple(stored_entry(row) for row in self.rows if row["failure_reason"] is None)

    @cached_property
    def failures(self) -> dict[str, str]:
        """Why entries are missing from the store: reason and message by entry_id."""
        return {
            row["entry_id"]: f"[{row['failure_reason']}] {row['failure_message']}"
            for row in self.rows
            if row["failure_reason"] is not None
        }

    def entry(self, entry_id: str) -> StoredEntry:
        """Return one finished entry.

        Raises
        ------
        StoreError
            If the store has no such entry, or why it could not be built.
        """
        for found in self.entries:
            if found.entry_id == entry_id:
                return found
        if entry_id in self.failures:
            why = self.failures[entry_id]
            raise StoreError(f"{self.url}: {entry_id} could not be built: {why}")
        known = ", ".join(entry.entry_id for entry in self.entries[:5])
        raise StoreError(f"{self.url}: no entry {entry_id!r}; the catalog begins with {known}")

    def index(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """Return the index columns map (n,), corner_zyx (n, 3) and n_ca (n,), all int32."""
        map_index, corner_zyx, n_ca = (self._index_column(name) for name in INDEX_COLUMNS)
        return map_index, corner_zyx, n_ca

    def _index_column(self, name: str) -> NDArray[np.int32]:
        objects = open_objects(self.url)
        shape = (INDEX_CHUNK_ROWS, *INDEX_COLUMNS[name][1])
        spec = plain_spec(shape, np.dtype("int32"))
        values = np.empty((self.n_rows, *shape[1:]), np.int32)
        chunk = np.empty(shape, np.int32)
        for first in range(0, self.n_rows, INDEX_CHUNK_ROWS):
            key = f"subgrids/{name}/c/{first // INDEX_CHUNK_ROWS}" + "/0" * (len(shape) - 1)
            decode_chunk(objects.get(key), spec, chunk, f"{self.url}/{key}")
            block = values[first : first + INDEX_CHUNK_ROWS]
            block[...] = chunk[: len(block)]
        return values

    def subgrid_spec(self, array: str) -> ShardSpec:
        """Return how the shards of ``subgrids/<array>`` are encoded.

        Raises
        ------
        StoreError
            If the array does not exist or is not encoded as this package does.
        """
        if array not in self._arrays:
            raise StoreError(f"{self.url}: no array subgrids/{array}")
        return ShardSpec.from_metadata(self._arrays[array])

    def read_shard_rows(
        self, array: str, shard: int, start: int, stop: int, out: NDArray[Any]
    ) -> None:
        """Read rows ``start`` to ``stop`` of one shard into ``out`` (stop - start, z, y, x).

        Raises
        ------
        MissingChunkError, CorruptChunkError
            If the shard or a chunk is not there or has changed; the object is named.
        """
        read_rows(f"{self.url}/subgrids/{array}", self.subgrid_spec(array), shard, start, stop, out)

    def read_map(self, entry_id: str, array: str, level: int = 0) -> NDArray[Any]:
        """Return a whole map as (z, y, x): ``density`` or a mask, at 1, 2 or 4 A (level 0, 1, 2).

        Raises
        ------
        StoreError
            If the entry, the array or the level does not exist, or an object is damaged.
        """
        shape = self.entry(entry_id).shape_zyx
        group = f"maps/{entry_id}/s{level}/{array}"
        objects = open_objects(self.url)
        document = _document(objects, f"{group}/zarr.json")
        spec = ShardSpec.from_metadata(document)
        if tuple(document["shape"]) != level_shape(shape, level):
            raise StoreError(f"{self.url}: {group} has shape {document['shape']}, not the map's")
        values = np.empty(level_shape(shape, level), spec.dtype)
        for shard in np.ndindex(*n_map_shards(values.shape)):
            key = f"{group}/{spec.shard_key(*shard)}"
            block = tuple(
                slice(i * n, (i + 1) * n) for i, n in zip(shard, spec.shard_shape, strict=True)
            )
            decode_shard(objects.get(key), spec, values[block], f"{self.url}/{key}")
        return values


def open_store(url: str | os.PathLike[str]) -> Store:
    """Open the newest committed generation of a store.

    Raises
    ------
    NotCommittedError
        If no build of this store was committed.
    StoreError
        If the store is damaged or of another version.
    """
    objects = open_objects(url)
    try:
        return _open(objects)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{objects.url}: a document of the store is damaged ({error!r}); restore it from a copy"
        ) from error


def _open(objects: Objects) -> Store:
    try:
        pointer = _document(objects, LATEST)
    except MissingChunkError as error:
        state = "was planned but" if objects.size(PLAN) is not None else "holds no plan and"
        raise NotCommittedError(
            f"{objects.url} is not a committed store: it {state} is not committed; finish it with "
            "`c2s-data build` or `c2s-data commit` (`c2s-data status` says what is missing), or "
            "correct the path"
        ) from error
    generation = int(pointer["generation"])
    committed_key = generation_key(generation, "COMMITTED")
    committed = _document(
        objects, committed_key, lambda data: _sha256(data) == pointer["committed_sha256"]
    )
    if committed["schema_version"] != SCHEMA_VERSION:
        raise StoreError(
            f"{objects.url}: the store has schema version {committed['schema_version']}, this "
            f"program reads {SCHEMA_VERSION}; use the version it was written with, "
            f"{committed['code_version']}"
        )
    catalog_key = generation_key(generation, "catalog.parquet")
    catalog = objects.get(catalog_key)
    if _sha256(catalog) != committed["sha256"]["catalog.parquet"]:
        raise StoreError(f"{objects.url}: {catalog_key} is not the one that was committed")
    subgrids = _document(objects, "subgrids/zarr.json")
    attrs = subgrids["attributes"]["c2s"]
    if attrs["fingerprint"] != committed["fingerprint"]:
        raise StoreError(f"{objects.url}: subgrids/zarr.json belongs to another build")
    return Store(
        url=objects.url,
        generation=generation,
        n_rows=int(committed["n_rows"]),
        attrs=attrs,
        rows=tuple(decode_catalog(catalog, objects.url)),
        _arrays=subgrids["consolidated_metadata"]["metadata"],
    )


def _document(
    objects: Objects, key: str, check: Callable[[bytes], bool] = lambda _: True
) -> dict[str, Any]:
    data = objects.get(key)
    if not check(data):
        raise StoreError(f"{objects.url}: {key} is not the one that was committed")
    try:
        document: dict[str, Any] = json.loads(data)
    except ValueError as error:
        raise StoreError(f"{objects.url}: {key} is damaged: {error}") from error
    return document


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
