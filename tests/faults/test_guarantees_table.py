"""The figures of docs/guarantees.md are what the tests reported: sums, budgets, replacement."""

from __future__ import annotations

from pathlib import Path

import guarantees_table
import pytest
from guarantees_table import (
    Line,
    existing,
    lines_of,
    merge_results,
    read_results,
    replace_table,
    table,
)

pytest_plugins = ["pytester"]


def said(name: str, times: int, lost: int, injected: str = "kill", note: str = "") -> dict:
    return {"id": name, "injected": injected, "times": times, "lost": lost, "note": note}


def test_reports_of_one_row_add_up_and_the_larger_budget_is_shown() -> None:
    results = {
        "smoke": {"a": [said("S", 9, 9)], "d": [said("E", 4, 0)]},
        "full": {"a": [said("S", 3, 0, "503", "GET")], "b": [said("S", 4, 1, "reset", "GET")]},
    }
    assert lines_of(results) == [
        Line("S", "full", "503 (3); reset (4)", 7, 1, "GET"),
        Line("E", "smoke", "kill", 4, 0, ""),
    ]


def test_a_run_replaces_the_functions_it_ran_and_forgets_what_is_gone(tmp_path: Path) -> None:
    path, file = tmp_path / "new" / "faults.json", tmp_path / "test_it.py"

    def merge(budget: str, ran: list[str], passed: dict[str, str]) -> None:
        rows = {f"test_it.py::{test}": [said(name, 1, 0)] for test, name in passed.items()}
        merge_results(path, budget, [f"test_it.py::{test}" for test in ran], rows, tmp_path)

    def kept() -> dict[str, list[str]]:
        results = read_results(path)
        return {b: [test.partition("::")[2] for test in tests] for b, tests in results.items()}

    file.write_text("def test_a():\ndef test_b(cell):\ndef test_c():\n")
    merge("smoke", ["test_a", "test_b[0]"], {"test_a": "K1", "test_b[0]": "K2"})
    merge("full", ["test_a"], {"test_a": "K1"})
    merge("smoke", ["test_b[1]", "test_c"], {"test_c": "K4"})  # now "b" has another cell; it failed
    assert kept() == {"smoke": ["test_a", "test_c"], "full": ["test_a"]}
    merge("full", ["test_b[0]", "test_b[1]"], {"test_b[0]": "K2", "test_b[1]": "K2"})
    assert kept()["full"] == ["test_a", "test_b[0]", "test_b[1]"]
    file.write_text("def test_ab():\ndef test_b(cell):\ndef test_c():\n")
    assert existing(read_results(path), tmp_path)["smoke"].keys() == {"test_it.py::test_c"}
    merge("smoke", [], {})
    assert kept() == {"smoke": ["test_c"], "full": ["test_b[0]", "test_b[1]"]}
    file.unlink()
    merge("smoke", [], {})
    assert kept() == {"smoke": [], "full": []}


def test_the_table_goes_between_its_markers() -> None:
    begin, end = guarantees_table.BEGIN, guarantees_table.END
    page = f"before\n{begin}\nold\n{end}\nafter\n"
    new = table([Line("K1", "full", "a|b", 1200, 0, "seen\nso")])
    assert new.splitlines()[-1] == "| K1 | a\\|b | 1,200 | 0 | full | seen so |"
    assert replace_table(page, new) == f"before\n{begin}\n{new}\n{end}\nafter\n"
    assert replace_table(replace_table(page, "x"), new) == replace_table(page, new)
    with pytest.raises(ValueError, match="lacks"):
        replace_table("no markers", new)


@pytest.mark.parametrize("options", [[], ["-n2"]], ids=["alone", "xdist"])
def test_only_what_passed_is_reported(
    options: list[str], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Path(__file__).parent
    folder = pytester.mkdir("faults")
    for name in ("conftest.py", "guarantees_table.py"):
        (folder / name).write_text((here / name).read_text())
    (folder / "test_it.py").write_text(
        "def test_a(row, budget):\n    row('K1', 'kill', budget(2, 20), 0)\n"
        "def test_b(row):\n    row('K1', 'kill', 1, 0)\n    row('E', 'order', 4, 0, 'equal')\n"
        "def test_fails(row):\n    row('D1', 'full disk', 1, 0)\n    assert False\n"
        "def test_typo(row):\n    row('K9', 'kill', 1, 0)\n"
    )
    monkeypatch.setenv("FAULTS_JSON", str(pytester.path / "faults.json"))
    monkeypatch.setenv("FULL", "1")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", *options, "faults")
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        ["K1  kill: 21 times, 0 lost", "E   order: 4 times, 0 lost (equal)"]
    )
    result.stdout.no_fnmatch_line("D1*")
    assert list(read_results(pytester.path / "faults.json")) == ["full"]
