"""JSON documents that carry their own checksum: one changed bit and they are refused.

Objects whose checksum no other object can hold, because they change while a store lives (the plan,
receipts, leases, the pointer to the newest generation), vouch for themselves this way.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from c2s_data.errors import StoreError

_HEAD: Final = b'{"content":'
_TAIL_BYTES: Final = len(b',"sha256":""}') + 64


def seal(document: dict[str, Any]) -> bytes:
    """Return the bytes of a document, the same on every run, with the sha256 of its content."""
    body = _encode(document)
    return _HEAD + body + _tail(hashlib.sha256(body).hexdigest())


def _tail(sha256: str) -> bytes:
    return f',"sha256":"{sha256}"}}'.encode()


def unseal(data: bytes, where: str) -> dict[str, Any]:
    """Return the document that `seal` was given.

    Raises
    ------
    StoreError
        If the bytes are not what `seal` returns for a document; ``where`` names the object.
    """
    # Cut at the frame that `seal` puts around, so that a large document is not encoded again.
    body, digest = data[len(_HEAD) : -_TAIL_BYTES], data[-_TAIL_BYTES:]
    expected = _tail(hashlib.sha256(body).hexdigest())
    if not data.startswith(_HEAD) or digest != expected:
        raise StoreError(f"{where} is damaged: its checksum does not fit its content")
    try:
        content: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{where} is damaged: {error!r}") from error
    if not isinstance(content, dict):
        raise StoreError(f"{where} is damaged: it holds no document")
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
