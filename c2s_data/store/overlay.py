"""A store whose changes stay in memory: to see what a step would write, and take some of it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator

from c2s_data.errors import MissingChunkError
from c2s_data.store.objects import Data, Objects


class Overlay:
    """Objects over others that are never changed.

    Parameters
    ----------
    base
        Where what was not written is read.
    keep
        Names of what is kept of what is written, None for everything; the rest is let go.
    hidden
        Names that are missing until they are written.
    """

    confirms = False

    def __init__(
        self, base: Objects, *, keep: Container[str] | None = None, hidden: Iterable[str] = ()
    ) -> None:
        self.url = base.url
        self.written: dict[str, bytes] = {}
        self._base = base
        self._keep = keep
        self._hidden = set(hidden)

    def put(self, key: str, data: Data, *, durable: bool = True) -> None:
        """Keep the bytes."""
        if self._keep is None or key in self._keep:
            self.written[key] = bytes(data)

    def flush(self, keys: Iterable[str]) -> None:
        """Nothing reaches a disk."""

    def create(self, key: str, data: Data) -> bool:
        """Keep the bytes unless the name is taken."""
        if self.size(key) is not None:
            return False
        self.put(key, data)
        return True

    def get(self, key: str, *, check: Callable[[bytes], bool] | None = None) -> bytes:
        """Return what was written, else what lies below."""
        if key in self.written:
            return self.written[key]
        if key in self._hidden:
            raise MissingChunkError(f"{self.url}: object {key!r} is hidden")
        return self._base.get(key, check=check)

    def span(self, key: str, start: int, stop: int) -> bytes:
        """Cut it out of the whole."""
        return self.get(key)[start:stop]

    def tail(self, key: str, nbytes: int) -> bytes:
        """Cut it off the whole."""
        data = self.get(key)
        return data[max(0, len(data) - nbytes) :]

    def holds(self, key: str, data: Data) -> bool:
        """Compare; what was written and let go is taken as written."""
        if self._keep is not None and key not in self._keep:
            return True
        return self.get(key) == bytes(data)

    def size(self, key: str) -> int | None:
        """Return the bytes of what was written, else of what lies below."""
        if key in self.written:
            return len(self.written[key])
        return None if key in self._hidden else self._base.size(key)

    def delete(self, key: str) -> None:
        """Hide it."""
        self.written.pop(key, None)
        self._hidden.add(key)

    def names(self, prefix: str) -> Iterator[str]:
        """List what lies below."""
        yield from self._base.names(prefix)

    def walk(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """List what lies below."""
        yield from self._base.walk(prefix)

    def leftovers(self) -> Iterator[tuple[str, float]]:
        """List what lies below."""
        yield from self._base.leftovers()
