"""The sizes of a published network, from the shapes of its weights and its hyper-parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from c2s_data.errors import ConfigError
from c2s_model.nets.checkpoint_error import CheckpointError
from c2s_model.nets.published_layout import PREFIX
from c2s_model.nets.variants import PATCH, VARIANTS, Architecture

Scalar: TypeAlias = bool | int | float | str | None
PlainValue: TypeAlias = Scalar | list[Scalar] | tuple[Scalar, ...]
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]

_BLOCK: Final = re.compile(rf"{re.escape(PREFIX)}transformer\.block_list\.(\d{{1,4}})\.")
_DEFAULT_HEADS: Final = 12


class PublishedSizes(NamedTuple):
    """What the shapes and hyper-parameters of a file tell."""

    architecture: Architecture
    classes: int
    heads_from: str
    notes: tuple[str, ...]


def infer_sizes(
    shapes: Shapes,
    hyper_parameters: Mapping[str, PlainValue],
    attention_heads: int | None,
    place: str,
) -> PublishedSizes:
    """Return the sizes of a published network.

    Parameters
    ----------
    shapes
        Of all weights of the file, by their published names.
    hyper_parameters
        Those that the file holds; each that the shapes also tell must agree.
    attention_heads
        What the caller wants, or None.
    place
        What to call the file in messages.

    Raises
    ------
    CheckpointError
        A weight that every published network has is absent, or two facts disagree.
    """
    embed = _shape(shapes, "embed.patch_embeddings.weight", 5, place)
    positions = _shape(shapes, "embed.position_embeddings.abs_pos_enc", 3, place)
    hidden = _shape(shapes, "transformer.block_list.0.linear.0.weight", 2, place)[0]
    filters = _shape(shapes, "init_conv.conv_block.0.weight", 5, place)[0]
    classes = _shape(shapes, "out_conv.1.weight", 5, place)[0]
    layers = len({found[1] for key in shapes if (found := _BLOCK.match(key))})
    box = _box(positions[1], hyper_parameters, place)
    told = {
        "input_dim": 1,
        "embed_dim": embed[0],
        "patch_size": PATCH,
        "output_dim": classes,
        "dim_linear_block": hidden,
        "base_filters": filters,
        "norm": "instance",
    }
    for name, value in told.items():
        if hyper_parameters.get(name, value) != value:
            raise CheckpointError(
                f"{place}: its hyper-parameter {name} is {hyper_parameters[name]!r} where the "
                f"weights need {value!r}; it is another network than the published ones"
            )
    heads, heads_from = _heads(layers, hyper_parameters, attention_heads)
    dropout = hyper_parameters.get("dropout", 0.1)
    try:
        architecture = Architecture(
            layers=layers,
            attention_heads=heads,
            extraction=_extraction(layers, hyper_parameters, place),
            width=embed[0],
            hidden=hidden,
            filters=filters,
            dropout=float(dropout) if isinstance(dropout, int | float) else 0.1,
            sequence_width=_sequence_width(shapes, embed[0]),
            box_zyx=box,
        )
    except ConfigError as error:
        raise CheckpointError(f"{place}: {error}") from error
    return PublishedSizes(architecture, classes, heads_from, _notes(layers, heads, heads_from))


def _shape(shapes: Shapes, name: str, ndim: int, place: str) -> tuple[int, ...]:
    shape = shapes.get(PREFIX + name, ())
    if len(shape) != ndim:
        raise CheckpointError(
            f"{place}: its weights have no {PREFIX + name} of {ndim} dimensions, which every "
            "published network has; it is of another program"
        )
    return shape


def _box(
    tokens: int, hyper_parameters: Mapping[str, PlainValue], place: str
) -> tuple[int, int, int]:
    """Return the box that has so many patches: the stated one, else a cube."""
    side = round(tokens ** (1 / 3)) * PATCH
    stated = hyper_parameters.get("img_shape", (side, side, side))
    match list(stated) if isinstance(stated, list | tuple) else stated:
        case [int(z), int(y), int(x)] if z * y * x == tokens * PATCH**3:
            return z, y, x
    raise CheckpointError(
        f"{place}: {tokens} positions do not belong to a box of {stated} voxels; "
        "the file is damaged or of another program"
    )


def _heads(
    layers: int, hyper_parameters: Mapping[str, PlainValue], wanted: int | None
) -> tuple[int, str]:
    if wanted is not None:
        return wanted, "option"
    stated = hyper_parameters.get("num_heads")
    if isinstance(stated, int) and not isinstance(stated, bool):
        return stated, "hyper_parameters"
    for name, variant in VARIANTS.items():
        if name != "tiny" and variant.layers == layers:
            return variant.attention_heads, "variant"
    return _DEFAULT_HEADS, "default"


def _extraction(
    layers: int, hyper_parameters: Mapping[str, PlainValue], place: str
) -> tuple[int, int, int, int]:
    stated = hyper_parameters.get("ext_layers")
    if stated is None:
        for name, variant in VARIANTS.items():
            if name != "tiny" and variant.layers == layers:
                return variant.extraction
    match sorted(stated, key=str) if isinstance(stated, list | tuple) else stated:
        case [int(), int(), int(), int()]:
            a, b, c, d = sorted(one for one in stated if isinstance(one, int))  # type: ignore[union-attr]
            return a, b, c, d
    raise CheckpointError(
        f"{place}: it does not say which four of its {layers} blocks the decoder takes "
        f"(hyper-parameter ext_layers: {stated!r}), and no variant has so many; it is of another "
        "program"
    )


def sequence_names(shapes: Shapes, architecture: Architecture) -> dict[str, str]:
    """Return our key -> the file's key of the two layers that bring in the sequence.

    Their published names are not known, so they are told by their shapes: of the layers that no
    other part of the network has, (D, S) projects and (D, 2 D) mixes.
    """
    width = architecture.width
    wanted = {
        "embedding.sequence.project": (width, architecture.sequence_width),
        "embedding.sequence.mix": (width, 2 * width),
    }
    names: dict[str, str] = {}
    for own, shape in wanted.items():
        found = [key for key in _unplaced_matrices(shapes) if shapes[key] == shape]
        if len(found) == 1:
            module = found[0].removesuffix(".weight")
            names |= {f"{own}.weight": f"{module}.weight", f"{own}.bias": f"{module}.bias"}
    return names


def _sequence_width(shapes: Shapes, width: int) -> int:
    """Return the features of the embedding that joins the tokens; 0 without such layers."""
    inputs = sorted(shapes[key][1] for key in _unplaced_matrices(shapes) if shapes[key][0] == width)
    others = [n for n in inputs if n != 2 * width]
    return others[0] if len(inputs) == 2 and len(others) == 1 else 0


def _unplaced_matrices(shapes: Shapes) -> list[str]:
    return [
        key
        for key, shape in shapes.items()
        if key.startswith(PREFIX)
        and key.endswith(".weight")
        and len(shape) == 2
        and not _BLOCK.match(key)
    ]


def _notes(layers: int, heads: int, heads_from: str) -> tuple[str, ...]:
    listed = {v.layers: v.attention_heads for n, v in VARIANTS.items() if n != "tiny"}.get(layers)
    notes = []
    if heads_from in ("variant", "default"):
        notes.append(
            f"the file does not say how many attention heads it was trained with; {heads} are "
            "taken, and another number would give other predictions"
        )
    if listed is not None and heads != listed:
        notes.append(
            f"{heads} attention heads, where the paper's network of {layers} layers has {listed}; "
            f"the published programs predict with {_DEFAULT_HEADS} whatever the training had"
        )
    return tuple(notes)
