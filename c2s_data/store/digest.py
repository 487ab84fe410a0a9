"""The digest over decoded content: what a store says, however it is encoded.

Stores of the same inputs and options have the same digest with another codec, chunking or library.
`c2s_data.store.manifest.stored_digest` is the other digest, over the bytes as they are stored: a
sha256, since that one has to stand against forgers. Decoded content is several times as many bytes
that were found intact already; arrays are hashed by XXH3 (128 bits), as fast as memory is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray


class ArrayDigest:
    """The XXH3 (128 bits) of one array, fed block after block in C order.

    Parameters
    ----------
    dtype, shape
        Of the whole array; both are part of the digest.
    """

    def __init__(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self._dtype = dtype.newbyteorder("<")
        self._xxh3 = xxhash.xxh3_128(f"{self._dtype.str} {tuple(map(int, shape))}\n".encode())

    def update(self, block: NDArray[Any]) -> None:
        """Take the next values."""
        values = np.ascontiguousarray(block, self._dtype)
        self._xxh3.update(values.reshape(-1).view(np.uint8).data)

    def hexdigest(self) -> str:
        """Return the digest (hex)."""
        return self._xxh3.hexdigest()


def array_digest(values: NDArray[Any]) -> str:
    """Return the XXH3 (hex, 128 bits) of dtype, shape and values."""
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
        for name, found in arrays:
            digest.update(f"{number} {name} {found}\n".encode())
    return digest.hexdigest()
