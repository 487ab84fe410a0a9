"""Lists and tables of splits: held-out ids, published splits, our own ``splits.csv``.

Nothing here invents: ids that the catalog lacks, and entries that a list lacks, are returned as
such. The exact columns of the published tables are not documented, so the evident forms are taken:
one row an id with a column of split words, one column of ids for each split, or a list of ids.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from c2s_data.errors import CatalogError
from c2s_data.sources.catalog import CatalogEntry
from c2s_data.sources.input_file import Address, beside, is_url, local_path, open_input
from c2s_data.splitting.assignment import Assignment, split_word

COLUMNS: Final = ("entry_id", "emdb_id", "pdb_id", "split", "component", "reason")
MAX_BYTES: Final = 2**26
_ID_COLUMNS: Final = (
    "entryid", "emdbid", "emdid", "emdb", "emd", "emdbids", "mapid", "map", "id", "ids",
    "pdbid", "pdb", "pdbids",
)  # fmt: skip
_SPLIT_COLUMNS: Final = ("split", "splits", "set", "subset", "partition", "fold", "dataset")
_EMDB: Final = re.compile(r"(?:emdb?[-_ ]?)?0*(\d{1,6})", re.IGNORECASE | re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)


@dataclass(frozen=True)
class Matched:
    """A list beside a catalog.

    ``split`` gives the word of the list by entry_id; ``without_data`` are the ids of the list
    that no entry has, ``without_split`` the entries that the list does not name.
    """

    split: dict[str, str]
    without_data: tuple[str, ...]
    without_split: tuple[str, ...]


def read_ids(path: Path) -> tuple[str, ...]:
    """Read a list of ids: one a line, or a CSV file with a column of ids.

    Raises
    ------
    CatalogError
        If it cannot be read or holds no id.
    """
    rows = _rows(path)
    if rows and (column := _column(rows[0], _ID_COLUMNS)) is not None:
        rows, place = rows[1:], column
    else:
        place = 0
    ids = [row[place].strip() for row in rows if place < len(row) and row[place].strip()]
    return _checked(path, dict.fromkeys(ids, ""))


def read_published(path: Path) -> dict[str, str]:
    """Read a table of splits: train, validation or test by id, in the order of the file.

    Raises
    ------
    CatalogError
        If it has none of the forms of this module, a word that is no split, or two splits for
        one id.
    """
    rows = _rows(path)
    header = rows[0] if rows else []
    split_column, id_column = _column(header, _SPLIT_COLUMNS), _column(header, _ID_COLUMNS)
    found: list[tuple[str, str]] = []
    if split_column is not None and id_column is not None:
        found = [
            (row[id_column].strip(), row[split_column].strip())
            for row in rows[1:]
            if max(id_column, split_column) < len(row) and row[split_column].strip()
        ]
    elif (words := [split_word(name) for name in header]) and any(words):
        found = [
            (cell.strip(), word)
            for row in rows[1:]
            for cell, word in zip(row, words, strict=False)
            if word and cell.strip()
        ]
    else:
        raise CatalogError(
            f"{path}: columns {', '.join(header) or 'none'}: give a column of ids (emdb_id) and "
            "one of split words (split), or one column of ids for each of train, validation, test"
        )
    return _as_splits(path, found)


def match(listed: Mapping[str, str], entries: Sequence[CatalogEntry]) -> Matched:
    """Find the entries that a list names by entry_id, EMDB id (as EMD-1234 or 1234) or PDB id."""
    of_name: dict[str, list[str]] = {}
    for entry in entries:
        names = {_key(name) for name in (entry.entry_id, entry.emdb_id, entry.pdb_id) if name}
        for name in names:
            of_name.setdefault(name, []).append(entry.entry_id)
    split: dict[str, str] = {}
    absent = []
    for name, word in listed.items():
        owners = of_name.get(_key(name), [])
        for entry_id in owners:
            split.setdefault(entry_id, word)
        if not owners:
            absent.append(name)
    unnamed = [entry.entry_id for entry in entries if entry.entry_id not in split]
    return Matched(split, tuple(absent), tuple(unnamed))


def published_split(found: Matched, entries: Sequence[CatalogEntry]) -> list[Assignment]:
    """Return the split of a published list; entries that it lacks are left out."""
    return [
        Assignment(e.entry_id, found.split[e.entry_id], "published list")
        if e.entry_id in found.split
        else Assignment(e.entry_id, None, "not in the published list")
        for e in entries
    ]


def write_splits(path: Path, entries: Sequence[CatalogEntry], made: Sequence[Assignment]) -> None:
    """Write ``splits.csv``: beside its place first, then renamed, so that it is whole or absent."""
    rows = [
        (e.entry_id, e.emdb_id or "", e.pdb_id or "", a.split or "", a.component, a.reason)
        for e, a in zip(entries, made, strict=True)
    ]
    _write_csv(path, COLUMNS, rows)


def write_catalog_with_split(
    source: Address, target: Path, split: Mapping[str, str | None], *, home: str | None = None
) -> None:
    """Copy a catalog CSV file with its ``split`` column filled or added; all else as it stands.

    Parameters
    ----------
    source
        The catalog, path or URL.
    target
        Where the copy is written.
    split
        By entry_id.
    home
        Folder that the copy lies in at last, a path or URL; None for that of ``target``. Relative
        paths stay right only in the catalog's own folder, so for another one they are made
        absolute.

    Raises
    ------
    CatalogError
        If the file is no longer the catalog that was split.
    """
    rows = _rows(source)
    header, body = list(rows[0]), [list(row) for row in rows[1:] if row]
    names = [name.strip() for name in header]
    if "split" not in names:
        header.append("split")
        names.append("split")
        body = [[*row, ""] for row in body]
    place = names.index("split")
    own = names.index("entry_id") if "entry_id" in names else names.index("emdb_id")
    other = names.index("emdb_id") if "emdb_id" in names else own
    for row in body:
        entry_id = row[own].strip() or row[other].strip()
        if entry_id not in split:
            raise CatalogError(f"{source}: {entry_id!r} was not there before; run the split again")
        row[place] = split[entry_id] or ""
    if _folder(source) != (_folder(target) if home is None else _folder(f"{home or '.'}/x")):
        for name in {"map", "model", "sequence"} & set(names):
            at = names.index(name)
            for row in body:
                if row[at].strip():
                    row[at] = beside(source, row[at].strip())
    _write_csv(target, header, body)


def previous_splits(path: Path) -> dict[str, str]:
    """Read the split of each id that an earlier ``splits.csv`` put somewhere."""
    return read_published(path)


def _folder(address: Address) -> str:
    """Return what two addresses in one folder share."""
    if is_url(address):
        return str(address).rpartition("/")[0]
    return str(local_path(address).parent.resolve())


def _rows(path: Address) -> list[list[str]]:
    try:
        with open_input(path) as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise CatalogError(f"{path}: larger than the {MAX_BYTES:,} bytes allowed for a list")
        lines = data.decode("utf-8-sig").splitlines()
        rows = list(csv.reader(lines, strict=True, delimiter=_delimiter(lines)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CatalogError(f"{path}: the list cannot be read: {error}") from error
    rows = [row for row in rows if row and not row[0].lstrip().startswith("#")]
    if not rows:
        raise CatalogError(f"{path}: the list is empty")
    return rows


def _delimiter(lines: Sequence[str]) -> str:
    first = lines[0] if lines else ""
    return next((mark for mark in "\t;" if mark in first and "," not in first), ",")


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    # A cell with a digit is an id: EMD-1234 is no heading.
    plain = [re.sub(r"[\W_]", "", name.casefold()) for name in header]
    return next((plain.index(name) for name in names if name in plain), None)


def _as_splits(path: Path, found: Sequence[tuple[str, str]]) -> dict[str, str]:
    made: dict[str, str] = {}
    for name, text in found:
        word = split_word(text)
        if word is None:
            raise CatalogError(f"{path}: {name[:40]!r} is in {text[:40]!r}, which is no split")
        if made.setdefault(name, word) != word:
            raise CatalogError(f"{path}: {name[:40]!r} is in {made[name]} and in {word}")
    _checked(path, made)
    return made


def _checked(path: Path, ids: Mapping[str, str]) -> tuple[str, ...]:
    if not ids:
        raise CatalogError(f"{path}: the list holds no id")
    for name in ids:
        if not _NAME.fullmatch(name):
            raise CatalogError(f"{path}: {name[:40]!a} is no entry, EMDB or PDB id")
    return tuple(ids)


def _key(name: str) -> str:
    emdb = _EMDB.fullmatch(name)
    return f"emd-{emdb[1]}" if emdb else name.casefold()


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
