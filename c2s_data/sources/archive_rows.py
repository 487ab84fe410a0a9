"""The table that EMDB's search sends, and the rows of a catalog that come of it.

Nothing is taken for granted: a field may be missing or empty, a title may hold commas, quotes and
line ends, several structures may be fitted to one map, and a page may end early.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Final

from c2s_data.errors import CatalogError
from c2s_data.sources.archive import check_emdb_id, check_pdb_id
from c2s_data.sources.bounded_json import plain_text
from c2s_data.sources.web_origin import DownloadError

COLUMNS: Final = (
    "emdb_id", "pdb_id", "resolution_A", "method", "software", "title", "journal",
    "contour_level", "release_date", "article", "other_pdb_ids",
)  # fmt: skip
"""Columns of a search result: the paper's supplementary table, and what the next steps need."""
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass
class Found:
    """What a search gave: rows of `COLUMNS`, and (EMDB id, title, reason) of what was dropped."""

    rows: list[dict[str, str]] = field(default_factory=list)
    dropped: list[tuple[str, str, str]] = field(default_factory=list)


def parse_page(stream: IO[str]) -> list[dict[str, str]]:
    """Return the rows of one page, by the names of its first line.

    Raises
    ------
    DownloadError
        No table of entries (a page of HTML, an error in JSON), or a row of another length, as the
        last one has when a page is cut off.
    """
    try:
        reader = csv.reader(stream)
        names = [name.strip() for name in next(reader, [])]
        if not names:
            return []  # nothing found is an empty page
        if "emdb_id" not in names:
            raise DownloadError(
                f"the search did not send a table of entries but {ascii(','.join(names))[:100]}",
                transient=False,
            )
        rows = [row for row in reader if row]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DownloadError(f"the search result is no CSV table: {error}") from error
    for row in rows:
        if len(row) != len(names):
            fact = f"a row has {len(row)} fields instead of {len(names)}"
            raise DownloadError(f"the search result was cut off: {fact}: {ascii(row[0])[:40]}")
    return [dict(zip(names, row, strict=True)) for row in rows]


def add_rows(
    found: Found,
    raw_rows: Iterable[dict[str, str]],
    resolution_A: tuple[float, float] | None = None,
) -> None:
    """Sort rows of the service into rows of a catalog and dropped ones.

    Of several fitted structures the first that the archive lists is taken (its entry's primary
    one); the others are kept in ``other_pdb_ids``.

    Parameters
    ----------
    found
        Is added to.
    raw_rows
        By the service's field names; any of them may be missing.
    resolution_A
        Lowest and highest that are kept, whatever the service sent.
    """
    for raw in raw_rows:
        try:
            found.rows.append(_row(raw, resolution_A))
        except CatalogError as error:
            name, title = plain_text(raw.get("emdb_id"), longest=80), plain_text(raw.get("title"))
            found.dropped.append((name, title, str(error)))


def _row(raw: dict[str, str], resolution_A: tuple[float, float] | None) -> dict[str, str]:
    emdb_id = check_emdb_id(raw.get("emdb_id", "").strip())
    status = raw.get("current_status", "").strip()
    if status and status != "REL":
        raise CatalogError(f"its status is {ascii(status)[:20]}, not REL (released)")
    pdb_ids = fitted_ids(raw.get("fitted_pdbs", ""))
    if not pdb_ids:
        raise CatalogError("no fitted structure")
    resolution = _number(raw.get("resolution", ""), "resolution")
    if resolution_A is not None and not resolution_A[0] <= resolution <= resolution_A[1]:
        raise CatalogError(f"its resolution of {resolution:g} A is out of the range asked for")
    return {
        "emdb_id": emdb_id,
        "pdb_id": pdb_ids[0],
        "resolution_A": f"{resolution:g}",
        "method": plain_text(raw.get("structure_determination_method")),
        "software": plain_text(raw.get("software")),
        "title": plain_text(raw.get("title")),
        "journal": plain_text(raw.get("primary_citation_journal_name")),
        "contour_level": contour_text(raw.get("map_contour_level_value", "")),
        "release_date": _day(raw.get("map_release_date") or raw.get("release_date") or ""),
        "article": plain_text(raw.get("primary_citation_title")),
        "other_pdb_ids": " ".join(pdb_ids[1:]),
    }


def fitted_ids(text: str) -> list[str]:
    """Return the PDB ids that a field lists, in its order, each once.

    Raises
    ------
    CatalogError
        If something in it is no PDB id.
    """
    names = (name for name in re.split(r"[\s,;|]+", text[:10_000]) if name)
    return list(dict.fromkeys(check_pdb_id(name) for name in names))


def contour_text(text: object) -> str:
    """Return a contour level as the catalog holds it; empty unless it is one finite number."""
    first = re.split(r"[\s,;|]+", plain_text(text, longest=200), maxsplit=1)[0]
    try:
        return first if math.isfinite(float(first)) else ""
    except ValueError:
        return ""


def _number(text: str, name: str) -> float:
    if not text.strip():
        raise CatalogError(f"no {name}")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise CatalogError(f"its {name} {text[:40]!a} is not a positive number")
    return value


def _day(text: str) -> str:
    found = _DATE.match(text)
    return found.group() if found else ""


def write_rows(stream: IO[str], columns: Sequence[str], rows: Iterable[Iterable[str]]) -> None:
    """Write a table as CSV."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)


def rows_of(found: Found) -> Iterator[list[str]]:
    """Return the rows of a search result in the order of `COLUMNS`."""
    return ([row[name] for name in COLUMNS] for row in found.rows)
