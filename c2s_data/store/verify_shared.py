"""Objects that every commit writes anew: whether one that differs is the next generation's.

A commit that was killed leaves index columns and Zarr documents behind that are further than the
newest generation, and the plan may have grown since. They are right if they are what their own
number of rows and list of maps lead to, and if these are possible.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import StoreError
from c2s_data.plan import Plan
from c2s_data.schema import INDEX_CHUNK_ROWS
from c2s_data.store.documents import plain_spec
from c2s_data.store.index_columns import index_columns, index_key
from c2s_data.store.layout import INDEX_COLUMNS
from c2s_data.store.root_documents import root_documents
from c2s_data.store.shard import decode_chunk
from c2s_data.store.verify_known import Known


class NextGeneration:
    """Judges shared objects that are not those of the newest generation."""

    def __init__(self, known: Known) -> None:
        self._receipts = known.receipts
        self._entries = known.entries
        newest = known.kept[0] if known.kept else None
        self._n_rows = newest.generation.n_rows if newest else 0
        self._committed = newest.groups if newest else frozenset()
        self._index_keys = {
            index_key(name, chunk): (name, chunk)
            for name in INDEX_COLUMNS
            for chunk in range(-(-known.entries.n_rows // INDEX_CHUNK_ROWS) if known.entries else 0)
        }

    def may_hold(self, key: str, data: bytes) -> bool:
        """Whether a commit that began after the newest generation wrote these bytes."""
        if self._entries is None:
            return False
        if key in self._index_keys:
            return self._is_index(self._entries, *self._index_keys[key], data)
        try:
            return self._is_document(self._entries, key, json.loads(data), data)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            return False

    def _is_document(self, plan: Plan, key: str, document: Any, data: bytes) -> bool:  # noqa: ANN401
        children = document.get("consolidated_metadata", {}).get("metadata", {})
        density = children.get("subgrids/density", children.get("density", document))
        n_rows = density.get("shape", [plan.n_rows])[0]
        groups = {path.split("/")[1] for path in children if path.startswith("maps/")}
        finished = [
            entry
            for entry in plan.entries
            if (entry.group in groups if groups else entry.group in self._receipts)
        ]
        lasting = self._committed & {entry.group for entry in plan.live}
        possible = self._n_rows <= n_rows <= plan.n_rows and (
            not groups or lasting <= groups <= set(self._receipts)
        )
        grown = replace(plan, n_rows=n_rows)
        return possible and root_documents(grown, finished).get(key) == data

    def _is_index(self, plan: Plan, name: str, chunk: int, data: bytes) -> bool:
        fill, shape, _, _ = INDEX_COLUMNS[name]
        spec = plain_spec((INDEX_CHUNK_ROWS, *shape), np.dtype("int32"))
        stored = np.empty(spec.chunk_shape, np.int32)
        try:
            decode_chunk(data, spec, stored, name, chunk)
        except StoreError:
            return False
        rows = slice(chunk * INDEX_CHUNK_ROWS, (chunk + 1) * INDEX_CHUNK_ROWS)
        expected = self._columns[name][rows]
        differs = (stored[: len(expected)] != expected).reshape(len(expected), -1).any(axis=1)
        # What is finished by now need not have been when this was written.
        maps = self._columns["map"][rows][differs].tolist()
        built_since = all(
            index >= 0 and plan.entries[index].group not in self._committed for index in set(maps)
        )
        rest = stored[: len(expected)][differs], stored[len(expected) :]
        return built_since and all(bool((values == fill).all()) for values in rest)

    @cached_property
    def _columns(self) -> dict[str, NDArray[np.int32]]:
        assert self._entries is not None
        return index_columns(self._entries, self._receipts)
