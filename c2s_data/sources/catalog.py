"""The catalog: which maps and models a store is made of, one row of a CSV file per entry."""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_args

from c2s_data.errors import CatalogError, StoreError
from c2s_data.schema import CATALOG_COLUMNS, FACT_COLUMNS, Assembly
from c2s_data.sources.density_map import OriginRule
from c2s_data.sources.input_file import beside, open_input

REQUIRED: Final = ("map", "model", "resolution_A")
OPTIONAL: Final = (
    "entry_id",
    "emdb_id",
    "pdb_id",
    "sequence",
    "contour_level",
    "split",
    "origin",
    "assembly",
)
_ENTRY_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_REVISION: Final = re.compile(r"\.r[0-9]+$", re.ASCII | re.IGNORECASE)
_EMDB_ID: Final = re.compile(r"EMD-[0-9]{4,6}", re.ASCII)
_PDB_ID: Final = re.compile(r"[0-9][A-Za-z0-9]{3}|pdb_[0-9a-z]{8}", re.ASCII)
_WORDS: Final = ("entry_id", "emdb_id", "pdb_id", "split", "origin", "assembly")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_RESERVED: Final = frozenset(name.casefold() for name in CATALOG_COLUMNS + FACT_COLUMNS)
_COLUMN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)


@dataclass(frozen=True)
class CatalogEntry:
    """One map with its model, as the user names them.

    ``map``, ``model`` and ``sequence`` are paths or URLs, resolved against the folder of the
    CSV file.
    ``metadata`` holds further columns as text, in file order.
    """

    entry_id: str
    map: str
    model: str
    resolution_A: float | None
    emdb_id: str | None = None
    pdb_id: str | None = None
    sequence: str | None = None
    contour_level: float | None = None
    split: str | None = None
    origin: OriginRule | None = None
    assembly: Assembly | None = None
    metadata: dict[str, str] = field(default_factory=dict)


def check_entry_id(entry_id: str) -> str:
    """Return ``entry_id`` unchanged if it can name a group of a store.

    Raises
    ------
    CatalogError
        If it could leave its folder or is no plain name (letters, digits, ``_ . -``; at most 64).
    """
    # zarr.json would take the place of the document of the group that holds all maps; a file system
    # that takes a trailing point away would make one folder of two names.
    taken = entry_id.casefold() == "zarr.json" or entry_id.endswith(".")
    if not _ENTRY_ID.fullmatch(entry_id) or ".." in entry_id or taken:
        raise CatalogError(
            f"entry_id {entry_id[:80]!a} is not usable: it names a folder of the store, so it "
            "must be 1 to 64 letters, digits, '_', '.' or '-', begin with a letter or digit, not "
            "contain '..' and not end in '.' (zarr.json is taken)"
        )
    if _REVISION.search(entry_id):
        raise CatalogError(
            f"entry_id {entry_id!r} is not usable: names that end in '.r' and a number are those "
            "of entries that were built again; write it as 'name_r2'"
        )
    return entry_id


def read_catalog(path: str | Path) -> tuple[CatalogEntry, ...]:
    """Read a catalog CSV file.

    The file and those it names may be paths or URLs (``s3://``, ``gs://``, ``az://``).
    Required columns: ``map``, ``model``, ``resolution_A`` and at least one of ``entry_id`` and
    ``emdb_id``. Optional: ``pdb_id``, ``sequence``, ``contour_level``, ``split``, and for this
    entry alone ``origin`` (one of `OriginRule`) and ``assembly`` (``deposited``, ``1`` or
    ``auto``). Any further column is kept as text. Paths are relative to the file's folder.

    Raises
    ------
    CatalogError
        If the file cannot be read, a column is missing or looks misspelled, or a row is wrong;
        every wrong row is named.
    """
    try:
        with io.TextIOWrapper(open_input(path), encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            columns = _check_columns(path, reader.fieldnames)
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CatalogError(f"{path}: the catalog cannot be read: {error}") from error
    entries, faults = [], []
    for line, row in rows:
        try:
            entries.append(_entry(row, columns, path))
        except CatalogError as error:
            faults.append(f"  line {line}: {error}")
    faults += _repeated(entries)
    if faults:
        raise CatalogError(f"{path}: {len(faults)} fault(s) in the catalog\n" + "\n".join(faults))
    if not entries:
        raise CatalogError(f"{path}: the catalog has no rows; add one row per map")
    return tuple(entries)


def _check_columns(path: str | Path, names: object) -> list[str]:
    columns = [str(name) for name in names] if isinstance(names, (list, tuple)) else []
    missing = [name for name in REQUIRED if name not in columns]
    if not {"entry_id", "emdb_id"} & set(columns):
        missing.append("entry_id or emdb_id")
    if missing:
        raise CatalogError(
            f"{path}: missing column(s) {', '.join(missing)}; the first line must name the columns "
            f"({', '.join(columns) or 'it is empty'})"
        )
    for name in columns:
        if name in REQUIRED + OPTIONAL:
            continue
        close = difflib.get_close_matches(name.lower(), REQUIRED + OPTIONAL, n=1, cutoff=0.85)
        if close and close[0] not in columns:
            raise CatalogError(f"{path}: column {name!r}: did you mean {close[0]!r}?")
        if name.casefold() in _RESERVED:
            raise CatalogError(
                f"{path}: column {name!r}: a store's catalog has a column of that name; rename it"
            )
        if not _COLUMN.fullmatch(name):
            raise CatalogError(
                f"{path}: column {name!r}: a name is letters, digits and '_', first a letter"
            )
    if len(set(columns)) != len(columns):
        raise CatalogError(f"{path}: a column name occurs twice: {', '.join(columns)}")
    return columns


def _entry(row: dict[str | None, object], columns: list[str], catalog: str | Path) -> CatalogEntry:
    if None in row or None in row.values():
        raise CatalogError(f"the row does not have the {len(columns)} fields of the first line")
    text = {name: str(row[name]).strip() for name in columns}
    for name, value in text.items():
        if name in _WORDS and _CONTROL.search(value):
            raise CatalogError(
                f"{name} {value[:40]!a} holds a line break or another control character"
            )
    emdb_id, pdb_id = text.get("emdb_id") or None, text.get("pdb_id") or None
    if emdb_id and not _EMDB_ID.fullmatch(emdb_id):
        raise CatalogError(f"emdb_id {emdb_id[:80]!r} is not of the form EMD-22898")
    if pdb_id and not _PDB_ID.fullmatch(pdb_id):
        raise CatalogError(f"pdb_id {pdb_id[:80]!r} is not of the form 7kjr or pdb_00007kjr")
    origin = text.get("origin") or None
    if origin is not None and origin not in get_args(OriginRule):
        raise CatalogError(f"origin {origin!r}: choose one of {', '.join(get_args(OriginRule))}")
    assembly = text.get("assembly") or None
    if assembly is not None and assembly not in get_args(Assembly):
        raise CatalogError(f"assembly {assembly!r}: choose one of {', '.join(get_args(Assembly))}")
    return CatalogEntry(
        entry_id=check_entry_id(text.get("entry_id") or emdb_id or ""),
        map=_resolve(text["map"], catalog, "map"),
        model=_resolve(text["model"], catalog, "model"),
        resolution_A=_number(text["resolution_A"], "resolution_A", positive=True),
        emdb_id=emdb_id,
        pdb_id=pdb_id,
        sequence=_resolve(text["sequence"], catalog, "sequence") if text.get("sequence") else None,
        contour_level=_number(text.get("contour_level", ""), "contour_level", positive=False),
        split=text.get("split") or None,
        origin=origin,  # type: ignore[arg-type]
        assembly=assembly,  # type: ignore[arg-type]
        metadata={name: text[name] for name in columns if name not in REQUIRED + OPTIONAL},
    )


def _resolve(name: str, catalog: str | Path, column: str) -> str:
    if not name or "\0" in name:
        raise CatalogError(f"{column}: a path is missing")
    try:
        return beside(catalog, name)
    except StoreError as error:
        raise CatalogError(f"{column}: {error}") from error


def _number(text: str, column: str, *, positive: bool) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (positive and value <= 0):
        raise CatalogError(f"{column} {text[:40]!r} is not a {'positive ' * positive}number")
    return value


def _repeated(entries: list[CatalogEntry]) -> list[str]:
    # File systems and object stores disagree about case, so names that differ only in it clash.
    seen: dict[str, str] = {}
    faults = []
    for entry in entries:
        key = entry.entry_id.casefold()
        if key in seen:
            also = f" (also as {seen[key]})" * (seen[key] != entry.entry_id)
            faults.append(f"  {entry.entry_id} occurs twice{also}")
        seen[key] = entry.entry_id
    return faults
