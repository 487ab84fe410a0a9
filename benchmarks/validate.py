"""How long the technical validation of one map takes, and the memory it needs.

    python benchmarks/validate.py [--pair EMD-0093]

A real pair of ../shared/data is built with preset paper and validated, after one run that compiles
the kernels; printed are seconds by the clock and of this process, and its peak memory.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

from c2s_data.build import run_entries
from c2s_data.config import make_config
from c2s_data.plan import make_plan
from c2s_data.sources.catalog import read_catalog
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.objects import open_objects
from c2s_data.validation.run import validate_store

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "data"))
REPEATS = 3


def build(folder: Path, emdb_id: str) -> tuple[str, int]:
    from pairs import PAIRS, write_catalog

    pairs = tuple(pair for pair in PAIRS if pair.emdb_id == emdb_id)
    data = ROOT.parent / "shared" / "data"
    catalog = read_catalog(write_catalog(folder / "pairs.csv", data, pairs))
    plan = make_plan(catalog, make_config("paper"))
    objects = open_objects(folder / "pairs.zarr")
    begin_store(objects, plan)
    run_entries(objects.url, plan, plan.entries, lambda outcome: None)
    commit(objects, plan)
    z, y, x = plan.entries[0].shape_zyx
    return objects.url, z * y * x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pair", default="EMD-0093", help="EMDB id of the pair")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url, n_voxels = build(Path(folder), options.pair)
        validate_store(url)
        walls, cpus = [], []
        for _ in range(REPEATS):
            wall, cpu = time.perf_counter(), time.process_time()
            assert validate_store(url).is_valid
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print("| map | million voxels | s, clock | s, processor | s for 220^3 | peak GB |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {options.pair} | {n_voxels / 1e6:.1f} | {min(walls):.2f} | {min(cpus):.2f} | "
        f"{min(cpus) * 220**3 / n_voxels:.2f} | {peak:.2f} |"
    )


if __name__ == "__main__":
    main()
