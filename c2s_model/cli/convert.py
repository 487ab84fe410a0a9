"""The command that turns a released checkpoint into a network file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2s_data.outputs import output_file, output_place
from c2s_data.staged import staged_input
from c2s_model.cli.app import JsonOption, app, print_json, say
from c2s_model.nets.variants import TARGETS


@app.command()
def convert(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            parser=staged_input,
            metavar="CHECKPOINT",
            help="Lightning file that the authors released.",
        ),
    ],
    out: Annotated[
        str,
        typer.Argument(parser=output_place, metavar="OUT", help="New file, *.safetensors."),
    ],
    heads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Attention heads, which weights do not show.",
            show_default="as the file says, else as its variant (small 6, full 12)",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help=f"What it predicts: {', '.join(TARGETS)}.", show_default="amino for 21 classes"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Convert a released checkpoint once, without executing anything in it."""
    from c2s_model.nets.convert import convert as converted

    with output_file(out) as file:
        read, card = converted(checkpoint, file.path, attention_heads=heads, target=target)
    if as_json:
        print_json(
            {
                "out": str(out),
                "variant": card.variant,
                "target": read.target,
                "attention_heads": read.architecture.attention_heads,
                "attention_heads_from": read.heads_from,
                "extraction": read.architecture.extraction,
                "weights": len(read.weights),
                "preset": card.preset,
                "label_rule": card.label_rule,
                "decode_offset_voxel": card.decode_offset_voxel,
                "sha256": read.sha256,
                "inert_globals": read.inert_globals,
                "ignored": read.ignored,
                "notes": read.notes,
            }
        )
        return
    for name in read.inert_globals:
        say(f"not executed: {name}")
    if read.ignored:
        say(f"not used: {', '.join(read.ignored)}")
    for note in read.notes:
        say(f"note: {note}")
    say(
        f"{out}: {card.variant} for {read.target}, {len(read.weights)} weights, "
        f"{read.architecture.attention_heads} attention heads (from {read.heads_from}), decoder "
        f"from layers {', '.join(map(str, read.architecture.extraction))}"
    )
    say(
        f"preset {card.preset}, labels by {card.label_rule}, decode offset "
        f"{card.decode_offset_voxel} voxel"
    )
