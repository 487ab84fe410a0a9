"""Decode everything of one entry and hold its parts against each other.

The subgrids, the map they were cut from, the masks and the index columns say the same thing
several times over; an error that was written with a correct checksum shows here.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.config import BuildConfig
from c2s_data.errors import StoreError
from c2s_data.plan import PlannedEntry
from c2s_data.schema import INDEX_CHUNK_ROWS
from c2s_data.store.digest import ArrayDigest, array_digest
from c2s_data.store.documents import encode_document, plain_spec
from c2s_data.store.index_columns import index_key
from c2s_data.store.layout import (
    INDEX_COLUMNS,
    Layout,
    level_shape,
    n_levels,
    n_map_shards,
    residues_key,
    sequences_key,
    shard_key,
    statistics_key,
)
from c2s_data.store.map_group import map_documents
from c2s_data.store.objects import Objects, open_objects
from c2s_data.store.parquet import decode_table
from c2s_data.store.shard import decode_chunk, decode_chunks, decode_shard, shard_index
from c2s_data.store.verify_report import Fault, Kind
from c2s_data.transforms.subgrid import stitch_into

_CHUNKS_AT_ONCE: Final = 2
Columns = Mapping[str, NDArray[np.int32]]


@dataclass
class CheckedEntry:
    """What was found in one entry: faults, and (name, digest) of its decoded arrays."""

    faults: list[Fault] = field(default_factory=list)
    digests: list[tuple[str, str]] = field(default_factory=list)


def stored_columns(objects: Objects, n_rows: int) -> dict[str, NDArray[np.int32]]:
    """Return the index columns of the first ``n_rows`` rows as they are stored.

    Raises
    ------
    StoreError
        If a chunk is missing or damaged.
    """
    columns = {}
    for name, (_, shape, _, _) in INDEX_COLUMNS.items():
        spec = plain_spec((INDEX_CHUNK_ROWS, *shape), np.dtype("int32"))
        chunk = np.empty(spec.chunk_shape, np.int32)
        values = np.empty((n_rows, *shape), np.int32)
        for number in range(-(-n_rows // INDEX_CHUNK_ROWS)):
            key = index_key(name, number)
            decode_chunk(objects.get(key), spec, chunk, key)
            block = values[number * INDEX_CHUNK_ROWS : (number + 1) * INDEX_CHUNK_ROWS]
            block[...] = chunk[: len(block)]
        columns[name] = values
    return columns


class EntryValues:
    """Checks the decoded content of entries.

    Parameters
    ----------
    objects, layout
        The store.
    stored, expected
        Index columns as they are, and as plan and receipts lead to; None where unknown.
    """

    def __init__(
        self, objects: Objects, layout: Layout, stored: Columns, expected: Columns | None
    ) -> None:
        self._objects = objects
        self._layout = layout
        self._stored = stored
        self._expected = expected

    def rows_of(self, planned: PlannedEntry) -> EntryRows:
        """Return an entry with its part of the index columns."""
        first = planned.first_subgrid
        rows = slice(first, first + planned.n_subgrids)
        expected = self._expected
        return EntryRows(
            planned,
            {name: values[rows].copy() for name, values in self._stored.items()},
            expected and {name: values[rows].copy() for name, values in expected.items()},
        )

    def check(self, rows: EntryRows) -> CheckedEntry:
        """Decode and compare everything of one entry; holds about as much memory as its build."""
        return _Checking(self._objects, self._layout, rows).all()


@dataclass(frozen=True)
class EntryRows:
    """An entry and its rows of the index columns, as stored and as expected."""

    planned: PlannedEntry
    stored: Columns
    expected: Columns | None


def check_entry(url: str, config: BuildConfig, rows: EntryRows) -> CheckedEntry:
    """Check one entry of a store; what a worker runs."""
    return _Checking(open_objects(url), Layout.of(config), rows).all()


class _Checking:
    def __init__(
        self,
        objects: Objects,
        layout: Layout,
        rows: EntryRows,
    ) -> None:
        self._objects = objects
        self._layout = layout
        self._planned = rows.planned
        self._index = rows.stored
        self._expected = rows.expected
        self._found = CheckedEntry()

    def all(self) -> CheckedEntry:
        steps = [self._columns, self._subgrids, self._map, self._documents, self._tables]
        for step in steps:
            try:
                step()
            except StoreError as error:
                # The object itself was as committed, so this is what was written.
                self._fault("unreadable", self._now, str(error))
        return self._found

    def _fault(self, kind: Kind, key: str, message: str) -> None:
        self._found.faults.append(Fault(kind, key, message, self._planned.group))

    def _get(self, key: str) -> bytes:
        self._now = key
        return self._objects.get(key)

    def _columns(self) -> None:
        for name, values in self._index.items():
            key = index_key(name, self._planned.first_subgrid // INDEX_CHUNK_ROWS)
            if self._expected is not None and not np.array_equal(values, self._expected[name]):
                self._fault("inconsistent", key, "not what plan and receipt lead to")

    def _subgrids(self) -> None:
        self._whole = {}
        for name in self._layout.arrays:
            spec = self._layout.subgrid_spec(name)
            n, box = self._planned.n_subgrids, self._layout.box
            digest = ArrayDigest(spec.dtype, (n, box, box, box))
            self._whole[name] = np.zeros(self._planned.shape_zyx, spec.dtype)
            for first, key, rows in self._chunks(name):
                mine = rows[: max(0, n - first)]
                if _bytes_of(rows[len(mine) :]).any():
                    self._fault("inconsistent", key, "padding rows are not zero")
                corners = self._index["corner_zyx"][first : first + len(mine)]
                stitch_into(self._whole[name], mine, corners, self._layout.core)
                digest.update(mine)
                if name == "ca":
                    self._count(mine, first, key)
            self._found.digests.append((f"subgrids/{name}", digest.hexdigest()))
        self._found.digests += [
            (f"subgrids/{name}", array_digest(values)) for name, values in self._index.items()
        ]

    def _count(self, ca: NDArray[np.uint8], first: int, key: str) -> None:
        n_ca = [np.count_nonzero(one) for one in ca]  # one call with axes makes a sum of them: slow
        if not np.array_equal(n_ca, self._index["n_ca"][first : first + len(ca)]):
            self._fault("inconsistent", key, "its C-alphas are not those that n_ca counts")

    def _chunks(self, name: str) -> Iterator[tuple[int, str, NDArray[Any]]]:
        """Yield (first row, object, rows) of every chunk of the entry's shards."""
        spec = self._layout.subgrid_spec(name)
        rows = spec.chunk_shape[0]
        out = np.empty((_CHUNKS_AT_ONCE, *spec.chunk_shape), spec.dtype)
        for number in range(self._planned.n_shards):
            shard = self._planned.first_subgrid // self._layout.shard_rows + number
            key = shard_key(name, shard)
            data = self._get(key)
            index = shard_index(data, spec, key)
            for chunk in range(0, spec.n_chunks, _CHUNKS_AT_ONCE):
                numbers = range(chunk, min(chunk + _CHUNKS_AT_ONCE, spec.n_chunks))
                values = out[: len(numbers)]
                decode_chunks(data, index, numbers, spec, values, where=key)
                first = number * self._layout.shard_rows + chunk * rows
                yield first, key, values.reshape(-1, *spec.chunk_shape[1:])

    def _map(self) -> None:
        group = f"maps/{self._planned.group}"
        for level in range(n_levels(self._planned.shape_zyx)):
            shape = level_shape(self._planned.shape_zyx, level)
            for name in self._layout.arrays if level == 0 else ("density",):
                values = self._map_array(f"{group}/s{level}/{name}", name, shape)
                self._found.digests.append((f"s{level}/{name}", array_digest(values)))
                key = f"{group}/s{level}/{name}/c/0/0/0"
                # No number is equal to nothing, though its bytes may be; numpy is slow to find
                # out that whole numbers are numbers.
                if values.dtype.kind == "f" and np.isnan(values).any():
                    self._fault("inconsistent", key, "holds voxels that are no numbers")
                if level == 0 and not np.array_equal(
                    _bytes_of(values), _bytes_of(self._whole.pop(name))
                ):
                    self._fault("inconsistent", key, "not the map that the subgrids were cut from")
            for axis, n in zip("zyx", shape, strict=True):
                centres = np.empty(n, np.float64)
                key = f"{group}/s{level}/{axis}/c/0"
                decode_chunk(self._get(key), plain_spec((n,), centres.dtype), centres, key)
                self._found.digests.append((f"s{level}/{axis}", array_digest(centres)))

    def _map_array(self, path: str, name: str, shape: tuple[int, int, int]) -> NDArray[Any]:
        spec = self._layout.map_spec(name, shape)
        values = np.empty(shape, spec.dtype)
        for place in np.ndindex(*n_map_shards(shape)):
            block = tuple(
                slice(i * n, (i + 1) * n) for i, n in zip(place, spec.shard_shape, strict=True)
            )
            key = f"{path}/{spec.shard_key(*place)}"
            decode_shard(self._get(key), spec, values[block], key)
        return values

    def _documents(self) -> None:
        for path, document in map_documents(self._planned, self._layout).items():
            key = f"{path}/zarr.json"
            if self._get(key) != encode_document(document):
                self._fault("inconsistent", key, "not the document that the plan leads to")

    def _tables(self) -> None:
        group = self._planned.group
        key = residues_key(group)
        try:
            decode_table(self._get(key), key)
        except StoreError as error:
            self._fault("unreadable", key, str(error))
        key = sequences_key(group)
        try:
            self._get(key).decode()
        except ValueError as error:
            self._fault("unreadable", key, str(error))
        key = statistics_key(group)
        try:
            with np.load(io.BytesIO(self._get(key)), allow_pickle=False) as arrays:
                for name in arrays:
                    arrays[name]
        except (OSError, ValueError, KeyError) as error:
            self._fault("unreadable", key, str(error))


def _bytes_of(values: NDArray[Any]) -> NDArray[Any]:
    """View contiguous values as words, or as bytes: numpy compares float16 one by one."""
    flat = values.reshape(-1)
    return flat.view(np.uint64 if flat.nbytes % 8 == 0 else np.uint8)
