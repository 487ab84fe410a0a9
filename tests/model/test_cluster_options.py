"""Commands of c2s-model that spread their work take the options of c2s-data, and no other."""

from __future__ import annotations

from typer.main import get_command

from c2s_model.cli import app

OPTIONS = {"cluster", "workers", "insecure", "performance_report"}


def test_every_command_that_spreads_takes_every_option_of_a_cluster() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    names = {name: {p.name for p in command.params} for name, command in commands.items()}
    assert {name for name, options in names.items() if "cluster" in options} == {"embed", "predict"}
    assert names["embed"] >= OPTIONS
    assert names["predict"] >= OPTIONS
    without = {name for name, options in names.items() if "endpoint" not in options}
    assert without == {"demo", "describe"}
    assert not [name for name, options in names.items() if "scheduler" in options]
