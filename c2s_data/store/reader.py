"""Open a committed store: one generation, strictly checked, in four small reads.

Opening reads ``LATEST.json``, ``COMMITTED``, the catalog and the document of ``subgrids``, however
many maps the store has. Nothing is ever listed.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from c2s_data.errors import MissingChunkError, NotCommittedError, StoreError
from c2s_data.schema import INDEX_CHUNK_ROWS
from c2s_data.store.catalog_table import StoredEntry, group_of_row, stored_entry
from c2s_data.store.embeddings import SequenceEmbedding, read_embeddings
from c2s_data.store.generation import (
    Generation,
    latest_pointer,
    read_catalog_rows,
    read_generation,
)
from c2s_data.store.index_columns import read_index_chunk
from c2s_data.store.layout import (
    INDEX_COLUMNS,
    PLAN,
    level_shape,
    map_shard_shape,
    n_map_shards,
    residues_key,
    sequences_key,
    statistics_key,
)
from c2s_data.store.map_array import MapArray
from c2s_data.store.objects import Objects, open_objects
from c2s_data.store.parquet import decode_table
from c2s_data.store.shard import ShardSpec, decode_shard
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
    fingerprint
        sha256 (hex) that identifies the generation: its catalog, and through its manifest every
        object it needs.
    n_rows
        Rows of the subgrid arrays that belong to it, padding included.
    attrs
        What the group says of itself: ``box``, ``core``, ``preset``, ``decode_offset_voxel``, ...
    rows
        The catalog: one mapping per entry, failed ones included.
    """

    url: str
    generation: int
    fingerprint: str
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
        """Why entries could not be built: reason and message by entry_id."""
        return self._left_out(withdrawn=False)

    @cached_property
    def withdrawn(self) -> dict[str, str]:
        """Why entries of earlier generations were left out: reason and message by group."""
        return self._left_out(withdrawn=True)

    def _left_out(self, *, withdrawn: bool) -> dict[str, str]:
        return {
            group_of_row(row) if withdrawn else row["entry_id"]: (
                f"[{row['failure_reason']}] {row['failure_message']}"
            )
            for row in self.rows
            if row["failure_reason"] is not None
            and (row["failure_stage"] == "withdrawn") == withdrawn
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
        if entry_id in self.withdrawn:
            raise StoreError(f"{self.url}: {entry_id} was left out: {self.withdrawn[entry_id]}")
        known = ", ".join(entry.entry_id for entry in self.entries[:5])
        raise StoreError(f"{self.url}: no entry {entry_id!r}; the catalog begins with {known}")

    def index(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """Return the index columns map (n,), corner_zyx (n, 3) and n_ca (n,), all int32."""
        map_index, corner_zyx, n_ca = (self._index_column(name) for name in INDEX_COLUMNS)
        return map_index, corner_zyx, n_ca

    def _index_column(self, name: str) -> NDArray[np.int32]:
        objects = open_objects(self.url)
        blocks = [np.empty((0, *INDEX_COLUMNS[name][1]), np.int32)]
        # Chunk by chunk: a forged number of rows must not decide what is allocated.
        for first in range(0, self.n_rows, INDEX_CHUNK_ROWS):
            chunk = read_index_chunk(objects, name, first // INDEX_CHUNK_ROWS)
            blocks.append(chunk[: self.n_rows - first])
        return np.concatenate(blocks)

    def corners(self, entry_id: str) -> NDArray[np.int32]:
        """Return the lowest voxel of each of an entry's subgrids in its map, (n, 3), z y x.

        They stand in the order of the rows; those at the borders are negative.

        Raises
        ------
        StoreError
            If the entry does not exist or the index is damaged.
        """
        entry, objects = self.entry(entry_id), open_objects(self.url)
        start, stop = entry.first_subgrid, entry.first_subgrid + entry.n_subgrids
        first, last = start // INDEX_CHUNK_ROWS, (stop - 1) // INDEX_CHUNK_ROWS
        chunks = [read_index_chunk(objects, "corner_zyx", k) for k in range(first, last + 1)]
        skipped = first * INDEX_CHUNK_ROWS
        return np.concatenate(chunks)[start - skipped : stop - skipped]

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
        location, spec = f"{self.url}/subgrids/{array}", self.subgrid_spec(array)
        read_rows(location, spec, shard, start, stop, out, root=self.url)

    def read_map(self, entry_id: str, array: str, level: int = 0) -> NDArray[Any]:
        """Return a whole map as (z, y, x): ``density`` or a mask, at 1, 2 or 4 A (level 0, 1, 2).

        Raises
        ------
        StoreError
            If the entry, the array or the level does not exist, or an object is damaged.
        """
        group, here, spec = self._map_array(entry_id, array, level)
        objects = open_objects(self.url)
        values = np.empty(here, spec.dtype)
        for shard in np.ndindex(*n_map_shards(values.shape)):
            key = f"{group}/{spec.shard_key(*shard)}"
            block = tuple(
                slice(i * n, (i + 1) * n) for i, n in zip(shard, spec.shard_shape, strict=True)
            )
            decode_shard(objects.get(key), spec, values[block], f"{self.url}/{key}")
        return values

    def map_array(self, entry_id: str, array: str, level: int = 0) -> MapArray:
        """Open an array of a map to read boxes of it: planes of a large map, or a coarse level.

        Raises
        ------
        StoreError
            If the entry, the array or the level does not exist.
        """
        group, here, spec = self._map_array(entry_id, array, level)
        return MapArray(open_objects(self.url), group, here, spec)

    def _map_array(
        self, entry_id: str, array: str, level: int
    ) -> tuple[str, tuple[int, int, int], ShardSpec]:
        entry = self.entry(entry_id)
        group = f"maps/{entry.group}/s{level}/{array}"
        document = _document(open_objects(self.url), f"{group}/zarr.json")
        spec = ShardSpec.from_metadata(document)
        here = level_shape(entry.shape_zyx, level)
        # Shards of another shape would leave a part of the map without values.
        if tuple(document["shape"]) != here or spec.shard_shape != map_shard_shape(here):
            raise StoreError(
                f"{self.url}: {group} has shape {document['shape']} in shards of "
                f"{spec.shard_shape}, not those of the map; `c2s-data verify` names the fault"
            )
        return group, here, spec

    def residues(self, entry_id: str) -> dict[str, NDArray[Any]]:
        """Return an entry's residue table by column: the primary truth, one row a residue.

        Coordinates ``n_x_A`` to ``o_z_A`` are float64 in A, nan where an atom is absent;
        ``voxel_z``, ``voxel_y``, ``voxel_x`` are -1 outside the map. See docs/data-model.md.

        Raises
        ------
        StoreError
            If the entry does not exist or the table is damaged.
        """
        key = residues_key(self.entry(entry_id).group)
        table = decode_table(open_objects(self.url).get(key), f"{self.url}/{key}")
        return {name: _array(table.column(name)) for name in table.column_names}

    def sequences(self, entry_id: str) -> str:
        """Return the sequences of an entry's chains as FASTA text.

        Raises
        ------
        StoreError
            If the entry does not exist or the object is damaged.
        """
        key = sequences_key(self.entry(entry_id).group)
        try:
            return open_objects(self.url).get(key).decode()
        except UnicodeDecodeError as error:
            raise StoreError(
                f"{self.url}/{key}: damaged: {error}; `c2s-data repair` makes it anew"
            ) from error

    @cached_property
    def _embeddings(self) -> Mapping[str, SequenceEmbedding]:
        objects = open_objects(self.url)
        return read_embeddings(objects, read_generation(objects, self.generation, self.fingerprint))

    def sequence_embeddings(self) -> dict[str, SequenceEmbedding]:
        """Return the embeddings of the entries' sequences by entry_id, where they were computed.

        Raises
        ------
        StoreError
            If the table is damaged.
        """
        return {
            entry.entry_id: self._embeddings[entry.group]
            for entry in self.entries
            if entry.group in self._embeddings
        }

    def statistics(self, entry_id: str) -> dict[str, NDArray[Any]]:
        """Return an entry's histograms and raw slices by name.

        Raises
        ------
        StoreError
            If the entry does not exist or the object is damaged.
        """
        key = statistics_key(self.entry(entry_id).group)
        data = open_objects(self.url).get(key)
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise StoreError(
                f"{self.url}/{key}: damaged: {error}; `c2s-data repair` makes it anew"
            ) from error


def _array(column: pa.ChunkedArray) -> NDArray[Any]:
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values.astype(np.str_) if values.dtype == object else values


def open_store(url: str | os.PathLike[str], generation: int | None = None) -> Store:
    """Open one committed generation of a store.

    Parameters
    ----------
    url
        Path or URL of the store.
    generation
        Number of the generation; None for the newest. Generations never change, so work that must
        be repeatable names one.

    Raises
    ------
    NotCommittedError
        If no build of this store was committed, or not this generation.
    StoreError
        If the store is damaged or of another version.
    """
    objects = open_objects(url)
    try:
        return _open(objects, generation)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{objects.url}: a document of the store is damaged ({error!r}); `c2s-data verify` "
            "names every fault and `c2s-data repair` mends them"
        ) from error


def _open(objects: Objects, number: int | None) -> Store:
    committed = _generation(objects, number)
    rows = read_catalog_rows(objects, committed)
    subgrids = _document(objects, "subgrids/zarr.json")
    attrs = subgrids["attributes"]["c2s"]
    if attrs["lineage"] != committed.lineage:
        raise StoreError(f"{objects.url}: subgrids/zarr.json belongs to another build")
    return Store(
        url=objects.url,
        generation=committed.number,
        fingerprint=committed.committed_sha256,
        n_rows=committed.n_rows,
        attrs=attrs,
        rows=tuple(rows),
        _arrays=subgrids["consolidated_metadata"]["metadata"],
    )


def _generation(objects: Objects, number: int | None) -> Generation:
    if number is not None:
        try:
            return read_generation(objects, number, None)
        except MissingChunkError as error:
            raise NotCommittedError(
                f"{objects.url} has no generation {number}; `c2s-data status` names those it has"
            ) from error
    pointer = latest_pointer(objects)
    if pointer is None:
        state = "was planned but" if objects.size(PLAN) is not None else "holds no plan and"
        raise NotCommittedError(
            f"{objects.url} is not a committed store: it {state} is not committed; finish it with "
            "`c2s-data build` or `c2s-data commit` (`c2s-data status` says what is missing), or "
            "correct the path"
        )
    return read_generation(objects, *pointer)


def _document(objects: Objects, key: str) -> dict[str, Any]:
    data = objects.get(key, check=_is_json)
    try:
        document: dict[str, Any] = json.loads(data)
    except ValueError as error:
        raise StoreError(
            f"{objects.url}: {key} is damaged: {error}; `c2s-data repair` writes it anew"
        ) from error
    return document


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True
