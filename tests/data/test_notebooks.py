"""Each notebook is a pair: a script that is read and compared, and what Jupyter opens."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))


def test_there_are_five() -> None:
    assert [path.stem for path in SCRIPTS] == [
        "01_explore_a_map",
        "02_build_a_store",
        "03_train_small",
        "04_backbone_and_evaluation",
        "05_train_from_a_bucket",
    ]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_pair_says_the_same(script: Path) -> None:
    jupytext = pytest.importorskip("jupytext", reason="jupytext is not installed")
    document = json.loads(script.with_suffix(".ipynb").read_text("utf-8"))
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in document["cells"]]
    wanted = jupytext.read(script)
    assert cells == [(cell.cell_type, cell.source) for cell in wanted.cells], (
        f"run `jupytext --to ipynb notebooks/{script.name}`"
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_results(script: Path) -> None:
    document = json.loads(script.with_suffix(".ipynb").read_text("utf-8"))
    code = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_links_lead_somewhere(script: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", script.read_text("utf-8"))
    assert [link for link in links if not (script.parent / link).exists()] == []
