"""What both programs' commands have in common: the option that names a server of one's own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from c2s_data.endpoint import use_endpoint

_WITHOUT_URLS: Final = ("demo", "describe")
"""Commands that know nothing but this machine."""


def _use(context: typer.Context, url: str | None) -> str | None:
    if url is not None and not context.resilient_parsing:
        context.call_on_close(use_endpoint(url))
    return url


EndpointOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        # Before all others: inputs may be fetched while they are read from the command line.
        is_eager=True,
        callback=_use,
        help="Server that speaks S3, for s3:// addresses.",
        show_default="AWS_ENDPOINT_URL, else Amazon's",
    ),
]


def add_endpoint(app: typer.Typer) -> None:
    """Give every command of a program ``--endpoint``, but for those that know no URL.

    A second time changes nothing: tools that read a program's help import it again.
    """
    for registered in app.registered_commands:
        command = registered.callback
        if command is None or command.__name__ in _WITHOUT_URLS:
            continue
        if "endpoint" not in inspect.signature(command).parameters:
            registered.callback = _with_endpoint(command)


def _with_endpoint(command: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(command, eval_str=True)
    own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in signature.parameters.values()]
    option = inspect.Parameter(
        "endpoint", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=EndpointOption
    )

    @functools.wraps(command)
    def without_endpoint(**arguments: Any) -> None:  # noqa: ANN401
        del arguments["endpoint"]  # The callback has done what it asks for.
        command(**arguments)

    parameters = [*own, option]
    without_endpoint.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    without_endpoint.__annotations__ = {p.name: p.annotation for p in parameters}
    return without_endpoint
