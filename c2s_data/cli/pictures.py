"""Commands that make what is looked at outside a browser: chimerax, plot."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from c2s_data.cli.app import app, print_json, say
from c2s_data.cli.options import JsonOption, StoreArgument
from c2s_data.errors import ConfigError
from c2s_data.outputs import output_file, output_folder, output_place

_EntryArgument = Annotated[str, typer.Argument(metavar="ENTRY", help="entry_id of the map.")]
_GENERATION = Annotated[
    int | None, typer.Option(min=1, help="Which generation.", show_default="the newest")
]
FORMATS = (".png", ".jpg", ".svg", ".pdf")


class Kind(StrEnum):
    """Figures of a store."""

    MAP = "map"
    SPLITS = "splits"
    CLASSES = "classes"


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


@app.command()
def plot(
    kind: Annotated[
        Kind,
        typer.Argument(
            help="map: planes before and after, histograms, labels of one map; splits: resolutions "
            "of the splits; classes: voxels of each class."
        ),
    ],
    store: StoreArgument,
    out: Annotated[
        str,
        typer.Argument(
            parser=output_place, metavar="PICTURE", help=f"Path or URL ({', '.join(FORMATS)})."
        ),
    ],
    entry: Annotated[
        str | None, typer.Option(help="entry_id of the map to draw.", show_default="none")
    ] = None,
    raw: Annotated[
        str | None,
        typer.Option(metavar="MAP", help="The file the map was made from, to be drawn beside it."),
    ] = None,
    generation: _GENERATION = None,
    overwrite: _OVERWRITE = False,
) -> None:
    """Draw a map, the splits or the classes of a store."""
    from c2s_data.explore.slices import save_figure
    from c2s_data.explore.store_figures import draw
    from c2s_data.store.reader import open_store

    if not out.endswith(FORMATS):
        raise ConfigError(f"{out}: end its name in one of {', '.join(FORMATS)}")
    with output_file(out) as (path, told):
        if path.exists() and not overwrite:
            raise ConfigError(f"{out} is there already; give --overwrite, or another name")
        save_figure(draw(open_store(store, generation), kind.value, entry, raw), path)
        say(told(f"wrote {path}"))
