"""How a training speaks: a bar on a terminal, plain lines elsewhere, and TensorBoard's files."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from rich.console import Console

SECONDS_BETWEEN_LINES: Final = 30.0


class Reporter(Protocol):
    """Whoever wants to know how a training goes."""

    def say(self, text: str) -> None:
        """Take one sentence."""

    def advance(self, step: int, total: int, loss: float, learning_rate: float) -> None:
        """Take where the training is: `step` of `total`, the mean loss of the last few."""


class Lines:
    """Sentences, and from time to time where the training is, as plain lines.

    Parameters
    ----------
    write
        Takes each line; None keeps silent.
    """

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self._write = write or (lambda _: None)
        self._told = time.monotonic()

    def say(self, text: str) -> None:
        """Write a sentence."""
        self._write(text)

    def advance(self, step: int, total: int, loss: float, learning_rate: float) -> None:
        """Write a line if the last one was some time ago."""
        now = time.monotonic()
        if now - self._told >= SECONDS_BETWEEN_LINES:
            self._told = now
            self._write(f"step {step:,} of {total:,}: loss {loss:.5g}, rate {learning_rate:.3g}")


class _Bar:
    def __init__(self, progress: Any, task: Any) -> None:  # noqa: ANN401 - rich is imported late
        self._progress, self._task = progress, task

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)

    def advance(self, step: int, total: int, loss: float, learning_rate: float) -> None:
        told = f"loss {loss:.5g}, rate {learning_rate:.3g}"
        self._progress.update(self._task, completed=step, total=total, description=told)


@contextmanager
def reporter_on(console: Console) -> Iterator[Reporter]:
    """Open a progress bar where the console is a terminal, plain lines where it is not."""
    if not console.is_terminal:
        yield Lines(lambda text: console.print(text, markup=False, highlight=False))
        return
    from rich.progress import (  # noqa: PLC0415 - a bar is not always wanted
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        yield _Bar(progress, progress.add_task("first steps", total=None))


class Scalars:
    """Curves for TensorBoard, or nothing where it is not installed or not wanted."""

    def __init__(self, writer: Any = None) -> None:  # noqa: ANN401 - torch types it or not
        self._writer = writer

    def add(self, name: str, value: float, step: int) -> None:
        """Add a point to a curve."""
        if self._writer is not None:
            self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """Bring what was added to the disk."""
        if self._writer is not None:
            self._writer.flush()


@contextmanager
def scalars_in(folder: Path, step: int, say: Callable[[str], None]) -> Iterator[Scalars]:
    """Open TensorBoard's files in a folder; points from ``step`` on of an earlier run are void."""
    if importlib.util.find_spec("tensorboard") is None:
        say(f"{folder}: no TensorBoard logs, `pip install tensorboard` adds them")
        yield Scalars()
        return
    from torch.utils.tensorboard.writer import (  # noqa: PLC0415 - slow, and not always there
        SummaryWriter,
    )

    open_writer: Any = SummaryWriter
    writer = open_writer(str(folder), purge_step=step or None)
    try:
        yield Scalars(writer)
    finally:
        writer.close()
