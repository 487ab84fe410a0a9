"""Tables of a fetch: the search result it begins with, the catalog and failures it ends with."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from c2s_data.errors import CatalogError
from c2s_data.sources.archive import check_emdb_id, check_pdb_id
from c2s_data.sources.archive_rows import write_rows
from c2s_data.sources.catalog import read_catalog
from c2s_data.sources.fetch_entries import Outcome

CATALOG_NAME: Final = "catalog.csv"
FAILED_NAME: Final = "failed.csv"
FILE_COLUMNS: Final = ("map", "model", "sequence", "half_map_1", "half_map_2")
_MAX_TABLE_BYTES: Final = 2**28


def read_found(path: Path) -> list[dict[str, str]]:
    """Read a search result, or any table with the columns emdb_id and pdb_id.

    Raises
    ------
    CatalogError
        It cannot be read, an id is wrong or occurs twice; every wrong row is named.
    """
    try:
        if path.stat().st_size > _MAX_TABLE_BYTES:
            raise CatalogError(f"{path}: larger than a table of all entries there are")
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            rows = [(reader.line_num, row) for row in reader]
            names = list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CatalogError(f"{path}: the table cannot be read: {error}") from error
    if missing := {"emdb_id", "pdb_id", "resolution_A"} - set(names):
        raise CatalogError(f"{path}: no column {', '.join(sorted(missing))}; see c2s-data search")
    if not rows:
        raise CatalogError(f"{path}: no entries; search for more")
    checked, faults, seen = [], [], set[str]()
    for line, row in rows:
        try:
            checked.append(_checked(row, seen))
        except CatalogError as error:
            faults.append(f"  line {line}: {error}")
    if faults:
        raise CatalogError(f"{path}: {len(faults)} rows are wrong:\n" + "\n".join(faults))
    return checked


def _checked(row: dict[str, str], seen: set[str]) -> dict[str, str]:
    if None in row or None in row.values():
        raise CatalogError("it does not have the fields of the first line")
    emdb_id = check_emdb_id(row["emdb_id"].strip())
    if emdb_id in seen:
        raise CatalogError(f"{emdb_id} occurs twice")
    seen.add(emdb_id)
    return row | {"emdb_id": emdb_id, "pdb_id": check_pdb_id(row["pdb_id"].strip())}


def write_catalog(folder: Path, outcomes: Sequence[Outcome]) -> Path:
    """Write the catalog of what can be built and the list of what failed.

    Both replace those of an earlier run at once. Paths are relative to the folder.

    Returns
    -------
    Path
        Of the catalog; it was read back, unless nothing can be built.

    Raises
    ------
    CatalogError
        The table that was given has columns that no catalog can have.
    """
    usable = [outcome for outcome in outcomes if outcome.is_usable]
    metadata = [name for name in (outcomes[0].row if outcomes else ()) if name not in FILE_COLUMNS]
    there = {"map", "model"}.union(*(entry.files for entry in usable))
    columns = [name for name in FILE_COLUMNS if name in there]
    table = (
        [entry.row[name] for name in metadata] + [_path(entry, name) for name in columns]
        for entry in usable
    )
    replace_table(folder / CATALOG_NAME, [*metadata, *columns], table)
    if usable:
        read_catalog(folder / CATALOG_NAME)
    failed = [
        (outcome.emdb_id, outcome.row["pdb_id"], column, why)
        for outcome in outcomes
        for column, why in outcome.faults
    ]
    replace_table(folder / FAILED_NAME, ("emdb_id", "pdb_id", "file", "reason"), failed)
    return folder / CATALOG_NAME


def replace_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV file that takes the place of an older one in one step."""
    text = io.StringIO()
    write_rows(text, columns, rows)
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w", encoding="utf-8", newline="") as file:
        file.write(text.getvalue())
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _path(outcome: Outcome, column: str) -> str:
    fetched = outcome.files.get(column)
    return "" if fetched is None else fetched.record.path
