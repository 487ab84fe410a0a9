"""``history.csv``: what every epoch came to, one number a row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from c2s_model.nets.checkpoint_error import CheckpointError
from c2s_model.training.run_folder import write_beside

COLUMNS: Final = ("epoch", "step", "part", "target", "metric", "class", "value")


class HistoryRow(NamedTuple):
    """One number.

    Parameters
    ----------
    epoch
        Counted from 0.
    step
        Optimizer steps of the whole run at the end of the epoch.
    part
        ``train`` or ``validation``.
    target
        ``atom``, ``amino``, ``secondary``; empty for all together.
    metric
        What it is.
    of_class
        Name of a class; empty unless the number is one class's.
    value
        The number; nan where it is not defined.
    """

    epoch: int
    step: int
    part: str
    target: str
    metric: str
    of_class: str
    value: float


def read_history(path: Path) -> list[HistoryRow]:
    """Read a history; none of a run that has ended no epoch.

    Raises
    ------
    CheckpointError
        It is damaged; the line is named.
    """
    if not path.exists():
        return []
    rows: list[HistoryRow] = []
    with path.open(newline="") as stream:
        lines = csv.reader(stream)
        if tuple(next(lines, ())) != COLUMNS:
            raise CheckpointError(f"{path}: its columns are not {', '.join(COLUMNS)}; {_REMEDY}")
        for line in lines:
            try:
                epoch, step, part, target, metric, of_class, value = line
                row = (int(epoch), int(step), part, target, metric, of_class, float(value))
            except ValueError as error:
                raise CheckpointError(
                    f"{path}, line {lines.line_num}: {error}; {_REMEDY}"
                ) from error
            rows.append(HistoryRow(*row))
    return rows


_REMEDY: Final = "put the file back as the run wrote it, or move it away to begin a new one"


def write_history(path: Path, rows: Iterable[HistoryRow]) -> None:
    """Write a history whole, in the place of the one of that name.

    Numbers are written with all their digits: a run that was resumed has the same file.
    """
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    lines.writerows((*row[:-1], repr(row.value)) for row in rows)
    write_beside(path, text.getvalue().encode())
