"""JSON that came from outside, read whole within a bound, and looked into without trust."""

from __future__ import annotations

import json
from typing import Any, Final

from c2s_data.sources.bounded_documents import DocumentError

MAX_JSON_BYTES: Final = 16 * 2**20


def parse_json(data: bytes, *, max_bytes: int = MAX_JSON_BYTES, name: str = "JSON") -> Any:  # noqa: ANN401
    """Parse a document of plain values.

    Raises
    ------
    DocumentError
        Too large, too deep, or no JSON.
    """
    if len(data) > max_bytes:
        raise DocumentError(f"{name}: {len(data):,} bytes are more than the {max_bytes:,} allowed")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        detail = " ".join(str(error).split())[:200]
        raise DocumentError(f"{name}: no plain JSON document ({detail}); fetch it again") from error


def inner(document: object, *path: str | int) -> Any:  # noqa: ANN401
    """Return the value that lies at a path of names and indices, None where the path ends early."""
    for step in path:
        if isinstance(step, str) and isinstance(document, dict):
            document = document.get(step)
        elif isinstance(step, int) and isinstance(document, list) and len(document) > step:
            document = document[step]
        else:
            return None
    return document


def listed(document: object, *path: str | int) -> list[Any]:
    """Return the list at a path; one thing alone is a list of one, nothing an empty one."""
    found = inner(document, *path)
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def plain_text(value: object, *, longest: int = 2000) -> str:
    """Return a value as one line of printable text, empty for anything that is no text or number.

    Text of an archive is shown on terminals and written to tables: what could steer either
    (escapes, line ends) becomes a space.
    """
    if isinstance(value, dict):
        value = value.get("valueOf_")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    text = str(value)[: 2 * longest]
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(text.split())[:longest]
