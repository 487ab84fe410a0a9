"""The command validate: the paper's technical validation of a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2s_data.cli.app import app, console, print_json
from c2s_data.cli.options import JsonOption, StoreArgument
from c2s_data.cluster_options import (
    ClusterOption,
    InsecureOption,
    ReportOption,
    WorkersOption,
    asked_cluster,
    spread_over,
)
from c2s_data.errors import ConfigError
from c2s_data.staged import staged_input


@app.command()
def validate(
    store: StoreArgument,
    entries: Annotated[
        list[str] | None,
        typer.Option(help="entry_id to check; repeat for several.", show_default="all"),
    ] = None,
    exported: Annotated[
        Path | None,
        typer.Option(
            parser=staged_input,
            metavar="PATH",
            help="An exported folder: check its MRC files in place.",
            show_default="write each file for the check",
        ),
    ] = None,
    generation: Annotated[
        int | None, typer.Option(min=1, help="Generation to check.", show_default="the newest")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes; each holds one map.")] = 1,
    cluster: ClusterOption = None,
    workers: WorkersOption = None,
    insecure: InsecureOption = False,
    performance_report: ReportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run every check of the paper's Technical Validation and more; exit code 1 if one fails."""
    from rich.progress import Progress

    from c2s_data.validation.report import print_report
    from c2s_data.validation.run import validate_store

    asked = asked_cluster(cluster, workers, insecure, performance_report)
    if asked is not None and jobs > 1:
        raise ConfigError("--jobs makes processes here; with --cluster or --workers leave it out")
    screen = console(stderr=True)
    with (
        spread_over(
            asked,
            insecure=insecure,
            report=performance_report,
            tell=lambda line: screen.print(line, markup=False, highlight=False),
        ) as spread,
        Progress(console=screen, disable=not screen.is_terminal, transient=True) as bar,
    ):
        task = bar.add_task("validating", total=None)
        report = validate_store(
            store,
            entries or None,
            generation=generation,
            exported=exported,
            jobs=jobs,
            spread=spread,
            on_entry=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if as_json:
        print_json(report.as_json())
    else:
        print_report(console(), report)
    if not report.is_valid:
        raise typer.Exit(1)
