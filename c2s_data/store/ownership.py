"""Which entry of the plan an object of the store belongs to."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

import numpy as np

from c2s_data.plan import Plan, PlannedEntry
from c2s_data.schema import CLASS_NAMES
from c2s_data.store.layout import (
    Layout,
    failure_key,
    level_shape,
    n_levels,
    n_map_shards,
    receipt_key,
    residues_key,
    sequences_key,
    shard_key,
    statistics_key,
)
from c2s_data.store.map_group import map_documents

_SHARD: Final = re.compile(rf"subgrids/(?:density|{'|'.join(CLASS_NAMES)})/c/([0-9]+)/0/0/0")
_MAP: Final = re.compile(r"maps/([^/]+)/.+")
_TABLE: Final = re.compile(
    r"_c2s/(?:(?:receipts|failures)/(.+)\.json|residues/(.+)\.parquet|sequences/(.+)\.fasta|statistics/(.+)\.npz)"
)


class Ownership:
    """Finds the owner of an object; every shard of subgrids has at most one."""

    def __init__(self, plan: Plan) -> None:
        rows = Layout.of(plan.config).shard_rows
        self._groups = {entry.group: entry for entry in plan.entries}
        owners = sorted(
            ((e.first_subgrid // rows, e) for e in plan.entries if e.n_shards),
            key=lambda pair: pair[0],
        )
        self._first_shards = [first for first, _ in owners]
        self._owners = [entry for _, entry in owners]

    def of(self, key: str) -> PlannedEntry | None:
        """Return the entry that an object belongs to, None if it is nobody's."""
        if found := _SHARD.fullmatch(key):
            return self._of_shard(int(found[1]))
        found = _MAP.fullmatch(key) or _TABLE.fullmatch(key)
        group = next((name for name in found.groups() if name), None) if found else None
        return self._groups.get(group) if group is not None else None

    def _of_shard(self, shard: int) -> PlannedEntry | None:
        place = bisect_right(self._first_shards, shard) - 1
        if place < 0:
            return None
        entry = self._owners[place]
        return entry if shard < self._first_shards[place] + entry.n_shards else None


def entry_keys(planned: PlannedEntry, layout: Layout) -> frozenset[str]:
    """Return the names of all objects that an entry ever has, finished or not."""
    group = planned.group
    keys = {receipt_key(group), failure_key(group)}
    if planned.n_shards == 0:
        return frozenset(keys)
    keys |= {residues_key(group), sequences_key(group), statistics_key(group)}
    keys |= {f"{path}/zarr.json" for path in map_documents(planned, layout)}
    first = planned.first_subgrid // layout.shard_rows
    for name in layout.arrays:
        keys |= {shard_key(name, first + number) for number in range(planned.n_shards)}
    for level in range(n_levels(planned.shape_zyx)):
        folder = f"maps/{group}/s{level}"
        keys |= {f"{folder}/{axis}/c/0" for axis in "zyx"}
        shape = level_shape(planned.shape_zyx, level)
        for name in layout.arrays if level == 0 else ("density",):
            spec = layout.map_spec(name, shape)
            keys |= {
                f"{folder}/{name}/{spec.shard_key(*place)}"
                for place in np.ndindex(*n_map_shards(shape))
            }
    return frozenset(keys)
