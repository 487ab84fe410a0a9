"""Commands that make pages for a browser: report, view."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2s_data.cli.app import app, print_json, say
from c2s_data.cli.keeping import progress
from c2s_data.cli.options import JsonOption, StoreArgument
from c2s_data.cluster_options import (
    ClusterOption,
    InsecureOption,
    ReportOption,
    WorkersOption,
    asked_cluster,
    spread_over,
)

_GENERATION = Annotated[
    int | None, typer.Option(min=1, help="Which generation.", show_default="the newest")
]


@app.command()
def report(
    store: StoreArgument,
    out: Annotated[Path, typer.Argument(help="The HTML file to write.")],
    generation: _GENERATION = None,
    inline_maps: Annotated[
        int, typer.Option(min=0, help="Up to so many maps are all inside the one file.")
    ] = 20,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a report there.")] = False,
    cluster: ClusterOption = None,
    workers: WorkersOption = None,
    insecure: InsecureOption = False,
    performance_report: ReportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write pages that show every map: catalog, planes, surface, quality, reasons, provenance.

    They need no network and no other file than each other. Exit code 1 if a map's page could not
    be made; the catalog then says why.
    """
    from c2s_data.explore.pages.report import write_report
    from c2s_data.store.reader import open_store
    from c2s_data.store.spread import one_after_another

    asked = asked_cluster(cluster, workers, insecure, performance_report)
    opened = open_store(store, generation)
    tell = (lambda text: None) if as_json else say
    with (
        spread_over(asked, insecure=insecure, report=performance_report, tell=tell) as spread,
        progress("drawing maps") as on_page,
    ):
        done = write_report(
            opened,
            out,
            spread=spread or one_after_another,
            inline_maps=inline_maps,
            overwrite=overwrite,
            on_page=on_page,
        )
    if as_json:
        folder = None if done.folder is None else str(done.folder)
        print_json(
            {"report": str(out), "folder": folder, "pages": done.n_pages, "errors": done.errors}
        )
    else:
        beside = "" if done.folder is None else f", in {done.folder}"
        say(f"{out}: {len(opened.rows)} entries, {done.n_pages} pages of maps{beside}")
        for entry_id, why in done.errors.items():
            say(f"NO page: {entry_id}: {why}")
    if done.errors:
        raise typer.Exit(1)


@app.command()
def view(
    store: StoreArgument,
    generation: _GENERATION = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on this machine.", show_default="a free one")
    ] = 0,
) -> None:
    """Serve pages to explore a store in a browser of this machine, until Ctrl-C.

    Planes slide, labels lie over them, and the density is a surface; only what is looked at is
    read. Nobody without the printed address can ask anything.
    """
    from c2s_data.explore.pages.view_server import ViewServer
    from c2s_data.store.reader import open_store

    with ViewServer(open_store(store, generation), port) as server:
        say(f"{store}: open {server.url}")
        say("Ctrl-C stops it")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("stopped")
