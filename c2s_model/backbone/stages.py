"""Work in stages, each with its output in a folder: what is done is not done again.

Beside its output a stage leaves ``NAME.json`` with a fingerprint of everything it was made from,
the stages before it included, and with the sizes of its files. A stage whose fingerprint is the
same is passed over; after a changed option it and all stages behind it run again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from c2s_data import __version__
from c2s_data.errors import ConfigError
from c2s_model.backbone.structure import write_text_beside

FORMAT: Final = 1
_MAX_BYTES: Final = 2**22


@dataclass(frozen=True)
class StageResult:
    """What a stage came to.

    Parameters
    ----------
    fingerprint : str
        sha256 of what it was made from.
    seconds : float
        That its work took, whenever that was.
    repeated : bool
        Whether it ran now.
    facts : dict
        What it said of itself: numbers and notes, plain values.
    """

    fingerprint: str
    seconds: float
    repeated: bool
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stages:
    """A work folder.

    Parameters
    ----------
    folder
        Made if it is not there.
    say
        Told of each stage as it begins and ends.
    """

    folder: Path
    say: Callable[[str], None] = lambda text: None

    def run(
        self,
        name: str,
        made_from: Mapping[str, Any],
        outputs: Sequence[Path],
        work: Callable[[], dict[str, Any]],
    ) -> StageResult:
        """Do the work of a stage, unless it is done.

        Parameters
        ----------
        name
            Of the stage; names its record.
        made_from
            Everything that decides the outputs, as plain values; the fingerprints of earlier
            stages among them.
        outputs
            Files or folders that the work leaves; the work replaces them as a whole.
        work
            Returns facts, plain values.
        """
        fingerprint = fingerprint_of({"stage": name, "version": __version__, **made_from})
        record = self.folder / f"{name}.json"
        found = _read(record)
        if found.get("fingerprint") == fingerprint and found.get("outputs") == _sizes(outputs):
            self.say(f"{name}: done before ({found['seconds']:.1f} s)")
            return StageResult(fingerprint, found["seconds"], False, found["facts"])
        self.say(f"{name} ...")
        self.folder.mkdir(parents=True, exist_ok=True)
        record.unlink(missing_ok=True)  # outputs half replaced must not pass for those of before
        start = time.perf_counter()
        facts = work()
        seconds = time.perf_counter() - start
        missing = [str(path) for path in outputs if not path.exists()]
        if missing:
            raise ConfigError(f"stage {name} left no {', '.join(missing)}")
        document = {
            "format": FORMAT,
            "fingerprint": fingerprint,
            "seconds": seconds,
            "outputs": _sizes(outputs),
            "facts": facts,
        }
        write_text_beside(record, json.dumps(document, indent=1, allow_nan=False) + "\n")
        self.say(f"{name}: {seconds:.1f} s")
        return StageResult(fingerprint, seconds, True, facts)


def fingerprint_of(document: Mapping[str, Any]) -> str:
    """Return the sha256 (hex) of plain values, whatever their order."""
    text = json.dumps(document, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _sizes(outputs: Sequence[Path]) -> dict[str, int]:
    """Return the size of each output in bytes; of a folder that of all files in it."""
    sizes = {}
    for path in outputs:
        files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
        sizes[str(path)] = sum(one.stat().st_size for one in files) if path.exists() else -1
    return sizes


def _read(record: Path) -> dict[str, Any]:
    """Return a record, empty where there is none or it cannot be used: then the stage runs."""
    with suppress(OSError, ValueError, RecursionError):
        with record.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
        document = json.loads(data) if len(data) <= _MAX_BYTES else None
        if (
            isinstance(document, dict)
            and document.get("format") == FORMAT
            and isinstance(document.get("seconds"), int | float)
            and isinstance(document.get("facts"), dict)
        ):
            return document
    return {}
