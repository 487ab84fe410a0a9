"""Results of the fault tests: kept as JSON, summed to one line a row, written as a table.

``python tests/faults/guarantees_table.py`` rewrites the table of docs/guarantees.md from what
``make test-faults`` and ``make test-faults FULL=1`` have left in .cache/faults.json.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "guarantees.md"
BEGIN, END = "<!-- begin: table of fault tests -->", "<!-- end: table of fault tests -->"

# Every row of the matrix, in its order; the fixture `row` knows no other.
ROW_IDS = (
    *("K1", "K2", "K3", "K4", "K5", "D1", "D2", "S", "G1", "G2", "H1", "H2", "V1", "V2", "V4"),
    *("M1", "M2", "P1", "P2", "N1", "N2", "L1", "L2", "C1", "X1", "F", "W", "R", "I", "E"),
)
BUDGETS = ("full", "smoke")  # the larger first: where both were run, the table shows it
BUDGET = "full" if os.environ.get("FULL", "") not in ("", "0") else "smoke"

# budget -> test -> what its calls of `row` said
Results = dict[str, dict[str, list[dict[str, Any]]]]


class Line(NamedTuple):
    """One row of the matrix: everything that all its tests reported, added up."""

    id: str
    budget: str
    injected: str
    times: int
    lost: int
    note: str


def chosen(smoke: int, full: int) -> int:
    """Return the number that this run's budget asks for."""
    return full if BUDGET == "full" else smoke


def results_path() -> Path:
    """Return where the results are kept: $FAULTS_JSON or .cache/faults.json."""
    return Path(os.environ.get("FAULTS_JSON") or ROOT / ".cache" / "faults.json")


def read_results(path: Path) -> Results:
    """Return the kept results, none if there are none yet."""
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def merge_results(
    path: Path,
    budget: str,
    ran: Iterable[str],
    rows: Mapping[str, list[dict[str, Any]]],
    root: Path,
) -> None:
    """Replace what is known of the functions that ``ran``; a test that did not pass says nothing.

    A function is replaced with all its cells, since there may be fewer of them now, and what is
    gone from the files below ``root`` is forgotten.
    """
    results = existing(read_results(path), root)
    again = {_function(test) for test in ran}
    before = results.get(budget, {})
    kept = {test: said for test, said in before.items() if _function(test) not in again}
    results[budget] = dict(sorted((kept | dict(rows)).items()))
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(results, indent=1), "utf-8")
    beside.replace(path)


def existing(results: Results, root: Path) -> Results:
    """Return the results of tests that the files below ``root`` still define."""

    @cache
    def is_there(function: str) -> bool:
        file, _, name = function.partition("::")
        name = name.rpartition("::")[2]
        return (root / file).is_file() and f"def {name}(" in (root / file).read_text("utf-8")

    return {
        budget: {test: said for test, said in tests.items() if is_there(_function(test))}
        for budget, tests in results.items()
    }


def _function(test: str) -> str:
    return test.partition("[")[0]


def lines_of(results: Results) -> list[Line]:
    """Return one line for every row that was reported, with the figures of its largest budget."""
    found = []
    for name in ROW_IDS:
        for budget in BUDGETS:
            said = [r for rows in results.get(budget, {}).values() for r in rows if r["id"] == name]
            if said:
                found.append(_sum(name, budget, said))
                break
    return found


def _sum(name: str, budget: str, said: list[dict[str, Any]]) -> Line:
    kinds: Counter[str] = Counter()
    for row in said:
        kinds[row["injected"]] += row["times"]
    counted = [f"{kind} ({times:,})" for kind, times in kinds.items()]
    injected = "; ".join(counted) if len(kinds) > 1 else next(iter(kinds))
    notes = "; ".join(dict.fromkeys(row["note"] for row in said if row["note"]))
    lost = sum(row["lost"] for row in said)
    return Line(name, budget, injected, kinds.total(), lost, notes)


def table(lines: Iterable[Line]) -> str:
    """Return the lines as a Markdown table."""
    rows = [
        "| row | injected | times | lost | budget | what was seen |",
        "|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {line.id} | {_cell(line.injected)} | {line.times:,} | {line.lost:,} | {line.budget} "
        f"| {_cell(line.note)} |"
        for line in lines
    ]
    return "\n".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def replace_table(page: str, new: str) -> str:
    """Return the page with ``new`` between its two markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n{new}\n{END}{after}"


def main() -> str | None:
    """Rewrite the page; return what is missing for it to be complete."""
    lines = lines_of(existing(read_results(results_path()), ROOT))
    if not lines:
        return f"{results_path()} holds no results; run `make test-faults` first"
    PAGE.write_text(replace_table(PAGE.read_text("utf-8"), table(lines)), "utf-8")
    missing = [name for name in ROW_IDS if name not in {line.id for line in lines}]
    return f"rows that no test has reported: {' '.join(missing)}" if missing else None


if __name__ == "__main__":
    sys.exit(main())
