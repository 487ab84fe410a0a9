"""The command that draws the curves of trainings."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer

from c2s_data.errors import ConfigError
from c2s_data.outputs import output_file, output_place
from c2s_data.staged import staged_files
from c2s_model.cli.app import app, say

_FORMATS = (".png", ".svg", ".pdf")


@app.command()
def plot(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUNS...",
            help="Folders of trainings; several are compared.",
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            parser=output_place,
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
    place = out or f"{runs[0].rstrip('/')}/curves.png"
    if not place.endswith(_FORMATS):
        raise ConfigError(f"{place}: end its name in one of {', '.join(_FORMATS)}")
    with output_file(place) as (path, told):
        if out is not None and path.exists() and not overwrite:
            raise ConfigError(f"{out} is there already; give --overwrite, or another name")
        _draw(runs, path)
        say(told(f"wrote {path}"))


def _draw(runs: list[str], path: Path) -> None:
    from c2s_model.training.curves import draw_curves
    from c2s_model.training.history import read_history
    from c2s_model.training.run_folder import CONFIG, HISTORY, write_beside

    histories = {}
    names = {address: Path(address).resolve().name for address in runs}
    for address, name in names.items():
        run = staged_files(address, (CONFIG, HISTORY))
        if not (run / CONFIG).is_file():
            raise ConfigError(f"{address}: no training is kept there (no {CONFIG})")
        rows = read_history(run / HISTORY)
        if not rows:
            raise ConfigError(f"{address}: no epoch has ended yet, so there is nothing to draw")
        unique = list(names.values()).count(name) == 1
        histories[name if unique else address] = rows
    picture = io.BytesIO()
    figure = draw_curves(histories)
    figure.savefig(picture, format=path.suffix[1:], dpi=130, facecolor="white")
    write_beside(path, picture.getvalue())
