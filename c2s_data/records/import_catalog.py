"""The catalog of an import: one row an entry that was found, and models put together for it."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from c2s_data.errors import ModelError
from c2s_data.records.import_folder import FoundEntry, FoundFolder
from c2s_data.records.layout import NORMALIZED_MAP
from c2s_data.records.placed_files import RecordFolder
from c2s_data.records.structure_parts import put_together, write_structure
from c2s_data.schema import CATALOG_COLUMNS, FACT_COLUMNS
from c2s_data.sources.catalog import OPTIONAL, REQUIRED

CATALOG_NAME: Final = "c2s_import.csv"
_COLUMNS: Final = (*REQUIRED, *OPTIONAL)
_RESERVED: Final = frozenset(
    name.casefold() for name in (*CATALOG_COLUMNS, *FACT_COLUMNS, *_COLUMNS)
)


def write_import_catalog(found: FoundFolder, path: Path) -> dict[str, str]:
    """Write the catalog CSV that builds what was found.

    Parameters
    ----------
    found
        From `find_records`.
    path
        Place of the catalog; models that must be put together from their parts go to a folder
        beside it, named after it.

    Returns
    -------
    dict
        Why entries are left out, by entry_id: their parts make no model.
    """
    refused, rows = {}, []
    for entry in found.entries:
        try:
            model = entry.model or _put_together(entry, path)
        except ModelError as error:
            refused[entry.entry_id] = str(error)
            continue
        rows.append(_row(entry, model, path.parent))
    columns = dict.fromkeys([*_COLUMNS, *(name for row in rows for name in row)])
    sink = io.StringIO()
    writer = csv.DictWriter(sink, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    RecordFolder(path.parent).put_text(path.name, sink.getvalue())
    return refused


def _put_together(entry: FoundEntry, catalog: Path) -> Path:
    structure = put_together(entry.parts)
    folder = RecordFolder(catalog.parent, f"{catalog.stem}_models")
    name = f"{entry.entry_id}.cif"
    folder.put(name, lambda part: write_structure(structure, part, ".cif"))
    return folder.path / name


def _row(entry: FoundEntry, model: Path, home: Path) -> dict[str, str]:
    row = {
        "entry_id": entry.entry_id,
        "emdb_id": entry.emdb_id or "",
        "pdb_id": entry.pdb_id or "",
        "map": _relative(entry.folder / NORMALIZED_MAP, home),
        "model": _relative(model, home),
        "sequence": _relative(entry.sequence, home) if entry.sequence else "",
        "resolution_A": _number(entry.metadata.get("resolution_A", "")),
        "contour_level": _number(entry.metadata.get("contour_level", "")),
        "split": entry.split or "",
        "origin": "",
        "assembly": entry.assembly or "",
    }
    return row | _further(entry.metadata, row)


def _relative(path: Path, home: Path) -> str:
    """Return a path that lets folder and catalog move together, absolute where they lie apart."""
    path, home = path.absolute(), home.absolute()
    return os.path.relpath(path, home) if path.is_relative_to(home) else str(path)


def _number(text: str) -> str:
    """Return the number of a field such as ``2.08 A``; units are no part of a catalog."""
    found = re.match(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)", text)
    return found[1] if found else ""


def _further(metadata: Mapping[str, str], taken: Iterable[str]) -> dict[str, str]:
    """Return the columns that the catalog keeps as text, under names that it can have."""
    columns: dict[str, str] = {}
    for name, value in metadata.items():
        if name in taken or not value:
            continue
        plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:40]
        if not plain or not plain[0].isalpha() or plain.casefold() in _RESERVED:
            plain = f"published_{plain}".rstrip("_")
        columns.setdefault(plain, " ".join(value.replace("\0", " ").split()))
    return columns
