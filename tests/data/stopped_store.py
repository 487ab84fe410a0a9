"""A store whose parts, commits and removals can be stopped before any one of their changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from made_maps import made_map, made_plan
from memory_objects import MemoryObjects

from c2s_data import build, rebuild, repair
from c2s_data.config import make_config
from c2s_data.plan import Plan, plan_of, rows_per_shard, with_rows
from c2s_data.schema import PADDING_MAP
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit, pending_entries
from c2s_data.store.index_columns import read_index_chunk
from c2s_data.store.layout import LEASES
from c2s_data.store.verify import verify

SHAPES_ZYX = ((11, 21, 9), (9, 8, 22), (10, 10, 10), (21, 9, 8))
CONFIG = make_config("recommended")
N_ROWS = rows_per_shard(CONFIG.box)


class Killed(BaseException):
    """What ends a process that is killed."""


class Stopped(MemoryObjects):
    """The store as one process sees it that is stopped before its change number ``at``."""

    def __init__(self, shared: MemoryObjects, at: int, meanwhile: Callable[[], object]) -> None:
        super().__init__(url=shared.url)
        self.stored = shared.stored
        self.at = at
        self._meanwhile = meanwhile

    def _change(self, key):
        if key.startswith(LEASES):
            return
        if self.at == 0:
            self._meanwhile()
        self.at -= 1

    def put(self, key, data, *, durable=True):
        self._change(key)
        super().put(key, data, durable=durable)

    def create(self, key, data):
        self._change(key)
        return super().create(key, data)

    def delete(self, key):
        self._change(key)
        super().delete(key)


def catalog(*numbers: int, changed: tuple[int, ...] = (), **options) -> Plan:
    """What a catalog of these entries leads to; the map file of ``changed`` ones is another."""
    config = make_config("recommended", **options)
    entries = made_plan(config, SHAPES_ZYX).entries
    placed = []
    for index, number in enumerate(numbers):
        ends = "other" if number in changed else ""
        entry = replace(entries[number], map_index=index, map_ends_sha256=ends)
        placed.append(with_rows(entry, index * N_ROWS, config))
    return plan_of(config, placed, len(placed) * N_ROWS)


def run_part(objects: MemoryObjects, plan: Plan, number: int) -> build.EntryOutcome:
    """One entry of a plan as a part builds it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "build_entry", made_map)
        patch.setattr(build, "open_objects", lambda url: objects)
        facts = build.PlanFacts.of(plan)
        return build.build_and_write(objects.url, plan.entries[number], facts)


def build_and_commit(objects: MemoryObjects, fresh: Plan) -> int:
    """Plan, build and commit; return the generation."""
    plan = begin_store(objects, fresh)
    for planned in pending_entries(objects, plan):
        assert run_part(objects, plan, planned.map_index).failure is None
    return commit(objects, plan).generation


def faults(objects: MemoryObjects) -> list[str]:
    return [str(fault) for fault in verify(objects, "full").faults]


def map_column(objects: MemoryObjects, plan: Plan) -> list[int]:
    """The map of the first row of each shard, after checking that a shard has no other."""
    column = read_index_chunk(objects, "map", 0)[: plan.n_rows].reshape(-1, N_ROWS)
    for shard in column:
        n = np.count_nonzero(shard != PADDING_MAP)
        assert (shard[:n] == shard[0]).all()
    assert (read_index_chunk(objects, "map", 0)[plan.n_rows :] == PADDING_MAP).all()
    return column[:, 0].tolist()


def content(objects: MemoryObjects) -> dict[str, bytes]:
    """Everything but who held the store, and when."""
    return {key: data for key, data in objects.stored.items() if not key.startswith(LEASES)}


def repaired(objects: MemoryObjects) -> tuple[str, ...]:
    """Repair the store, and return what was restored."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rebuild, "build_entry", made_map)
        return repair.repair(objects).restored
