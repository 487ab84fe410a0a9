"""A store of 50,000 maps and 10^8 rows: open, sample, plan, commit, status, verify --quick.

    python benchmarks/scale_store.py [--maps 50000] [--folder DIR] [--json FILE] [--keep]

One simulated map of 240 A (1,728 subgrids, four shards of 512 rows) is built by the product; every
other map is made of hard links to its objects under names of its own, with a receipt of its own, so
that the store has all objects, rows and documents of 50,000 maps and the disk holds the bytes of
one. Plan, commit and all that reads are the product's own commands, each in a process of its own,
whose time and largest resident memory are printed. A map has about 63 folders and 65 names here: a
disk needs 2.7 million inodes and 11 GB for the folders of 50,000 maps, a memory file system
`mount -t tmpfs -o nr_inodes=12m`, since it counts names as well.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import build as build_benchmark

from c2s_data.build import PlanFacts, build_and_write
from c2s_data.plan import PlannedEntry
from c2s_data.store.begin import load_plan
from c2s_data.store.layout import receipt_key
from c2s_data.store.objects import open_objects
from c2s_data.store.receipt import read_receipt
from c2s_data.store.sealed import seal

SIDE, VOXEL_A = 300, 0.8
_LINKS = 30_000  # of one file; ext4 allows 65,000

# What `c2s-data plan` does but for the free space, of which links need none.
_PLAN = """
from c2s_data.config import make_config
from c2s_data.plan import make_plan
from c2s_data.sources.catalog import read_catalog
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import pending_entries
from c2s_data.store.objects import open_objects
objects = open_objects({store!r})
fresh = make_plan(read_catalog({catalog!r}), make_config("recommended"))
plan = begin_store(objects, fresh)
assert len(plan.live) == {maps} and len(pending_entries(objects, plan)) == {pending}
"""
_OPEN = """
from c2s_data.store.reader import open_store
store = open_store({store!r})
assert store.n_rows == {rows} and len(store.rows) == {maps}
"""
_ENTRIES = (
    _OPEN
    + """
assert len(store.entries) == {maps}
store.entry(store.entries[-1].entry_id)
"""
)
_INDEX = (
    _OPEN
    + """
maps, corners, n_ca = store.index()
assert len(maps) == {rows} and maps[-{padding} - 1] == {maps} - 1
"""
)
_SAMPLE = """
import itertools
from c2s_model.data import SubgridDataset
dataset = SubgridDataset({store!r}, batch_size=32, subgrids={which!r}, shuffle=True, seed=1)
batches = list(itertools.islice(iter(dataset), {batches}))
assert all(len(batch["density"]) == 32 for batch in batches)
"""


def replicate(store: Path, planned: PlannedEntry, others: list[PlannedEntry]) -> int:
    """Give every other entry links to the objects of the one that was built; return objects."""
    objects = open_objects(store)
    receipt = read_receipt(objects, planned.group)
    assert receipt is not None
    first = planned.first_subgrid // 512
    sources = {item.key: store / item.key for item in receipt.objects}
    n_objects = len(receipt.objects)
    for number, entry in enumerate(others, start=1):
        mine = [replace(i, key=_renamed(i.key, planned, entry, first)) for i in receipt.objects]
        if number % _LINKS == 0:
            # A file has so many links at most.
            beside = store.parent / f"links-{number}"
            beside.mkdir()
            sources = {
                key: Path(shutil.copy(path, beside / str(i)))
                for i, (key, path) in enumerate(sources.items())
            }
        for old, new in zip(receipt.objects, mine, strict=True):
            _link(sources[old.key], store / new.key)
        own = replace(
            receipt, group=entry.group, fingerprint=entry.fingerprint, objects=tuple(mine)
        )
        path = store / receipt_key(entry.group)
        path.write_bytes(seal(asdict(own)))
        n_objects += len(mine)
    return n_objects


def _renamed(key: str, planned: PlannedEntry, entry: PlannedEntry, first: int) -> str:
    if key.startswith("subgrids/"):
        head, array, c, shard, *rest = key.split("/")
        moved = int(shard) - first + entry.first_subgrid // 512
        return "/".join([head, array, c, str(moved), *rest])
    return key.replace(planned.group, entry.group, 1)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target)


# A process inherits the peak that `getrusage` tells of from the one that started it.
_PEAK = """
import atexit, sys
def peak():
    lines = open("/proc/self/status").read().splitlines()
    kB = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
    open({file!r}, "w").write(kB)
atexit.register(peak)
"""
_COMMAND = """
from c2s_data.cli import main
sys.argv = {arguments!r}
main()
"""


def measured(name: str, script: str) -> dict[str, Any]:
    """Run a script in a process of its own; return its seconds and largest resident memory."""
    started = time.perf_counter()
    with tempfile.NamedTemporaryFile() as output, tempfile.NamedTemporaryFile() as peak:
        command = [sys.executable, "-c", _PEAK.format(file=peak.name) + script]
        process = subprocess.Popen(command, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode()
        peak_MB = int(peak.read() or 0) * 1024 / 1e6
    seconds = time.perf_counter() - started
    assert process.returncode == 0, f"{name}: {said[-2000:]}"
    cpu_s = usage.ru_utime + usage.ru_stime
    print(f"{name:<44} {seconds:8.1f} s ({cpu_s:.1f} s cpu) {peak_MB:8.0f} MB", flush=True)
    return {"name": name, "seconds": seconds, "cpu_s": cpu_s, "peak_MB": peak_MB}


def run(n_maps: int, folder: Path | None, *, keep: bool = False) -> list[dict[str, Any]]:
    """Make the store and measure; return one row a step."""
    with _place(folder, keep=keep) as place:
        catalog = build_benchmark.make_input(place, SIDE, VOXEL_A)
        header, row = catalog.read_text().splitlines()
        rows = [row.replace("BIG", f"S{i:05d}", 1) for i in range(n_maps)]
        catalog.write_text("\n".join([header, *rows]) + "\n")
        store = place / "dataset.zarr"
        facts = {"store": str(store), "catalog": str(catalog), "maps": n_maps}

        def python(name: str, script: str, **more: object) -> dict[str, Any]:
            return measured(name, script.format(**facts, **more))

        def command(name: str, *words: str) -> dict[str, Any]:
            return measured(name, _COMMAND.format(arguments=["c2s-data", *words]))

        found = [python("plan, a new store", _PLAN, pending=n_maps)]
        plan = load_plan(open_objects(store))
        outcome = build_and_write(str(store), plan.entries[0], PlanFacts.of(plan))
        assert outcome.failure is None, outcome.failure
        started = time.perf_counter()
        n_objects = replicate(store, plan.entries[0], list(plan.entries[1:]))
        print(f"{n_maps:,} maps, {plan.n_rows:,} rows, {n_objects:,} objects linked in "
              f"{time.perf_counter() - started:.0f} s", flush=True)  # fmt: skip
        padding = plan.n_rows - plan.entries[-1].first_subgrid - plan.entries[-1].n_subgrids
        facts |= {"rows": plan.n_rows, "padding": padding}
        del plan
        found += [
            command("commit, the first", "commit", str(store)),
            measured("start of the interpreter and imports", "import c2s_data.store.reader"),
            python("open", _OPEN),
            python("open, then its entries", _ENTRIES),
            python("open, then all index columns", _INDEX),
            measured("import of torch and the loader", "import c2s_model.data"),
            python("loader: first batch, all rows", _SAMPLE, which="all", batches=1),
            python("loader: 100 batches, all rows", _SAMPLE, which="all", batches=100),
            python("loader: 100 batches, occupied rows", _SAMPLE, which="occupied", batches=100),
            python("plan again, nothing new", _PLAN, pending=0),
            command("status", "status", str(store)),
            command("verify --quick", "verify", str(store), "--quick"),
        ]
        for one in found:
            one |= {"maps": n_maps, "rows": facts["rows"], "objects": n_objects}
        return found


@contextlib.contextmanager
def _place(folder: Path | None, *, keep: bool) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(dir=folder, prefix="c2s-scale-"))
    try:
        yield place
    finally:
        if keep:
            print(f"kept: {place}")
        else:
            shutil.rmtree(place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--maps", default="50000", help="numbers of maps, with commas")
    parser.add_argument("--folder", type=Path, help="where to make the store")
    parser.add_argument("--json", type=Path, help="where to keep the measurements")
    parser.add_argument("--keep", action="store_true", help="leave the store there")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for n_maps in map(int, options.maps.split(",")):
        rows += run(n_maps, options.folder, keep=options.keep)
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
