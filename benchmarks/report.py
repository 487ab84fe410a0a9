"""The report and the viewer of a store: seconds and bytes of a map, and of the first page.

    python -m benchmarks.report [--side 400] [--repeat 5] [--json FILE]

A simulated map of ``side`` voxels of 1 A a side with 2,160 residues is built into a store under
preset recommended. Its page is then made as the report does, again and again, in this one process;
the first page is made for the catalog's row repeated 1,000 and 10,000 times. Of the viewer: how
long until the first picture (the coarsest level) and a full plane of each axis are packed, from a
store that was just opened, and how many bytes the store was asked for.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.build import make_input
from c2s_data.build import run_entries
from c2s_data.config import make_config
from c2s_data.explore.pages.catalog_document import catalog_document
from c2s_data.explore.pages.constants import constants
from c2s_data.explore.pages.lazy_maps import LazyMaps
from c2s_data.explore.pages.map_document import map_document
from c2s_data.explore.pages.packed import as_text, pack
from c2s_data.explore.pages.page import page
from c2s_data.explore.pages.report import PROGRAMS
from c2s_data.plan import make_plan
from c2s_data.sources.catalog import read_catalog
from c2s_data.store import stored_shard
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import Store, open_store
from c2s_data.store.stored_shard import StoredShard

ENTRY = "BIG"


def built(folder: Path, side: int) -> Store:
    """Build the store of one map."""
    catalog = make_input(folder, side, 1.0)
    plan = make_plan(read_catalog(catalog), make_config("recommended"))
    objects = open_objects(folder / "report.zarr")
    plan = begin_store(objects, plan)
    run_entries(objects.url, plan, plan.buildable, lambda outcome: None)
    commit(objects, plan)
    return open_store(objects.url)


def map_page(store: Store) -> str:
    """Make the page of the map as text."""
    data = {
        "constants": as_text(pack(constants())),
        "map": as_text(pack(map_document(store, ENTRY) | {"back": ""})),
    }
    return page(ENTRY, PROGRAMS, data)


def first_page(store: Store, n: int) -> str:
    """Make the first page of n maps whose identifiers and numbers differ."""
    row = next(iter(store.rows))
    rows = []
    for k in range(n):
        own = {"entry_id": f"EMD-{k:05d}", "emdb_id": f"EMD-{k:05d}", "pdb_id": f"{k % 10}{k:03x}"}
        numbers = {
            "resolution_A": 1.5 + (k * 7919 % 997) / 300,
            "q_score": (k * 104729 % 9973) / 9973,
            "cc_mask": (k * 15485863 % 9967) / 9967,
            "n_residues": k * 31 % 4999,
            "split": ("train", "validation", "test")[k % 10 // 8],
        }
        rows.append({**row, **own, **numbers})
    document = catalog_document(replace(store, rows=tuple(rows)), "maps")
    data = {"constants": as_text(pack(constants())), "catalog": as_text(pack(document))}
    return page("report", PROGRAMS, data)


def seconds(work: Callable[[], Any], repeat: int) -> tuple[float, Any]:
    """Return the median time of a call, after one that is not counted, and its result."""
    result, times = work(), []
    for _ in range(repeat):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return statistics.median(times), result


class Counted:
    """Adds up the bytes that shards are asked for."""

    def __init__(self) -> None:
        self.nbytes = 0
        local: Any = stored_shard._LocalFile
        plain = local.span

        def span(
            shard: StoredShard, start: int, stop: int, *, again: bool = False
        ) -> NDArray[np.uint8]:
            data: NDArray[np.uint8] = plain(shard, start, stop, again=again)
            self.nbytes += data.size
            return data

        local.span = span


def viewer_rows(store: Store, repeat: int, side: int) -> list[dict[str, Any]]:
    """Return time and bytes of what the viewer asks for."""
    counted = Counted()
    asked: dict[str, Callable[[LazyMaps], Any]] = {
        f"viewer, first picture of {side}³": lambda maps: maps.overview(ENTRY),
        **{
            f"viewer, a full plane along {name}": lambda maps, k=axis: maps.plane(
                ENTRY, "density", k, side // 2
            )
            for axis, name in enumerate("zyx")
        },
    }
    rows = []
    for name, ask in asked.items():
        took, _ = seconds(lambda ask=ask: pack(ask(LazyMaps(store))), repeat)
        counted.nbytes = 0
        ask(LazyMaps(store))
        rows.append({"what": name, "seconds": took, "bytes": counted.nbytes})
    return rows


def run(side: int, repeat: int) -> list[dict[str, Any]]:
    """Return every measured row."""
    with tempfile.TemporaryDirectory() as folder:
        store = built(Path(folder), side)
        took, text = seconds(lambda: map_page(store), repeat)
        rows = [{"what": f"page of a {side}³ map", "seconds": took, "bytes": len(text.encode())}]
        for n in (1000, 10_000):
            took, text = seconds(lambda n=n: first_page(store, n), 1)
            rows.append(
                {"what": f"first page of {n:,} maps", "seconds": took, "bytes": len(text.encode())}
            )
        return rows + viewer_rows(store, repeat, side)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=400)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = run(asked.side, asked.repeat)
    for row in rows:
        print(f"{row['what']:<36} {row['seconds']:8.3f} s {row['bytes'] / 1e6:8.2f} MB")
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
