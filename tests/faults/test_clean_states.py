"""Row I: whatever a store goes through without damage, `verify` raises no alarm."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from grown_store import (
    FAILED,
    first_plan,
    make_first_generation,
    make_grown_store,
    second_plan,
    write,
    write_unfinished,
)
from made_maps import made_map
from memory_objects import MemoryObjects

from c2s_data.growth import withdraw
from c2s_data.plan import Failure, plan_of
from c2s_data.store.begin import begin_store, load_plan, put_plan
from c2s_data.store.commit import commit
from c2s_data.store.garbage import find_garbage, remove
from c2s_data.store.layout import Layout
from c2s_data.store.lease import hold
from c2s_data.store.receipt import write_failure
from c2s_data.store.verify import verify
from c2s_data.store.writer import write_entry

UNDAMAGED = "none: undamaged stores in all states, a false alarm counted as lost"


class Killed(BaseException):
    """What ends a process that is killed."""


class DyingObjects(MemoryObjects):
    """Ends before its n-th change."""

    changes_left = 10**9

    def _change(self):
        if self.changes_left == 0:
            raise Killed
        self.changes_left -= 1

    def put(self, key, data, *, durable=True):
        self._change()
        super().put(key, data, durable=durable)

    def create(self, key, data):
        self._change()
        return super().create(key, data)

    def delete(self, key):
        self._change()
        super().delete(key)


def stored(make) -> dict[str, bytes]:
    objects = MemoryObjects()
    make(objects)
    return objects.stored


@pytest.fixture(scope="module")
def first() -> dict[str, bytes]:
    return stored(make_first_generation)


@pytest.fixture(scope="module")
def grown() -> dict[str, bytes]:
    return stored(make_grown_store)


def alarms(objects: MemoryObjects, level="default") -> list[str]:
    return [str(fault) for fault in verify(objects, level).faults]


def extended(objects):
    """Three entries to build: a new one, a rebuilt one, and the one that failed."""
    return begin_store(objects, second_plan(), rebuild=True)


def half_built(objects):
    plan = extended(objects)
    write(objects, plan, plan.entries[5])


def failed_entry_mended(objects):
    plan = load_plan(objects)
    write(objects, plan, next(e for e in plan.live if e.entry_id == FAILED))


def mended_and_committed(objects):
    failed_entry_mended(objects)
    commit(objects, load_plan(objects))


def failed_beside_a_receipt(objects):
    plan = load_plan(objects)
    write_failure(objects, plan.live[0], Failure("build", "truncated", "an older attempt"))


def withdrawn_not_committed(objects):
    put_plan(objects, withdraw(load_plan(objects), "MADE-1", "wrong model"))


def withdrawn_and_committed(objects):
    withdrawn_not_committed(objects)
    commit(objects, load_plan(objects))


def only_a_new_split(objects):
    plan = first_plan()
    entries = [replace(e, entry=replace(e.entry, split="test")) for e in plan.entries]
    begin_store(objects, plan_of(plan.config, entries, plan.n_rows))
    commit(objects, load_plan(objects))


def begun_and_dropped(objects):
    """An entry that was half written, and then left the catalog."""
    plan = extended(objects)
    dying = DyingObjects(objects.stored)
    dying.changes_left = 9
    with pytest.raises(Killed):
        write(dying, plan, plan.entries[5])
    objects.stored = dying.stored
    put_plan(objects, withdraw(plan, plan.entries[5].entry_id, "not yet public"))


def collected(objects, keep=1):
    remove(objects, find_garbage(objects, load_plan(objects), keep))


def withdrawn_and_collected(objects):
    withdrawn_and_committed(objects)
    collected(objects)


def held(objects):
    with hold(objects, "build"):
        assert alarms(objects) == []


def held_by_a_killed_one(objects):
    with hold(objects, "build"):
        kept = dict(objects.stored)
    objects.stored = kept


def leftover_files(objects):
    objects.unfinished["subgrids/density/c/0/0/0/.0.12.ab.part"] = 5.0


def finished_again(objects):
    """A second build of what is built: the same bytes and receipt."""
    plan = load_plan(objects)
    planned = plan.live[0]
    made = made_map(planned, plan.config)
    write_entry(objects, Layout.of(plan.config), planned, made)


STATES = [
    *(extended, half_built, failed_entry_mended, mended_and_committed, failed_beside_a_receipt),
    *(withdrawn_not_committed, withdrawn_and_committed, withdrawn_and_collected, begun_and_dropped),
    *(held, held_by_a_killed_one, leftover_files, finished_again, collected),
]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_no_alarm(state, first, grown, budget, row) -> None:
    every = ("quick", "default", "full")
    times = 0
    for before, levels in ((first, every[: budget(2, 3)]), (grown, every)):
        objects = MemoryObjects(before)
        state(objects)
        for level in levels:
            assert alarms(objects, level) == []
            times += 1
    row("I", UNDAMAGED, times, 0)


def test_no_alarm_after_a_new_split_or_another_codec(first, row) -> None:
    objects = MemoryObjects(first)
    only_a_new_split(objects)
    assert alarms(objects, "full") == []
    zstd = MemoryObjects()
    make_grown_store(zstd, compressor="zstd")
    assert alarms(zstd, "full") == []
    row("I", UNDAMAGED, 2, 0)


def kill_at_every_step(before, prepare, step):
    """Yield the objects as a kill before each change of ``step`` leaves them."""
    base = MemoryObjects(before)
    prepare(base)
    for n in range(10**6):
        dying = DyingObjects(base.stored)
        dying.changes_left = n
        try:
            step(dying)
        except Killed:
            yield MemoryObjects(dying.stored)
        else:
            return


def all_built(objects):
    write_unfinished(objects, extended(objects))


def commit_plan(objects):
    commit(objects, load_plan(objects))


def test_no_alarm_wherever_a_commit_is_killed(first, budget, row) -> None:
    times = 0
    killed = list(kill_at_every_step(first, all_built, commit_plan))
    for objects in killed[:: budget(3, 1)]:
        report = verify(objects)
        assert ([str(fault) for fault in report.faults], report.generations) == ([], (1,))
        # What was going on goes on: the plan grows once more, one entry leaves again.
        begin_store(objects, second_plan(), rebuild=True)
        assert alarms(objects) == []
        put_plan(objects, withdraw(load_plan(objects), "MADE-1", "wrong model"))
        assert alarms(objects) == []
        commit_plan(objects)
        assert alarms(objects, "default" if times % 40 else "full") == []
        times += 4
    assert len(killed) > 10
    row("I", UNDAMAGED, times, 0)


def test_no_alarm_wherever_a_build_is_killed(first, budget, row) -> None:
    def build(objects):
        write_unfinished(objects, load_plan(objects))

    times, every = 0, budget(10, 1)
    for objects in kill_at_every_step(first, extended, build):
        if times % every == 0:
            assert alarms(objects) == []
        times += 1
    assert times > 80
    row("I", UNDAMAGED, -(-times // every), 0)


class BusyObjects(MemoryObjects):
    """Something else happens to the store once the first object is compared."""

    def __init__(self, stored, meanwhile):
        super().__init__(stored)
        self._meanwhile = [meanwhile]
        self._lock = threading.Lock()

    def span(self, key, start, stop):
        with self._lock:  # All threads that compare wait until it has happened.
            if self._meanwhile:
                self._meanwhile.pop()(self)
        return super().span(key, start, stop)


def built_and_committed(objects):
    all_built(objects)
    commit_plan(objects)


@pytest.mark.parametrize("meanwhile", [half_built, all_built, built_and_committed])
@pytest.mark.parametrize("level", ["default", "full"])
def test_no_alarm_while_others_build_and_commit(first, meanwhile, level, row) -> None:
    assert alarms(BusyObjects(first, meanwhile), level) == []
    row("I", UNDAMAGED, 1, 0)
