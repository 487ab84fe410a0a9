"""What the first page shows: one row an entry, failed and withdrawn ones with their reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from c2s_data.store.reader import Store

COLUMNS: Final = (
    "entry_id", "state", "resolution_A", "split", "n_residues", "shape_zyx", "q_score",
    "q_score_expected", "cc_mask", "fsc_05_A", "explained_density_share", "ca_in_box",
    "saturated_ca_share", "emdb_id", "pdb_id", "quality_flags", "why",
)  # fmt: skip
HAS_MAP: Final = ("built", "noted", "flagged")
LONGEST_REASON: Final = 600
_DIGITS: Final = 4


def state_of(row: Mapping[str, Any]) -> str:
    """Return ``built``, ``noted``, ``flagged``, ``failed`` or ``withdrawn``.

    A flagged entry has a quality flag, a noted one only notes.
    """
    if row["failure_reason"] is not None:
        return "withdrawn" if row["failure_stage"] == "withdrawn" else "failed"
    if row.get("quality_flags"):
        return "flagged"
    return "noted" if row.get("notes") else "built"


def why_of(row: Mapping[str, Any]) -> str:
    """Return why an entry failed, or what is to be known of it before it is trusted."""
    if row["failure_reason"] is not None:
        text = f"[{row['failure_reason']}] {row['failure_message']}"
    else:
        text = "; ".join(row.get("notes") or ())
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"


def catalog_document(store: Store, pages: str) -> dict[str, Any]:
    """Return the catalog by column.

    Parameters
    ----------
    store
        An opened store.
    pages
        Where the maps' pages are: ``inline``, ``server``, or the name of their folder.
    """
    rows = [_shown(row) for row in store.rows]
    return {
        "kind": "catalog",
        "title": store.url.rstrip("/").rsplit("/", 1)[-1],
        "pages": pages,
        "generation": store.generation,
        "fingerprint": store.fingerprint,
        "attrs": {name: store.attrs.get(name) for name in ("preset", "code_version", "label_rule")},
        "n_subgrids": sum(entry.n_subgrids for entry in store.entries),
        "columns": {name: [row[name] for row in rows] for name in COLUMNS},
    }


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    shape = row["shape_zyx"]
    known = shape is not None and all(shape)  # Zeros: the header could not be read.
    made = {"state": state_of(row), "why": why_of(row), "shape_zyx": shape if known else None}
    return {name: _short(made.get(name, row.get(name))) for name in COLUMNS}


def _short(value: Any) -> Any:  # noqa: ANN401 - any value of a catalog
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
