"""What the archive's document of an entry says that a search result may lack.

The document (EMDB's header in JSON) nests deeply and leaves out what was not given, so each value
is looked for and left empty where it is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from c2s_data.errors import CatalogError
from c2s_data.sources.archive import check_emdb_id, check_pdb_id, plain_base
from c2s_data.sources.archive_rows import COLUMNS, contour_text
from c2s_data.sources.bounded_json import MAX_JSON_BYTES, inner, listed, parse_json, plain_text
from c2s_data.sources.download import open_url
from c2s_data.sources.politeness import Hosts
from c2s_data.sources.web_origin import origin_of_url

DETAILS: Final = ("method", "software", "title", "journal", "contour_level", "article")
"""Columns that are looked up when they are empty."""
_FULL_OVERLAP: Final = "FULLOVERLAP"


def lacks_details(row: dict[str, str]) -> bool:
    """Say whether a row has an empty column that the entry's document may fill."""
    return any(not row.get(name) for name in DETAILS)


def add_details(row: dict[str, str], document: object) -> dict[str, str]:
    """Return a row with its empty columns filled from the entry's document.

    Where several structures are fitted, the first one that the document says lies in the map's
    frame with full overlap takes the place of the first one listed.
    """
    told = details_of(document)
    filled = row | {name: told[name] for name in DETAILS if not row.get(name) and told[name]}
    listed_ids = [filled.get("pdb_id", ""), *filled.get("other_pdb_ids", "").split()]
    best = [pdb_id for pdb_id in _overlapping(document) if pdb_id in listed_ids[1:]]
    if best and listed_ids[0] not in _overlapping(document):
        others = [pdb_id for pdb_id in listed_ids if pdb_id != best[0]]
        filled |= {"pdb_id": best[0], "other_pdb_ids": " ".join(others)}
    return filled


def details_of(document: object) -> dict[str, str]:
    """Return the `DETAILS` that a document holds, the others empty."""
    determination = inner(document, "structure_determination_list", "structure_determination", 0)
    citation = _citation(document)
    return {
        "method": plain_text(inner(determination, "method")),
        "software": _software(determination),
        "title": plain_text(inner(document, "admin", "title")),
        "journal": plain_text(
            inner(citation, "journal") or inner(citation, "journal_abbreviation")
        ),
        "contour_level": _contour(document),
        "article": plain_text(inner(citation, "title")),
    }


def read_entry(emdb_id: str, hosts: Hosts, *, api: str, origins: Sequence[str] = ()) -> Any:  # noqa: ANN401
    """Ask for an entry's document.

    Raises
    ------
    DownloadError, DocumentError
        It cannot be had, or is no JSON.
    """
    address = f"{plain_base(api)}/entry/{check_emdb_id(emdb_id)}"
    policy = hosts.policy

    def attempt() -> bytes:
        with open_url(
            address,
            max_bytes=MAX_JSON_BYTES,
            allowed_origins=(origin_of_url(api), *origins),
            timeout_s=policy.timeout_s,
            deadline_s=policy.deadline_s,
        ) as body:
            return body.readall()

    data = hosts.ask(address, attempt, pace_s=policy.api_pace_s)
    return parse_json(data, name=f"{emdb_id}: its document")


def _contour(document: object) -> str:
    contours = listed(document, "map", "contour_list", "contour")
    primary = [contour for contour in contours if inner(contour, "primary") is True]
    for contour in (*primary, *contours):
        if text := contour_text(inner(contour, "level")):
            return text
    return ""


def _citation(document: object) -> object:
    """Return the primary citation, which lies under a key that names its kind."""
    primary = inner(document, "crossreferences", "citation_list", "primary_citation")
    if isinstance(primary, dict) and "title" not in primary:
        return next((value for value in primary.values() if isinstance(value, dict)), None)
    return primary


def _software(determination: object) -> str:
    """Return the programs of the final reconstruction, else of all steps of the processing."""
    processing = listed(determination, "image_processing")
    final = [inner(process, "final_reconstruction") for process in processing]
    steps = [
        step for process in processing if isinstance(process, dict) for step in process.values()
    ]
    return _programs(final) or _programs(steps)


def _programs(steps: list[Any]) -> str:
    names: dict[str, None] = {}  # an ordered set
    for step in steps:
        for program in listed(step, "software_list", "software"):
            words = (plain_text(inner(program, "name")), plain_text(inner(program, "version")))
            names[" ".join(filter(None, words))] = None
    return ", ".join(filter(None, names))


def _overlapping(document: object) -> list[str]:
    found = []
    for reference in listed(document, "crossreferences", "pdb_list", "pdb_reference"):
        if inner(reference, "relationship", "in_frame") == _FULL_OVERLAP:
            try:
                found.append(check_pdb_id(plain_text(inner(reference, "pdb_id"))))
            except CatalogError:
                continue  # of a reference that names no structure nothing follows
    return found


assert set(DETAILS) <= set(COLUMNS)
