"""Peak memory of the task that builds one map, against what the plan predicts from its header.

    python benchmarks/memory.py [--sides 150 300 400] [--json]

Every map is built in a process of its own that has also imported Dask, as a worker has, and the
kernel's peak of that process is taken (VmHWM; ru_maxrss would inherit the parent's). The plan must
not promise less than a task needs, or workers die; and not much more, or it refuses maps that fit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from build import VOXEL_A, make_input

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
catalog, preset = sys.argv[1:]
plan = make_plan(read_catalog(catalog), make_config(preset), task_memory_bytes=10**12)
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
            for preset in ("recommended", "released"):
                command = [sys.executable, "-c", _CHILD, str(catalog), preset]
                text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                predicted, peak = map(int, text.split())
                ratio = predicted / peak
                rows.append(
                    {
                        "name": f"peak memory, {side}^3 at {VOXEL_A} A, {preset}",
                        "value": peak,
                        "unit": "B",
                        "limit": predicted,
                        "ratio": ratio,
                        "goal": "predicted / real 1.0 to 1.5",
                        "met": 1.0 <= ratio <= 1.5,
                    }
                )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[150, 300, 400])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = run(tuple(options.sides))
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(
            f"{row['name']:<48} {row['value'] / 1e6:8.0f} MB, predicted {row['limit'] / 1e6:8.0f} "
            f"MB: ratio {row['ratio']:.2f} {'met' if row['met'] else 'NOT MET'}"
        )


if __name__ == "__main__":
    main()
