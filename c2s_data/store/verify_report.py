"""What `c2s_data.store.verify` says: faults, each with its place, and a summary."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["quick", "default", "full"]
Kind = Literal[
    "missing", "size", "changed", "swapped", "unexpected", "unreadable", "inconsistent"
]  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a store.

    Parameters
    ----------
    kind
        ``missing``; ``size``: another size than committed; ``changed``: other bytes; ``swapped``:
        the bytes of another object; ``unexpected``: an object that nothing needs; ``unreadable``;
        ``inconsistent``: the bytes that were committed, but they contradict other objects.
    key
        Name of the object.
    message
        What was found, and what to do where `repair` is no help.
    entry
        Group of the entry that the object belongs to, None for the store's own objects.
    array
        Path of the array that the object is part of.
    chunk, offset, nbytes
        Number of the damaged chunk in its shard (C order), its first byte and its size.
    """

    kind: Kind
    key: str
    message: str
    entry: str | None = None
    array: str | None = None
    chunk: int | None = None
    offset: int | None = None
    nbytes: int | None = None

    def __str__(self) -> str:
        place = "" if self.chunk is None else f" chunk {self.chunk}"
        if self.offset is not None:
            place += f" at byte {self.offset:,}"
        entry = f" [{self.entry}]" if self.entry else ""
        return f"{self.kind}: {self.key}{place}{entry}: {self.message}"


@dataclass(frozen=True)
class Report:
    """The outcome of one `verify`.

    ``generations`` are the kept ones, the newest first. ``stored_sha256`` is the digest over the
    stored bytes that the newest one was committed with, ``decoded_sha256`` the one over decoded
    arrays (level ``full`` without faults only). ``nbytes`` counts what was read or, at level
    ``quick``, looked up.
    """

    url: str
    level: Level
    generations: tuple[int, ...]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]
    n_objects: int
    nbytes: int
    seconds: float
    stored_sha256: str | None
    decoded_sha256: str | None

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return asdict(self) | {"is_clean": self.is_clean}
