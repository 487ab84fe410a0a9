"""Facts and arrays as one byte string that a page can carry or ask for.

Little-endian uint32 length, JSON in UTF-8 padded to a multiple of 8, then the arrays. In the JSON
an array is ``{"dtype": "<f4", "shape": [...], "at": byte}``; ``assets/packed.js`` reads it.
"""

from __future__ import annotations

import base64
import json
import math
import struct
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

DTYPES: Final = ("|u1", "<i2", "<u2", "<i4", "<u4", "<f4", "<f8")
_ALIGNED: Final = 8


def pack(document: Mapping[str, Any]) -> bytes:
    """Pack a document of plain values, lists, mappings and numpy arrays.

    A float that is not finite becomes null, because JSON has none.

    Raises
    ------
    TypeError
        If a value is of a kind that a page cannot read.
    """
    arrays: list[NDArray[Any]] = []
    plain = _plain(document, arrays)
    text = json.dumps(plain, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-(4 + len(text)) % _ALIGNED)
    return b"".join([struct.pack("<I", len(text)), text, *map(_padded, arrays)])


def as_text(packed: bytes) -> str:
    """Return packed bytes deflated and in base64, which no page takes for markup."""
    return base64.b64encode(zlib.compress(packed, 6)).decode()


def _plain(value: Any, arrays: list[NDArray[Any]]) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, np.ndarray):
        return _place(value, arrays)
    if isinstance(value, np.generic):
        return _plain(value.item(), arrays)
    if isinstance(value, Mapping):
        return {str(key): _plain(one, arrays) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, arrays) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _place(value: NDArray[Any], arrays: list[NDArray[Any]]) -> dict[str, Any]:
    if value.dtype.str not in DTYPES:
        raise TypeError(f"a page cannot read an array of {value.dtype}; it can {', '.join(DTYPES)}")
    at = sum(_size(one) for one in arrays)
    arrays.append(np.ascontiguousarray(value))
    return {"dtype": value.dtype.str, "shape": list(value.shape), "at": at}


def _size(array: NDArray[Any]) -> int:
    return array.nbytes + -array.nbytes % _ALIGNED


def _padded(array: NDArray[Any]) -> bytes:
    return array.tobytes() + b"\0" * (-array.nbytes % _ALIGNED)
