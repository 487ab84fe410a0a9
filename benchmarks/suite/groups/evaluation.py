"""The scores of a model of 5,000 residues."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.evaluation import run
from benchmarks.suite.rows import Row, figure, within
from benchmarks.suite.size import Size


def rows(size: Size, folder: Path) -> Iterator[Row]:
    """Yield reading and scoring against 2 s."""
    for one in run(size.pick(1, 3, 7)):
        seconds = [one["score_s"] + (one.get("read_s") or 0.0)]
        n = f", {one['n']:,} residues" if "read_s" in one else ""
        name = f"{one['what']}{n}: read and score" if n else str(one["what"])
        note = str(one.get("note", ""))
        if one.get("goal_s") is None:
            yield figure(name, "s", seconds, note)
        else:
            yield within(name, "s", seconds, one["goal_s"], note)
