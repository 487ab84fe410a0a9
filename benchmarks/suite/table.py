"""The Markdown table of results, and its place in the README."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from benchmarks.suite.results import ROOT, Results
from benchmarks.suite.rows import Row

TABLE: Final = ROOT / "benchmarks" / "results.md"
README: Final = ROOT / "README.md"
BEGIN: Final = "<!-- make bench writes from here -->"
END: Final = "<!-- to here -->"
_HEAD: Final = "| what | ours | against | ratio | goal |\n|---|---|---|---|---|"
_SCALES: Final = {
    "s": ((1e-6, "µs"), (1e-3, "ms"), (1.0, "s")),
    "B": ((1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB")),
    "B/s": ((1e3, "kB/s"), (1e6, "MB/s"), (1e9, "GB/s")),
}


def render(results: Results) -> str:
    """Return the whole page: machine, then a table a group."""
    parts = [_GENERATED, about_text(results)]
    for group, rows in groupby(results.rows, key=lambda row: row.group):
        parts.append(f"## {group}\n\n{_HEAD}\n" + "\n".join(map(line, rows)))
    return "\n\n".join(parts) + "\n"


_GENERATED: Final = (
    "# Results\n\n`make bench` writes this page; [performance.md](../docs/performance.md) explains "
    "each row. Medians, in brackets the lowest and the highest of the turns."
)


def render_short(results: Results) -> str:
    """Return what the README shows: the rows with a goal, under the names of their groups."""
    rows = [row for row in results.rows if row.goal is not None]
    met = sum(row.met is True for row in rows)
    count = (
        f"{met} of {len(rows)} goals met. All rows: [benchmarks/results.md](benchmarks/results.md)."
    )
    table = _HEAD
    for group, some in groupby(rows, key=lambda row: row.group):
        table += "\n".join(
            ["", f"| **{group}** | | | | |", *(line(row, spread=False) for row in some)]
        )
    return "\n\n".join([about_text(results), table, count])


def about_text(results: Results) -> str:
    """Say where and with what it was measured."""
    about = results.about
    machine, versions = about["machine"], about["versions"]
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"Commit `{about['commit'][:12]}`{about['commit'][40:]}, {about['date']}, "
        f"size `{about['size']}`; {machine['cores']} cores of {machine['processor']}, "
        f"{machine['memory_GB']:g} GB, Linux {machine['kernel']}; {libraries}."
    )


def line(row: Row, *, spread: bool = True) -> str:
    """Return the line of a row."""
    if row.value is None:
        return f"| {row.name} | | {row.against} | | {row.note} |"
    against = row.against
    beside = row.peer if row.peer is not None else row.limit
    if beside is not None:
        against += f": {quantity(beside, row.unit)}"
    ratio = "" if row.ratio is None or not against else f"{row.ratio:.3g}"
    if (
        ratio
        and spread
        and row.ratio_spread is not None
        and row.ratio_spread[0] < row.ratio_spread[1]
    ):
        ratio += " ({:.3g} to {:.3g})".format(*row.ratio_spread)
    goal = row.goal or ""
    if row.met is False:
        goal += ": **not reached**"
    value = quantity(row.value, row.unit)
    if spread and row.note:
        value += f"; {row.note}"
    return f"| {row.name} | {value} | {against} | {ratio} | {goal} |"


def quantity(value: float, unit: str) -> str:
    """Return a figure with three digits and its unit, in the prefix that suits it."""
    for factor, name in reversed(_SCALES.get(unit, ())):
        if abs(value) >= factor:
            return f"{_digits(value / factor)} {name}"
    return f"{_digits(value)} {unit}".rstrip()


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def include(page: str, text: str) -> str:
    """Return a page with a text between the markers.

    Raises
    ------
    ValueError
        The page lacks one of the markers, or has them in the wrong order.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks the line {BEGIN!r}, or {END!r} after it")
    return f"{head}{BEGIN}\n{text}\n{END}{tail}"


def write(results: Results, table: Path = TABLE, readme: Path = README) -> None:
    """Refresh the page of results and the table in the README."""
    table.write_text(render(results), "utf-8")
    page = include(readme.read_text("utf-8"), render_short(results))
    readme.write_text(page, "utf-8")


def missed(rows: Iterable[Row]) -> Sequence[Row]:
    """Return the rows whose goal is not met."""
    return [row for row in rows if row.met is False]
