"""The command that makes a page of a backbone for a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2s_data.staged import staged_input
from c2s_model.cli.app import app, say


@app.command()
def report(
    model: Annotated[Path, typer.Argument(help="Built model, the mmCIF of `c2s-model backbone`.")],
    out: Annotated[Path, typer.Argument(help="The HTML file to write.")],
    truth: Annotated[
        Path | None,
        typer.Option(parser=staged_input, metavar="MODEL", help="The known model, for scores."),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the stages.", show_default="MODEL with .work for .cif, if it is there"
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a report there.")] = False,
) -> None:
    """Write a page of a model: probabilities, candidates, built over known, confidence, scores."""
    from c2s_model.run_report import write_run_report

    usual = model.with_suffix(".work")
    folder = work or (usual if usual.is_dir() else None)
    write_run_report(model, out, folder, truth, overwrite=overwrite)
    say(f"{out}: {model.name}" + (f" over {truth.name}" if truth else ""))
