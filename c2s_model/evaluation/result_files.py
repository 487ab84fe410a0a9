"""Documents, tables and figures into a folder, each whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Picture(Protocol):
    """What a figure of matplotlib can do."""

    def savefig(self, fname: Any, *, dpi: float, facecolor: str) -> None:  # noqa: ANN401
        """Write it; the suffix chooses the format."""


def write_results(folder: Path, contents: Mapping[str, str | dict[str, Any] | Picture]) -> None:
    """Write files beside their places and rename them.

    Parameters
    ----------
    folder
        Made where it is missing.
    contents
        By file name: text, a document that becomes JSON, or a figure.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        beside = folder / f".{os.getpid()}.{name}"
        try:
            if isinstance(content, str):
                beside.write_text(content, encoding="utf-8")
            elif isinstance(content, dict):
                beside.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
            else:
                content.savefig(beside, dpi=130, facecolor="white")
            beside.replace(folder / name)
        finally:
            beside.unlink(missing_ok=True)
