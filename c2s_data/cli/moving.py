"""The command that takes stores from place to place: copy."""

from __future__ import annotations

from typing import Annotated

import typer

from c2s_data.cli.app import app, print_json, say
from c2s_data.cli.keeping import progress
from c2s_data.cli.options import JsonOption


@app.command()
def copy(
    source: Annotated[str, typer.Argument(help="Path or URL of a store or any other folder.")],
    target: Annotated[str, typer.Argument(help="Path or URL of the copy.")],
    entry: Annotated[
        list[str] | None, typer.Option(help="Only this entry of a store; repeat for several.")
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="Only entries of this split; repeat for several.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a store, chosen maps or splits of it, or a folder; the same command goes on."""
    from dataclasses import asdict

    from c2s_data.copying import copy as copy_store
    from c2s_data.store.objects import open_objects

    with progress("copying") as on_bytes:
        done = copy_store(
            open_objects(source),
            open_objects(target),
            entries=entry or (),
            splits=split or (),
            on_bytes=on_bytes,
        )
    if as_json:
        print_json({"source": source, "target": target, **asdict(done)})
        return
    of_what = f"{len(done.entries):,} entries, " if done.entries else ""
    say(
        f"{target}: {of_what}{done.written:,} objects written, {done.found:,} were there already, "
        f"{done.nbytes / 1e6:,.1f} MB, each compared with the source"
    )
