"""Options and arguments that several commands of ``c2s-data`` take, defined once."""

from __future__ import annotations

from typing import Annotated

import typer

CatalogArgument = Annotated[
    str, typer.Argument(help="CSV file, path or URL: one row per map and model.")
]
StoreArgument = Annotated[str, typer.Argument(help="Path or URL of the store.")]
PresetOption = Annotated[
    str | None,
    typer.Option(help="paper, released or recommended.", show_default="paper"),
]
MaxVoxelsOption = Annotated[
    int, typer.Option(min=1, help="Maps of more voxels are refused from their headers.")
]
MemoryOption = Annotated[
    str, typer.Option("--task-memory", help="What one map's task may need at most.")
]
PartOption = Annotated[
    str | None,
    typer.Option(help="Build only part i of n (such as 3/16) of a planned store, without Dask."),
]
RebuildOption = Annotated[
    bool,
    typer.Option(
        "--rebuild",
        help="Build entries anew whose inputs changed, in new rows; withdraw their old rows.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
