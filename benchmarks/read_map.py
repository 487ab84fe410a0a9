"""Time and peak memory of reading a .map.gz, against mrcfile and gemmi in the same run.

    python benchmarks/read_map.py [--side 400] [--repeats 5]

The map is synthetic: band-limited noise around Gaussian blobs, masked to a ball, float32 like a
deposited map. Each reading runs in a fresh process, the readers taking turns, so that caches and
page reuse favour none; peak memory is the rise of the process's resident set over the read.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from c2s_data.sources.density_map import DensityMap, write_density_map

READERS = {
    "ours": "from c2s_data.sources.density_map import read_density_map as r; read = r",
    "ours, with sha256": (
        "from c2s_data.sources.density_map import read_density_map as r\n"
        "read = lambda path: r(path, sha256=True)"
    ),
    "mrcfile": "import mrcfile; read = lambda path: mrcfile.open(path).data",
    "gemmi": "import gemmi; read = gemmi.read_ccp4_map",
}
FIGURES = ("wall time", "CPU time", "peak memory")
GOALS = {"wall time": 4.0, "peak memory": 1.1}  # times as fast as mrcfile; times the data

# VmHWM is the high-water mark of this process alone; ru_maxrss would inherit the parent's.
_CHILD = """
import json, sys, time
def status(key):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))
{reader}
read({small!r})  # imports and first-call costs stay out of the figures
open("/proc/self/clear_refs", "w").write("5")
before, wall, cpu = status("VmRSS"), time.perf_counter(), time.process_time()
density = read({path!r})
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(json.dumps([wall, cpu, status("VmHWM") - before]))
"""


def synthesize(side: int) -> DensityMap:
    """Blobs and band-limited noise in a ball of 1 A voxels; outside it zero, as after masking."""
    rng = np.random.default_rng(20)
    values = np.zeros((side,) * 3, np.float32)
    inner = side // 4
    atoms = rng.integers(inner, side - inner, (side**3 // 2000, 3))
    values[tuple(atoms.T)] = 60.0
    values += rng.standard_normal(values.shape, dtype=np.float32)
    values = gaussian_filter(values, 1.2)
    axis = np.arange(side, dtype=np.float32) - side / 2
    radius2 = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    values[radius2 > (0.45 * side) ** 2] = 0.0
    return DensityMap(values, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))


def measure(reader: str, path: Path, small: Path) -> dict[str, float]:
    """Return wall seconds, CPU seconds and the rise of resident bytes of one read."""
    code = _CHILD.format(reader=READERS[reader], path=str(path), small=str(small))
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return dict(zip(FIGURES, json.loads(done.stdout), strict=True))


def run(side: int = 400, repeats: int = 5) -> list[dict[str, Any]]:
    """Measure all readers in turns; one row a figure, values are medians.

    Returns
    -------
    list of dict
        Keys name, value, unit, spread (lowest, highest), peer (mrcfile's value), limit (bytes of
        the array), ratio, goal, met. CPU seconds stand beside wall seconds because they hold
        still when other programs share the cores.
    """
    results: dict[str, list[dict[str, float]]] = {name: [] for name in READERS}
    with tempfile.TemporaryDirectory() as folder:
        path, small = Path(folder) / "map.map.gz", Path(folder) / "small.map.gz"
        write_density_map(path, synthesize(side))
        write_density_map(small, synthesize(32))
        share = path.stat().st_size / (4 * side**3)
        rng = np.random.default_rng(0)
        for _ in range(repeats):
            for name in rng.permutation(list(READERS)):  # memory left in small pages slows the next
                results[name].append(measure(name, path, small))
    title = f"read {side}^3 .map.gz ({share:.0%} of the data)"
    return [
        _row(title, reader, figure, results, limit=4 * side**3)
        for figure in FIGURES
        for reader in READERS
    ]


def _row(
    title: str,
    reader: str,
    figure: str,
    results: dict[str, list[dict[str, float]]],
    limit: int,
) -> dict[str, Any]:
    values = [row[figure] for row in results[reader]]
    value = statistics.median(values)
    peer = statistics.median(row[figure] for row in results["mrcfile"])
    memory = figure == "peak memory"
    ratio = value / limit if memory else peer / value
    goal = GOALS.get(figure) if reader == "ours" else None
    met = None if goal is None else (ratio <= goal if memory else ratio >= goal)
    return {
        "name": f"{title}: {figure}, {reader}",
        "value": value,
        "unit": "B" if memory else "s",
        "spread": (min(values), max(values)),
        "peer": peer,
        "limit": limit if memory else None,
        "ratio": ratio,
        "goal": goal,
        "met": met,
    }


def _line(row: dict[str, Any]) -> str:
    memory = row["unit"] == "B"
    scale, unit = (2**20, "MiB") if memory else (1, "s")
    low, high = (value / scale for value in row["spread"])
    against = "of the data" if memory else "x as fast as mrcfile"
    line = f"{row['name']}: {row['value'] / scale:.3f} {unit} ({low:.3f} to {high:.3f})"
    line += f", {row['ratio']:.2f} {against}"
    if row["met"] is not None:
        line += f"; goal {row['goal']} {'met' if row['met'] else 'MISSED'}"
    return line


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rows = run(options.side, options.repeats)
    print("\n".join(_line(row) for row in rows))
    return 0 if all(row["met"] is not False for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
