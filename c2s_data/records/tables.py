"""The tables above the entries: ``metadata.csv`` written and read, ``splits.csv`` written.

The published table was not at hand when this was written, so reading goes by what a column must be
called in some way: ``emdb_id``, ``EMDB ID`` and ``emdb`` are one. Splits are read by
`c2s_data.splitting.tables`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from c2s_data.errors import CatalogError
from c2s_data.schema import CATALOG_COLUMNS, FACT_COLUMNS

MAX_BYTES: Final = 2**28
METADATA_COLUMNS: Final = (
    "emdb_id", "pdb_id", "resolution_A", "method", "software", "title", "journal",
)  # fmt: skip
"""The paper's columns, first in ``metadata.csv``; then ``entry_id`` and the catalog's own."""
SPLIT_COLUMNS: Final = ("entry_id", "emdb_id", "pdb_id", "split")
_EMDB_ID: Final = re.compile(r"(?:emd[-_]?)?([0-9]{1,6})", re.ASCII | re.IGNORECASE)
_COLUMN_NAMES: Final = {
    "emdb_id": ("emdbid", "emdb", "emdbentry", "emd", "emdid", "mapid"),
    "pdb_id": ("pdbid", "pdb", "pdbentry", "fittedpdb", "fittedpdbs"),
    "entry_id": ("entryid", "entry", "id"),
    "resolution_A": ("resolutiona", "resolution", "resolutionangstrom", "res"),
    "contour_level": ("contourlevel", "contour", "recommendedcontourlevel"),
    "split": ("split", "set", "subset", "fold"),
    "method": ("method", "experimentalmethod"),
    "software": ("software", "reconstructionsoftware"),
    "title": ("title",),
    "journal": ("journal",),
}


@dataclass(frozen=True)
class Table:
    """Rows of a table by entry: under the EMDB identifier where a row has one, and the entry_id."""

    rows: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def of(self, emdb_id: str | None, entry_id: str) -> Mapping[str, str]:
        """Return the row of an entry, empty where there is none."""
        return self.rows.get(entry_id) or self.rows.get(emdb_id or "") or {}


def metadata_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return ``metadata.csv`` for rows of a store's catalog, sorted as they come."""
    rows = list(rows)
    taken = {*CATALOG_COLUMNS, *FACT_COLUMNS, *METADATA_COLUMNS}
    further = dict.fromkeys(name for row in rows for name in row if name not in taken)
    columns = (*METADATA_COLUMNS, "entry_id", "contour_level", *further)
    return _text(columns, rows)


def splits_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return ``splits.csv`` for rows of a store's catalog; an entry without a split has none."""
    return _text(SPLIT_COLUMNS, rows)


def read_metadata(path: Path) -> Table:
    """Read ``metadata.csv``, empty where there is none.

    Raises
    ------
    CatalogError
        If it is no table, names an entry twice, or has no column of identifiers.
    """
    if not path.is_file():
        return Table()
    columns, rows = _read(path)
    names = [_own_name(column) for column in columns]
    found: dict[str, dict[str, str]] = {}
    for number, row in enumerate(rows, start=2):
        values: dict[str, str] = {}
        for name, value in zip(names, row, strict=True):
            values.setdefault(name, value.strip())
        for key in _keys(values):
            if found.setdefault(key, values) is not values:
                raise CatalogError(f"{path}: row {number}: {key} occurs twice; remove one")
    if rows and not found:
        raise CatalogError(
            f"{path}: no column of EMDB identifiers among {', '.join(columns)[:200]}; name it "
            "emdb_id"
        )
    return Table(found)


def emdb_id_of(text: str) -> str | None:
    """Return EMD-22898 for ``22898``, ``emd_22898`` or ``EMD-22898``, None for anything else.

    Programs that take identifiers for numbers drop their zeros: ``93`` is EMD-0093.
    """
    found = _EMDB_ID.fullmatch(text.strip())
    return f"EMD-{found[1].zfill(4)}" if found else None


def _keys(values: Mapping[str, str]) -> list[str]:
    # Entries of one map each have a row of their own; only entry_id then tells them apart.
    if values.get("entry_id"):
        return [values["entry_id"]]
    emdb_id = emdb_id_of(values.get("emdb_id", ""))
    return [emdb_id] if emdb_id else []


def _text(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    sink = io.StringIO()
    writer = csv.DictWriter(sink, list(columns), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue()


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CatalogError(f"{path}: larger than {MAX_BYTES:,} bytes; this is no such table")
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = [row for row in csv.reader(stream, strict=True) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CatalogError(f"{path}: the table cannot be read: {error}") from error
    columns, *rest = rows or [[]]
    for number, row in enumerate(rest, start=2):
        if len(row) != len(columns):
            raise CatalogError(
                f"{path}: row {number} has {len(row)} fields, the first line {len(columns)}"
            )
    return columns, rest


def _own_name(column: str) -> str:
    plain = re.sub(r"[^a-z]", "", column.lower())
    return next((name for name, known in _COLUMN_NAMES.items() if plain in known), column.strip())
