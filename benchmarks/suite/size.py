"""How much a run measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

Some = TypeVar("Some")


@dataclass(frozen=True)
class Size:
    """A run: ``quick`` shows that everything works, ``bench`` and ``full`` give figures."""

    name: str
    repeats: int

    @property
    def few(self) -> int:
        """Repeats of what takes long, or varies little."""
        return self.pick(1, 3, 5)

    def pick(self, quick: Some, bench: Some, full: Some) -> Some:
        """Return the choice for this size."""
        return {"quick": quick, "bench": bench, "full": full}[self.name]


SIZES: Final = {size.name: size for size in (Size("quick", 2), Size("bench", 5), Size("full", 11))}
