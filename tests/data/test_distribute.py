"""A build on Dask workers: failures are quarantined, the rest goes on, a second run resumes."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from c2s_data.build import EntryOutcome, PlanFacts, build_and_write, run_entries
from c2s_data.cluster.connect import connect
from c2s_data.cluster.membership import WorkerWatch, count_workers
from c2s_data.config import make_config
from c2s_data.distribute import _result_of, _Tasks, build_store, map_over_workers, run_on_client
from c2s_data.errors import ClusterError, ConfigError, StoreError
from c2s_data.plan import PlannedEntry, make_plan
from c2s_data.sources.atomic_model import read_atomic_model
from c2s_data.sources.catalog import read_catalog
from c2s_data.sources.density_map import DensityMap, write_density_map
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit, outcomes, pending_entries
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import open_store

CONFIG = make_config("recommended")


@pytest.fixture(scope="module")
def catalog(demo_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the demonstration's input that tests may add to."""
    folder = tmp_path_factory.mktemp("inputs") / "inputs"
    shutil.copytree(demo_catalog.parent, folder)
    return folder / demo_catalog.name


@pytest.fixture(scope="module")
def one_bad(catalog: Path) -> Path:
    """The same catalog and one map that only its build can find fault with: nan voxels."""
    path = catalog.with_name("bad.map")
    values = np.zeros((20, 30, 40), np.float32)
    values[3, 4, 5] = 1.0
    model = read_catalog(catalog)[0].model
    centre_xyz_A = read_atomic_model(model).residues.ca_xyz_A.mean(axis=0)
    x, y, z = (centre_xyz_A - (60, 45, 30)).tolist()
    write_density_map(path, DensityMap(values, (3.0, 3.0, 3.0), (x, y, z)))
    data = bytearray(path.read_bytes())
    data[-4:] = np.float32(np.nan).tobytes()
    path.write_bytes(data)
    bad = catalog.with_name("one_bad.csv")
    lines = catalog.read_text().splitlines()
    columns = lines[0].split(",")
    row = {"entry_id": "BAD-1", "map": "bad.map", "model": model, "resolution_A": "3"}
    gone = row | {"entry_id": "GONE-1", "map": "no-such.map"}
    lines += [",".join(r.get(name, "") for name in columns) for r in (row, gone)]
    bad.write_text("\n".join(lines) + "\n")
    return bad


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "leases"  # who held it, and when
    }


def test_bad_entries_are_quarantined_and_the_same_command_resumes(
    one_bad: Path, tmp_path: Path
) -> None:
    store = tmp_path / "demo.zarr"
    seen: list[EntryOutcome] = []
    committed = build_store(one_bad, store, CONFIG, workers=2, on_outcome=seen.append)
    good = [entry.entry_id for entry in read_catalog(one_bad)][:-2]
    assert set(committed.failures) == {"BAD-1", "GONE-1"}
    assert committed.failures["BAD-1"].reason == "not-finite"
    assert committed.failures["GONE-1"].reason == "not-found"
    assert sorted(outcome.entry_id for outcome in seen) == sorted([*good, "BAD-1"])
    assert [entry.entry_id for entry in open_store(store).entries] == good
    before = digests(store)
    again: list[EntryOutcome] = []
    second = build_store(one_bad, store, CONFIG, workers=1, on_outcome=again.append)
    assert [outcome.entry_id for outcome in again] == ["BAD-1"]
    assert not second.is_new
    assert set(second.failures) == {"BAD-1", "GONE-1"}
    assert digests(store) == before


def test_parts_without_dask_give_the_same_bytes(catalog: Path, tmp_path: Path) -> None:
    with_dask = tmp_path / "dask.zarr"
    build_store(catalog, with_dask, CONFIG, workers=2)
    plan = make_plan(read_catalog(catalog), CONFIG)
    objects = open_objects(tmp_path / "parts.zarr")
    begin_store(objects, plan)
    for number in (3, 1, 2):
        run_entries(objects.url, plan, plan.part(number, 3), lambda outcome: None)
    commit(objects, plan)
    assert digests(with_dask) == digests(tmp_path / "parts.zarr")


def test_running_scheduler_is_used_and_a_wrong_address_is_said(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
    ) as cluster:
        address = cluster.scheduler_address
        store = tmp_path / "remote.zarr"
        committed = build_store(catalog, store, CONFIG, cluster=address)
        with pytest.raises(ConfigError, match="--workers"):
            build_store(catalog, tmp_path / "x.zarr", CONFIG, cluster=address, workers=2)
    assert committed.generation == 1
    monkeypatch.setattr("c2s_data.cluster.connect.CONNECT_TIMEOUT", "1s")
    with (
        pytest.raises(ConfigError, match="no Dask scheduler answers"),
        connect("tcp://127.0.0.1:9"),
    ):
        pass


def _die_of_the_first(url: str, planned: PlannedEntry, facts: PlanFacts) -> EntryOutcome:
    if planned.map_index == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return build_and_write(url, planned, facts)


def test_a_map_that_kills_its_worker_is_quarantined_and_no_other(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(read_catalog(catalog), CONFIG)
    objects = open_objects(tmp_path / "killed.zarr")
    begin_store(objects, plan)
    seen: list[EntryOutcome] = []
    monkeypatch.setattr("c2s_data.distribute.build_and_write", _die_of_the_first)
    # The others wait in the queue of the only worker each time that it dies.
    with connect(workers=1) as client:
        run_on_client(client, objects.url, plan, plan.buildable, seen.append)
    deadly = plan.entries[0].entry_id
    failed = {outcome.entry_id: outcome.failure for outcome in seen if outcome.failure}
    assert list(failed) == [deadly]
    assert failed[deadly].reason == "worker-killed"
    assert sorted(outcome.entry_id for outcome in seen) == sorted(e.entry_id for e in plan.entries)
    assert outcomes(objects, plan)[deadly] == failed[deadly]
    assert [entry.entry_id for entry in pending_entries(objects, plan)] == [deadly]


class _Deadly(EntryOutcome):
    """Ends the worker that holds it when it is asked for."""

    def __reduce__(self) -> tuple[object, ...]:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("this process is dead")


def _die_with_the_result(url: str, planned: PlannedEntry, facts: PlanFacts) -> EntryOutcome:
    """The first map's worker dies when it gives its result, and whenever it builds it again."""
    if planned.map_index != 0:
        return build_and_write(url, planned, facts)
    if (mark := Path(url.removeprefix("file://")) / "built-once").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    outcome = build_and_write(url, planned, facts)
    mark.touch()
    return _Deadly(outcome.entry_id, outcome.failure)


def test_a_result_that_is_lost_with_its_worker_fails_no_other(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(read_catalog(catalog), CONFIG)
    objects = open_objects(tmp_path / "lost.zarr")
    begin_store(objects, plan)
    seen: list[EntryOutcome] = []
    monkeypatch.setattr("c2s_data.distribute.build_and_write", _die_with_the_result)
    monkeypatch.setattr("c2s_data.distribute._TOGETHER_S", 3.0)
    with connect(workers=2) as client:
        run_on_client(client, objects.url, plan, plan.buildable, seen.append)
    lost = plan.entries[0].entry_id
    assert (tmp_path / "lost.zarr/built-once").exists()
    assert {o.entry_id: o.failure.reason for o in seen if o.failure} == {lost: "worker-killed"}
    assert sorted(outcome.entry_id for outcome in seen) == sorted(e.entry_id for e in plan.entries)


def test_a_scheduler_without_workers_is_not_waited_for_for_ever(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client, LocalCluster

    monkeypatch.setattr("c2s_data.cluster.settings.WORKERS_TIMEOUT_S", 1.0)
    monkeypatch.setattr("c2s_data.distribute._LOOK_EVERY_S", 0.2)
    plan = make_plan(read_catalog(catalog), CONFIG)
    url = str(tmp_path / "lonely.zarr")
    with LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as cluster:
        address = cluster.scheduler_address
        with pytest.raises(ClusterError, match="had no worker for 1 s"), connect(address):
            pass
        # Nor when all workers go away while a build runs.
        with (
            Client(cluster) as client,
            pytest.raises(ClusterError, match="had no worker for 1 s; start workers"),
        ):
            run_on_client(client, url, plan, plan.buildable, lambda outcome: None)


def test_a_result_that_died_with_the_last_worker_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from distributed import Client, LocalCluster, wait

    monkeypatch.setattr("c2s_data.cluster.settings.WORKERS_TIMEOUT_S", 1.0)
    monkeypatch.setattr("c2s_data.distribute._LOOK_EVERY_S", 0.2)
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        future = client.submit(len, "abc", pure=False)
        wait(future)
        cluster.scale(0)
        while count_workers(client):
            time.sleep(0.05)
        with pytest.raises(ClusterError, match="had no worker for 1 s; start workers"):
            _result_of(future, WorkerWatch(client))
        cluster.scale(1)
        assert _result_of(future, WorkerWatch(client)) == 3


def _end_at_once(url: str, planned: PlannedEntry, facts: PlanFacts) -> EntryOutcome:
    return EntryOutcome(planned.entry_id, None)


def drain(tasks: _Tasks) -> list[tuple[PlannedEntry, EntryOutcome | None]]:
    found: list[tuple[PlannedEntry, EntryOutcome | None]] = []
    while len(tasks):
        found += tasks.ended()
    return found


def test_an_entry_whose_result_died_with_the_last_worker_is_built_again_by_the_next(
    catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client, LocalCluster

    monkeypatch.setattr("c2s_data.cluster.settings.WORKERS_TIMEOUT_S", 1.0)
    monkeypatch.setattr("c2s_data.distribute._LOOK_EVERY_S", 0.2)
    monkeypatch.setattr("c2s_data.distribute.build_and_write", _end_at_once)
    plan = make_plan(read_catalog(catalog), CONFIG)
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        tasks = _Tasks(client, "nowhere", PlanFacts.of(plan))
        tasks.submit(plan.buildable[:1])
        while not client.has_what():
            time.sleep(0.05)
        cluster.scale(0)
        while count_workers(client):
            time.sleep(0.05)
        with pytest.raises(ClusterError, match="had no worker for 1 s; start workers"):
            assert drain(tasks) == []
        cluster.scale(1)
        assert drain(tasks) == [(plan.buildable[0], EntryOutcome(plan.buildable[0].entry_id, None))]


def test_a_store_that_cannot_be_written_stops_the_build(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(read_catalog(catalog), CONFIG)
    objects = open_objects(tmp_path / "full.zarr")
    begin_store(objects, plan)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device; free space"):
        run_entries(objects.url, plan, plan.entries, lambda outcome: None)
    monkeypatch.undo()
    # A full disk is no fault of a map: nothing is quarantined, everything is still to be built.
    assert set(outcomes(objects, plan).values()) == {None}


def reciprocal(number: int) -> float:
    if number == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return 1 / number


def test_a_function_is_mapped_over_workers_and_a_failure_stands_in_its_place() -> None:
    with connect(workers=2) as client:
        found = dict(map_over_workers(client, reciprocal, range(9)))
        assert dict(map_over_workers(client, reciprocal, [])) == {}
        killed = dict(map_over_workers(client, reciprocal, [13, 4]))
    assert isinstance(found.pop(0), ZeroDivisionError)
    assert found == {number: 1 / number for number in range(1, 9)}
    assert "reciprocal" in str(killed.pop(13))
    assert killed == {4: 0.25}
