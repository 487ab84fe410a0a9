"""A store that every process opens for itself, always at the same generation."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

import torch

from c2s_data.errors import StoreError
from c2s_data.store.reader import Store, open_store

_SHA256_BYTES: Final = 32
StoreSource = str | os.PathLike[str] | Store | Callable[[], Store]


class StoreHandle:
    """Opens a store in the process that reads it; what was opened before a fork is left alone.

    Parameters
    ----------
    source
        Path or URL, an open store, or what opens one.
    generation
        Which generation; by default the one of the open store, else the newest. The first process
        that opens it decides for all that share this handle, whatever is committed later: number
        and content, since a store that was removed and built anew counts from 1 again.

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
        # Shared memory, so that workers of later epochs see what the first one opened.
        self._generation = torch.tensor(generation or 0).share_memory_()  # type: ignore[no-untyped-call]
        self._content = torch.zeros(_SHA256_BYTES + 1, dtype=torch.uint8).share_memory_()  # type: ignore[no-untyped-call]
        if isinstance(source, str | os.PathLike):
            self._url = source
        elif not callable(source):
            self._url = source.url
            if generation in (None, source.generation):
                self._store = source
                self._pin(source)
        elif generation is None:
            self._opener = source
        else:
            raise ValueError(
                f"generation={generation} needs a path or URL; a function that opens the store "
                "chooses the generation itself"
            )

    def open(self) -> Store:
        """Return the store of this process.

        Raises
        ------
        c2s_data.errors.StoreError
            As `c2s_data.store.reader.open_store`, or if another process opened another content.
        """
        store = self._store if self._pid == os.getpid() else None
        if store is None:
            store = self._opener() if self._opener else self._open_pinned()
        self._pin(store)
        self._store, self._pid = store, os.getpid()
        return store

    def _open_pinned(self) -> Store:
        return open_store(self._url, int(self._generation) or None)

    def _pin(self, store: Store) -> None:
        """Fix what is read for all processes; every `open` looks, as two may be the first at once.

        The last byte of the content says that the others are there.
        """
        if not self._content[-1]:
            sha256 = torch.frombuffer(bytearray.fromhex(store.fingerprint), dtype=torch.uint8)
            self._generation.fill_(store.generation)
            self._content[:-1] = sha256
            self._content[-1] = 1
        pinned = bytes(self._content[:-1].tolist()).hex()
        if pinned != store.fingerprint:
            raise StoreError(
                f"{store.url}: generation {store.generation} with fingerprint {store.fingerprint} "
                f"was opened, but this dataset reads generation {int(self._generation)} with "
                f"fingerprint {pinned}: the store was replaced, or committed to while two "
                "processes opened it; make a new dataset, and give it generation=..."
            )

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_store": None, "_pid": -1}
