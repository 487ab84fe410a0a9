"""Peak memory of the task that builds one map, against what the plan predicts from its header.

    python benchmarks/memory.py [--sides 150 300 400] [--giant 800 1.0] [--folder DIR] [--json]

Every map is built in a process of its own that has also imported Dask, as a worker has, and the
kernel's peak of that process is taken (VmHWM; ru_maxrss would inherit the parent's). The plan must
not promise less than a task needs, or workers die; and not much more, or it refuses maps that fit.

``--giant`` adds a map of this side and voxel size (A) that goes through temporary files under the
default --task-memory: noise throughout, a model in the middle. At 800 it wants 12 GB of disk (in
``--folder``, and for the temporary files in $TMPDIR) and some minutes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np

from benchmarks.build import VOXEL_A, assembly, make_input
from c2s_data.plan import DEFAULT_TASK_MEMORY
from c2s_data.transforms.simulate_density import solvent_noise

PRESETS = ("recommended", "released")
GIANT_GOAL = 2_000_000_000
_TILE = 100

_CHILD = """
import sys
import distributed
from pathlib import Path
from c2s_data.build import PlanFacts, build_and_write
from c2s_data.config import make_config
from c2s_data.plan import make_plan
from c2s_data.sources.catalog import read_catalog
from c2s_data.store.begin import begin_store
from c2s_data.store.objects import open_objects
catalog, preset, memory = sys.argv[1:]
plan = make_plan(read_catalog(catalog), make_config(preset), task_memory_bytes=int(memory))
objects = open_objects(Path(catalog).with_name(preset + ".zarr"))
begin_store(objects, plan)
outcome = build_and_write(objects.url, plan.entries[0], PlanFacts.of(plan))
assert outcome.failure is None, outcome.failure
status = Path("/proc/self/status").read_text()
peak = 1024 * int(status.split("VmHWM:")[1].split()[0])
print(plan.entries[0].predicted_memory_bytes, peak)
"""


def run(sides: tuple[int, ...] = (150, 300, 400)) -> list[dict[str, Any]]:
    """Return one row per map side and preset: value, what was predicted, and their ratio."""
    rows = []
    for side in sides:
        with tempfile.TemporaryDirectory(prefix="c2s-memory-") as folder:
            catalog = make_input(Path(folder), side)
            for preset in PRESETS:
                predicted, peak = _measured(catalog, preset, 10**12)
                rows.append(_against_plan(f"{side}^3 at {VOXEL_A} A, {preset}", peak, predicted))
    return rows


def run_giant(
    side: int,
    voxel_A: float,
    folder: Path | None = None,
    presets: tuple[str, ...] = PRESETS,
) -> list[dict[str, Any]]:
    """Return two rows per preset: the peak against the plan, and against 2 GB."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="c2s-memory-", dir=folder) as place:
        catalog = _giant_input(Path(place), side, voxel_A)
        for preset in presets:
            predicted, peak = _measured(catalog, preset, DEFAULT_TASK_MEMORY)
            shutil.rmtree(catalog.with_name(f"{preset}.zarr"))
            name = f"{side}^3 at {voxel_A} A from files, {preset}"
            ratio = peak / GIANT_GOAL
            rows += [
                _against_plan(name, peak, predicted),
                _row(f"peak memory, {name}", peak, GIANT_GOAL, ratio, "<= 1 x 2 GB", ratio <= 1.0),
            ]
    return rows


def _giant_input(folder: Path, side: int, voxel_A: float) -> Path:
    """Write map, model and catalog, a plane at a time; return the catalog."""
    rng = np.random.default_rng(7)
    tile = solvent_noise(rng, (_TILE,) * 3, (voxel_A,) * 3, resolution_A=3.0, sd=1.0)
    tiles = (-(-side // _TILE),) * 2
    with mrcfile.new_mmap(folder / "big.map", (side,) * 3, mrc_mode=2) as file:
        for z, plane in enumerate(file.data):
            finer = 0.05 * rng.standard_normal((side, side), np.float32)  # no tile twice
            plane[...] = np.tile(tile[z % _TILE], tiles)[:side, :side] + finer
        file.voxel_size = voxel_A
    assembly(side * voxel_A / 2).write_pdb(str(folder / "big.pdb"))
    catalog = folder / "catalog.csv"
    catalog.write_text("entry_id,map,model,resolution_A\nBIG,big.map,big.pdb,3\n")
    return catalog


def _measured(catalog: Path, preset: str, task_memory_bytes: int) -> tuple[int, int]:
    """Build in a new process; return the bytes that were predicted and those of its peak."""
    command = [sys.executable, "-c", _CHILD, str(catalog), preset, str(task_memory_bytes)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    predicted, peak = map(int, text.split())
    return predicted, peak


def _against_plan(name: str, peak: int, predicted: int) -> dict[str, Any]:
    ratio = predicted / peak
    goal = "predicted / real 1.0 to 1.5"
    return _row(f"peak memory, {name}", peak, predicted, ratio, goal, 1.0 <= ratio <= 1.5)


def _row(name: str, value: int, limit: int, ratio: float, goal: str, met: bool) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": "B", "limit": limit, "ratio": ratio,
            "goal": goal, "met": met}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="*", default=[150, 300, 400])
    parser.add_argument("--giant", type=float, nargs=2, metavar=("SIDE", "VOXEL_A"))
    parser.add_argument("--folder", type=Path, help="where the giant map lies; a real disk")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = run(tuple(options.sides))
    if options.giant:
        rows += run_giant(int(options.giant[0]), options.giant[1], options.folder)
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(
            f"{row['name']:<56} {row['value'] / 1e6:8.0f} MB against {row['limit'] / 1e6:8.0f} MB: "
            f"ratio {row['ratio']:.2f}, goal {row['goal']}, {'met' if row['met'] else 'NOT MET'}"
        )


if __name__ == "__main__":
    main()
