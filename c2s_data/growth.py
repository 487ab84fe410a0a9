"""How a plan grows: what a new catalog adds to a store that already holds maps.

Entries are only ever appended, so a row of the subgrid arrays and a row of the catalog mean the
same map in every generation. Rows are never given to another entry: a part that was stopped for a
week and wakes up can only write what is its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from c2s_data.config import BuildConfig
from c2s_data.errors import ConfigError
from c2s_data.plan import (
    DROPPED,
    EXCLUDED,
    REBUILT,
    REPLACED,
    WITHDRAWN,
    Failure,
    Plan,
    PlannedEntry,
    identity,
    plan_of,
    rows_per_shard,
    with_rows,
)

IsBuilt = Callable[[PlannedEntry], bool]


def extend_plan(earlier: Plan, fresh: Plan, is_built: IsBuilt, *, rebuild: bool = False) -> Plan:
    """Return the plan that leads from what a store holds to what a catalog now asks for.

    New entries get rows behind all others. An entry whose inputs are the same keeps its rows and
    takes over what only the catalog says (split, further columns, folders). An entry that was never
    built and has other inputs now is planned anew in new rows, one that is gone is dropped.

    Parameters
    ----------
    earlier
        The plan of the store.
    fresh
        The plan that the catalog alone would lead to.
    is_built
        Says whether the store already holds a planned entry.
    rebuild
        Replace built entries whose inputs changed: they get new rows, the old ones are withdrawn.

    Raises
    ------
    ConfigError
        If options differ, built entries changed without ``rebuild``, or the catalog lacks built
        entries; all of them are listed.
    """
    faults = option_differences(earlier, fresh)
    growing = _Growing(earlier, is_built)
    for planned in fresh.entries if not faults else ():
        faults += growing.take(planned, rebuild=rebuild)
    faults += growing.drop_missing() if not faults else []
    if faults:
        raise ConfigError("\n".join(faults[:20] + _more(len(faults) - 20)))
    return plan_of(earlier.config, growing.entries, growing.n_rows, earlier.lineage)


def withdraw(plan: Plan, entry_id: str, reason: str, *, is_built: bool = True) -> Plan:
    """Return the plan without an entry, which the next generation then leaves out.

    Parameters
    ----------
    plan, entry_id, reason
        What is withdrawn, and why.
    is_built
        Whether the store holds it.

    Raises
    ------
    ConfigError
        If no live entry has this name.
    """
    for planned in plan.live:
        if planned.entry_id == entry_id:
            entries = list(plan.entries)
            why = Failure(WITHDRAWN, WITHDRAWN if is_built else EXCLUDED, reason)
            entries[planned.map_index] = replace(planned, withdrawn=why)
            return plan_of(plan.config, entries, plan.n_rows, plan.lineage)
    raise ConfigError(f"the store has no entry {entry_id!r} that could be withdrawn")


def option_differences(earlier: Plan, fresh: Plan) -> list[str]:
    """Say which options differ between two plans, each with its old and new value."""
    was, now = earlier.config.model_dump(), fresh.config.model_dump()
    return [f"  {key}: {was[key]!r} -> {now[key]!r}" for key in was if was[key] != now[key]]


class _Growing:
    """The entries of a plan while a catalog is gone through."""

    def __init__(self, earlier: Plan, is_built: IsBuilt) -> None:
        self.entries = list(earlier.entries)
        self.n_rows = earlier.n_rows
        self._config = earlier.config
        self._is_built = is_built
        self._unmet = {entry.entry_id: entry for entry in earlier.live}

    def take(self, fresh: PlannedEntry, *, rebuild: bool) -> list[str]:
        """Fit one row of the catalog in; return what stands against it."""
        old = self._unmet.pop(fresh.entry_id, None)
        if old is None:
            return self._take_new(fresh, rebuild=rebuild)
        same = identity(old, self._config) == identity(fresh, self._config)
        if old.failure is None and same:
            # What a task may need at most is a matter of this run, not of the entry.
            memory = old if fresh.failure is not None else fresh
            self.entries[old.map_index] = replace(
                old,
                entry=fresh.entry,
                side_files=fresh.side_files,
                paged=memory.paged,
                predicted_memory_bytes=memory.predicted_memory_bytes,
            )
        elif old.failure is not None:
            again = replace(fresh, map_index=old.map_index, revision=old.revision)
            self._place(again, at=old.map_index)  # It owned no rows, so nobody can write them.
        elif not self._is_built(old):
            self._replace(old, fresh, REPLACED, "its inputs changed before it was built")
        elif _only_gone(old, fresh, self._config):
            # The store holds it; whether its inputs are still kept is the user's choice.
            paths = {name: getattr(old.entry, name) for name in ("map", "model", "sequence")}
            entry = replace(fresh.entry, **paths)
            self.entries[old.map_index] = replace(old, entry=entry)
        elif rebuild and fresh.failure is None:
            self._replace(old, fresh, REBUILT, "built anew from other inputs in later rows")
        else:
            return _changes(old, fresh, self._config)
        return []

    def _take_new(self, fresh: PlannedEntry, *, rebuild: bool) -> list[str]:
        before = [e for e in self.entries if e.entry_id == fresh.entry_id]
        for other in () if before else self.entries:
            if other.entry_id.casefold() == fresh.entry_id.casefold():
                return [f"  {fresh.entry_id}: the store has {other.entry_id}; names must differ"]
        if before and not rebuild and _was_withdrawn(before[-1]):
            return [_withdrawn_line(before[-1])]
        self._append(fresh, 1 + max((e.revision for e in before), default=0))
        return []

    def drop_missing(self) -> list[str]:
        """Drop entries that the catalog no longer names; return those that are built."""
        faults = []
        for name, old in self._unmet.items():
            if self._is_built(old):
                faults.append(
                    f"  {name}: no longer in the catalog; put its row back, or run "
                    f"`c2s-data withdraw` for it first"
                )
                continue
            why = Failure(WITHDRAWN, DROPPED, "left the catalog before it was built")
            self.entries[old.map_index] = replace(old, withdrawn=why)
        return faults

    def _replace(self, old: PlannedEntry, fresh: PlannedEntry, reason: str, message: str) -> None:
        """Give an entry new rows and a new group: a part may still be writing into the old ones."""
        why = Failure(WITHDRAWN, reason, message)
        self.entries[old.map_index] = replace(old, withdrawn=why)
        self._append(fresh, old.revision + 1)

    def _append(self, fresh: PlannedEntry, revision: int) -> None:
        self.entries.append(fresh)  # _place puts the final one there.
        index = len(self.entries) - 1
        self._place(replace(fresh, map_index=index, revision=revision), at=index)

    def _place(self, planned: PlannedEntry, *, at: int) -> None:
        placed = with_rows(planned, self.n_rows, self._config)
        self.entries[at] = placed
        self.n_rows += placed.n_shards * rows_per_shard(self._config.box)


def _only_gone(old: PlannedEntry, fresh: PlannedEntry, config: BuildConfig) -> bool:
    """Say whether all that changed of a built entry is that its files are no longer there."""
    if fresh.failure is None or fresh.failure.reason != "not-found":
        return False
    was, now = identity(old, config), identity(fresh, config)
    names = ("emdb_id", "pdb_id", "resolution_A", "contour_level", "origin", "assembly")
    return all(was[name] == now[name] for name in names)


def _was_withdrawn(planned: PlannedEntry) -> bool:
    return planned.withdrawn is not None and planned.withdrawn.reason in (WITHDRAWN, EXCLUDED)


def _withdrawn_line(planned: PlannedEntry) -> str:
    assert planned.withdrawn is not None
    return (
        f"  {planned.entry_id}: was withdrawn ({planned.withdrawn.message}); take it out of the "
        "catalog, or build it again with --rebuild"
    )


def _changes(old: PlannedEntry, fresh: PlannedEntry, config: BuildConfig) -> list[str]:
    name = old.entry_id
    if fresh.failure is not None:
        return [f"  {name}: could be read then, not now: {fresh.failure.message}"]
    was, now = identity(old, config), identity(fresh, config)
    return [f"  {name}.{key}: {was[key]!r} -> {now[key]!r}" for key in was if was[key] != now[key]]


def _more(n: int) -> list[str]:
    return [f"  and {n} more"] if n > 0 else []
