"""A store that every process opens for itself, always at the same generation."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch

from c2s_data.store.reader import Store, open_store

StoreSource = str | os.PathLike[str] | Store | Callable[[], Store]


class StoreHandle:
    """Opens a store in the process that reads it; what was opened before a fork is left alone.

    Parameters
    ----------
    source
        Path or URL, an open store, or what opens one.
    generation
        Which generation; by default the one of the open store, else the newest. The first process
        that opens it decides for all that share this handle, whatever is committed later.

    Raises
    ------
    ValueError
        A generation was given for a function that opens the store itself.
    """

    def __init__(self, source: StoreSource, generation: int | None = None) -> None:
        self._opener: Callable[[], Store] | None = None
        self._url: str | os.PathLike[str] = ""
        self._store: Store | None = None
        self._pid = os.getpid()
        if isinstance(source, str | os.PathLike):
            self._url = source
        elif not callable(source):
            self._url, pinned = source.url, source.generation
            if generation in (None, pinned):
                self._store, generation = source, pinned
        elif generation is None:
            self._opener = source
        else:
            raise ValueError(
                f"generation={generation} needs a path or URL; a function that opens the store "
                "chooses the generation itself"
            )
        # Shared memory, so that workers of later epochs see what the first one opened.
        self._generation = torch.tensor(generation or 0).share_memory_()  # type: ignore[no-untyped-call]

    def open(self) -> Store:
        """Return the store of this process.

        Raises
        ------
        c2s_data.errors.StoreError
            As `c2s_data.store.reader.open_store`.
        """
        if self._store is None or self._pid != os.getpid():
            self._store, self._pid = self._open(), os.getpid()
        return self._store

    def _open(self) -> Store:
        if self._opener is not None:
            return self._opener()
        store = open_store(self._url, int(self._generation) or None)
        if not self._generation:
            self._generation.fill_(store.generation)
        return store

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_store": None, "_pid": -1}
