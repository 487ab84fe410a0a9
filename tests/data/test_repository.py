"""What the repository says of itself is so: version, extras, commands, links, addresses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import c2s_data

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

# Written in two parts, so that this file does not hold what it looks for.
ADDRESSES = [
    *("py" + "pi.org", "python" + "hosted.org", "download.py" + "torch.org"),
    *("deb.de" + "bian.org", "registry.np" + "mjs.org", "conda.ana" + "conda.org"),
]
MACHINE_PATHS = ["/wo" + "rk/", "/ro" + "ot/", "/tmp" + "/w/", "/opt/wh" + "eels", "/Us" + "ers/"]


@pytest.fixture(scope="module")
def project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def tracked() -> dict[str, bytes]:
    """Content of every file that git tracks, by name."""
    if shutil.which("git") is None:
        pytest.skip("git is not on this machine")
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "-z"], cwd=ROOT, capture_output=True, check=False
    )
    names = [os.fsdecode(name) for name in listing.stdout.split(b"\0") if name]
    if "pyproject.toml" not in names:
        pytest.skip("this is not a git checkout of the project")
    return {name: (ROOT / name).read_bytes() for name in names if (ROOT / name).is_file()}


def test_the_version_stands_in_one_place(project: dict[str, dict[str, object]]) -> None:
    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", c2s_data.__version__)
    holders = [
        path
        for package in ("c2s_data", "c2s_model")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"^__version__ *[:=]", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert holders == [ROOT / "c2s_data" / "__init__.py"]


def test_the_changelog_is_ready_for_the_next_release() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings[0] == "[Unreleased]"


def test_the_extras_are_the_documented_ones(project: dict[str, dict[str, object]]) -> None:
    extras = project["project"]["optional-dependencies"]
    assert sorted(extras) == [
        *("dashboard", "esm", "explore", "kubernetes", "logs", "obstore", "s3", "slurm", "ssh"),
        "torch",
    ]  # fmt: skip
    core = [re.split(r"[<>=\[]", line)[0] for line in project["project"]["dependencies"]]
    assert "torch" not in core
    assert core == sorted(core)


def make_targets(pattern: str = r"^([a-z][a-z-]*):") -> set[str]:
    return set(re.findall(pattern, (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_names_commands_and_files_that_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    commands = set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)\b", text, re.MULTILINE))
    assert commands <= make_targets()
    links = [link for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_make_target_is_explained() -> None:
    assert make_targets(r"^([a-z][a-z-]*):.*## ") == make_targets()
    assert make_targets() >= {"demo", "test", "lint", "env"}


def test_no_file_holds_an_address_of_a_registry_or_of_one_machine(
    tracked: dict[str, bytes],
) -> None:
    words = ADDRESSES + MACHINE_PATHS
    found = [(name, word) for name in tracked for word in words if word.encode() in tracked[name]]
    assert found == []


def test_no_large_file_is_kept(tracked: dict[str, bytes]) -> None:
    assert {name: len(content) for name, content in tracked.items() if len(content) > 2**20} == {}
