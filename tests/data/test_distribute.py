"""A build on Dask workers: failures are quarantined, the rest goes on, a second run resumes."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from c2s_data.build import EntryOutcome, PlanFacts, run_entries
from c2s_data.config import make_config
from c2s_data.distribute import build_store, connect, pending_entries, run_on_client
from c2s_data.errors import ConfigError, StoreError
from c2s_data.plan import make_plan
from c2s_data.sources.atomic_model import read_atomic_model
from c2s_data.sources.catalog import read_catalog
from c2s_data.sources.density_map import DensityMap, write_density_map
from c2s_data.store.commit import begin_store, commit, outcomes
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
        if path.is_file()
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
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address
        store = tmp_path / "remote.zarr"
        committed = build_store(catalog, store, CONFIG, scheduler=address)
        with pytest.raises(ConfigError, match="--workers"):
            build_store(catalog, tmp_path / "x.zarr", CONFIG, scheduler=address, workers=2)
    assert committed.generation == 1
    monkeypatch.setattr("c2s_data.distribute._CONNECT_TIMEOUT", "1s")
    with (
        pytest.raises(ConfigError, match="no Dask scheduler answers"),
        connect("tcp://127.0.0.1:9"),
    ):
        pass


def _die(url: str, planned: object, facts: PlanFacts) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_map_that_kills_its_worker_is_quarantined(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(read_catalog(catalog), CONFIG)
    objects = open_objects(tmp_path / "killed.zarr")
    begin_store(objects, plan)
    seen: list[EntryOutcome] = []
    first = plan.buildable[:1]
    with connect(workers=1) as client:
        monkeypatch.setattr("c2s_data.distribute.build_and_write", _die)
        run_on_client(client, objects.url, plan, first, seen.append)
        monkeypatch.undo()
        run_on_client(client, objects.url, plan, plan.buildable[1:], seen.append)
    (outcome, *others) = seen
    assert outcome.failure is not None
    assert outcome.failure.reason == "worker-killed"
    assert all(other.failure is None for other in others)
    found = outcomes(objects, plan)
    assert found[first[0].entry_id] == outcome.failure
    assert [entry.entry_id for entry in pending_entries(objects.url, plan)] == [first[0].entry_id]


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
