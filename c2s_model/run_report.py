"""Write the page of a backbone: one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from c2s_data.errors import ConfigError
from c2s_data.explore.pages.constants import constants
from c2s_data.explore.pages.packed import as_text, pack
from c2s_data.explore.pages.page import page
from c2s_model.backbone.structure import write_text_beside
from c2s_model.run_document import run_document

PROGRAMS: Final = (
    "packed.js", "colors.js", "plots.js", "surface.js", "tube.js", "scene.js", "map_page.js",
    "run_page.js",
)  # fmt: skip


def write_run_report(
    model: Path, out: Path, work: Path | None, truth: Path | None, *, overwrite: bool = False
) -> None:
    """Write the page of a model; parameters and errors are those of `run_document`.

    Raises
    ------
    ConfigError
        If ``out`` is there already, or no HTML file.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"{out}: a report is an HTML file; give a name *.html")
    if out.exists() and not overwrite:
        raise ConfigError(f"{out} exists already; choose another name, or add --overwrite")
    data = {
        "constants": as_text(pack(constants())),
        "run": as_text(pack(run_document(model, work, truth))),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text_beside(out, page(model.name, PROGRAMS, data))
