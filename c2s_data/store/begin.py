"""Begin a store with its plan, or let the plan of a store grow."""

from __future__ import annotations

from c2s_data.errors import ConfigError, MissingChunkError, StoreError
from c2s_data.growth import extend_plan
from c2s_data.plan import Plan, PlannedEntry, plan_document, plan_from_document
from c2s_data.store.generation import committed_groups, latest_generation
from c2s_data.store.layout import LINEAGE, PLAN, failure_key, receipt_key
from c2s_data.store.objects import Objects
from c2s_data.store.receipt import receipt_of, write_failure
from c2s_data.store.sealed import is_sealed, seal, unseal


def begin_store(objects: Objects, fresh: Plan, *, rebuild: bool = False) -> Plan:
    """Fit what a catalog asks for into a store and write the plan that results.

    Where nothing was built the new plan replaces an earlier one. Otherwise the store grows: see
    `c2s_data.growth.extend_plan`.

    Parameters
    ----------
    objects
        The place.
    fresh
        From `c2s_data.plan.make_plan`.
    rebuild
        Build entries anew whose inputs changed; their old rows are withdrawn.

    Returns
    -------
    Plan
        The plan in force, which parts and commit must use.

    Raises
    ------
    ConfigError
        If the store was built with other options, or built entries changed or are missing; the
        message lists what differs.
    StoreError
        If the place holds something that is not a store.
    """
    earlier = _earlier_plan(objects)
    if earlier is None:
        check_place(objects)
        return _write_plan(objects, fresh, None)
    if not has_work(objects):
        if earlier.lineage != fresh.lineage:
            for entry in earlier.entries:
                objects.delete(failure_key(entry.group))
        return _write_plan(objects, fresh, earlier)
    built = committed_groups(objects)

    def is_built(planned: PlannedEntry) -> bool:
        return planned.group in built or receipt_of(objects, planned) is not None

    try:
        grown = extend_plan(earlier, fresh, is_built, rebuild=rebuild)
    except ConfigError as error:
        raise ConfigError(
            f"{objects.url} was built with other options or inputs, so this run cannot resume or "
            f"extend it:\n{error}\nUse the options and inputs it was built with, another store, "
            "or, for entries whose inputs changed, --rebuild"
        ) from error
    return _write_plan(objects, grown, earlier)


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


def check_lineage(objects: Objects, lineage: str) -> None:
    """Refuse to write for a plan that another one has replaced.

    A part that was started long ago must not write into rows that now belong to others.

    Raises
    ------
    StoreError
        If the store was planned anew since.
    """
    where = f"{objects.url}: {LINEAGE}"
    if unseal(objects.get(LINEAGE, check=is_sealed), where).get("lineage") != lineage:
        raise StoreError(
            f"{objects.url} was planned anew since this part began; stop the part and start it "
            "again under the new plan"
        )


def put_plan(objects: Objects, plan: Plan) -> None:
    """Write a plan, the one in force from now on."""
    objects.put(PLAN, seal(plan_document(plan)))


def _write_plan(objects: Objects, plan: Plan, earlier: Plan | None) -> Plan:
    if earlier is None or earlier.lineage != plan.lineage:
        objects.put(LINEAGE, seal({"lineage": plan.lineage}))
    # Equal fingerprints may still name other folders or splits.
    if plan != earlier:
        put_plan(objects, plan)
    for entry in plan.live:
        if entry.failure is not None:
            write_failure(objects, entry, entry.failure)
    return plan


def _earlier_plan(objects: Objects) -> Plan | None:
    try:
        data = objects.get(PLAN, check=is_sealed)
    except MissingChunkError:
        return None
    return plan_from_document(unseal(data, f"{objects.url}: {PLAN}"))
