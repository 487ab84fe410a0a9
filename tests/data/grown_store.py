"""A small store with a past: two generations, a failed, a withdrawn and a rebuilt entry."""

from __future__ import annotations

from dataclasses import replace

from made_maps import made_map, made_plan

from c2s_data.config import make_config
from c2s_data.growth import withdraw
from c2s_data.plan import Failure, Plan, PlannedEntry, plan_of, with_rows
from c2s_data.store.begin import begin_store, put_plan
from c2s_data.store.commit import commit
from c2s_data.store.layout import Layout
from c2s_data.store.lease import hold
from c2s_data.store.receipt import receipt_of, write_failure
from c2s_data.store.writer import write_entry

SHAPES_ZYX = ((41, 33, 52), (12, 9, 14), (10, 10, 10), (9, 14, 11), (13, 8, 10))
MORE_ZYX = (11, 12, 21)
FAILED, WITHDRAWN, REBUILT = "MADE-2", "MADE-3", "MADE-4"


def first_plan(**options) -> Plan:
    return made_plan(make_config("recommended", **options), SHAPES_ZYX)


def second_plan(**options) -> Plan:
    """The catalog with one more map and another input file of `REBUILT`."""
    plan = made_plan(make_config("recommended", **options), (*SHAPES_ZYX, MORE_ZYX))
    entries = list(plan.entries)
    changed = replace(entries[4], map_ends_sha256="other")
    entries[4] = with_rows(changed, changed.first_subgrid, plan.config)
    return plan_of(plan.config, entries, plan.n_rows)


def write(objects, plan: Plan, planned: PlannedEntry) -> None:
    write_entry(objects, Layout.of(plan.config), planned, made_map(planned, plan.config))


def write_unfinished(objects, plan: Plan) -> None:
    """Build what has no receipt yet; `FAILED` fails."""
    for planned in plan.buildable:
        if planned.entry_id == FAILED:
            write_failure(objects, planned, Failure("build", "truncated", "the file ends early"))
        elif receipt_of(objects, planned) is None:
            write(objects, plan, planned)


def make_first_generation(objects, **options) -> Plan:
    plan = begin_store(objects, first_plan(**options))
    write_unfinished(objects, plan)
    assert commit(objects, plan).generation == 1
    return plan


def make_grown_store(objects, **options) -> Plan:
    make_first_generation(objects, **options)
    plan = begin_store(objects, second_plan(**options), rebuild=True)
    plan = withdraw(plan, WITHDRAWN, "the model was retracted")
    put_plan(objects, plan)
    write_unfinished(objects, plan)
    with hold(objects, "commit") as lease:
        assert commit(objects, plan, lease.check).generation == 2
    return plan
