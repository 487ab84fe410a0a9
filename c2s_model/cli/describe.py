"""The command that shows what a network is made of."""

from __future__ import annotations

from typing import Annotated

import typer

from c2s_model.cli.app import JsonOption, app, print_json, say
from c2s_model.nets.variants import TARGETS, VARIANTS, classes_of, variant_named

VariantOption = Annotated[str, typer.Option(help=f"One of {', '.join(VARIANTS)}.")]
TargetsOption = Annotated[
    list[str],
    typer.Option(
        "--target",
        help=f"One of {', '.join(TARGETS)}; more than one for a network with several heads.",
    ),
]


@app.command()
def describe(variant: VariantOption, target: TargetsOption, as_json: JsonOption = False) -> None:
    """Print the layers of a network, the shapes they give for one subgrid, and their parameters."""
    sizes, heads = variant_named(variant), classes_of(target)
    from c2s_model.nets.describe import describe as described

    found = described(sizes, heads)
    if as_json:
        print_json({"variant": variant, **found.as_json()})
        return
    classes = ", ".join(f"{name} {count} classes" for name, count in heads.items())
    say(
        f"{variant}: {classes}; {sizes.layers} layers, {sizes.attention_heads} attention heads, "
        f"decoder from layers {', '.join(map(str, sizes.extraction))}"
    )
    box = (1, 1, *sizes.box_zyx)
    say(f"{'layer':24} {'kind':18} {'output':22} {'parameters':>12}")
    say(f"{'density':24} {'':18} {_product(box):22} {0:>12,}")
    for layer in found.layers:
        say(f"{layer.name:24} {layer.kind:18} {_product(layer.shape):22} {layer.parameters:>12,}")
    say(f"{'in all':24} {'':18} {'':22} {found.parameters:>12,}")


def _product(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
