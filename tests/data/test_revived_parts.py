"""Parts that were stopped and wake up after others went on: they write what is theirs, or nothing.

Whoever is stopped here is stopped before one of its own changes, for as long as others need.
"""

from __future__ import annotations

import pytest
from memory_objects import MemoryObjects
from stopped_store import (
    N_ROWS,
    Killed,
    Stopped,
    build_and_commit,
    catalog,
    content,
    faults,
    map_column,
    repaired,
    run_part,
)

from c2s_data.errors import ConfigError, StoreError
from c2s_data.growth import withdraw
from c2s_data.store.begin import begin_store, claim_lineage, load_plan, put_plan
from c2s_data.store.commit import commit, pending_entries
from c2s_data.store.garbage import find_garbage, remove
from c2s_data.store.layout import LINEAGE, PLAN, receipt_key, shard_key


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
        assert repaired(objects) == (key,)
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
    repaired(objects)
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
