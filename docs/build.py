"""The documentation as HTML: offline, from pages, code and programs, every warning an error.

    python docs/build.py OUT

The pages are Markdown that reads well where it lies, with links to any file of the repository.
A staged copy of them is what Sphinx reads: links lead to the pages made of them, what has no page
loses its link, and the reference of programs and modules is written from the code itself.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
BESIDE: Final = {
    "README.md": "index.md",
    "deploy/README.md": "deploy.md",
    "benchmarks/README.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Pages outside of docs/ and their names; the README's place is taken by docs/index.md."""
PROGRAMS: Final = {"c2s-data": "c2s_data.cli", "c2s-model": "c2s_model.cli"}
MODULES: Final = {
    "Looking at maps and stores": ("c2s_data.explore.datasets", "c2s_data.explore.accessor"),
    "Reading stores": ("c2s_data.store.reader", "c2s_data.derived_labels", "c2s_data.schema"),
    "Maps, models, catalogs": (
        "c2s_data.sources.density_map",
        "c2s_data.sources.atomic_model",
        "c2s_data.sources.catalog",
    ),
    "Building": ("c2s_data.config", "c2s_data.plan", "c2s_data.build", "c2s_data.distribute"),
    "Transforms": (
        "c2s_data.transforms.resample",
        "c2s_data.transforms.resample_spline",
        "c2s_data.transforms.percentile",
        "c2s_data.transforms.normalize",
        "c2s_data.transforms.label",
        "c2s_data.transforms.secondary_structure",
        "c2s_data.transforms.windows",
        "c2s_data.transforms.subgrid",
        "c2s_data.transforms.q_score",
    ),
    "Errors": ("c2s_data.errors",),
    "Loading for training": (
        "c2s_model.data.dataset",
        "c2s_model.data.inference",
        "c2s_model.data.derived",
    ),
    "Networks and prediction": (
        "c2s_model.nets.transformer",
        "c2s_model.nets.network_file",
        "c2s_model.predict.predict_map",
    ),
    "Backbones": (
        "c2s_model.backbone.candidates",
        "c2s_model.backbone.hmm_paper",
        "c2s_model.backbone.hmm_gap",
        "c2s_model.backbone.pipeline",
        "c2s_model.backbone.structure",
    ),
    "Scores": (
        "c2s_model.evaluation.evaluate",
        "c2s_model.evaluation.chain_comparison",
        "c2s_model.evaluation.one_to_one",
        "c2s_model.evaluation.tm_score",
        "c2s_model.evaluation.gdt",
        "c2s_model.evaluation.lddt",
        "c2s_model.evaluation.voxel_curve",
    ),
}
"""What a program of one's own imports, by topic."""
LINK: Final = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")
LOADED: Final = re.compile(r"<(?:script|link|img)[^>]*(?:src|href)=\"(?:https?:)?//[^\"]*\"")
FENCE: Final = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def pages() -> dict[Path, str]:
    """Return each page of the repository and its name among the staged ones."""
    own = {path: path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    return {path: str(name) for path, name in sorted(own.items())} | {
        ROOT / path: name for path, name in BESIDE.items()
    }


def relinked(text: str, page: Path, names: dict[Path, str]) -> str:
    """Return a page's text with links that fit the staged pages.

    Raises
    ------
    FileNotFoundError
        If a link leads nowhere.
    """

    def one(link: re.Match[str]) -> str:
        mark, label, path, anchor = link.groups()
        target = (page.parent / path).resolve()
        if not target.exists():
            raise FileNotFoundError(f"{page.relative_to(ROOT)}: link to {path} leads nowhere")
        if mark:
            name = str(target.relative_to(ROOT / "docs"))
        elif target in names:
            name = names[target]
        else:
            return label
        return f"{mark}[{label}]({os.path.relpath(name, Path(names[page]).parent)}{anchor or ''})"

    # Blocks of code are between the parts that are not.
    parts = FENCE.split(text)
    return "".join(part if part.startswith("```") else LINK.sub(one, part) for part in parts)


def stage(folder: Path) -> None:
    """Write what Sphinx reads."""
    names = pages()
    for page, name in names.items():
        if page == ROOT / "README.md":
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(relinked(page.read_text("utf-8"), page, names), "utf-8")
    shutil.copytree(ROOT / "docs/images", folder / "images", dirs_exist_ok=True)
    shutil.copyfile(ROOT / "docs/conf.py", folder / "conf.py")
    reference = folder / "reference"
    reference.mkdir(exist_ok=True)
    for program, module in PROGRAMS.items():
        (reference / f"{program}.md").write_text(commands_of(program, module), "utf-8")
    (reference / "python.md").write_text(modules_page(), "utf-8")


def commands_of(program: str, module: str) -> str:
    """Return the page of a program's commands, from its own help."""
    typer = [sys.executable, "-m", "typer", module, "utils", "docs", "--name", program]
    return subprocess.run(typer, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def modules_page() -> str:
    """Return the page that has the docstrings of the modules read into it."""
    lines = ["# Python", ""]
    for topic, modules in MODULES.items():
        lines += [f"## {topic}", ""]
        for module in modules:
            lines += [f"### {module}", "", "```{eval-rst}", f".. automodule:: {module}"]
            lines += ["   :members:", "```", ""]
    return "\n".join(lines)


def main() -> int:
    """Build into the folder that is named; return 1 if a page would load from elsewhere."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__)
        return 2
    with tempfile.TemporaryDirectory() as staged:
        stage(Path(staged))
        command = ["-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-b", "html", staged]
        subprocess.run([sys.executable, *command, sys.argv[1]], check=True, cwd=ROOT)
    for page in Path(sys.argv[1]).rglob("*.html"):
        if loaded := LOADED.search(page.read_text("utf-8")):
            print(f"{page} loads from elsewhere: {loaded.group()}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
