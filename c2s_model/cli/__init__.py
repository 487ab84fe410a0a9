"""The command line ``c2s-model``: every option defined once, torch imported inside commands."""

from __future__ import annotations

import sys

from c2s_data.command_line import add_endpoint
from c2s_data.errors import C2SError
from c2s_data.store.traffic import traffic
from c2s_model.cli import (  # noqa: F401 - they register their commands
    backbone,
    calibrate,
    convert,
    demo,
    describe,
    embed,
    evaluate,
    plot,
    predict,
    report,
    train,
    voxels,
)
from c2s_model.cli.app import app, console

__all__ = ["app", "main"]

add_endpoint(app)


def main() -> None:
    """Run the command line; an expected error is one message and exit code 2."""
    try:
        app(standalone_mode=True)
    except (C2SError, OSError) as error:
        console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(2)
    finally:
        asked = traffic()
        if asked.repeated:
            console(stderr=True).print(f"note: {asked}", markup=False, highlight=False)
