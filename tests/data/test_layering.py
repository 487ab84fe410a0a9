"""The flow goes one way, and the rules of the source tree hold; read off the syntax trees."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("c2s_data", "c2s_model")
LINE_LIMIT = 400

# Module -> what of this project it and all below it may import; the longest name decides.
MAY_IMPORT = {
    "c2s_data": ("c2s_data",),  # the steps of a build; the cross-cutting bans are below
    "c2s_data.errors": (),
    "c2s_data.schema": (),
    "c2s_data.config": (
        "c2s_data.errors",
        "c2s_data.schema",
        "c2s_data.transforms",  # what an option means, said once; transforms know no options
    ),
    "c2s_data.transforms": ("c2s_data.errors", "c2s_data.schema", "c2s_data.transforms"),
    "c2s_data.sources": (
        "c2s_data.errors",
        "c2s_data.schema",
        "c2s_data.transforms",
        "c2s_data.sources",
    ),
    "c2s_data.sources.input_file": (  # an input in a bucket is read as a store's objects are
        "c2s_data.errors",
        "c2s_data.store.address",
        "c2s_data.store.objects",
    ),
    "c2s_data.plan": (
        "c2s_data.errors",
        "c2s_data.schema",
        "c2s_data.config",
        "c2s_data.task_memory",
        "c2s_data.transforms",
        "c2s_data.sources",
    ),
    "c2s_data.task_memory": ("c2s_data.schema", "c2s_data.config", "c2s_data.transforms"),
    "c2s_data.plan_document": (
        "c2s_data.errors",
        "c2s_data.config",
        "c2s_data.plan",
        "c2s_data.sources.catalog",
    ),
    "c2s_data.growth": ("c2s_data.errors", "c2s_data.config", "c2s_data.plan"),
    "c2s_data.store": (
        "c2s_data.errors",
        "c2s_data.schema",
        "c2s_data.config",
        "c2s_data.plan",  # who owns which rows: made from headers, before there is a store
        "c2s_data.plan_document",
        "c2s_data.growth",
        "c2s_data.transforms",
        "c2s_data.store",
    ),
    "c2s_data.cluster": (
        "c2s_data.errors",
        "c2s_data.config",
        "c2s_data.plan",  # what a task may need
        "c2s_data.sources.bounded_documents",  # YAML
        "c2s_data.endpoint",  # workers get it too
        "c2s_data.cluster",
    ),
    "c2s_data.explore": (
        "c2s_data.errors",
        "c2s_data.schema",
        "c2s_data.config",
        "c2s_data.transforms",
        "c2s_data.sources",
        "c2s_data.store",
        "c2s_data.explore",
    ),
    "c2s_data.quality": ("c2s_data.transforms",),  # plain arrays, measured without a build
    "c2s_data.records": (
        "c2s_data.errors",
        "c2s_data.schema",
        "c2s_data.config",
        "c2s_data.plan",
        "c2s_data.transforms",
        "c2s_data.sources",
        "c2s_data.store",
        "c2s_data.splitting.tables",  # splits.csv is a data record
        "c2s_data.records",
    ),
    "c2s_data.records.masks": (  # the build reads them
        "c2s_data.errors",
        "c2s_data.schema",
        "c2s_data.sources",
    ),
    "c2s_data.splitting": (
        "c2s_data.errors",
        "c2s_data.schema",
        "c2s_data.transforms",
        "c2s_data.sources",
        "c2s_data.split",
        "c2s_data.leakage",
        "c2s_data.sequence_clusters",
        "c2s_data.splitting",
    ),
    "c2s_data.validation": (
        "c2s_data.errors",
        "c2s_data.schema",
        "c2s_data.config",
        "c2s_data.plan",
        "c2s_data.transforms",
        "c2s_data.sources",
        "c2s_data.store",
        "c2s_data.build",  # how an error is told
        "c2s_data.origin_diagnosis",
        "c2s_data.records.layout",
        "c2s_data.validation",
    ),
    "c2s_model": (
        "c2s_data.errors",
        "c2s_data.schema",
        "c2s_data.config",  # the preset that a network was trained on
        "c2s_data.store",
        "c2s_data.transforms",
        "c2s_data.sources",  # prediction reads a map, evaluation models
        "c2s_data.stored_density",  # a map is prepared as those of a store are
        "c2s_data.embed_store",
        "c2s_data.outputs",  # a run may be kept in a bucket
        "c2s_data.output_folder",
        "c2s_data.staged",  # a worker fetches a network by itself
        "c2s_data.explore.palette",  # the colors of the classes
        "c2s_data.explore.pages",  # the page around what a run shows
        "c2s_model",
    ),
    "c2s_model.cli": ("c2s_data", "c2s_model"),
    "c2s_model.nets": ("c2s_data.errors", "c2s_data.schema", "c2s_model.nets"),
    "c2s_model.evaluation": (
        "c2s_data.errors",
        "c2s_data.schema",
        "c2s_data.transforms",
        "c2s_data.sources",
        "c2s_data.explore.palette",
        "c2s_model.evaluation",
    ),
}

# Imported module -> the only modules that may import it.
ONLY_IN = {
    "torch": ("c2s_model",),
    "c2s_model": ("c2s_model",),
    "zarr": ("c2s_data.store",),
    "numcodecs": ("c2s_data.store",),
    "google_crc32c": ("c2s_data.store",),
    "dask": ("c2s_data.distribute", "c2s_data.cluster"),
    "distributed": ("c2s_data.distribute", "c2s_data.cluster"),
    "dask_jobqueue": ("c2s_data.cluster",),
    "kr8s": ("c2s_data.cluster",),
    "c2s_data.distribute": (
        *("c2s_data.distribute", "c2s_data.cluster_options"),
        *("c2s_data.cli", "c2s_model.cli"),
    ),
    "c2s_data.cluster": (
        *("c2s_data.cluster", "c2s_data.distribute", "c2s_data.cluster_options"),
        *("c2s_data.cli", "c2s_model.cli"),
    ),
    "c2s_data.cli": ("c2s_data.cli",),
    "c2s_model.cli": ("c2s_model.cli",),
    "transformers": ("c2s_model.embedding",),
    "matplotlib": (
        "c2s_data.explore",
        "c2s_model.training.curves",
        "c2s_model.backbone.backbone_report",
        "c2s_model.evaluation.pictures",
        "c2s_model.evaluation.voxel_pictures",
    ),
}

# Numerics take arrays and give arrays: nothing of files, logs, stores or clusters.
IMPURE = frozenset(
    {
        *("zarr", "dask", "distributed", "fsspec", "mrcfile", "gemmi", "pyarrow"),
        *("pathlib", "os", "io", "shutil", "tempfile", "logging", "time", "datetime", "random"),
    }
)


class Module(NamedTuple):
    name: str
    path: Path
    tree: ast.Module


def read_modules() -> list[Module]:
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found.append(Module(name, path, ast.parse(path.read_text("utf-8"), str(path))))
    return found


MODULES = read_modules()
NAMES = frozenset(module.name for module in MODULES)


def within(name: str, parent: str) -> bool:
    return name == parent or name.startswith(f"{parent}.")


def imported(tree: ast.AST, names: frozenset[str] = NAMES) -> Iterator[str]:
    """Yield each dotted name that a tree imports: functions, type checking and strings too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, "imports are absolute"
            members = [f"{node.module}.{alias.name}" for alias in node.names]
            submodules = [member for member in members if member in names]
            yield from submodules
            if len(submodules) < len(members):
                yield node.module
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "__import__"):
            yield from (
                argument.value
                for argument in node.args
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            )


def called(node: ast.Call) -> str:
    """Return the last part of the name that is called: ``load`` for ``np.load(...)``."""
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def layer_faults(name: str, imports: Iterator[str]) -> list[str]:
    layer = max((key for key in MAY_IMPORT if within(name, key)), key=len)
    faults = []
    for target in imports:
        own = target.split(".")[0] in PACKAGES
        if own and target != "c2s_data" and not any(within(target, a) for a in MAY_IMPORT[layer]):
            faults.append(f"{name} imports {target}, which lies downstream of {layer}")
        for banned, homes in ONLY_IN.items():
            if within(target, banned) and not any(within(name, home) for home in homes):
                faults.append(f"{name} imports {target}; only {', '.join(homes)} may")
        if within(name, "c2s_data.transforms") and target.split(".")[0] in IMPURE:
            faults.append(f"{name} imports {target}; transforms are pure numerics")
    return faults


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_imports_follow_the_flow(module: Module) -> None:
    assert layer_faults(module.name, imported(module.tree)) == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("c2s_data.build", "import torch.utils.data"),
        ("c2s_data.cli", "import importlib\nimportlib.import_module('c2s_model.data')"),
        ("c2s_data.transforms.label", "def f():\n    from pathlib import Path"),
        ("c2s_data.transforms.label", "from c2s_data.config import BuildConfig"),
        ("c2s_data.sources.catalog", "from c2s_data import store"),
        ("c2s_data.plan", "from zarr.codecs import BloscCodec"),
        ("c2s_data.plan", "from c2s_data.store.reader import open_store"),
        ("c2s_data.explore.figures", "from c2s_data.build import build_entry"),
        ("c2s_data.build", "from dask.distributed import Client"),
        ("c2s_data.store.writer", "from c2s_data.sources.density_map import DensityMap"),
        ("c2s_model.data.dataset", "from c2s_data.build import build_entry"),
        ("c2s_data.build", "from c2s_data import cli"),
        ("c2s_data.records.masks", "from c2s_data.store.reader import open_store"),
        ("c2s_data.validation.grid", "from c2s_data.repair import repair"),
        ("c2s_data.splitting.tables", "from c2s_data.split_store import split_store"),
        ("c2s_model.nets.unetr", "from c2s_model.training.loop import train"),
        ("c2s_model.evaluation.lddt", "from c2s_model.nets.unetr import Unetr"),
        ("c2s_model.predict.run", "from c2s_data.cluster.connect import connect"),
        ("c2s_data.build", "from c2s_data.cluster.spec import Local"),
        ("c2s_data.cli.building", "from dask_jobqueue import SLURMCluster"),
        ("c2s_model.predict.run", "import zarr"),
    ],
)
def test_a_wrong_import_is_found(name: str, source: str) -> None:
    names = NAMES | {"c2s_data.cli", "c2s_data.store"}
    assert len(layer_faults(name, imported(ast.parse(source), names))) >= 1


def find_cycle(edges: dict[str, set[str]]) -> list[str]:
    """Return modules that import each other in a ring, or nothing."""
    remaining = dict(edges)
    while leaves := [name for name in remaining if not edges[name] & remaining.keys()]:
        for name in leaves:
            del remaining[name]
    return sorted(remaining)


def test_no_module_imports_itself_through_others() -> None:
    edges = {
        module.name: {
            target
            for target in imported(module.tree)
            if target in NAMES and target not in (module.name, *PACKAGES)
        }
        for module in MODULES
    }
    assert find_cycle(edges) == []
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_a_module_is_short_named_and_explained(module: Module) -> None:
    assert ast.get_docstring(module.tree), "a module says what it is for"
    assert module.path.stem not in ("utils", "helpers", "common", "misc"), "a noun is missing"
    assert len(module.path.read_text("utf-8").splitlines()) <= LINE_LIMIT


@pytest.mark.parametrize("folder", ["tests", "benchmarks"])
def test_other_files_are_short(folder: str) -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text("utf-8").splitlines())) > LINE_LIMIT
    }
    assert long == {}


def run_python(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_of_the_package_is_light() -> None:
    heavy = {"torch", "dask", "distributed", "numba", "matplotlib", "zarr", "pandas", "xarray"}
    loaded = run_python("import c2s_data, sys; print(*sys.modules)").split()
    assert heavy & set(loaded) == set()


def test_every_data_module_imports_without_torch() -> None:
    names = [module.name for module in MODULES if within(module.name, "c2s_data")]
    assert len(names) > 20
    script = f"""
import importlib, sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "c2s_model"):
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)

sys.meta_path.insert(0, NoTorch())
for name in {names!r}:
    importlib.import_module(name)
print(sum(name in sys.modules for name in {names!r}))
"""
    assert int(run_python(script)) == len(names)
