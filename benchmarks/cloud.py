"""The loader and a build over S3, against what the network and the disk alone would allow.

    python -m benchmarks.cloud [--maps 8] [--repeats 5] [--side 300] [--json]

A SeaweedFS server of this machine (`make test-cloud` installs it) holds the store of
``benchmarks/loader.py``. In turns: `SubgridDataset` from the bucket, plain GETs of the same whole
shards by as many threads with nothing decoded, and the codec's limit (each shard from a warm file,
crc32c and blosc of each chunk, one thread). Server and client share the processor, as nothing does
in a cloud. Then one map of side^3 voxels is built into the bucket and onto the disk, one worker,
and what comes over the network is counted for all rows and for those with C-alphas.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.build import make_input
from benchmarks.loader import read_limit, read_loader, write_store
from c2s_data.build import PlanFacts, build_and_write
from c2s_data.config import make_config
from c2s_data.plan import Plan, make_plan
from c2s_data.schema import SUBGRIDS_PER_CHUNK, SUBGRIDS_PER_SHARD
from c2s_data.sources.catalog import read_catalog
from c2s_data.store.objects import open_objects
from c2s_data.store.shard import ShardSpec, shard_index
from c2s_data.store.traffic import traffic
from c2s_model.data import SubgridDataset
from c2s_model.data.batches_ahead import THREADS_THAT_WAIT

ROOT = Path(__file__).resolve().parents[1]
OF_GETS, OF_CODEC, OF_DISK = 0.5, 0.8, 0.7
GETS_A_SAMPLE, GETS_A_MAP_AND_ARRAY, OF_PAYLOAD = 0.01, 4.0, 1.5
BATCH = 64


@contextmanager
def bucket() -> Iterator[str]:
    """Serve a bucket and sign this process in; give its address."""
    sys.path.insert(0, str(ROOT / "tests" / "cloud"))
    from seaweed import BUCKET, credentials, find_weed, serve

    weed = find_weed()
    if weed is None:
        sys.exit("SeaweedFS is not installed; run `make test-cloud` once")
    with serve(weed) as endpoint:
        os.environ.update(credentials("writer") | {"AWS_ENDPOINT_URL": endpoint})
        yield f"s3://{BUCKET}"


def upload(folder: Path, url: str) -> None:
    objects = open_objects(url)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            objects.put(path.relative_to(folder).as_posix(), path.read_bytes())


def at(store: Any, url: str) -> Any:  # noqa: ANN401 - a stand-in store
    """Return the same stand-in store at another place, a third of each map with C-alphas."""
    entries = [
        SimpleNamespace(**vars(entry) | {"n_occupied": entry.n_subgrids // 3})
        for entry in store.entries
    ]
    return replace(store, url=url, entries=entries)


def read_whole(keys: list[str], url: str) -> None:
    """GET whole objects, as many at a time as the loader does, and drop them."""
    objects = open_objects(url)
    with ThreadPoolExecutor(THREADS_THAT_WAIT) as pool:
        for _ in pool.map(objects.get, keys):
            pass


def rate(read: Callable[[], int]) -> float:
    begun = time.perf_counter()
    n = read()
    return n / (time.perf_counter() - begun)


def loader_samples(
    folder: Path, url: str, n_maps: int, repeats: int
) -> tuple[Any, Any, dict[str, list[float]]]:
    """Return the store here and there, and the samples a second of each reader, by turn."""
    opener = write_store(folder, n_maps, "lz4")
    local = opener()
    upload(folder, url)
    keys = [p.relative_to(folder).as_posix() for p in sorted(folder.rglob("c/*/*/*/*"))]
    remote = at(local, url)
    dataset = SubgridDataset(lambda: remote, batch_size=BATCH, rank=0, world_size=1)
    n = sum(entry.n_subgrids for entry in local.entries)
    spec = local.subgrid_spec("density")
    buffer = np.empty(2 * int(np.prod(spec.shard_shape)) * 2, np.uint8)

    def gets() -> int:
        read_whole(keys, url)
        return n

    def limit() -> int:
        return read_limit(local, buffer)

    readers = {
        "loader": lambda: read_loader(dataset, BATCH),
        "whole-shard GETs": gets,
        "codec, one thread": limit,
    }
    found: dict[str, list[float]] = {name: [] for name in readers}
    for name, read in readers.items():
        read()
        found[name].clear()
    for _ in range(repeats):
        for name, read in readers.items():
            found[name].append(rate(read))
    return local, remote, found


def loader_rows(folder: Path, url: str, n_maps: int, repeats: int) -> list[dict[str, Any]]:
    local, remote, found = loader_samples(folder, url, n_maps, repeats)
    medians = {name: statistics.median(rates) for name, rates in found.items()}
    goal = min(OF_GETS * medians["whole-shard GETs"], OF_CODEC * medians["codec, one thread"])
    rows = [_row(f"{name}, samples a second", value) for name, value in medians.items()]
    return [
        *rows,
        _row("loader against its goal, at least", medians["loader"] / goal, 1.0),
        *traffic_rows(local, remote, folder),
    ]


def traffic_rows(
    local: Any,  # noqa: ANN401 - stand-in stores
    remote: Any,  # noqa: ANN401
    folder: Path,
) -> list[dict[str, Any]]:
    """Count what one epoch asks for: over all rows, and over those with C-alphas."""
    rows = []
    for subgrids in ("all", "occupied"):
        dataset = SubgridDataset(
            lambda: remote, subgrids=subgrids, batch_size=BATCH, rank=0, world_size=1
        )
        before = traffic()
        n = read_loader(dataset, BATCH)
        came = traffic() - before
        if subgrids == "all":
            rows.append(
                _row("GETs a sample, all rows", came.requests / n, GETS_A_SAMPLE, most=True)
            )
            continue
        payload = sum(
            _payload(local.subgrid_spec(name), folder / "subgrids" / name, entry)
            for name in ("density", "atom")
            for entry in remote.entries
        )
        each = came.requests / (2 * len(remote.entries))
        rows.append(_row("GETs a map and array, occupied", each, GETS_A_MAP_AND_ARRAY, most=True))
        rows.append(
            _row("bytes over payload, occupied", came.bytes_read / payload, OF_PAYLOAD, most=True)
        )
    return rows


def _payload(spec: ShardSpec, folder: Path, entry: Any) -> int:  # noqa: ANN401
    """Return the bytes of the chunks that hold the occupied rows of a map."""
    total = 0
    for place in range(0, entry.n_occupied, SUBGRIDS_PER_SHARD):
        rows = min(SUBGRIDS_PER_SHARD, entry.n_occupied - place)
        shard = (entry.first_subgrid + place) // SUBGRIDS_PER_SHARD
        index = shard_index(np.fromfile(folder / spec.shard_key(shard), np.uint8), spec)
        total += int(index.nbytes[: -(-rows // SUBGRIDS_PER_CHUNK)].sum())
    return total


def build_samples(place: Path, url: str, side: int, repeats: int) -> dict[str, list[float]]:
    """Return the seconds of building a map onto the disk and into the bucket, by turn."""
    (place / "inputs").mkdir()
    catalog = read_catalog(make_input(place / "inputs", side))
    plan = make_plan(catalog, make_config("recommended"), task_memory_bytes=8 * 10**9)
    seconds: dict[str, list[float]] = {"disk": [], "bucket": []}
    _built(plan, str(place / "warm"))
    for number in range(repeats):
        seconds["disk"].append(_built(plan, str(place / f"{number}")))
        shutil.rmtree(place / f"{number}")
        seconds["bucket"].append(_built(plan, f"{url}/{number}"))
    return seconds


def build_rows(place: Path, url: str, side: int, repeats: int) -> list[dict[str, Any]]:
    seconds = build_samples(place, url, side, repeats)
    disk, there = (statistics.median(seconds[name]) for name in ("disk", "bucket"))
    return [
        _row("build onto the disk, s", disk),
        _row("build into the bucket, s", there),
        _row("build into the bucket against the disk", disk / there, OF_DISK),
    ]


def _built(plan: Plan, url: str) -> float:
    begun = time.perf_counter()
    outcome = build_and_write(url, plan.buildable[0], PlanFacts.of(plan))
    assert outcome.failure is None, outcome.failure
    return time.perf_counter() - begun


def _row(
    what: str, value: float, goal: float | None = None, *, most: bool = False
) -> dict[str, Any]:
    reached = None if goal is None else value <= goal if most else value >= goal
    return {"what": what, "value": value, "goal": goal, "reached": reached}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--maps", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--side", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, bucket() as url:
        rows = loader_rows(Path(scratch) / "store", f"{url}/loader", given.maps, given.repeats)
        rows += build_rows(Path(scratch), f"{url}/builds", given.side, given.repeats)
    if given.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        goal = "" if row["goal"] is None else f"  goal {row['goal']:g}, reached: {row['reached']}"
        print(f"{row['what']:42} {row['value']:12.4f}{goal}")


if __name__ == "__main__":
    main()
