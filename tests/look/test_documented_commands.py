"""The commands that README and docs show are run as they stand, in a folder made for their page.

Names in capitals are given a meaning, and trainings are cut short. What needs another machine has a
reason here, which says where it is run instead.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed")

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:\$ )?(c2s-(?:data|model) [^#\n]*)", re.MULTILINE)
MAKES_STORE = ("README.md", "docs/own-maps.md")
MAX_S = 240

ELSEWHERE = (
    (r"^c2s-data (search|fetch|split) ", "asks archives: tests/data/test_walkthrough.py"),
    (r" archive/", "needs what was fetched: tests/data/test_walkthrough.py"),
    (r"(s3|gs|az)://", "needs a bucket: tests/cloud"),
    (r"--cluster ", "needs a cluster: tests/cluster and tests/kubernetes"),
    (r"^c2s-data build catalog.csv dataset.zarr( --workers 4)?$", "tests/data/test_cli.py"),
    (
        r"^c2s-data import ",
        "needs records of the published kind: tests/data/test_records_import.py",
    ),
    (r"^c2s-data view ", "serves until it is stopped: tests/look/test_view_page.py"),
    (r"^c2s-model (backbone|calibrate) ", "needs a network that has learned: tests/model"),
    (r"^c2s-model convert ", "needs a published checkpoint: tests/model/test_published.py"),
    (r"--esm ", "needs the weights of ESM-2: tests/model/test_embedding.py"),
    (r"--file mine.npz", "needs vectors computed elsewhere: tests/model/test_embedding.py"),
    (r"--workers 4$", "needs four workers: tests/model/test_predict_cli.py"),
    (r"--entry EMD-4413", "a map of the paper's: tests/model/test_predict_cli.py"),
    (r"^c2s-data plan .*--estimate", "tests/data/test_estimate.py"),
)
MEANT = (
    (r"\bSTORE\b", "dataset.zarr"),
    (r"\bRUN\b", "run"),
    (r"--variant small", "--variant tiny --max-steps 2"),
    (r"--resume$", "--resume --max-steps 3"),
)


def commands() -> list[tuple[str, str]]:
    """Page and command, in the order of the pages."""
    found = []
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for kind, body in BLOCK.findall(text):
            if kind in ("", "sh", "console"):
                lines = COMMAND.findall(body.replace("\\\n", " "))
                found += [(page, " ".join(line.split())) for line in lines]
    return list(dict.fromkeys(found))


def reason(command: str) -> str | None:
    return next((why for pattern, why in ELSEWHERE if re.search(pattern, command)), None)


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    for pattern, meant in MEANT:
        command = re.sub(pattern, meant, command)
    program, *words = shlex.split(command)
    path = Path(sys.executable).parent / program
    return subprocess.run(
        [path, *words],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=MAX_S,
        check=False,
    )


@pytest.fixture(scope="module")
def place(demo_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a page: inputs as the documentation names them, and what came before."""
    root = tmp_path_factory.mktemp("documented")
    inputs, made = demo_catalog.parent, root / "made"
    shutil.copytree(inputs, made / "demo-out/inputs")
    text = demo_catalog.read_text().replace("DEMO-0001,DEMO-0001", f"EMD-22898,{inputs}/DEMO-0001")
    (made / "catalog.csv").write_text(re.sub(r"(?<=,)(DEMO-\d+\.)", rf"{inputs}/\1", text))
    (made / "demo-out/backbone").mkdir()
    model = inputs / "DEMO-0001.cif"
    for name in ("7kjr.cif", "known.cif", "built.cif", "model.cif"):
        shutil.copy(model, made / name)
    shutil.copy(model, made / "demo-out/backbone/DEMO-0001.cif")
    shutil.copy(inputs / "DEMO-0001.map.gz", made / "emd_22898.map.gz")
    for catalog, store in (
        ("catalog.csv", "dataset.zarr"),
        ("demo-out/inputs/catalog.csv", "demo-out/demo.zarr"),
    ):
        done = run(f"c2s-data build {catalog} {store} --preset recommended --workers 1", made)
        assert done.returncode == 0, done.stderr
    train = "c2s-model train dataset.zarr run --variant small --target atom --preset recommended"
    done = run(train, made)
    assert done.returncode == 0, done.stderr

    def of_page(page: str) -> Path:
        folder = root / page.replace("/", "-")
        if not folder.exists():
            shutil.copytree(made, folder)
            if page in MAKES_STORE:
                shutil.rmtree(folder / "dataset.zarr")
            if page != "docs/predict.md":
                shutil.rmtree(folder / "run")
            if page == "docs/evaluation.md":
                done = run("c2s-model evaluate known.cif built.cif --out other-run", folder)
                assert done.returncode == 0, done.stderr
        return folder

    return of_page


@pytest.mark.parametrize(
    ("page", "command"),
    [pair for pair in commands() if reason(pair[1]) is None],
    ids=lambda value: value.removeprefix("docs/"),
)
def test_a_documented_command_runs(place: Callable[[str], Path], page: str, command: str) -> None:
    done = run(command, place(page))
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_most_are_run_and_every_reason_is_needed() -> None:
    found = [command for _, command in commands()]
    assert sum(reason(command) is None for command in found) > 30
    for pattern, why in ELSEWHERE:
        assert any(re.search(pattern, command) for command in found), pattern
        for place in re.findall(r"tests/\S+", why):
            assert (ROOT / place).exists(), f"{pattern}: {place}"
