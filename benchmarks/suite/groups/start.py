"""Starting: the size and time of imports and of ``--help``, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.suite.rows import Row, compared
from benchmarks.suite.size import Size
from benchmarks.suite.turns import Measure, in_turns, timed

_PEAK: Final = """
import json
print(json.dumps(1024 * int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])))
"""
_RUN: Final = "import sys; sys.argv = ['c2s', '--help']; from {}.cli import main; main()"
_HELP: Final = {
    "c2s-data --help": _RUN.format("c2s_data"),
    "c2s-model --help": _RUN.format("c2s_model"),
}
_IMPORTS: Final = {
    "import c2s_data": "import c2s_data",
    "open a store: imports": "from c2s_data.store.reader import open_store",
    "the loader: imports": "from c2s_model.data import SubgridDataset",
}
_BASES: Final = {
    "python alone": "",
    "import numpy": "import numpy",
    "import torch": "import torch",
}


def rows(size: Size, folder: Path) -> Iterator[Row]:
    """Yield seconds and peak memory against the interpreter, numpy and torch alone."""
    scripts = _BASES | _IMPORTS | _HELP
    measures: dict[str, Measure] = {
        name: timed(lambda script=script: run(script)) for name, script in scripts.items()
    }
    seconds = in_turns(measures, size.few)
    for name in (*_HELP, *_IMPORTS):
        base = _base_of(name)
        yield compared(name, "s", seconds[name], seconds[base], against=base, role="limit",
                       better="lower")  # fmt: skip
    for name in _IMPORTS:
        base = _base_of(name)
        own, beside = ([float(json.loads(run(scripts[each] + _PEAK)))] for each in (name, base))
        yield compared(f"memory after: {name}", "B", own, beside, against=base, role="limit",
                       better="lower")  # fmt: skip


def _base_of(name: str) -> str:
    if name.startswith("the loader"):
        return "import torch"
    return "import numpy" if name.startswith("open") else "python alone"


def run(script: str) -> str:
    """Run a script in a new process; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    return done.stdout
