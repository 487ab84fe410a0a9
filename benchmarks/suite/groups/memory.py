"""Peak memory of building a map in a process of its own, and of 800³ voxels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.memory import run, run_giant
from benchmarks.suite.rows import Row, at_most, compared
from benchmarks.suite.size import Size


def rows(size: Size, folder: Path) -> Iterator[Row]:
    """Yield what tasks take against what the plan promised, and the giant map against 2 GB."""
    sides = size.pick((100,), (300,), (150, 300, 400))
    found = run(sides) + run_giant(size.pick(240, 800, 800), 1.0, folder, size.pick(
        ("paper",), ("recommended",), ("recommended", "released")))  # fmt: skip
    for one in found:
        value, beside = [float(one["value"])], [float(one["limit"])]
        is_giant = one["goal"].startswith("<=")
        against = "2 GB" if is_giant else "what the plan promises"
        yield compared(one["name"], "B", value, beside, against=against, role="limit",
                       better="lower", goal=at_most(1))  # fmt: skip
