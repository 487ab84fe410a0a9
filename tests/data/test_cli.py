"""The command line as a user types it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from c2s_data.cli import main; main()", *map(str, words)]
    plain = os.environ | {"NO_COLOR": "1", "TERM": "dumb"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=plain)


@pytest.fixture(scope="module")
def catalog(demo_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the demonstration's input that tests may add to."""
    folder = tmp_path_factory.mktemp("inputs") / "inputs"
    shutil.copytree(demo_catalog.parent, folder)
    return folder / demo_catalog.name


@pytest.fixture(scope="module")
def store(catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plan, two parts, commit: no Dask anywhere."""
    path = tmp_path_factory.mktemp("store") / "demo.zarr"
    planned = run("plan", catalog, path, "--preset", "paper")
    assert planned.returncode == 0, planned.stderr
    assert "3 of 3 maps can be built" in planned.stdout
    assert "decode offset 0.5 voxel" in planned.stdout
    assert "0.96 A" in planned.stdout
    early = run("commit", path)
    assert early.returncode == 2
    assert "3 of 3 entries are not built yet" in early.stderr
    unfinished = json.loads(run("inspect", path, "--json").stdout)
    assert (unfinished["generation"], unfinished["maps"]) == (0, [])
    assert unfinished["pending"] == ["DEMO-0001", "DEMO-0002", "DEMO-0003"]
    for part in ("1/2", "2/2"):
        built = run("build", catalog, path, "--part", part)
        assert built.returncode == 0, built.stderr
        assert "built in" in built.stdout
        assert "decode offset 0.5 voxel" in built.stdout
    built = json.loads(run("inspect", path, "--json").stdout)
    assert "NOT COMMITTED" in run("inspect", path).stdout
    state = json.loads(run("status", path, "--json").stdout)
    assert (len(state["finished"]), state["pending"], state["generation"]) == (3, [], 0)
    committed = run("commit", path)
    assert committed.returncode == 0, committed.stderr
    assert "committed" in committed.stdout
    after = json.loads(run("inspect", path, "--json").stdout)
    assert (built.pop("generation"), after.pop("generation")) == (0, 1)
    assert built == after
    return path


def test_inspect_as_json_and_as_a_table(store: Path) -> None:
    summary = json.loads(run("inspect", store, "--json").stdout)
    assert summary["generation"] == 1
    assert summary["n_subgrids"] == sum(m["n_subgrids"] for m in summary["maps"]) > 200
    assert summary["attributes"]["preset"] == "paper"
    assert summary["failures"] == {}
    assert [m["split"] for m in summary["maps"]] == ["train", "train", "validation"]
    assert all(m["ca_in_box"] == 1.0 for m in summary["maps"])
    assert sum(m["n_subgrids"] for m in summary["maps"]) == summary["n_subgrids"]
    table = run("inspect", store).stdout
    for words in ("DEMO-0001", "CA at 1", "secondary structure (dssp)", "preset paper"):
        assert words in table


def test_status_in_words(store: Path) -> None:
    assert "generation 1 is committed; 3 finished, 0 to be built, 0 failed" in (
        run("status", store).stdout
    )


def test_default_preset_names_its_costs(catalog: Path, tmp_path: Path) -> None:
    without = run("plan", catalog, tmp_path / "a.zarr").stdout
    assert "No --preset given" in without
    assert "recommended" in without
    given = run("plan", catalog, tmp_path / "b.zarr", "--preset", "paper").stdout
    assert "No --preset given" not in given


def test_other_options_do_not_resume(catalog: Path, store: Path) -> None:
    refused = run("build", catalog, store, "--preset", "recommended", "--box", "24")
    assert refused.returncode == 2
    assert "label_rule: 'formula1' -> 'nearest'" in refused.stderr
    assert "box: 32 -> 24" in refused.stderr
    part = run("build", catalog, store, "--preset", "released", "--part", "1/1")
    assert part.returncode == 2
    assert "planned with preset paper" in part.stderr
    part = run("build", catalog, store, "--box", "64", "--core", "40", "--part", "1/1")
    assert part.returncode == 2
    assert "another box, core" in part.stderr
    other = catalog.with_name("other.csv")
    other.write_text("\n".join(catalog.read_text().splitlines()[:2]) + "\n")
    assert "another catalog" in run("build", other, store, "--part", "1/1").stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plan", "{catalog}", "{out}", "--preset", "best"], "paper, released, recommended"),
        (["plan", "{catalog}", "{out}", "--box", "31"], "even"),
        (["plan", "{catalog}", "{out}", "--task-memory", "lots"], "1.5GB"),
        (["plan", "none.csv", "{out}"], "cannot be read"),
        (["build", "{catalog}", "{out}", "--part", "x"], "3/16"),
        (["build", "{catalog}", "{out}", "--part", "1/2"], "has no plan"),
        (["build", "{catalog}", "{out}", "--part", "1/2", "--workers", "2"], "leave --cluster"),
        (["status", "{out}"], "has no plan"),
        (["commit", "{out}"], "has no plan"),
    ],
)
def test_errors_are_one_message_and_exit_code_2(
    catalog: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    out = tmp_path / "out.zarr"
    result = run(*(word.format(catalog=catalog, out=out) for word in words))
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not out.exists()


def test_failed_entry_makes_exit_code_1_and_the_rest_is_built(
    catalog: Path, tmp_path: Path
) -> None:
    lines = catalog.read_text().splitlines()
    bad = catalog.with_name("with_bad.csv")
    broken = catalog.with_name("broken.map.gz")
    broken.write_bytes(Path(catalog.parent, "DEMO-0003.map.gz").read_bytes()[:-1000])
    row = lines[3].replace("DEMO-0003,DEMO-0003.map.gz", "BAD-1,broken.map.gz")
    assert row.startswith("BAD-1,broken.map.gz,DEMO-0003.cif")
    bad.write_text("\n".join([lines[0], lines[3], row]) + "\n")
    store = tmp_path / "bad.zarr"
    result = run("build", bad, store, "--preset", "recommended", "--workers", "1")
    assert result.returncode == 1
    assert "BAD-1: FAILED" in result.stdout
    assert "1 entries are not in the store" in result.stdout
    assert json.loads(run("inspect", store, "--json").stdout)["failures"]["BAD-1"]


def test_ctrl_c_says_how_to_go_on(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from c2s_data.cli import app

    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("c2s_data.distribute.build_store", interrupted)
    result = CliRunner().invoke(app, ["build", str(catalog), str(tmp_path / "x.zarr")])
    assert result.exit_code == 130
    assert "the same command goes on from here" in result.output


def test_help_names_the_commands() -> None:
    text = run("--help").stdout
    for command in ("demo", "plan", "build", "commit", "status", "inspect"):
        assert command in text


def test_a_store_grows_withdraws_rebuilds_and_is_cleared(catalog: Path, tmp_path: Path) -> None:
    header, *lines = catalog.read_text().splitlines()
    grown = catalog.with_name("grown.csv")
    store = tmp_path / "grown.zarr"

    def build(rows: list[str], *words: str) -> subprocess.CompletedProcess[str]:
        grown.write_text("\n".join([header, *rows]) + "\n")
        return run("build", grown, store, "--preset", "recommended", "--workers", "1", *words)

    assert "generation 1" in build(lines[2:]).stdout
    assert "generation 2" in build(lines[1:]).stdout
    refused = build(lines[1:2])
    assert refused.returncode == 2
    assert "DEMO-0003: no longer in the catalog" in refused.stderr
    withdrawn = run("withdraw", store, "DEMO-0003", "--reason", "wrong hand")
    assert "DEMO-0003 is not in generation 3" in withdrawn.stdout
    state = json.loads(run("status", store, "--json").stdout)
    assert (state["generations"], state["held_by"]) == ([3, 2, 1], None)
    assert state["finished"] == ["DEMO-0002"]
    assert state["withdrawn"]["DEMO-0003"]["message"] == "wrong hand"
    assert "DEMO-0003: was withdrawn (wrong hand)" in build(lines[1:]).stderr
    again = build(lines[1:], "--rebuild")
    assert again.returncode == 0, again.stderr
    assert "generation 4" in again.stdout
    listed = run("gc", store, "--keep", "1", "--dry-run")
    assert "maps/DEMO-0003/s0/density/c/0/0/0" in listed.stdout
    assert (store / "maps/DEMO-0003").exists()
    cleared = run("gc", store, "--keep", "1")
    assert cleared.returncode == 0, cleared.stderr
    assert "removed" in cleared.stdout
    assert not any(path.is_file() for path in (store / "maps/DEMO-0003").rglob("*"))
    summary = json.loads(run("inspect", store, "--json").stdout)
    assert [m["entry_id"] for m in summary["maps"]] == ["DEMO-0002", "DEMO-0003"]
    assert [m["first_subgrid"] for m in summary["maps"]] == [512, 1024]
