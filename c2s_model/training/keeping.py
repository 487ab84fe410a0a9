"""Which checkpoints are kept, and the copy of the best one's network that others take."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from c2s_model.nets.checkpoint_error import CheckpointError
from c2s_model.nets.network_file import read_card
from c2s_model.training.checkpoint import (
    checkpoint_path,
    checkpoint_steps,
    remove_checkpoints,
    sync,
)
from c2s_model.training.run_folder import AVERAGE, BEST, CHECKPOINTS, NETWORK

Scored = tuple[float, int]
"""Score, larger is better, and step."""


def ranked(scored: Sequence[Scored], keep: int) -> list[Scored]:
    """Return the best, best first; of equals the earlier."""
    return sorted(scored, key=lambda one: (-one[0], one[1]))[:keep]


def tidy(run: Path, best: Sequence[Scored], keep_last: int, *, newest_is_best: bool) -> None:
    """Bring a run's folder in line with its newest checkpoint; safe to be done again.

    Parameters
    ----------
    run
        The run's folder.
    best
        The best checkpoints, best first.
    keep_last
        How many of the newest to keep as well.
    newest_is_best
        Copy the newest network: nothing is scored.
    """
    folder = run / CHECKPOINTS
    steps = checkpoint_steps(folder)
    remove_checkpoints(folder, {*steps[-keep_last:], *(step for _, step in best)})
    wanted = steps[-1:] if newest_is_best else [step for _, step in best[:1]]
    for step in wanted:
        if (path := checkpoint_path(folder, step)).is_dir() and _step_of(run / BEST) != step:
            averaged = path / AVERAGE
            _copy(averaged if averaged.is_file() else path / NETWORK, run / BEST)


def _step_of(network: Path) -> int | None:
    try:
        return read_card(network).source.get("step")
    except (FileNotFoundError, CheckpointError):
        return None  # It is written anew.


def _copy(source: Path, path: Path) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        shutil.copyfile(source, beside)
        sync(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
