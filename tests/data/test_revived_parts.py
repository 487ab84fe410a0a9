"""Parts, commits and removals that were stopped and wake up after others went on: nothing is lost.

Whoever is stopped here is stopped before one of its own changes, for as long as others need.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from made_maps import made_map, made_plan
from memory_objects import MemoryObjects

from c2s_data import build, repair
from c2s_data.config import make_config
from c2s_data.errors import ConfigError, LeaseError, StoreError
from c2s_data.growth import withdraw
from c2s_data.plan import Plan, plan_of, rows_per_shard, with_rows
from c2s_data.schema import PADDING_MAP
from c2s_data.store import lease as lease_module
from c2s_data.store.begin import begin_store, claim_lineage, load_plan, put_plan
from c2s_data.store.commit import commit, pending_entries
from c2s_data.store.garbage import find_garbage, remove
from c2s_data.store.generation import latest_generation
from c2s_data.store.index_columns import read_index_chunk
from c2s_data.store.layout import (
    LATEST,
    LEASES,
    LINEAGE,
    PLAN,
    generation_key,
    receipt_key,
    shard_key,
)
from c2s_data.store.lease import hold
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


@pytest.fixture(autouse=True)
def made_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """No part and no repair needs input files."""
    monkeypatch.setattr(build, "build_entry", made_map)
    monkeypatch.setattr(repair, "build_entry", made_map)


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease can be taken over at once, and is looked at each time."""
    monkeypatch.setattr(lease_module, "TTL_S", 0.0)
    monkeypatch.setattr(lease_module, "_CHECK_EVERY_S", 0.0)


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


def test_a_part_of_a_plan_that_was_replaced_writes_nothing() -> None:
    objects, after = MemoryObjects(), {}
    old = begin_store(objects, catalog(0, 1, 2))
    assert LINEAGE not in objects.stored

    def others() -> None:
        assert build_and_commit(objects, catalog(1, 2)) == 1
        after.update(content(objects))

    revived = Stopped(objects, 0, others)  # It found no lineage and is about to claim its own.
    with pytest.raises(StoreError, match="was planned anew since this part began"):
        run_part(revived, old, 0)
    assert content(objects) == after
    assert faults(objects) == []
    assert load_plan(objects).entries[0].first_subgrid == old.entries[0].first_subgrid
    with pytest.raises(StoreError, match="was planned anew"):
        run_part(objects, old, 0)
    assert content(objects) == after


N_CHANGES = 24
"""About what a part makes of such an entry: objects, receipt, and the end of an old failure."""


@pytest.mark.parametrize("at", [1, 2, N_CHANGES // 2, N_CHANGES - 2])
@pytest.mark.parametrize("left", ["gone", "changed"])
def test_a_part_that_has_begun_keeps_its_rows_to_itself(at: int, left: str) -> None:
    objects, after = MemoryObjects(), {}
    old = begin_store(objects, catalog(0, 1, 2))
    fresh = catalog(1, 2) if left == "gone" else catalog(0, 1, 2, changed=(0,))

    def others() -> None:
        assert build_and_commit(objects, fresh) == 1
        after.update(content(objects))

    assert run_part(Stopped(objects, at, others), old, 0).failure is None
    plan = load_plan(objects)
    revised = ["MADE-0.r2"] if left == "changed" else []
    assert [e.group for e in plan.entries] == ["MADE-0", "MADE-1", "MADE-2", *revised]
    assert plan.entries[0].withdrawn.reason == {"gone": "dropped", "changed": "replaced"}[left]
    assert [e.first_subgrid for e in plan.entries] == [i * N_ROWS for i in range(3 + len(revised))]
    assert after, "it was never stopped"
    assert {key: objects.stored[key] for key in after} == after
    assert len(content(objects)) > len(after), "it wrote what is its own"
    assert faults(objects) == []
    assert map_column(objects, plan) == [-1, 1, 2, *[3] * len(revised)]
    # It goes on: what woke up late is in no later generation either.
    numbers = (1, 2, 3) if left == "gone" else (0, 1, 2, 3)
    assert build_and_commit(objects, catalog(*numbers, changed=(0,))) == 2
    assert faults(objects) == []
    remove(objects, find_garbage(objects, load_plan(objects)))
    assert faults(objects) == []
    assert map_column(objects, load_plan(objects)) == [-1, *range(1, 4 + len(revised))]


def test_nothing_is_numbered_anew_once_a_part_has_begun() -> None:
    objects = MemoryObjects()
    begin_store(objects, catalog(0, 1))
    other = begin_store(objects, catalog(1, 2, compressor="zstd"))
    assert load_plan(objects) == other == catalog(1, 2, compressor="zstd")
    claim_lineage(objects, other.lineage)
    before = content(objects)
    with pytest.raises(ConfigError, match="compressor: 'zstd' -> 'lz4'"):
        begin_store(objects, catalog(1, 2))
    assert content(objects) == before
    grown = begin_store(objects, catalog(0, 2, compressor="zstd"))
    assert [(e.entry_id, e.first_subgrid) for e in grown.entries] == [
        ("MADE-1", 0),
        ("MADE-2", N_ROWS),
        ("MADE-0", 2 * N_ROWS),
    ]
    assert grown.lineage == other.lineage


def test_a_part_that_begins_while_the_store_is_planned_anew_is_told_of() -> None:
    objects = MemoryObjects()
    old = begin_store(objects, catalog(0, 1, 2))
    planning = Stopped(objects, 0, lambda: claim_lineage(objects, old.lineage))
    begin_store(planning, catalog(1, 2))
    with pytest.raises(StoreError, match=r"a part of an older plan began.* remove the store"):
        begin_store(objects, catalog(1, 2))


def test_a_plan_that_is_killed_at_any_step_leaves_a_way_back() -> None:
    def killed() -> None:
        raise Killed

    for step in range(10):
        objects = MemoryObjects()
        begin_store(objects, catalog(0, 1, 2))
        try:
            begin_store(Stopped(objects, step, killed), catalog(1, 2))
        except Killed:
            assert build_and_commit(objects, catalog(0, 1, 2)) == 1
            assert faults(objects) == []
        else:
            break
    assert 0 < step < 10


def test_what_is_committed_is_repaired_and_never_built_anew() -> None:
    objects = MemoryObjects()
    build_and_commit(objects, catalog(0, 1))
    committed = content(objects)
    for key in (shard_key("ca", 0), receipt_key("MADE-0")):
        objects.delete(key)
        damaged = content(objects)
        plan = begin_store(objects, catalog(0, 1, 2))
        objects.put(PLAN, damaged[PLAN])
        for refuse in (pending_entries, commit):
            with pytest.raises(StoreError, match=r"MADE-0.*committed.*`c2s-data repair`"):
                refuse(objects, plan)
        assert content(objects) == damaged
        assert repair.repair(objects).restored == (key,)
        assert content(objects) == committed


@pytest.mark.parametrize("damage", ["missing", "changed"])
@pytest.mark.parametrize("group", ["MADE-0", "MADE-1"])
def test_a_commit_needs_every_receipt_that_a_reader_may_need(group: str, damage: str) -> None:
    """MADE-1 was withdrawn, but generation 1 still holds it."""
    objects, key = MemoryObjects(), receipt_key(group)
    build_and_commit(objects, catalog(0, 1, 2))
    plan = withdraw(load_plan(objects), "MADE-1", "wrong model")
    put_plan(objects, plan)
    assert commit(objects, plan).generation == 2
    assert map_column(objects, plan) == [0, 1, 2]
    receipt = objects.stored[key]
    plan = withdraw(plan, "MADE-2", "wrong map")
    put_plan(objects, plan)
    if damage == "missing":
        objects.delete(key)
    else:
        objects.put(key, receipt[:50] + bytes([receipt[50] ^ 1]) + receipt[51:])
    before = content(objects)
    with pytest.raises(StoreError, match=rf"{group}(.|\n)*(repair|verify)"):
        commit(objects, plan)
    assert content(objects) == before
    repair.repair(objects)
    assert objects.stored[key] == receipt
    assert commit(objects, plan).generation == 3
    assert map_column(objects, plan) == [0, 1, 2]
    assert faults(objects) == []


def test_what_is_left_to_do_is_found_by_one_listing() -> None:
    class Counting(MemoryObjects):
        n_sizes = 0

        def size(self, key):
            self.n_sizes += 1
            return super().size(key)

    objects = Counting()
    plan = begin_store(objects, catalog(0, 1, 2))
    for number in range(2):
        run_part(objects, plan, number)
    objects.n_sizes = 0
    assert [entry.entry_id for entry in pending_entries(objects, plan)] == ["MADE-2"]
    assert objects.n_sizes == 0


def with_a_killed_commit() -> MemoryObjects:
    """Generation 1 in force; the commit of generation 2 was killed before the swap."""
    objects = MemoryObjects()
    build_and_commit(objects, catalog(0, 1, 2))
    plan = withdraw(load_plan(objects), "MADE-2", "wrong map")
    put_plan(objects, plan)

    class Dying(MemoryObjects):
        def put(self, key, data, *, durable=True):
            if key == LATEST:
                raise Killed
            super().put(key, data, durable=durable)

    dying = Dying(objects.stored)
    with pytest.raises(Killed):
        commit(dying, plan)
    objects.stored = dying.stored
    assert generation_key(2, "COMMITTED") in objects.stored
    assert latest_generation(objects) == 1
    return objects


def test_a_removal_that_was_stopped_removes_nothing_others_need(short_leases: None) -> None:
    objects = with_a_killed_commit()
    with hold(objects, "gc") as lease:
        found = find_garbage(objects, load_plan(objects), keep=1)
        commit_again(objects)
        after = content(objects)
        with pytest.raises(LeaseError, match="lost its lease"):
            remove(objects, found, lease.check)
    assert content(objects) == after
    assert latest_generation(objects) == 2
    assert faults(objects) == []


def stop_at_every_change(
    before: MemoryObjects,
    action: Callable[[MemoryObjects, Callable[[], None]], object],
    meanwhile: Callable[[MemoryObjects], object],
) -> Iterator[tuple[MemoryObjects, dict[str, bytes]]]:
    """Stop an action that holds the lease just before each change, its look at the lease done.

    Yield the store as it is once the action was revived, and what the others had left.
    """
    for step in range(100):
        objects, after = MemoryObjects(before.stored), {}

        def others(objects=objects, after=after) -> None:
            meanwhile(objects)
            after.update(content(objects))

        stopped = Stopped(objects, step, others)
        with contextlib.suppress(StoreError), hold(stopped, "old") as lease:
            action(stopped, lease.check)
        if not after:
            assert step > 3
            return
        yield objects, after


def commit_again(objects: MemoryObjects) -> None:
    with hold(objects, "commit") as lease:
        commit(objects, load_plan(objects), lease.check)


def test_a_removal_under_way_removes_one_object_at_most(short_leases: None) -> None:
    def collect(objects, guard):
        remove(objects, find_garbage(objects, load_plan(objects)), guard)

    for objects, after in stop_at_every_change(with_a_killed_commit(), collect, commit_again):
        assert len(after.keys() - content(objects).keys()) <= 1
        repair.repair(objects)
        assert content(objects).items() <= after.items()
        assert latest_generation(objects) == 2
        assert faults(objects) == []


def test_a_commit_under_way_changes_one_object_at_most(short_leases: None) -> None:
    objects = MemoryObjects()
    plan = begin_store(objects, catalog(0, 1))
    for number in range(2):
        run_part(objects, plan, number)
    grown = MemoryObjects(objects.stored)
    build_and_commit(grown, catalog(0, 1, 2))
    entries = {k: v for k, v in grown.stored.items() if "MADE-2" in k or "/c/2/" in k}

    def grow(objects: MemoryObjects) -> None:
        objects.stored.update(entries)
        assert begin_store(objects, catalog(0, 1, 2)).fingerprint != plan.fingerprint
        commit_again(objects)

    def commit_old(objects, guard):
        commit(objects, plan, guard)

    for revived, after in stop_at_every_change(objects, commit_old, grow):
        now = content(revived)
        assert now.keys() >= after.keys()
        changed = [key for key in now if now[key] != after.get(key)]
        assert len(changed) <= 1
        if changed == [LATEST]:
            # Both generations are complete; whoever committed last is in force again.
            assert latest_generation(revived) == 1
            assert faults(revived) == []
            commit_again(revived)
            assert latest_generation(revived) == 3
        else:
            assert {f.key for f in verify(revived).faults} == set(changed) & set(after)
            repair.repair(revived)
            assert {key: revived.stored[key] for key in after} == after
        assert faults(revived) == []
        assert map_column(revived, load_plan(revived)) == [0, 1, 2]
