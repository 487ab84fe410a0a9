"""The options of `c2s_data.config.BuildConfig` on the command line, defined once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import typer

_PRESETS = "the preset's"


def _text(words: str, default: str = _PRESETS, *names: str) -> Any:  # noqa: ANN401
    return Annotated[str | None, typer.Option(*names, help=words, show_default=default)]


def _number(words: str, default: str) -> Any:  # noqa: ANN401
    return Annotated[int | None, typer.Option(help=words, show_default=default)]


def _switch(words: str) -> Any:  # noqa: ANN401
    return Annotated[bool | None, typer.Option(help=words, show_default=_PRESETS)]


CONFIG_OPTIONS: Final[Mapping[str, Any]] = {
    "box": _number("Side of a subgrid in voxels.", "32"),
    "core": _number("Side of a subgrid's core in voxels.", "20"),
    "origin": _text(
        "Header words that place the maps: auto, origin, nstart, sum, zero or extension."
    ),
    "resampling": _text("trilinear (the paper's) or spline3."),
    "antialias": _switch("Low-pass maps with voxels below 0.9 A (spline3)."),
    "secondary": _text("Secondary structure: auto, records or dssp."),
    "assembly": _text(
        "Copies of the models to label: deposited, 1 (all of assembly 1), or auto (those of it "
        "that lie in density)."
    ),
    "extra_masks": _text(
        "Further masks: ignore (near atoms that are no protein), nucleic, both with a comma, none."
    ),
    "quality": _switch("Measure how well map and model fit; columns of the catalog."),
    "gate": _text("A bad fit of map and model: off, warn or drop the entry."),
    "density_dtype": _text("float16, or float32 at twice the bytes, as neuroglancer needs it."),
    "compressor": _text(
        "lz4 (fast), zstd (smaller) or none (density uncompressed, masks by lz4).",
        "lz4",
        "--codec",
    ),
    "non_finite": _text(
        "Voxels that are nan or infinite: refuse the map, or zero them and count.", "refuse"
    ),
}
"""How each option of a build is given, by its name in `BuildConfig`; None is the preset's."""


def takes_config_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a build; it gets those that were set as ``given``."""
    signature = inspect.signature(command, eval_str=True)
    own = [parameter for parameter in signature.parameters.values() if parameter.name != "given"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in CONFIG_OPTIONS.items()
    ]

    @functools.wraps(command)
    def with_options(**arguments: Any) -> None:  # noqa: ANN401
        asked = {name: arguments.pop(name) for name in CONFIG_OPTIONS}
        command(**arguments, given=_set(asked))

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + added
    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in parameters}
    return with_options


def _set(asked: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in asked.items() if value is not None}
    if "extra_masks" in given:
        words = [word.strip() for word in given["extra_masks"].split(",")]
        given["extra_masks"] = tuple(word for word in words if word not in ("", "none"))
    if given.get("resampling") == "trilinear":
        given.setdefault("antialias", False)  # a preset's filter belongs to its spline
    if given.get("quality") is False:
        given.setdefault("gate", "off")
    elif given.get("gate", "off") != "off":
        given.setdefault("quality", True)
    return given
