"""K2 and E: a killed client or scheduler, and the same command again; always the same bytes."""

from __future__ import annotations

import os
import random
import signal
import time
from itertools import product
from pathlib import Path

import pytest
from builds import (
    N_ENTRIES,
    Build,
    Cluster,
    building,
    digests,
    discard,
    finished,
    is_committed,
    run,
)
from guarantees_table import BUDGET, chosen

from c2s_data.cluster.connect import connect
from c2s_data.config import make_config
from c2s_data.distribute import run_on_client
from c2s_data.errors import ClusterError
from c2s_data.plan import make_plan
from c2s_data.sources.catalog import read_catalog
from c2s_data.store.begin import begin_store
from c2s_data.store.objects import open_objects

PRESET = "--preset=recommended"


def let_some_finish(build: Build, store: Path, rng: random.Random) -> None:
    """Wait until a random number of entries, not all, are finished, and a little longer."""
    n = rng.randint(0, N_ENTRIES - 3)
    assert build.wait_until(lambda: build.begun() and len(finished(store)) >= n), build.output
    time.sleep(rng.uniform(0, 0.3))


def written_at(store: Path) -> dict[str, tuple[int, int]]:
    """When each receipt was written, and its inode: a file that is replaced has another."""
    receipts = (store / "_c2s" / "receipts").glob("*.json")
    return {path.stem: (path.stat().st_mtime_ns, path.stat().st_ino) for path in receipts}


def resume(build: Build, store: Path) -> None:
    """Kept receipts stay untouched, and only what has none is computed."""
    assert not is_committed(store)
    kept = written_at(store)
    arguments = build.process.args[2:]
    again = run(build.log_path.parent, *arguments)
    assert again.process.returncode == 0, again.output
    assert not set(again.begun()) & set(kept)
    assert {name: at for name, at in written_at(store).items() if name in kept} == kept


@pytest.mark.parametrize("cell", range(chosen(1, 5)))
def test_a_killed_client_leaves_nothing_running_and_loses_nothing(
    cell: int, tiny_catalog: Path, undisturbed: dict[str, str], tmp_path: Path, row
) -> None:
    store = tmp_path / "store.zarr"
    command = ("build", tiny_catalog, store, PRESET, "--workers=2")
    with building(tmp_path, *command, C2S_TEST_DELAY=0.2) as build:
        let_some_finish(build, store, random.Random(cell))
        os.kill(build.process.pid, signal.SIGKILL)
        build.process.wait()
        deadline = time.monotonic() + 30
        while build.processes():
            assert time.monotonic() < deadline, "workers outlive their client"
            time.sleep(0.1)
        resume(build, store)
    assert digests(store) == undisturbed
    discard(store)
    row("K2", "kill -9 of the client", 1, 0, "same command again: no finished entry recomputed")


@pytest.mark.parametrize("cell", range(chosen(1, 5)))
def test_a_killed_scheduler_is_told_and_loses_nothing(
    cell: int, tiny_catalog: Path, undisturbed: dict[str, str], tmp_path: Path, row
) -> None:
    store = tmp_path / "store.zarr"
    log = tmp_path / "cluster.log"
    cluster = Cluster(tmp_path, log, C2S_TEST_DELAY=0.2)
    try:
        cluster.add_workers(2, "--nthreads=1")
        command = ("build", tiny_catalog, store, PRESET, f"--cluster={cluster.address}")
        with building(tmp_path, *command) as build:
            build.log_path = log
            let_some_finish(build, store, random.Random(cell))
            os.kill(cluster.scheduler.pid, signal.SIGKILL)
            assert build.wait(90) == 2, build.output
            assert "the connection to the Dask cluster was lost" in build.output
    finally:
        cluster.stop()
    build.process.args[-1] = "--workers=2"  # Another cluster goes on where that one ended.
    resume(build, store)
    assert digests(store) == undisturbed
    discard(store)
    row("K2", "kill -9 of the scheduler", 1, 0, "same command again: no finished entry recomputed")


def test_a_frozen_scheduler_is_told(
    tiny_catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("c2s_data.cluster.settings.ANSWER_TIMEOUT_S", 2.0)
    monkeypatch.setattr("c2s_data.distribute._LOOK_EVERY_S", 0.5)
    plan = make_plan(read_catalog(tiny_catalog), make_config("recommended"))
    objects = open_objects(tmp_path / "store.zarr")
    begin_store(objects, plan)
    cluster = Cluster(tmp_path, tmp_path / "cluster.log")
    try:
        cluster.add_workers(1, "--nthreads=1")
        with connect(cluster.address) as client:
            os.kill(cluster.scheduler.pid, signal.SIGSTOP)
            with pytest.raises(ClusterError, match="scheduler has not answered for 2 s"):
                run_on_client(client, objects.url, plan, plan.entries, lambda outcome: None)
            stopped = time.monotonic()
        assert time.monotonic() - stopped < 60, "the client waited for a frozen scheduler"
    finally:
        cluster.stop()


CELLS = list(product([1, 2, 4], ["processes", "threads"], ["in order", "shuffled"], [False, True]))
# Of the small selection; other rows build with two processes in order, undisturbed.
SMOKE = [CELLS.index(cell) for cell in (
    (1, "threads", "shuffled", False),
    (4, "threads", "in order", True),
    (2, "processes", "shuffled", True),
)]  # fmt: skip


@pytest.mark.parametrize("cell", SMOKE if BUDGET == "smoke" else range(len(CELLS)))
def test_every_way_to_build_gives_the_same_bytes(
    cell: int, tiny_catalog: Path, undisturbed: dict[str, str], tmp_path: Path, row
) -> None:
    n_workers, kind, order, killed = CELLS[cell]
    settings = {"C2S_TEST_SHUFFLE": cell + 1 if order == "shuffled" else None}
    settings |= {"C2S_TEST_DELAY": "0.2" if killed else None}
    store = tmp_path / "store.zarr"
    command = ("build", tiny_catalog, store, PRESET)
    cluster = None
    try:
        if kind == "threads":
            cluster = Cluster(tmp_path, tmp_path / "cluster.log", **settings)
            cluster.add_workers(1, f"--nthreads={n_workers}")
            where = f"--cluster={cluster.address}"
        else:
            where = f"--workers={n_workers}"
        if killed:
            with building(tmp_path, *command, where, **settings) as build:
                if cluster:
                    build.log_path = tmp_path / "cluster.log"
                let_some_finish(build, store, random.Random(cell))
                os.kill(build.process.pid, signal.SIGKILL)
            assert not is_committed(store)
        done = run(tmp_path, *command, where, **settings)
        assert done.process.returncode == 0, done.output
    finally:
        if cluster:
            cluster.stop()
    assert digests(store) == undisturbed
    discard(store)
    row("E", "workers x threads or processes x order x killed or not", 1, 0, "all bytes equal")
