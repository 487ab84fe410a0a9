"""How long one map takes to build on one core, by its size: the rates of `plan --estimate`.

    python benchmarks/build_times.py [--repeats 3] [--json]

Simulated maps of several sizes and voxel sizes, compressed as deposited ones are, are built with
the presets paper and recommended into a store on the local disk. Through the seconds goes

    map + source_megavoxel x voxels of the file / 10^6 + subgrid_thousand x subgrids / 10^3

fitted by least squares of relative errors, with no coefficient below zero. The rows are what
`c2s_data/estimate.yaml` keeps under `build_seconds`; the largest map is left out of the fit and
says how well the model goes beyond it.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import build as build_benchmark
import numpy as np
from scipy.optimize import nnls

from c2s_data.build import PlanFacts, build_and_write
from c2s_data.config import make_config
from c2s_data.plan import make_plan
from c2s_data.sources.catalog import read_catalog
from c2s_data.store.begin import begin_store
from c2s_data.store.objects import open_objects

# Voxels a side of the file and their size in A: 110 to 370 A a side. The last one is held back.
SIZES = ((160, 0.69), (130, 1.06), (220, 0.83), (280, 0.66), (260, 1.06), (360, 0.83), (440, 0.84))


def seconds_of(folder: Path, preset: str, repeats: int) -> tuple[float, float, float]:
    """Build the map of a catalog; return million voxels, thousand subgrids and median seconds."""
    taken = []
    for number in range(repeats + 1):
        plan = make_plan(
            read_catalog(folder / "catalog.csv"),
            make_config(preset),
            task_memory_bytes=8_000_000_000,
        )
        objects = open_objects(folder / f"{preset}-{number}.zarr")
        begin_store(objects, plan)
        started = time.perf_counter()
        outcome = build_and_write(objects.url, plan.entries[0], PlanFacts.of(plan))
        taken.append(time.perf_counter() - started)
        assert outcome.failure is None, outcome.failure
    entry = plan.entries[0]
    # The first run compiles kernels or reads them from the disk.
    median = statistics.median(taken[1:])
    return math.prod(entry.source_shape_zyx) / 1e6, entry.n_subgrids / 1e3, median


def fitted(rows: list[tuple[float, float, float]]) -> tuple[list[float], float]:
    """Return the coefficients and the largest relative error of the rows they were fitted to."""
    table = np.array(rows)
    terms = np.column_stack([np.ones(len(table)), table[:, :2]])
    coefficients, _ = nnls(terms / table[:, 2:], np.ones(len(table)))
    errors = terms @ coefficients / table[:, 2] - 1
    return coefficients.tolist(), float(np.abs(errors).max())


def run(repeats: int = 3, folder: Path | None = None) -> list[dict[str, Any]]:
    """Return one row a preset: coefficients, errors and the measured sizes."""
    build_benchmark.on_one_core()
    measured: dict[str, list[tuple[float, float, float]]] = {"paper": [], "recommended": []}
    for side, voxel_A in SIZES:
        with tempfile.TemporaryDirectory(dir=folder, prefix="c2s-bench-") as place:
            build_benchmark.make_input(Path(place), side, voxel_A)
            for preset, rows in measured.items():
                rows.append(seconds_of(Path(place), preset, repeats))
    found = []
    for preset, rows in measured.items():
        (per_map, megavoxel, thousand), error = fitted(rows[:-1])
        voxels, subgrids, seconds = rows[-1]
        beyond = (per_map + megavoxel * voxels + thousand * subgrids) / seconds - 1
        found.append(
            {
                "preset": preset,
                "map": per_map,
                "source_megavoxel": megavoxel,
                "subgrid_thousand": thousand,
                "largest_error": error,
                "error_beyond": beyond,
                "measured": rows,
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to write; a real disk, not memory")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = run(options.repeats, options.folder)
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(
            f"{row['preset']:<12} {row['map']:.2f} s + {row['source_megavoxel']:.4f} s a million "
            f"voxels + {row['subgrid_thousand']:.3f} s a thousand subgrids; within "
            f"{row['largest_error']:.0%} of those measured, {row['error_beyond']:+.0%} beyond"
        )
        for voxels, subgrids, seconds in row["measured"]:
            print(
                f"    {voxels:7.1f} million voxels, {subgrids * 1e3:6.0f} subgrids: {seconds:.2f} s"
            )


if __name__ == "__main__":
    main()
