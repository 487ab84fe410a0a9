"""What must never be called or imported on the way of what comes from outside."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from test_layering import MODULES, ROOT

DOCUMENTS = "c2s_data.sources.bounded_documents"
DOWNLOAD = "c2s_data.sources.download"
KUBERNETES = "c2s_data.cluster.kubernetes_api"  # what kr8s raises when nobody answers
INERT_PICKLE = "c2s_model.nets.inert_pickle"  # overrides every way of pickle.Unpickler to a name

# Whatever turns bytes into code or objects, parses without bounds, or goes to the network.
BANNED_IMPORTS: Final = {
    **dict.fromkeys(("cPickle", "_pickle", "cloudpickle", "dill", "joblib"), ()),
    "pickle": (INERT_PICKLE,),
    **dict.fromkeys(("marshal", "shelve", "commands", "xmlrpc", "telnetlib", "ftplib"), ()),
    **dict.fromkeys(("xml", "lxml", "defusedxml", "bs4", "yaml", "ruamel"), (DOCUMENTS,)),
    **dict.fromkeys(("urllib.request", "http.client", "requests", "urllib3"), (DOWNLOAD,)),
    "httpx": (DOWNLOAD, KUBERNETES),
    **dict.fromkeys(("http.server", "socketserver", "aiohttp", "flask"), ()),
    "zarr.codecs.GzipCodec": (),
    "numcodecs.gzip": (),
    "numcodecs.pickles": (),
}
BANNED_CALLS: Final = {
    *("eval", "exec", "compile", "os.system", "os.popen", "pty.spawn", "tempfile.mktemp"),
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.full_load_all"),
    *("dask.array.to_zarr", "pandas.read_pickle", "numpy.core.multiarray._reconstruct"),
    *("xml.etree.ElementTree.parse", "xml.etree.ElementTree.fromstring", "torch.jit.load"),
    *("xml.etree.ElementTree.XML", "xml.etree.ElementTree.iterparse"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "ssl._create_unverified_context"),
    *("numcodecs.GZip", "numcodecs.Pickle", "zarr.codecs.GzipCodec", "numcodecs.zarr3.GZip"),
}  # fmt: skip
BANNED_METHODS: Final = {"to_zarr", "to_pickle", "read_pickle", "extractall"}
BANNED_ARGUMENTS: Final = {
    "shell": "False",
    "allow_pickle": "False",
    "permissive": "False",
    "verify": "True",
    "check_hostname": "True",
}


def full_names(tree: ast.AST) -> dict[str, str]:
    """Return what each imported name stands for: ``np`` is numpy, ``load`` torch.load."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def imported_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def faults(name: str, tree: ast.AST) -> Iterator[str]:
    """Yield what a module must not do."""
    for imported in imported_names(tree):
        for banned, homes in BANNED_IMPORTS.items():
            if (imported == banned or imported.startswith(f"{banned}.")) and name not in homes:
                yield f"import of {imported}"
    names = full_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from call_faults(node, names)
        elif (
            isinstance(node, ast.Dict)
            and {"name", "id"} & {k.value for k in node.keys if isinstance(k, ast.Constant)}
            and {"gzip", "pickle"} & {v.value for v in node.values if isinstance(v, ast.Constant)}
        ):
            yield f"codec {ast.unparse(node)}"


def call_faults(node: ast.Call, names: dict[str, str]) -> Iterator[str]:
    text = ast.unparse(node.func)
    head, dot, rest = text.partition(".")
    full = names.get(head, head) + dot + rest
    keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
    if full in BANNED_CALLS:
        yield full
    if isinstance(node.func, ast.Attribute) and node.func.attr in BANNED_METHODS:
        yield text
    if full == "torch.load" and keywords.get("weights_only") != "True":
        yield "torch.load without weights_only=True"
    for argument, safe in BANNED_ARGUMENTS.items():
        if keywords.get(argument, safe) != safe:
            yield f"{text}({argument}={keywords[argument]})"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_nothing_unsafe_is_done(module) -> None:
    assert list(faults(module.name, module.tree)) == []


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda p: p.stem)
def test_nothing_unsafe_is_done_in_benchmarks(path: Path) -> None:
    allowed = ("import of http", "import of urllib")
    found = faults(path.stem, ast.parse(path.read_text("utf-8")))
    assert [fault for fault in found if not fault.startswith(allowed)] == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from cloudpickle import loads",
        "import yaml",
        "from xml.etree import ElementTree",
        "import xml.dom.minidom",
        "from lxml import etree",
        "import urllib.request",
        "from numcodecs.gzip import GZip",
        "from zarr.codecs import GzipCodec",
        "import numcodecs\nnumcodecs.GZip(1)",
        "codec = {'name': 'gzip', 'configuration': {'level': 1}}",
        "codec = {'id': 'pickle'}",
        "import torch\ntorch.load(f)",
        "import torch\ntorch.load(f, weights_only=False)",
        "from torch import load\nload(f)",
        "import torch as t\nt.load(f)",
        "eval('1')",
        "exec('1')",
        "import os\nos.system('ls')",
        "subprocess.run('ls', shell=True)",
        "np.load(p, allow_pickle=True)",
        "np.load(p, allow_pickle=flag)",
        "mrcfile.open(p, permissive=True)",
        "array.to_zarr(p)",
        "import dask.array as da\nda.to_zarr(a, p)",
        "frame.to_pickle(p)",
        "tarfile.open(p).extractall()",
        "requests_like.get(u, verify=False)",
    ],
)
def test_an_unsafe_thing_is_found(source: str) -> None:
    assert len(list(faults("c2s_data.plan", ast.parse(source)))) >= 1


def test_the_home_of_a_parser_may_import_it_and_not_misuse_it() -> None:
    assert list(faults(DOCUMENTS, ast.parse("import yaml\nyaml.safe_load(b)"))) == []
    assert list(faults(DOCUMENTS, ast.parse("import yaml\nyaml.load(b, L)"))) == ["yaml.load"]
    source = "from xml.etree.ElementTree import fromstring\nfromstring(b)"
    assert list(faults(DOCUMENTS, ast.parse(source))) == ["xml.etree.ElementTree.fromstring"]


def test_the_inert_reader_may_subclass_the_unpickler_and_not_use_it() -> None:
    subclass = "import pickle\nclass Inert(pickle.Unpickler): ..."
    assert list(faults(INERT_PICKLE, ast.parse(subclass))) == []
    assert list(faults("c2s_model.nets.published", ast.parse(subclass))) == ["import of pickle"]
    for call in ("pickle.loads(b)", "pickle.load(f)", "pickle.Unpickler(f).load()"):
        assert len(list(faults(INERT_PICKLE, ast.parse(f"import pickle\n{call}")))) == 1


def test_safe_things_are_left_alone() -> None:
    safe = (
        "import torch, json, re, gzip\nnet.eval(); torch.load(f, weights_only=True); json.load(f)\n"
        "run(shell=False); re.compile('x'); gzip.GzipFile(fileobj=f); {'name': 'gzipped'}"
    )
    assert list(faults("c2s_data.plan", ast.parse(safe))) == []
