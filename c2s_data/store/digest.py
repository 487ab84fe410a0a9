"""The digest over decoded content: what a store says, however it is encoded.

Stores of the same inputs and options have the same digest with another codec, chunking or library.
`c2s_data.store.manifest.stored_digest` is the other digest, over the bytes as they are stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class ArrayDigest:
    """The sha256 of one array, fed block after block in C order.

    Parameters
    ----------
    dtype, shape
        Of the whole array; both are part of the digest.
    """

    def __init__(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self._dtype = dtype.newbyteorder("<")
        self._sha256 = hashlib.sha256(f"{self._dtype.str} {tuple(map(int, shape))}\n".encode())

    def update(self, block: NDArray[Any]) -> None:
        """Take the next values."""
        values = np.ascontiguousarray(block, self._dtype)
        self._sha256.update(values.reshape(-1).view(np.uint8).data)

    def hexdigest(self) -> str:
        """Return the digest (hex)."""
        return self._sha256.hexdigest()


def array_digest(values: NDArray[Any]) -> str:
    """Return the sha256 (hex) of dtype, shape and values."""
    digest = ArrayDigest(values.dtype, values.shape)
    digest.update(values)
    return digest.hexdigest()


def decoded_digest(entries: Iterable[Iterable[tuple[str, str]]]) -> str:
    """Return one sha256 (hex) over the arrays of all entries.

    Parameters
    ----------
    entries
        By map_index; of each entry (name, digest) of its arrays: ``subgrids/density``, the masks,
        the index columns, then those of its map group.
    """
    digest = hashlib.sha256()
    for number, arrays in enumerate(entries):
        for name, sha256 in arrays:
            digest.update(f"{number} {name} {sha256}\n".encode())
    return digest.hexdigest()
