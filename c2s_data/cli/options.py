"""Every option and argument of ``c2s-data``, defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CatalogArgument = Annotated[Path, typer.Argument(help="CSV file: one row per map and model.")]
StoreArgument = Annotated[str, typer.Argument(help="Path or URL of the store.")]
PresetOption = Annotated[
    str | None,
    typer.Option(help="paper, released or recommended.", show_default="paper"),
]
BoxOption = Annotated[
    int | None, typer.Option(help="Side of a subgrid in voxels.", show_default="32")
]
CoreOption = Annotated[
    int | None, typer.Option(help="Side of a subgrid's core in voxels.", show_default="20")
]
OriginOption = Annotated[
    str | None,
    typer.Option(
        help="Header words that place the maps: auto, origin, nstart or extension.",
        show_default="the preset's",
    ),
]
SecondaryOption = Annotated[
    str | None,
    typer.Option(help="Secondary structure: auto, records or dssp.", show_default="the preset's"),
]
CodecOption = Annotated[
    str | None,
    typer.Option("--codec", help="lz4 (fast) or zstd (smaller).", show_default="lz4"),
]
NonFiniteOption = Annotated[
    str | None,
    typer.Option(
        help="Voxels that are nan or infinite: refuse the map, or zero them and count.",
        show_default="refuse",
    ),
]
MaxVoxelsOption = Annotated[
    int, typer.Option(min=1, help="Maps of more voxels are refused from their headers.")
]
InsecureOption = Annotated[
    bool,
    typer.Option(
        "--insecure",
        help="Use a cluster beyond this machine without TLS: whoever reaches its network can read "
        "what it does and run code on it.",
    ),
]
MemoryOption = Annotated[
    str, typer.Option("--task-memory", help="What one map's task may need at most.")
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(help="Address of a running Dask scheduler.", show_default="a local cluster"),
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Local worker processes.", show_default="one a core")
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
