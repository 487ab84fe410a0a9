"""Commands that make what is looked at outside a browser: chimerax."""

from __future__ import annotations

from typing import Annotated

import typer

from c2s_data.cli.app import app, print_json, say
from c2s_data.cli.options import JsonOption, StoreArgument
from c2s_data.outputs import output_folder, output_place

_EntryArgument = Annotated[str, typer.Argument(metavar="ENTRY", help="entry_id of the map.")]
_GENERATION = Annotated[
    int | None, typer.Option(min=1, help="Which generation.", show_default="the newest")
]
_OVERWRITE = Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run wrote.")]


@app.command()
def chimerax(
    store: StoreArgument,
    entry: _EntryArgument,
    out_folder: Annotated[
        str, typer.Argument(parser=output_place, metavar="OUT_FOLDER", help="Path or URL.")
    ],
    generation: _GENERATION = None,
    overwrite: _OVERWRITE = False,
    as_json: JsonOption = False,
) -> None:
    """Write a map, its masks and the model's trace as files, with scripts that show them.

    ``view.cxc`` opens them in ChimeraX (it closes what is open there), ``view.mvsj`` the map and
    the trace in Mol*.
    """
    from c2s_data.explore.viewer_files import write_viewer_files
    from c2s_data.store.reader import open_store

    opened = open_store(store, generation)
    with output_folder(out_folder) as kept:
        names = write_viewer_files(opened, entry, kept.path, overwrite=overwrite)
    if as_json:
        print_json({"folder": out_folder, "files": names})
    else:
        say(f"{out_folder}: {len(names)} files; in ChimeraX: open {out_folder}/{names[-1]}")
