"""Reading a .map.gz: `benchmarks.read_map` in processes of their own, in turns."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.read_map import READERS, measure, synthesize
from benchmarks.suite.rows import Row, at_least, at_most, compared, faster, of_limit
from benchmarks.suite.size import Size
from c2s_data.sources.density_map import write_density_map

_INFLATE: Final = """
import json, sys, time
import numpy as np
from zlib_ng import gzip_ng
n = int(sys.argv[2])
target = memoryview(np.empty(n, np.uint8))
started, filled = time.perf_counter(), 0
with gzip_ng.open(sys.argv[1], "rb") as stream:
    while filled < n:
        filled += stream.readinto(target[filled:])
print(json.dumps(time.perf_counter() - started))
"""


def rows(size: Size, folder: Path) -> Iterator[Row]:
    """Yield time and memory against mrcfile, gemmi and inflating alone."""
    side = size.pick(96, 400, 400)
    path, small = folder / "map.map.gz", folder / "small.map.gz"
    write_density_map(path, synthesize(side))
    write_density_map(small, synthesize(32))
    found: dict[str, list[dict[str, float]]] = {name: [] for name in READERS}
    inflate = []
    rng = np.random.default_rng(0)
    for _ in range(size.repeats):
        inflate.append(inflate_seconds(path, 4 * side**3 + 1024))
        for name in rng.permutation(list(READERS)):  # memory left in small pages slows the next
            found[name].append(measure(name, path, small))
    seconds = {name: [one["wall time"] for one in each] for name, each in found.items()}
    peak = [one["peak memory"] for one in found["ours"]]
    title = f"read a {side}³ .map.gz"
    yield faster(title, seconds["ours"], seconds["mrcfile"], "mrcfile", goal=at_least(4))
    yield faster(title, seconds["ours"], seconds["gemmi"], "gemmi")
    yield of_limit(title, seconds["ours"], inflate, "inflating into one array")
    yield of_limit(f"{title}, sha256 with it", seconds["ours, with sha256"], inflate,
                   "inflating into one array")  # fmt: skip
    data = [4.0 * side**3] * len(peak)
    yield compared(f"peak memory, {title}", "B", peak, data, against="the array itself",
                   role="limit", goal=at_most(1.1))  # fmt: skip


def inflate_seconds(path: Path, n_bytes: int) -> float:
    """Inflate a file into a new array in a process of its own, as the readers are measured."""
    command = [sys.executable, "-c", _INFLATE, str(path), str(n_bytes)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout))
