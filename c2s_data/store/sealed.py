"""JSON documents that carry their own checksum: one changed bit and they are refused.

Objects whose checksum no other object can hold, because they change while a store lives (the plan,
receipts, leases, the pointer to the newest generation), vouch for themselves this way.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from c2s_data.errors import StoreError


def seal(document: dict[str, Any]) -> bytes:
    """Return the bytes of a document, the same on every run, with the sha256 of its content."""
    body = _encode(document)
    return _encode({"content": document, "sha256": hashlib.sha256(body).hexdigest()})


def unseal(data: bytes, where: str) -> dict[str, Any]:
    """Return the document that `seal` was given.

    Raises
    ------
    StoreError
        If the bytes are not exactly what `seal` returns for it; ``where`` names the object.
    """
    try:
        document: Any = json.loads(data)["content"]
        intact = isinstance(document, dict) and seal(document) == data
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"{where} is damaged: {error!r}") from error
    if not intact:
        raise StoreError(f"{where} is damaged: its checksum does not fit its content")
    content: dict[str, Any] = document
    return content


def is_sealed(data: bytes) -> bool:
    """Say whether bytes are an intact sealed document."""
    try:
        unseal(data, "document")
    except StoreError:
        return False
    return True


def _encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
