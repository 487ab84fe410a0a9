"""What each step of the demonstration found and how long it took, kept beside its results."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.train_demo.settings import Settings
from c2s_model.training.run_folder import write_json

FILE = "facts.json"


class Facts:
    """Facts of the steps by name; a step that is done is not done again.

    Parameters
    ----------
    folder
        The demonstration's; made if it does not exist.
    settings, pairs
        What the folder's results belong to.

    Raises
    ------
    SystemExit
        The folder belongs to other settings.
    """

    def __init__(self, folder: Path, settings: Settings, pairs: Path | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / FILE
        # Through JSON, so that tuples compare with what was read back.
        wanted = json.loads(json.dumps({"settings": asdict(settings), "real": pairs is not None}))
        self.steps: dict[str, dict[str, Any]] = {}
        if self._path.exists():
            document = json.loads(self._path.read_text())
            if document["made_with"] != wanted:
                raise SystemExit(
                    f"{folder} holds a demonstration with other settings; remove it, or give "
                    "another --out"
                )
            self.steps = document["steps"]
        self._made_with = wanted

    def step(self, name: str, do: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Do a step, unless it was done before, and return its facts with its ``seconds``."""
        if name not in self.steps:
            started = time.perf_counter()
            found = do()
            found.setdefault("seconds", time.perf_counter() - started)
            self.steps[name] = json.loads(json.dumps(found))
            write_json(self._path, {"made_with": self._made_with, "steps": self.steps})
        return self.steps[name]
