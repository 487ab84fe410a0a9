"""What `verify` and `repair` know of a store once its documents were read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from c2s_data.config import BuildConfig
from c2s_data.errors import NotCommittedError
from c2s_data.plan import Plan, rows_per_shard
from c2s_data.plan_document import plan_from_document
from c2s_data.store.catalog_table import group_of_row
from c2s_data.store.generation import Generation
from c2s_data.store.layout import LATEST
from c2s_data.store.manifest import Manifest
from c2s_data.store.objects import Objects
from c2s_data.store.receipt import Receipt, WrittenObject
from c2s_data.store.verify_report import Fault

GENERATIONS: Final = "_c2s/generations"


@dataclass(frozen=True)
class Kept:
    """One generation that a reader may open; what is damaged of it is None.

    ``plan`` is the copy of the plan that it was committed with.
    """

    generation: Generation
    config: BuildConfig
    rows: list[dict[str, Any]] | None
    manifest: Manifest | None
    plan: Plan | None

    @property
    def groups(self) -> frozenset[str]:
        """The groups of the entries that it holds."""
        if self.manifest is not None:
            return frozenset(self.manifest.inputs)
        rows = self.rows or ()
        return frozenset(group_of_row(row) for row in rows if row["failure_reason"] is None)


@dataclass(frozen=True)
class Known:
    """What the documents of a store say, as far as they are intact.

    ``kept`` holds the generations, the newest first. ``plan`` is None if it is damaged or gone;
    ``entries`` is then what the catalogs tell of it, else the plan itself; None if neither is left.
    ``pointer`` is what LATEST.json says, None if it is damaged.
    ``lost`` are generations whose document COMMITTED is damaged or gone while others of their
    objects are there. ``names`` gives the document that has a sha256.
    """

    kept: tuple[Kept, ...]
    plan: Plan | None
    entries: Plan | None
    receipts: Mapping[str, Receipt]
    pointer: tuple[int, str] | None
    lost: frozenset[int]
    names: Mapping[str, str]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]


def refuse_uncommitted(objects: Objects) -> None:
    """Refuse what is no committed store, before anything of it is read, listed or written.

    Raises
    ------
    NotCommittedError
        If no generation was ever begun.
    """
    if objects.size(LATEST) is None and not any(objects.names(GENERATIONS)):
        raise NotCommittedError(
            f"{objects.url} is not committed, so nothing vouches for it yet; finish it with "
            "`c2s-data build` (`c2s-data status` says what is missing), or correct the path"
        )


def generation_of(key: str) -> int | None:
    """Return the number in the name of an object of a generation, None for any other name."""
    if not key.startswith(f"{GENERATIONS}/"):
        return None
    number, _, _ = key.removeprefix(f"{GENERATIONS}/").partition("/")
    return int(number) if len(number) >= 6 and number.isdecimal() else None


def manifest_rows(kept: tuple[Kept, ...]) -> Iterator[tuple[int, WrittenObject]]:
    """Yield (generation, object) of all intact manifests, the newest first."""
    for one in kept:
        for item in one.manifest.objects if one.manifest else ():
            yield one.generation.number, item


def plan_from_catalogs(kept: tuple[Kept, ...]) -> Plan | None:
    """Return what catalogs tell of a plan that is gone: enough to say whose an object is."""
    found: dict[int, dict[str, Any]] = {}
    newest = None
    for one in kept:
        newest = newest or (one if one.rows is not None else None)
        for row in one.rows or ():
            # Only an older generation still knows the rows of an entry that was withdrawn.
            item = _planned_from_row(row, one.config)
            known = found.setdefault(row["map_index"], item)
            if item["n_shards"] and not known["n_shards"]:
                found[row["map_index"]] = item | {"withdrawn": known["withdrawn"]}
    if newest is None:
        return None
    return plan_from_document(
        {
            "config": newest.config.model_dump(),
            "fingerprint": "",
            "lineage": newest.generation.lineage,
            "n_rows": newest.generation.n_rows,
            "entries": [found[index] for index in sorted(found)],
        }
    )


def _planned_from_row(row: Mapping[str, Any], config: BuildConfig) -> dict[str, Any]:
    stage, reason, message = (row[f"failure_{name}"] for name in ("stage", "reason", "message"))
    why = {"stage": stage, "reason": reason, "message": message} if stage else None
    names = ("entry_id", "emdb_id", "pdb_id", "resolution_A")
    copied = ("map_index", "shape_zyx", "origin_xyz_A", "first_subgrid", "n_subgrids", "revision")
    return {name: row[name] for name in copied} | {
        "entry": {"map": "", "model": ""} | {name: row[name] for name in names},
        "n_shards": -(-row["n_subgrids"] // rows_per_shard(config.box)),
        "failure": why if stage != "withdrawn" else None,
        "withdrawn": why if stage == "withdrawn" else None,
    }
