"""A new split of a store: a generation of its catalog in which nothing else changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from c2s_data.errors import ConfigError
from c2s_data.plan import Plan, plan_of
from c2s_data.sources.catalog import CatalogEntry
from c2s_data.store.begin import load_plan, put_plan
from c2s_data.store.commit import Committed, commit, outcomes
from c2s_data.store.lease import hold
from c2s_data.store.objects import Objects


def entries_of_store(objects: Objects) -> tuple[CatalogEntry, ...]:
    """Return the entries of a store that can be read, as its plan has them."""
    return tuple(planned.entry for planned in load_plan(objects).live)


def split_plan(plan: Plan, split: Mapping[str, str | None]) -> Plan:
    """Return the plan with another split; rows, inputs and fingerprints stay.

    Raises
    ------
    ConfigError
        If the split lacks an entry of the plan.
    """
    missing = [e.entry_id for e in plan.live if e.entry_id not in split]
    if missing:
        raise ConfigError(
            f"{len(missing)} entries joined the store while it was split ({missing[0]} is the "
            "first); run the command again"
        )
    entries = [
        planned
        if planned.withdrawn is not None
        else replace(planned, entry=replace(planned.entry, split=split[planned.entry_id]))
        for planned in plan.entries
    ]
    return plan_of(plan.config, entries, plan.n_rows, plan.lineage)


def split_store(objects: Objects, split: Mapping[str, str | None]) -> Committed | None:
    """Write a split into a store as a new generation; older ones keep theirs.

    Parameters
    ----------
    objects
        The store.
    split
        Split by entry_id, for every entry of it.

    Returns
    -------
    Committed or None
        None where a build is under way: its commit will bring the split.

    Raises
    ------
    ConfigError
        If the split lacks an entry.
    """
    with hold(objects, "split") as lease:
        plan = split_plan(load_plan(objects), split)
        lease.check()
        put_plan(objects, plan)
        if None in outcomes(objects, plan).values():
            return None
        return commit(objects, plan, lease.check)
