"""The figures of docs/guarantees.md are what the tests reported: sums, budgets, replacement."""

from __future__ import annotations

from pathlib import Path

import guarantees_table
import pytest
from guarantees_table import Line, lines_of, merge_results, read_results, replace_table, table

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


def test_a_run_replaces_only_what_it_ran(tmp_path: Path) -> None:
    path = tmp_path / "new" / "faults.json"
    merge_results(path, "smoke", ["a", "b"], {"a": [said("K1", 1, 0)], "b": [said("K2", 2, 0)]})
    merge_results(path, "full", ["a"], {"a": [said("K1", 20, 0)]})
    merge_results(path, "smoke", ["b", "c"], {"c": [said("K4", 5, 0)]})  # now "b" has failed
    assert {budget: list(tests) for budget, tests in read_results(path).items()} == {
        "smoke": ["a", "c"],
        "full": ["a"],
    }


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
