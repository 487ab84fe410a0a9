"""Runs of the benchmark suite: what they write, what they leave, and how they end."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.suite import __main__ as suite  # noqa: E402
from benchmarks.suite import results, table  # noqa: E402
from benchmarks.suite.groups import GROUPS  # noqa: E402
from benchmarks.suite.made_store import built_store  # noqa: E402
from benchmarks.suite.results import Results  # noqa: E402
from benchmarks.suite.rows import at_least, compared  # noqa: E402
from benchmarks.suite.size import SIZES  # noqa: E402
from c2s_data.store.reader import open_store  # noqa: E402


def row_of(group, ratio=5.0):
    return compared("n", "s", [ratio - 0.1, ratio, ratio + 0.1], [1.0] * 3, against="peer",
                    goal=at_least(4)).named(GROUPS[group])  # fmt: skip


@pytest.fixture
def places(tmp_path, monkeypatch):
    """The files of results in a folder of their own, and no earlier results."""
    monkeypatch.setattr(suite, "ROOT", tmp_path)
    monkeypatch.setattr(suite, "APART", tmp_path / "apart.json")
    readme = tmp_path / "README.md"
    readme.write_text(f"a\n{table.BEGIN}\n{table.END}\nb\n")
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results.json")
    save, write = results.save, table.write
    monkeypatch.setattr(
        results, "save", lambda found, path=tmp_path / "results.json": save(found, path)
    )
    monkeypatch.setattr(table, "write", lambda found: write(found, tmp_path / "results.md", readme))
    monkeypatch.setattr(results, "committed", lambda revision: None)
    monkeypatch.setattr(suite, "measured", lambda group, size, folder: ([row_of(group)], ""))
    return tmp_path


def test_a_whole_run_writes_results_page_and_readme(places):
    assert suite.run("bench", tuple(GROUPS), places, None, "HEAD") == 0
    found = results.parse((places / "results.json").read_text("utf-8"))
    assert [row.group for row in found.rows] == list(GROUPS.values())
    assert found.about["size"] == "bench"
    page = (places / "results.md").read_text("utf-8")
    assert all(f"## {title}\n" in page for title in GROUPS.values())
    assert f"{len(GROUPS)} of {len(GROUPS)} goals met" in (places / "README.md").read_text("utf-8")


@pytest.mark.parametrize(("size", "groups"), [("quick", tuple(GROUPS)), ("bench", ("loader",))])
def test_a_part_of_a_run_is_kept_apart(places, size, groups):
    assert suite.run(size, groups, places, None, "HEAD") == 0
    assert not (places / "results.json").exists()
    assert len(results.parse((places / "apart.json").read_text("utf-8")).rows) == len(groups)
    assert suite.run(size, groups, places, places / "other.json", "HEAD") == 0
    assert len(results.parse((places / "other.json").read_text("utf-8")).rows) == len(groups)


def test_a_group_that_fails_ends_the_run_with_1_and_leaves_the_results(places, monkeypatch, capsys):
    failing = {"voxels": ([], "exit code 1")}
    monkeypatch.setattr(
        suite, "measured", lambda group, *_: failing.get(group, ([row_of(group)], ""))
    )
    assert suite.run("bench", tuple(GROUPS), places, None, "HEAD") == 1
    assert not (places / "results.json").exists()
    kept = results.parse((places / "apart.json").read_text("utf-8"))
    assert len(kept.rows) == len(GROUPS) - 1
    assert "FAILED: exit code 1" in capsys.readouterr().out


def test_a_run_that_is_worse_than_the_committed_one_ends_with_1(places, monkeypatch, capsys):
    about = results.about_this_run("bench", list(GROUPS))
    earlier = Results(about, (row_of("loader", 9.0), row_of("voxels", 5.0)))
    monkeypatch.setattr(results, "committed", lambda revision: earlier)
    assert suite.run("bench", tuple(GROUPS), places, None, "HEAD") == 1
    text = capsys.readouterr().out
    assert "WORSE: Loader, warm: n, against peer: ratio 9 before, 5 now" in text
    assert "1 of 2 rows worse" in text
    # Of a run of other groups the row is not missed, and other sizes are not compared.
    assert suite.run("bench", ("voxels",), places, None, "HEAD") == 0
    assert suite.run("quick", tuple(GROUPS), places, None, "HEAD") == 0


def test_a_group_writes_its_rows_as_they_are_found(tmp_path, monkeypatch):
    def rows(size, folder):
        assert (size.name, size.repeats) == ("quick", SIZES["quick"].repeats)
        yield row_of("loader", 4.0)
        raise RuntimeError("the disk is full")

    name = "benchmarks.suite.groups.loader"
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(rows=rows))
    target = tmp_path / "rows.jsonl"
    with pytest.raises(RuntimeError, match="the disk is full"):
        suite.measure_here("loader", "quick", tmp_path, target)
    (line,) = target.read_text("utf-8").splitlines()
    assert json.loads(line)["group"] == "Loader, warm"


def test_every_group_is_a_module():
    for name in GROUPS:
        assert importlib.util.find_spec(f"benchmarks.suite.groups.{name}") is not None


def test_the_store_that_groups_measure_on_is_committed_with_all_its_maps(tmp_path):
    store = open_store(built_store(tmp_path, n_maps=2, side=80))
    assert [entry.entry_id for entry in store.entries] == ["MAP0", "MAP1"]
    assert all(entry.shape_zyx == (80, 80, 80) for entry in store.entries)
