"""Begin a store with its plan, or let the plan of a store grow."""

from __future__ import annotations

from collections.abc import Callable

from c2s_data.errors import ConfigError, MissingChunkError, StoreError
from c2s_data.growth import extend_plan
from c2s_data.plan import Plan, PlannedEntry
from c2s_data.plan_document import plan_document, plan_from_document
from c2s_data.store.generation import committed_groups, latest_generation
from c2s_data.store.layout import LINEAGE, PLAN, failure_key, receipt_key
from c2s_data.store.objects import Objects
from c2s_data.store.receipt import read_failure, receipt_of, write_failure
from c2s_data.store.sealed import is_sealed, seal, unseal


def begin_store(
    objects: Objects,
    fresh: Plan,
    *,
    rebuild: bool = False,
    guard: Callable[[], None] = lambda: None,
) -> Plan:
    """Fit what a catalog asks for into a store and write the plan that results.

    Until the first part begins to write, a new plan simply replaces an earlier one. From then on
    rows keep their owners and the store can only grow: see `c2s_data.growth.extend_plan`.

    Parameters
    ----------
    objects
        The place.
    fresh
        From `c2s_data.plan.make_plan`.
    rebuild
        Build entries anew whose inputs changed; their old rows are withdrawn.
    guard
        Called before each write; raises if this process has lost the right to plan
        (`c2s_data.store.lease.Lease.check`).

    Returns
    -------
    Plan
        The plan in force, which parts and commit must use.

    Raises
    ------
    ConfigError
        If the store was begun with other options, or built entries changed or are missing; the
        message lists what differs.
    StoreError
        If the place holds something that is not a store.
    """
    earlier = _earlier_plan(objects)
    if earlier is None:
        check_place(objects)
        return _write_plan(objects, fresh, None, guard)
    begun = _begun_lineage(objects)
    if begun is None and not has_work(objects):
        for entry in earlier.live:
            if entry.failure is not None:
                guard()
                objects.delete(failure_key(entry.group))
        return _write_plan(objects, fresh, earlier, guard)
    if begun not in (None, earlier.lineage):
        raise StoreError(
            f"{objects.url}: a part of an older plan began while the store was planned anew, and "
            "may still write; remove the store, or choose another path"
        )
    try:
        grown = extend_plan(earlier, fresh, _built_in(objects), rebuild=rebuild)
    except ConfigError as error:
        raise ConfigError(
            f"{objects.url} cannot take this catalog or these options as they are:\n{error}\n"
            "Use what it was begun with, another store, or, for entries whose inputs changed or "
            "that were withdrawn, --rebuild"
        ) from error
    return _write_plan(objects, grown, earlier, guard)


def _built_in(objects: Objects) -> Callable[[PlannedEntry], bool]:
    committed = committed_groups(objects)

    def is_built(planned: PlannedEntry) -> bool:
        return planned.group in committed or receipt_of(objects, planned) is not None

    return is_built


def has_work(objects: Objects) -> bool:
    """Say whether anything was built in a store."""
    receipts = objects.names(receipt_key("x").rpartition("/")[0])
    return next(receipts, None) is not None or latest_generation(objects) > 0


def load_plan(objects: Objects) -> Plan:
    """Return the plan of a store.

    Raises
    ------
    StoreError
        If there is none, or it is damaged.
    """
    plan = _earlier_plan(objects)
    if plan is None:
        raise StoreError(
            f"{objects.url} has no plan; run `c2s-data plan` or `c2s-data build` first"
        )
    return plan


def check_place(objects: Objects) -> None:
    """Refuse a place that holds what no plan of ours began, before anything is written to it.

    Raises
    ------
    StoreError
        If it is neither empty nor a store.
    """
    if objects.size(PLAN) is not None:
        return
    for name in objects.names(""):
        if name != "_c2s":  # The lease of this very run lies there already.
            raise StoreError(f"{objects.url} is not empty and no store; choose another path")


def claim_lineage(objects: Objects, lineage: str) -> None:
    """Begin to write for a plan, or refuse because parts of another one have begun.

    The first to begin decides for all: from then on the rows of its plan, and of what grows from
    it, belong to their entries for ever. So a part that was stopped for a week and wakes up can
    only write what is its own.

    Raises
    ------
    StoreError
        If the store belongs to another plan.
    """
    begun = _begun_lineage(objects)
    if begun is None:
        objects.create(LINEAGE, seal({"lineage": lineage}))
        begun = _begun_lineage(objects)
    if begun != lineage:
        raise StoreError(
            f"{objects.url} was planned anew since this part began; stop the part and start it "
            "again under the new plan"
        )


def _begun_lineage(objects: Objects) -> str | None:
    try:
        data = objects.get(LINEAGE, check=is_sealed)
    except MissingChunkError:
        return None
    return str(unseal(data, f"{objects.url}: {LINEAGE}").get("lineage"))


def put_plan(objects: Objects, plan: Plan) -> None:
    """Write a plan, the one in force from now on."""
    objects.put(PLAN, seal(plan_document(plan)))


def _write_plan(
    objects: Objects, plan: Plan, earlier: Plan | None, guard: Callable[[], None]
) -> Plan:
    # Equal fingerprints may still name other folders or splits.
    if plan != earlier:
        guard()
        put_plan(objects, plan)
    for entry in plan.live:
        if entry.failure is not None and read_failure(objects, entry) != entry.failure:
            guard()
            write_failure(objects, entry, entry.failure)
    return plan


def _earlier_plan(objects: Objects) -> Plan | None:
    try:
        data = objects.get(PLAN, check=is_sealed)
    except MissingChunkError:
        return None
    return plan_from_document(unseal(data, f"{objects.url}: {PLAN}"))
