"""The page of a backbone in a browser."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

pytest.importorskip("c2s_model.run_report")
sys.path.insert(0, str(ROOT / "tests" / "model"))

from test_run_report import built_model, write_work

from c2s_model.evaluation.chains import joined_xyz_A, read_chains
from c2s_model.run_document import run_document
from c2s_model.run_report import write_run_report


def triangles(watched) -> int:
    return int(watched.data("#scene", "triangles"))


def test_a_backbone_over_the_truth(watched, tmp_path: Path, picture) -> None:
    built, truth = built_model(tmp_path)
    write_work(tmp_path / "work", joined_xyz_A(read_chains(truth))[:96])
    write_run_report(built, tmp_path / "run.html", tmp_path / "work", truth)
    page = watched.open((tmp_path / "run.html").as_uri())
    document = run_document(built, tmp_path / "work", truth)
    scores = document["scores"]
    assert watched.texts("#scores b")[0] == "91"
    assert watched.texts("#scores b")[2] == f"{scores['matching_percent']:.1f} %"
    assert watched.texts("#scores b")[6] == f"{scores['tm_map_frame']:.3f}"
    assert watched.texts("#chains td")[:3] == ["A", "96", str(scores["chains"][0]["n_near"])]
    assert "a <b>note</b>" in page.inner_text("#stages")
    assert page.input_value("#coloring") == "status"
    layers = {}
    for name in ("built", "truth", "candidates", "surface"):
        box = page.locator(f"#show-{name}")
        was = box.is_checked()
        box.set_checked(False)
        without = triangles(watched)
        box.set_checked(True)
        layers[name] = triangles(watched) - without
        box.set_checked(was)
    assert layers["candidates"] == 96 * 8
    assert layers["truth"] > layers["built"] > 1000
    assert layers["surface"] > 0
    watched.slide("#contour", 0.95)
    page.select_option("#coloring", "confidence")
    assert page.locator("svg.plot path.line").count() == len(broken_into(document))
    assert watched.shot(picture("run-test.jpg"), whole=True).stat().st_size > 20_000


def broken_into(document) -> list[int]:
    """Pieces of the built chain: it ends where five residues miss and where ten are moved."""
    steps_A = np.linalg.norm(np.diff(document["built"]["xyz_A"], axis=0), axis=1)
    pieces = np.split(np.arange(91), np.flatnonzero(steps_A >= 4.6) + 1)
    assert len(pieces) == 4
    return pieces


def test_a_model_alone_needs_no_truth(watched, tmp_path: Path) -> None:
    built, _ = built_model(tmp_path)
    write_run_report(built, tmp_path / "run.html", None, None)
    page = watched.open((tmp_path / "run.html").as_uri())
    assert watched.texts("#scores b") == ["91", "0.75"]
    assert page.locator("#show-truth").count() == 0
    assert "no known model" in page.inner_text("main")
