"""The command that draws the curves of trainings."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer

from c2s_data.errors import ConfigError
from c2s_data.outputs import local_place
from c2s_data.staged import staged_input
from c2s_model.cli.app import app, say

_FORMATS = (".png", ".svg", ".pdf")


@app.command()
def plot(
    runs: Annotated[
        list[Path],
        typer.Argument(
            parser=staged_input,
            metavar="RUNS...",
            help="Folders of trainings; several are compared.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            parser=local_place,
            metavar="PATH",
            help=f"Picture to write ({', '.join(_FORMATS)}); by default RUN/curves.png, which is "
            "drawn anew each time.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file of --out.")
    ] = False,
) -> None:
    """Draw loss, macro F1 and recall over the epochs (the paper's Figures 4 and 5)."""
    if out is None and len(runs) > 1:
        raise ConfigError("several runs are drawn into one picture: say which with --out FILE")
    path = out or runs[0] / "curves.png"
    if path.suffix not in _FORMATS:
        raise ConfigError(f"{path}: end its name in one of {', '.join(_FORMATS)}")
    if out is not None and out.exists() and not overwrite:
        raise ConfigError(f"{out} is there already; give --overwrite, or another name")
    from c2s_model.training.curves import draw_curves
    from c2s_model.training.history import read_history
    from c2s_model.training.run_folder import CONFIG, HISTORY, write_beside

    histories = {}
    names = {run: run.resolve().name for run in runs}
    for run, name in names.items():
        if not (run / CONFIG).is_file():
            raise ConfigError(f"{run}: no training is kept there (no {CONFIG})")
        rows = read_history(run / HISTORY)
        if not rows:
            raise ConfigError(f"{run}: no epoch has ended yet, so there is nothing to draw")
        unique = list(names.values()).count(name) == 1
        histories[name if unique else str(run)] = rows
    picture = io.BytesIO()
    figure = draw_curves(histories)
    figure.savefig(picture, format=path.suffix[1:], dpi=130, facecolor="white")
    write_beside(path, picture.getvalue())
    say(f"wrote {path}")
