"""The plan as the document that a store keeps, and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from c2s_data.config import make_config
from c2s_data.errors import CatalogError, StoreError
from c2s_data.plan import Failure, Plan, PlannedEntry, SideFile
from c2s_data.sources.catalog import CatalogEntry, check_entry_id


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return the plan as the document that the store keeps."""
    return {
        "config": plan.config.model_dump(),
        "fingerprint": plan.fingerprint,
        "lineage": plan.lineage,
        "n_rows": plan.n_rows,
        "entries": [asdict(entry) for entry in plan.entries],
    }


def plan_from_document(document: dict[str, Any]) -> Plan:
    """Read what `plan_document` returned.

    Raises
    ------
    StoreError
        If the document is not a plan of this version.
    """
    try:
        options = dict(document["config"])
        entries = tuple(_entry_from_json(item) for item in document["entries"])
        config = make_config(options.pop("preset"), **options)
        digest, lineage = str(document["fingerprint"]), str(document["lineage"])
        return Plan(config, digest, entries, int(document["n_rows"]), lineage)
    except (ValueError, KeyError, TypeError, AttributeError, CatalogError) as error:
        raise StoreError(f"the plan of the store cannot be read: {error!r}") from error


def _entry_from_json(item: dict[str, Any]) -> PlannedEntry:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in item.items()
    }
    values["entry"] = CatalogEntry(**item["entry"])
    check_entry_id(values["entry"].entry_id)
    for name in ("failure", "withdrawn"):
        values[name] = Failure(**item[name]) if item[name] else None
    values["side_files"] = tuple(SideFile(**file) for file in item.get("side_files", ()))
    return PlannedEntry(**values)
