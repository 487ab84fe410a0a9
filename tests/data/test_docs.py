"""What the documentation shows is run: its Python blocks, its commands, its names and links."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from c2s_data.build import run_entries
from c2s_data.cli import app
from c2s_data.config import make_config
from c2s_data.plan import make_plan
from c2s_data.sources.catalog import read_catalog
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.objects import open_objects

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "deploy/README.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (f"{page.relative_to(ROOT)}-{number}", body)
        for page in PAGES
        for number, (kind, body) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
        if kind == language
    ]


@pytest.fixture(scope="module")
def place(demo_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store named as in the documentation, one of its maps as EMD-22898."""
    folder = tmp_path_factory.mktemp("docs")
    lines = demo_catalog.read_text().splitlines()
    inputs = demo_catalog.parent
    text = "\n".join(lines).replace("DEMO-0001,DEMO-0001", f"EMD-22898,{inputs}/DEMO-0001")
    text = re.sub(r"(?<=,)(DEMO-\d+\.)", rf"{inputs}/\1", text)
    catalog = folder / "catalog.csv"
    catalog.write_text(text + "\n")
    plan = make_plan(read_catalog(catalog), make_config("recommended"))
    objects = open_objects(folder / "dataset.zarr")
    begin_store(objects, plan)
    run_entries(objects.url, plan, plan.entries, lambda outcome: None)
    assert not commit(objects, plan).failures
    return folder


@pytest.mark.parametrize(("name", "code"), blocks("python"), ids=lambda value: value.split("\n")[0])
def test_python_blocks_run(name: str, code: str, place: Path) -> None:
    if "torch" in code or "c2s_model" in code:
        pytest.importorskip("torch", reason="torch is not installed")
    if ".plot()" in code:
        pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    # A process of its own, in the guard that workers of a DataLoader need on any platform.
    body = "".join(f"    {line}\n" for line in code.splitlines())
    script = place / "block.py"
    script.write_text(f"if __name__ == '__main__':\n{body}")
    result = subprocess.run(
        [sys.executable, str(script)], cwd=place, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{name}\n{result.stderr}"


def test_there_are_python_blocks() -> None:
    assert len(blocks("python")) >= 4


def commands() -> list[str]:
    """Every c2s-data command line of the documentation, comments cut off."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        found += re.findall(r"^(?:\$ )?(c2s-data [^\n#`]*)", text, re.MULTILINE)
        found += re.findall(r"`(c2s-data [^`]*)`", text)
    return sorted({command.strip() for command in found})


@pytest.mark.parametrize("command", commands())
def test_commands_exist_with_their_options(command: str) -> None:
    import typer

    words = shlex.split(command)[1:]
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert words[0] in known, f"{command}: no such command"
    options = {option for parameter in known[words[0]].params for option in parameter.opts}
    given = {word for word in words if word.startswith("--")}
    assert given <= options, f"{command}: {given - options} is no option"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
