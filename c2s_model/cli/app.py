"""The application that commands register with, and how they speak."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="A store of labeled subgrids becomes networks, and networks label whole maps.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from c2s_data import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def console(*, stderr: bool = False) -> Any:  # noqa: ANN401 - rich is imported late
    """Return where to print."""
    from rich.console import Console

    made = Console(stderr=stderr, soft_wrap=True)
    # Programs and logs read plain output: rich must not fold it at the 80 columns it assumes.
    return made if made.is_terminal else Console(stderr=stderr, soft_wrap=True, width=200)


def say(text: str) -> None:
    """Print a line as it is."""
    console().print(text, markup=False, highlight=False)


def tell_unless(silent: bool) -> Callable[[str], None]:
    """Return how to tell a user who waits something: not at all where JSON is asked for."""
    return (lambda text: None) if silent else say


def print_json(document: object) -> None:
    """Print a document for programs to read."""
    typer.echo(json.dumps(document, indent=1, allow_nan=False))
