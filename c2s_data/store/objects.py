"""Named byte strings at one place: a local folder, a bucket or any other fsspec URL.

A store is a set of objects. This module is how they are written and read; it knows nothing of
what is in them. An object appears whole or not at all, and it is safe from a power cut once
`Objects.flush` returns or with ``durable=True``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from c2s_data.store.address import Data, checked_url, local_folder
from c2s_data.store.local_objects import LocalObjects
from c2s_data.store.remote_objects import RemoteObjects

__all__ = ["Data", "LocalObjects", "Objects", "RemoteObjects", "open_objects"]


class Objects(Protocol):
    """What the rest of the store package asks of a place.

    Every method refuses with `StoreError` a name that leads out of the store or through a symbolic
    link in it, and a place that does not answer.
    """

    url: str
    confirms: bool
    """Whether `put` returns only once the place has shown that it has these very bytes."""

    def put(self, key: str, data: Data, *, durable: bool = True) -> None:
        """Write an object whole, replacing an older one; wait for the disk if ``durable``."""

    def flush(self, keys: Iterable[str]) -> None:
        """Wait until these objects and their folders are on the disk."""

    def create(self, key: str, data: Data) -> bool:
        """Write an object unless one of that name exists; say whether this call wrote it."""

    def get(self, key: str, *, check: Callable[[bytes], bool] | None = None) -> bytes:
        """Return an object; `MissingChunkError` if there is none.

        What came over a network and fails ``check`` is fetched again before it is returned; the
        caller still judges what it is given.
        """

    def span(self, key: str, start: int, stop: int) -> bytes:
        """Return bytes ``start`` to ``stop``, fewer where the object ends sooner; raises as `get`.

        Needs 0 <= start.
        """

    def tail(self, key: str, nbytes: int) -> bytes:
        """Return the last ``nbytes``, fewer where the object is shorter; raises as `get`."""

    def holds(self, key: str, data: Data) -> bool:
        """Read an object back and say whether it is these bytes; raises as `get`."""

    def size(self, key: str) -> int | None:
        """Return an object's bytes, or None if there is none."""

    def delete(self, key: str) -> None:
        """Remove an object if it exists."""

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names directly below ``prefix``, sorted."""

    def walk(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Yield name and bytes of every object below ``prefix``, sorted by name."""

    def leftovers(self) -> Iterator[tuple[str, float]]:
        """Yield name and age in seconds of what writers that were killed left unfinished."""


def open_objects(url: str | os.PathLike[str]) -> Objects:
    """Return the place that ``url`` names: a path, ``file://``, ``s3://`` or any fsspec URL.

    Raises
    ------
    StoreError
        The kind of address cannot be opened, or it carries a credential.
    """
    text = os.fspath(url)
    folder = local_folder(text)
    return RemoteObjects(checked_url(text)) if folder is None else LocalObjects(folder)
