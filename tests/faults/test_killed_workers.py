"""K1, K4, K5: workers that are killed, frozen and revived, or die of a map."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from pathlib import Path

import psutil
import pytest
from builds import N_ENTRIES, Cluster, building, digests, discard, finished, is_committed, run
from guarantees_table import chosen

from c2s_data.cluster.connect import connect


def runs(pid: int) -> bool:
    """Say whether a process is there and not merely waiting for its parent to notice its end."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("cell", range(chosen(2, 20)))
def test_a_worker_killed_at_a_random_time_changes_nothing(
    cell: int, tiny_catalog: Path, undisturbed: dict[str, str], tmp_path: Path, row
) -> None:
    rng = random.Random(cell)
    store = tmp_path / "store.zarr"
    command = ("build", tiny_catalog, store, "--preset=recommended", "--workers=2")
    with building(tmp_path, *command, C2S_TEST_DELAY=0.2) as build:
        n_begun = rng.randint(1, N_ENTRIES - 2)
        assert build.wait_until(lambda: len(build.begun()) >= n_begun), build.output
        time.sleep(rng.uniform(0, 0.3))
        victim = rng.choice(sorted({event.pid for event in build.events()}))
        os.kill(victim, signal.SIGKILL)
        assert build.wait() == 0, build.output
    redone = len(build.begun()) - N_ENTRIES
    assert 0 <= redone <= len(build.in_flight(victim))
    assert digests(store) == undisturbed
    discard(store)
    row("K1", "kill -9 of a worker at a random time", 1, 0, "digest equal, only its task redone")


@pytest.mark.parametrize("cell", range(chosen(1, 5)))
def test_a_frozen_worker_that_revives_after_the_commit_changes_nothing(
    cell: int, tiny_catalog: Path, undisturbed: dict[str, str], tmp_path: Path, row
) -> None:
    rng = random.Random(cell)
    store = tmp_path / "store.zarr"
    ttl = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "3s", "C2S_TEST_DELAY": "0.5"}
    cluster = Cluster(tmp_path, tmp_path / "cluster.log", **ttl)
    try:
        cluster.add_workers(2, "--nthreads=1", "--no-nanny")
        command = ("build", tiny_catalog, store, "--preset=recommended")
        with building(tmp_path, *command, f"--cluster={cluster.address}") as build:
            # The workers were started by somebody else and keep their own log.
            build.log_path = tmp_path / "cluster.log"
            assert build.wait_until(build.in_flight), build.output
            time.sleep(rng.uniform(0, 0.4))
            frozen = rng.choice(build.in_flight())
            os.kill(frozen.pid, signal.SIGSTOP)
            # Only a worker that was stopped before it wrote its receipt shows anything.
            assert frozen.entry_id not in finished(store), "stopped too late"
            assert build.wait() == 0, build.output
            assert is_committed(store)
            assert len(build.begun()) > N_ENTRIES, "another worker took over"
            assert digests(store) == undisturbed
            os.kill(frozen.pid, signal.SIGCONT)
            deadline = time.monotonic() + 120
            # A worker that finds itself given up may also end before its task does.
            while frozen in build.in_flight() and runs(frozen.pid):
                assert time.monotonic() < deadline, "the revived worker did not go on"
                time.sleep(0.05)
    finally:
        cluster.stop()
    assert digests(store) == undisturbed
    discard(store)
    row("K4", "worker frozen past its TTL, revived after the commit", 1, 0, "equal")


@pytest.mark.parametrize("cell", range(chosen(1, 4)))
def test_a_map_that_kills_native_code_is_quarantined_alone(
    cell: int, tiny_catalog: Path, undisturbed: dict[str, str], tmp_path: Path, row
) -> None:
    deadly = f"TINY-{(5 * cell + 3) % N_ENTRIES:02d}"
    store = tmp_path / "store.zarr"
    # With one worker, innocents wait in its queue each time that it dies.
    command = ("build", tiny_catalog, store, "--preset=recommended", f"--workers={1 + cell % 2}")
    build = run(tmp_path, *command, C2S_TEST_ABORT=deadly)
    assert build.process.returncode == 1, build.output
    status = json.loads(run(tmp_path, "status", store, "--json").output)
    assert list(status["failed"]) == [deadly]
    assert status["failed"][deadly]["reason"] == "worker-killed"
    assert len(status["finished"]) == N_ENTRIES - 1
    assert status["generation"] == 1
    again = run(tmp_path, *command)
    assert again.process.returncode == 0, again.output
    assert again.begun() == [deadly]
    chunks = {name: digest for name, digest in digests(store).items() if "/c/" in name}
    assert chunks == {name: digest for name, digest in undisturbed.items() if "/c/" in name}
    discard(store)
    row("K5", "a map that aborts its process", 1, 0, "quarantined with its reason; the rest done")


def test_a_worker_that_is_dead_whenever_dask_looks_comes_back() -> None:
    """Dask looks 15 s after a death, by default, and takes a worker that is dead then for lost."""
    with connect(workers=1) as client:
        assert client.submit(abs, -1, pure=False).result(60) == 1
        first = time.monotonic()
        os.kill(worker_pid(), signal.SIGKILL)
        while (since := time.monotonic() - first) < 17:
            if since > 14 and (pid := worker_pid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        assert client.submit(abs, -2, pure=False).result(60) == 2


def worker_pid() -> int:
    """Return the process of the only Dask worker of this process, 0 if it has none just now."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if any("spawn_main" in word for word in child.cmdline()) and runs(child.pid):
                return child.pid
    return 0
