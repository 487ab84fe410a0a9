"""One map to subgrids on one core, its bytes, and a build on one and on two workers."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import numpy as np
from distributed import Client, LocalCluster
from distributed.worker import logger as worker_logger

from benchmarks.build import (
    PUBLISHED_NBYTES,
    encoded_arrays,
    limit,
    on_one_core,
    ours,
    plain,
    save_compressed,
)
from benchmarks.suite.limits import files_below
from benchmarks.suite.made_store import make_catalog, plan_of
from benchmarks.suite.rows import (
    Row,
    at_least,
    at_most,
    compared,
    faster,
    figure,
    of_limit,
    without_figure,
)
from benchmarks.suite.size import Size
from benchmarks.suite.turns import in_turns, seconds_of
from c2s_data.build import run_entries
from c2s_data.distribute import run_on_client
from c2s_data.plan import Plan
from c2s_data.store.begin import begin_store
from c2s_data.store.objects import open_objects

VOXEL_A: Final = 0.7334
OCCUPIED_GOAL: Final = 30
"""How many times as fast as the published way occupied subgrids alone were to be."""
MEMORY: Final = Path("/dev/shm")


def rows(size: Size, folder: Path) -> Iterator[Row]:
    """Yield the times of a map, its bytes and objects, and the speed of a second worker."""
    cores = os.sched_getaffinity(0)
    on_one_core()
    yield from rows_of_one_map(size, folder)
    os.sched_setaffinity(0, cores)
    yield from rows_of_workers(size, folder, len(cores))


def rows_of_one_map(size: Size, folder: Path) -> Iterator[Row]:
    """Yield one map on one core: against inflating, encoding and writing, and the published way."""
    side = size.pick(100, 300, 300)
    catalog = make_catalog(folder, 1, side, VOXEL_A)
    map_gz, model = folder / "big.map.gz", folder / "big.pdb"
    plan, fuller = plan_of(catalog, "paper"), plan_of(catalog, "recommended")
    ours(plan, folder)
    chunks = encoded_arrays(plan, folder)
    store = folder / "ours.zarr"
    n_bytes = sum(path.stat().st_size for path in files_below(store))
    yield from rows_of_bytes(store, plan)

    def least() -> float:
        return limit(map_gz, side**3 * 4 + 1024, chunks) + write_seconds(folder, n_bytes)

    measures = {
        "ours": lambda: ours(plan, folder),
        "limit": least,
        "inflating": lambda: limit(map_gz, side**3 * 4 + 1024, []),
        "fuller": lambda: ours(fuller, folder),
    }
    seconds = in_turns(measures, size.repeats)
    seconds["plain"] = [plain(map_gz, model, folder) for _ in range(size.pick(1, 2, 5))]
    voxels = plan.entries[0].shape_zyx[0]
    name = f"{voxels}³ map to subgrids, one core, preset paper"
    yield of_limit(name, seconds["ours"], seconds["limit"],
                   "inflating, encoding and writing the same bytes", goal=at_most(2))  # fmt: skip
    yield faster(name, seconds["ours"], seconds["plain"], "the published way", goal=at_least(10))
    peer = "the published way with compressed .npz"
    if size.name == "full":
        packed = [plain(map_gz, model, folder, save_compressed)]
        yield faster(name, seconds["ours"], packed, peer)
    yield row_of_inflating(
        f"{voxels}³ map, inflating alone", seconds["inflating"], seconds["plain"]
    )
    yield compared("the same under recommended (splines, quality)", "s", seconds["fuller"],
                   seconds["ours"], against="preset paper", better="lower")  # fmt: skip


def row_of_inflating(name: str, inflating_s: list[float], published_s: list[float]) -> Row:
    """Return the most that any way that reads the file can gain; it is no figure of ours."""
    row = faster(name, inflating_s, published_s, "the published way")
    assert row.ratio is not None
    reach = "beyond" if row.ratio < OCCUPIED_GOAL else "within"
    note = f"{OCCUPIED_GOAL} x, for occupied subgrids alone, is {reach} what it leaves"
    return replace(row, better=None, note=note)


def rows_of_bytes(store: Path, plan: Plan) -> Iterator[Row]:
    """Yield bytes a subgrid, objects a map, and what the plan foretold."""
    n = plan.entries[0].n_subgrids
    files = files_below(store)
    whole = sum(path.stat().st_size for path in files)
    subgrids = sum(path.stat().st_size for path in files_below(store / "subgrids"))
    published = [float(PUBLISHED_NBYTES)]
    yield compared("bytes a subgrid with all masks", "B", [subgrids / n], published,
                   against="published records", ratio="other/own", goal=at_least(10))  # fmt: skip
    yield compared("bytes a subgrid, whole store", "B", [whole / n], published,
                   against="published records", ratio="other/own", goal=at_least(8))  # fmt: skip
    yield figure("objects of a store of one map", "", [float(len(files))], f"{n} subgrids")
    yield compared("bytes foretold by the plan", "B", [float(plan.predicted_bytes)], [float(whole)],
                   against="bytes written", role="limit", goal=at_most(1.25))  # fmt: skip


def write_seconds(folder: Path, n_bytes: int) -> float:
    """Write as many bytes into one file and wait for the disk, as a build does."""
    piece = np.random.default_rng(0).integers(0, 256, 1 << 20, np.uint8).tobytes()
    path = folder / "written"

    def write() -> None:
        with path.open("wb", buffering=0) as stream:
            for _ in range(n_bytes // len(piece)):
                stream.write(piece)
            os.fsync(stream.fileno())

    try:
        return seconds_of(write)
    finally:
        path.unlink()


def rows_of_workers(size: Size, folder: Path, n_cores: int) -> Iterator[Row]:
    """Yield how much faster two workers of a running cluster build than one, store in memory."""
    name = "build on 2 workers, store in memory"
    if n_cores < 2:
        yield without_figure(name, "1 worker", "this machine has one core")
        return
    side, n_maps = size.pick((80, 4), (180, 8), (220, 16))
    place = MEMORY if MEMORY.is_dir() else folder
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=place)))
        plan = plan_of(make_catalog(scratch / "inputs", n_maps, side, 1.0), "paper")
        worker_logger.setLevel("ERROR")
        clients = {
            n: stack.enter_context(Client(stack.enter_context(cluster_of(n)))) for n in (1, 2)
        }
        measures = {str(n): lambda n=n: build_seconds(clients[n], scratch, plan) for n in clients}
        alone = [stack.enter_context(builder(scratch / f"alone{i}", plan, i)) for i in range(2)]
        measures["alone"] = lambda: both_seconds(alone)
        seconds = in_turns(measures, size.few)
    yield faster(name, seconds["2"], seconds["1"], "1 worker", goal=at_least(1.8),
                 note=f"{n_maps} maps of {side}³")  # fmt: skip
    yield of_limit(name, seconds["2"], seconds["alone"],
                   "two processes that build half of the maps each and share nothing")  # fmt: skip


@contextlib.contextmanager
def builder(folder: Path, plan: Plan, half: int) -> Iterator[Connection]:
    """Start a process that builds half of the maps into a store of its own whenever asked."""
    here, there = Pipe()
    process = get_context("spawn").Process(
        target=build_when_asked, args=(there, folder, plan, half)
    )
    process.start()
    there.close()
    try:
        yield here
    finally:
        here.close()
        process.join()


def build_when_asked(asked: Connection, folder: Path, plan: Plan, half: int) -> None:
    failures: list[object] = []
    with contextlib.suppress(EOFError):
        while asked.recv():
            shutil.rmtree(folder, ignore_errors=True)
            objects = open_objects(folder)
            begin_store(objects, plan)
            failures.clear()
            run_entries(
                objects.url,
                plan,
                plan.buildable[half::2],
                lambda outcome: failures.append(outcome.failure),
            )
            assert not any(failures), failures
            asked.send("built")


def both_seconds(builders: list[Connection]) -> float:
    started = time.perf_counter()
    for one in builders:
        one.send("build")
    for one in builders:
        one.recv()
    return time.perf_counter() - started


def cluster_of(n: int) -> LocalCluster:
    """Return workers that are processes of one thread, as ``--workers`` makes them."""
    return LocalCluster(n_workers=n, threads_per_worker=1, processes=True, dashboard_address=":0")


def build_seconds(client: Client, folder: Path, plan: Plan) -> float:
    """Build all maps into a new store; the plan is written before the clock starts."""
    store = folder / "built.zarr"
    shutil.rmtree(store, ignore_errors=True)
    objects = open_objects(store)
    begin_store(objects, plan)
    failures: list[object] = []
    started = time.perf_counter()
    run_on_client(client, objects.url, plan, plan.buildable,
                  lambda outcome: failures.append(outcome.failure))  # fmt: skip
    seconds = time.perf_counter() - started
    assert failures == [None] * len(plan.buildable), failures
    return seconds
