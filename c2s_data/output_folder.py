"""What a folder that is written can do, wherever it is kept; here on this machine's disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

Marker = Callable[[str], str | None]
"""Returns the file that vouches for a file, such as the one that makes a checkpoint whole."""
Choose = Callable[[Sequence[str]], Iterable[str]]
"""Returns which of the files that are kept are wanted here."""


def all_of(names: Sequence[str]) -> Sequence[str]:
    """Want every file."""
    return names


def no_marker(name: str) -> str | None:
    """Say that nothing vouches for a file."""
    return None


class OutputFolder:
    """A folder that a command writes; here one of this machine's disk, which needs no sending.

    Parameters
    ----------
    path
        Where files are read and written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def address(self) -> str:
        """Where the files are in the end."""
        return str(self.path)

    def told(self, text: str) -> str:
        """Return a text about `path` as one about `address`."""
        return text

    def bring(
        self, choose: Choose = all_of, below: str = "", *, placeholders: bool = False
    ) -> None:
        """Bring files that are kept, below a folder; the others as empty ones, if at all."""

    def send(self, below: str = "", *, last: bool = False) -> None:
        """Send what changed since the last time, below a folder."""

    def forget(self, below: str, keep: Sequence[str] = ()) -> None:
        """Free this machine's disk of what was sent, but for files of the names in ``keep``."""
