"""What it costs that a store can be trusted: bytes, share of the build time, speed of verifying.

    python benchmarks/integrity.py [--side 300] [--repeats 5] [--json]

One unmasked map of 300^3 voxels is built as in benchmarks/build.py, and what the building thread
spends on guarding it is counted: the sha256 of each object, reading it back, waiting for the disk.
Bytes are the checksums of chunks and shard indexes and all objects that exist for integrity alone.
`verify` is set against reading all files, and against a plain loop that hashes them.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.build import make_input, ours
from c2s_data.config import make_config
from c2s_data.plan import Plan, make_plan
from c2s_data.schema import MASKS
from c2s_data.sources.catalog import read_catalog
from c2s_data.store import receipt, writer
from c2s_data.store.commit import commit
from c2s_data.store.layout import Layout, level_shape, n_levels, n_map_shards
from c2s_data.store.objects import LocalObjects, Objects, open_objects
from c2s_data.store.shard_spec import CRC_NBYTES, ShardSpec
from c2s_data.store.verify import verify

_PIECE = 2**20
_DOCUMENTS = ("_c2s/receipts/", "_c2s/generations/", "_c2s/LATEST.json", "_c2s/lineage.json")


class Guarding:
    """Counts the seconds that the building thread spends on hashing, read-back and the disk."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return a step that is counted, unless another thread runs it beside the build."""

        def counted(*arguments: object, **options: object) -> object:
            started = time.perf_counter()
            try:
                return step(*arguments, **options)
            finally:
                if threading.current_thread() is threading.main_thread():
                    self.seconds += time.perf_counter() - started

        return counted

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Count in everything that is built meanwhile."""

        class Pool(ThreadPoolExecutor):  # its end waits for what was flushed early
            shutdown = self.timed(ThreadPoolExecutor.shutdown)

        class Hashlib:
            sha256 = staticmethod(self.timed(hashlib.sha256))

        with (
            mock.patch.object(LocalObjects, "holds", self.timed(LocalObjects.holds)),
            mock.patch.object(LocalObjects, "flush", self.timed(LocalObjects.flush)),
            mock.patch.object(receipt, "hashlib", Hashlib),
            mock.patch.object(writer, "ThreadPoolExecutor", Pool),
        ):
            yield


def checksum_bytes(plan: Plan) -> int:
    """Return the bytes of all crc32c of chunks and shard indexes."""
    layout, total = Layout.of(plan.config), 0

    def of(spec: ShardSpec, shards: int) -> int:
        return CRC_NBYTES * (spec.n_chunks + 1) * shards

    for planned in plan.buildable:
        total += sum(
            of(layout.subgrid_spec(name), planned.n_shards) for name in ("density", *MASKS)
        )
        for level in range(n_levels(planned.shape_zyx)):
            shape = level_shape(planned.shape_zyx, level)
            shards = n_map_shards(shape)
            arrays = 1 + len(MASKS) * (level == 0)
            n_shards = shards[0] * shards[1] * shards[2]
            total += arrays * of(layout.map_spec("density", shape), n_shards)
            total += CRC_NBYTES * 3  # the coordinates
    return total


def read_all(folder: Path, take: Callable[[memoryview], object]) -> float:
    """Read every file of a folder piece by piece; return the seconds."""
    piece = bytearray(_PIECE)
    started = time.perf_counter()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb", buffering=0) as stream:
                while n := stream.readinto(piece):
                    take(memoryview(piece)[:n])
    return time.perf_counter() - started


def timed(step: Callable[[], object]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def build_rows(plan: Plan, folder: Path, repeats: int) -> list[dict[str, Any]]:
    """Return the share of the build time that guarding takes."""
    ours(plan, folder)  # The first call compiles kernels.
    rounds = []
    for _ in range(repeats):
        guarding = Guarding()
        with guarding.counting():
            whole_s = ours(plan, folder)
        rounds.append((guarding.seconds / whole_s, whole_s))
    share, whole_s = (
        statistics.median(r for r, _ in rounds),
        statistics.median(s for _, s in rounds),
    )
    return [
        {
            "name": "hashing, read-back and flush, share of the build time",
            "value": whole_s,
            "unit": "s",
            "ratio": share,
            "detail": f"build {whole_s:.2f} s",
            "goal": "at most 0.15",
            "met": share <= 0.15,
        }
    ]


def byte_rows(objects: Objects, plan: Plan) -> list[dict[str, Any]]:
    """Return the bytes of integrity relative to those of the stored subgrid densities."""
    sizes = dict(objects.walk())
    density = sum(n for key, n in sizes.items() if key.startswith("subgrids/density/c/"))
    kept = sum(n for key, n in sizes.items() if key.startswith(_DOCUMENTS))
    total = checksum_bytes(plan) + kept
    return [
        {
            "name": "bytes of integrity, relative to the density's",
            "value": total,
            "unit": "B",
            "ratio": total / density,
            "detail": f"checksums {checksum_bytes(plan):,} B, documents {kept:,} B, density "
            f"{density:,} B",
            "goal": "at most 0.001",
            "met": total / density <= 0.001,
        }
    ]


def verify_rows(
    objects: Objects, folder: Path, build_s: float, repeats: int
) -> list[dict[str, Any]]:
    """Return the time of each level against hashing all files, or against the build."""
    nbytes = sum(n for _, n in objects.walk())
    levels = ("quick", "default", "full")
    verify(objects, "full")
    seconds: dict[str, list[float]] = {name: [] for name in ("read", "hash", *levels)}
    for _ in range(repeats):
        seconds["read"].append(read_all(folder, lambda piece: None))
        digest = hashlib.sha256()
        seconds["hash"].append(read_all(folder, digest.update))
        for level in levels:
            seconds[level].append(timed(lambda level=level: verify(objects, level)))  # type: ignore[misc]
    median = {name: statistics.median(values) for name, values in seconds.items()}
    peers = {
        "quick": (median["hash"], "hashing every file in a plain loop", 0.5),
        "default": (median["hash"], "hashing every file in a plain loop", 1.5),
        "full": (build_s, "building it", 1.0),
    }
    return [
        {
            "name": f"verify, level {level}, over {what}",
            "value": median[level],
            "unit": "s",
            "ratio": median[level] / peer,
            "detail": f"{nbytes / median[level] / 1e6:,.0f} MB/s; plain hashing "
            f"{nbytes / median['hash'] / 1e6:,.0f}, reading {nbytes / median['read'] / 1e6:,.0f}",
            "goal": f"at most {goal}",
            "met": median[level] / peer <= goal,
        }
        for level, (peer, what, goal) in peers.items()
    ]


def run(side: int = 300, repeats: int = 5) -> list[dict[str, Any]]:
    """Return all rows: value, ratio to its peer or limit, goal, and whether it is met."""
    with tempfile.TemporaryDirectory(prefix="c2s-integrity-") as name:
        folder = Path(name)
        catalog = read_catalog(make_input(folder, side))
        plan = make_plan(catalog, make_config("recommended"), task_memory_bytes=10**12)
        rows = build_rows(plan, folder, repeats)
        objects = open_objects(folder / "ours.zarr")
        commit(objects, plan)
        rows += byte_rows(objects, plan)
        return rows + verify_rows(objects, folder / "ours.zarr", rows[0]["value"], repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = run(options.side, options.repeats)
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        met = "met" if row["met"] else "NOT MET"
        print(f"{row['name']:<66} {row['ratio']:8.4f} ({row['detail']}): {row['goal']}, {met}")


if __name__ == "__main__":
    main()
