"""An unfinished file, and what must be known to go on with it."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from c2s_data.sources.download import Body


class PartFile:
    """An unfinished file and the note that tells which content of which server it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._note_path = path.with_name(path.name + ".json")

    def start(self, url: str) -> tuple[int, str | None]:
        """Return where to go on and the content's validator; (0, None) to begin anew."""
        validator = self._note(url).get("validator")
        if not isinstance(validator, str) or not self.path.is_file() or self.path.is_symlink():
            return 0, None
        size = self.path.stat().st_size
        return (size, validator) if size > 0 else (0, None)

    def is_complete(self, url: str) -> bool:
        """Say whether all of it came, and only its checks were not made yet."""
        return (
            self.path.is_file() and self._note(url).get("complete") == self.path.stat().st_size > 0
        )

    def opened(self, url: str, body: Body) -> BinaryIO:
        """Open it where the body begins."""
        if body.start > 0:
            file = self.path.open("r+b")
            file.seek(body.start)
            return file
        self.remove()
        self._write_note({"url": url, "validator": body.validator})
        return self.path.open("xb")

    def complete(self, url: str, body: Body) -> None:
        """Note that all of it is there."""
        size = self.path.stat().st_size
        self._write_note({"url": url, "validator": body.validator, "complete": size})

    def remove(self) -> None:
        """Forget it."""
        for path in (self.path, self._note_path):
            path.unlink(missing_ok=True)

    def _note(self, url: str) -> dict[str, object]:
        with suppress(OSError, ValueError, RecursionError):
            note = json.loads(self._note_path.read_bytes())
            if isinstance(note, dict) and note.get("url") == url:
                return note
        return {}

    def _write_note(self, note: dict[str, object]) -> None:
        fresh = self._note_path.with_name(self._note_path.name + ".new")
        fresh.write_text(json.dumps(note), encoding="utf-8")
        fresh.replace(self._note_path)
