"""Commits and removals that lose their lease while stopped: one change at most, to be mended."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
from memory_objects import MemoryObjects
from stopped_store import (
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

from c2s_data.errors import LeaseError, StoreError
from c2s_data.growth import withdraw
from c2s_data.store import lease as lease_module
from c2s_data.store.begin import begin_store, load_plan, put_plan
from c2s_data.store.commit import commit
from c2s_data.store.garbage import find_garbage, remove
from c2s_data.store.generation import latest_generation
from c2s_data.store.layout import LATEST, generation_key
from c2s_data.store.lease import hold
from c2s_data.store.verify import verify


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease can be taken over at once, and is looked at each time."""
    monkeypatch.setattr(lease_module, "TTL_S", 0.0)
    monkeypatch.setattr(lease_module, "_CHECK_EVERY_S", 0.0)


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
        repaired(objects)
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
            repaired(revived)
            assert {key: revived.stored[key] for key in after} == after
        assert faults(revived) == []
        assert map_column(revived, load_plan(revived)) == [0, 1, 2]
