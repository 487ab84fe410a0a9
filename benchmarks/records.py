"""Export a store of real pairs as published records and import it again: time, size, identity.

``python benchmarks/records.py DATA`` with a folder like ../shared/data; every preset, all masks and
densities compared to the bit, all .mrc files given to mrcfile.validate. ``--side N`` instead
exports one simulated map of N^3 voxels and prints the peak memory.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import resource
import tempfile
import time
from pathlib import Path

import mrcfile
import numpy as np

from c2s_data.build import run_entries
from c2s_data.config import BuildConfig, make_config
from c2s_data.plan import make_plan
from c2s_data.records.entry_export import ExportOptions
from c2s_data.records.export import export_store
from c2s_data.records.import_catalog import write_import_catalog
from c2s_data.records.import_folder import find_records
from c2s_data.sources.catalog import read_catalog
from c2s_data.sources.density_map import DensityMap, write_density_map
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.layout import Layout
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import Store, open_store


def build(catalog: Path, url: Path, config: BuildConfig) -> Store:
    plan = make_plan(read_catalog(catalog), config, task_memory_bytes=2**36)
    objects = open_objects(url)
    plan = begin_store(objects, plan)
    run_entries(objects.url, plan, plan.buildable, lambda outcome: None)
    commit(objects, plan)
    return open_store(objects.url)


def catalog_of_pairs(data: Path, path: Path) -> Path:
    """Pair maps with models by the README of the data."""
    rows = []
    for line in (data / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 10 and (data / "pairs" / cells[0]).is_file():
            model = cells[1].split()[0]
            number = cells[2].split()[0]
            names = [f"EMD-{number}", data / "pairs" / cells[0], data / "pairs" / model]
            rows.append([*names, cells[3]])
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([["emdb_id", "map", "model", "resolution_A"], *rows])
    return path


def round_trip(data: Path, preset: str, folder: Path) -> list[object]:
    store = build(catalog_of_pairs(data, folder / "c.csv"), folder / "s.zarr", make_config(preset))
    started = time.perf_counter()
    done = export_store(store.url, folder / "out")
    export_s = time.perf_counter() - started
    started = time.perf_counter()
    export_store(store.url, folder / "out")
    again_s = time.perf_counter() - started
    files = list((folder / "out").rglob("*.mrc"))
    valid = sum(mrcfile.validate(path, print_file=io.StringIO()) for path in files)
    nbytes = sum(path.stat().st_size for path in (folder / "out").rglob("*") if path.is_file())
    started = time.perf_counter()
    found = find_records(folder / "out")
    write_import_catalog(found, folder / "out/c2s_import.csv")
    back = build(folder / "out/c2s_import.csv", folder / "b.zarr", found.config)
    import_s = time.perf_counter() - started
    arrays = [(e.entry_id, name) for e in store.entries for name in Layout.of(found.config).arrays]
    same = sum(store.read_map(*a).tobytes() == back.read_map(*a).tobytes() for a in arrays)
    return [
        *(preset, len(done.entries), f"{nbytes / 1e6:.0f} MB", f"{export_s:.1f} s"),
        *(f"{again_s:.1f} s", f"{import_s:.1f} s", f"{valid}/{len(files)}"),
        f"{same}/{len(arrays)}",
    ]


def peak_of_one_map(data: Path, side: int, folder: Path) -> None:
    model = data / "models/7kjr.pdb"
    values = np.random.default_rng(0).normal(size=(side,) * 3).astype(np.float32)
    density = DensityMap(values, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    write_density_map(folder / "m.map", density)
    del values, density
    (folder / "c.csv").write_text(
        f"entry_id,map,model,resolution_A\nx,m.map,{model.absolute()},3\n"
    )
    store = build(folder / "c.csv", folder / "s.zarr", make_config("paper"))
    if os.fork() == 0:  # the build's own peak must not count
        before = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
        started = time.perf_counter()
        export_store(store.url, folder / "out", options=ExportOptions(raw_maps=False))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(
            f"{side}^3: export {time.perf_counter() - started:.1f} s, peak {peak / 1e9:.2f} GB, "
            f"{(peak - before) / side**3:.1f} bytes a voxel above {before / 1e9:.2f} GB"
        )
        os._exit(0)
    os.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--side", type=int)
    options = parser.parse_args()
    if options.side:
        with tempfile.TemporaryDirectory() as folder:
            peak_of_one_map(options.data, options.side, Path(folder))
        return
    print("| preset | maps | folder | export | again | import | mrcfile.validate | arrays equal |")
    print("|---|---|---|---|---|---|---|---|")
    for preset in ("paper", "released", "recommended"):
        with tempfile.TemporaryDirectory() as folder:
            row = round_trip(options.data, preset, Path(folder))
            print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main()
