"""The command, its files, and the table of the paper."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from made_backbones import ca_chain, letters, moved, part, walk, write_ca
from typer.testing import CliRunner

import c2s_model.cli.evaluate  # noqa: F401 - registers the command
from c2s_data.errors import C2SError, ConfigError
from c2s_model.cli.app import app
from c2s_model.evaluation.table import (
    TableRow,
    as_csv,
    as_markdown,
    find_evaluations,
    mean_row,
    read_row,
)

PAPER = [  # Table 4: entry, residues, RMSD, matching, sequence
    ("22898", 448, 1.09, 80.4, 86.7),
    ("30210", 1036, 1.31, 69.7, 73.0),
    ("25855", 2703, 1.42, 71.6, 85.0),
    ("3295", 4338, 1.55, 62.7, 21.0),
]


@pytest.fixture
def models(tmp_path):
    rng = np.random.default_rng(41)
    target = [ca_chain(n, letters(rng, 60), walk(rng, 60) + 50.0 * k) for k, n in enumerate("AB")]
    query = [moved(part(c, slice(6, 60)), rng.normal(0, 0.4, (54, 3))) for c in target]
    return write_ca(tmp_path / "known.cif", target), write_ca(tmp_path / "built.cif", query)


def invoke(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_mean_row_is_the_papers_average():
    rows = [
        TableRow(entry, None, n, rmsd, found, same, "whole", 0.5, 0.4, 0.6, None, "number")
        for entry, n, rmsd, found, same in PAPER
    ]
    means = mean_row(rows)
    assert (means["rmsd"], means["found_percent"]) == pytest.approx((1.3425, 71.1))
    assert means["sequence_match_percent"] == pytest.approx(66.425)
    assert (means["lddt_ca"], means["resolution_A"]) == (None, None)
    lines = as_markdown(rows).splitlines()
    assert lines[2].startswith("| 22898 |  | 448 | 1.09 | 80.4 | 86.7 | whole |")
    assert lines[-1].startswith("| mean of 4 |  |  | 1.34 | 71.1 | 66.4 |")
    assert {line.count("|") for line in lines} == {13}
    read = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert [row["entry"] for row in read] == ["22898", "30210", "25855", "3295", "mean"]
    assert float(read[-1]["sequence_match_percent"]) == pytest.approx(66.425)


def test_a_mean_leaves_out_what_an_entry_lacks():
    base = ("whole", 0.5, 0.4, 0.6, None, "number")
    rows = [
        TableRow("a", 2.0, 10, None, 0.0, 0.0, *base),
        TableRow("b", 3.0, 10, 1.5, 50.0, 10.0, *base),
    ]
    assert mean_row(rows)["rmsd"] == 1.5
    assert mean_row(rows)["found_percent"] == 25.0


def test_json_holds_the_agreed_keys(models):
    done = invoke(*models, "--json", "--resolution", "3.25")
    assert done.exit_code == 0, done.output
    document = json.loads(done.output)
    assert document["pairs"] == 108
    assert document["found_percent"] == pytest.approx(90)
    assert (document["sequence_match_percent"], document["far"]) == (100, 0)
    assert 0.4 < document["rmsd"] < 1
    assert (document["entry"], document["resolution_A"]) == ("known", 3.25)
    assert [chain["n_mapped"] for chain in document["chains"]] == [54, 54]


def test_files_and_the_table_of_them(models, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    for name, resolution in (("EMD|1", "2.5"), ("EMD-2", "3.5")):
        done = invoke(
            *models,
            "--out",
            tmp_path / "runs" / name[-1],
            "--entry",
            name,
            "--resolution",
            resolution,
        )
        assert done.exit_code == 0, done.output
    assert (tmp_path / "runs" / "1" / "backbone.png").read_bytes().startswith(b"\x89PNG")
    again = invoke(*models, "--out", tmp_path / "runs" / "1")
    assert isinstance(again.exception, ConfigError)
    assert "overwrite" in str(again.exception)
    assert invoke(*models, "--out", tmp_path / "runs" / "1", "--overwrite").exit_code == 0
    done = invoke("--table", tmp_path / "runs", "--out", tmp_path / "table")
    assert done.exit_code == 0, done.output
    assert "| mean of 2 | 3.50 |" in done.output  # the second time --resolution was not given
    assert (tmp_path / "table" / "table.md").read_text() == done.output
    assert (tmp_path / "table" / "scatter.png").read_bytes().startswith(b"\x89PNG")
    assert len((tmp_path / "table" / "table.csv").read_text().splitlines()) == 4
    assert sorted(path.name for path in (tmp_path / "table").iterdir()) == [
        "scatter.png", "table.csv", "table.md",
    ]  # fmt: skip


def test_runs_are_files_folders_and_folders_of_folders(tmp_path):
    for name in ("b", "a"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "evaluation.json").write_text("{}")
    both = [tmp_path / "runs" / name / "evaluation.json" for name in "ab"]
    assert find_evaluations([tmp_path / "runs"]) == both
    assert find_evaluations([both[1], tmp_path / "runs"]) == both[::-1]
    for nothing in (tmp_path / "runs" / "c", tmp_path):
        with pytest.raises(ConfigError, match=r"evaluation\.json"):
            find_evaluations([nothing])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "other"}, "no evaluation"),
        ({"n_target": "many"}, "n_target is 'many'"),
        ({"tm_map_frame": float("inf")}, "tm_map_frame is inf"),
        ({"one_to_one": []}, "f1 is None"),
        ({"better": 3}, r"better\.found_percent is None"),
    ],
)
def test_a_document_that_is_none_is_refused(models, tmp_path, change, said):
    document = json.loads(invoke(*models, "--json").output)
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps({**document, "entry": "a | b\n" + "x" * 900}))
    assert read_row(path).entry == ("a | b " + "x" * 900)[:80]
    assert "a \\| b" in as_markdown([read_row(path)])
    path.write_text(json.dumps({**document, **change}))
    with pytest.raises(C2SError, match=said):
        read_row(path)


def test_wrong_use_is_told(models):
    for arguments, said in (
        (models[:1], "1 paths"),
        ((*models, models[0]), "3 paths"),
        (("--table", models[0], "--entry", "x"), "--entry"),
        (("--table", models[0]), "JSON"),
    ):
        assert said in str(invoke(*arguments).exception)


def test_the_printed_report_names_what_matters(models):
    done = invoke(*models)
    assert done.exit_code == 0, done.output
    for part_of_it in ("108 pairs", "matching 90.0 %", "mapped by number", "chain B: 54 of 60"):
        assert part_of_it in done.output
