"""K4: parts, commits and removals that are frozen at their worst step, until others went on."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from builds import Build, building, digests, run, write_inputs
from guarantees_table import chosen

from c2s_data.build import run_entries
from c2s_data.config import make_config
from c2s_data.errors import LeaseError
from c2s_data.growth import withdraw
from c2s_data.plan import Plan, make_plan
from c2s_data.sources.catalog import read_catalog
from c2s_data.store.begin import begin_store, load_plan, put_plan
from c2s_data.store.commit import commit, pending_entries
from c2s_data.store.lease import Lease, hold
from c2s_data.store.objects import Objects, open_objects
from c2s_data.store.reader import open_store
from c2s_data.store.verify import verify

PRESET = "--preset=recommended"
LEASE_S = 2


@pytest.fixture(scope="module")
def three_maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("three") / "inputs", 3)


@pytest.fixture
def catalog(three_maps: Path, tmp_path: Path) -> Path:
    """Catalog of three maps that a test may change."""
    shutil.copytree(three_maps.parent, tmp_path / "inputs")
    return tmp_path / "inputs" / three_maps.name


@contextlib.contextmanager
def frozen(folder: Path, where: str, *arguments: str | Path) -> Iterator[Build]:
    """A command that has stopped itself at one step of its work."""
    with building(folder, *arguments, C2S_TEST_STOP=where, C2S_TEST_LEASE=LEASE_S) as build:
        assert build.wait_until(lambda: state(build) == "T"), f"never at {where}: {build.output}"
        yield build


def state(build: Build) -> str:
    stat = Path(f"/proc/{build.process.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0]


def revive(build: Build) -> int:
    os.kill(build.process.pid, signal.SIGCONT)
    return build.wait(60)


@contextlib.contextmanager
def taken_over(objects: Objects) -> Iterator[Lease]:
    """The lease, as soon as that of the frozen process has ended."""
    deadline = time.monotonic() + 30
    with contextlib.ExitStack() as stack:
        while True:
            try:
                lease = stack.enter_context(hold(objects, "build"))
                break
            except LeaseError:
                assert time.monotonic() < deadline, "the lease does not end"
                time.sleep(0.1)
        yield lease


def build_all(catalog: Path, objects: Objects, **options: str) -> Plan:
    """Plan, build and commit here, as another process would."""
    with taken_over(objects) as lease:
        fresh = make_plan(read_catalog(catalog), make_config("recommended", **options))
        plan = begin_store(objects, fresh, guard=lease.check)
        failures = []
        entries = pending_entries(objects, plan)
        run_entries(objects.url, plan, entries, lambda outcome: failures.append(outcome.failure))
        assert set(failures) <= {None}
        commit(objects, plan, lease.check)
    return plan


def faults(objects: Objects) -> list[str]:
    return [str(fault) for fault in verify(objects, "full").faults]


def maps_of_rows(objects: Objects, plan: Plan) -> list[list[int]]:
    """The maps that the rows of each entry name."""
    column = open_store(objects.url).index()[0]
    rows = (slice(e.first_subgrid, e.first_subgrid + e.n_subgrids) for e in plan.entries)
    return [sorted(set(column[here].tolist())) for here in rows]


def plan_it(catalog: Path, folder: Path) -> Objects:
    store = folder / "store.zarr"
    planned = run(folder, "plan", catalog, store, PRESET)
    assert planned.process.returncode == 0, planned.output
    return open_objects(store)


def drop(number: int) -> Callable[[Path], dict[str, str]]:
    def change(catalog: Path) -> dict[str, str]:
        lines = catalog.read_text().splitlines()
        del lines[1 + number]
        catalog.write_text("\n".join(lines) + "\n")
        return {}

    return change


def reverse(catalog: Path) -> dict[str, str]:
    head, *rows = catalog.read_text().splitlines()
    catalog.write_text("\n".join([head, *reversed(rows)]) + "\n")
    return {}


def other_codec(catalog: Path) -> dict[str, str]:
    return {"compressor": "zstd"}


OTHER_PLANS = [drop(0), reverse, other_codec, drop(1), drop(2)]


@pytest.mark.parametrize("cell", range(chosen(1, len(OTHER_PLANS))))
def test_a_part_under_a_plan_that_was_replaced(
    cell: int, catalog: Path, tmp_path: Path, row
) -> None:
    objects = plan_it(catalog, tmp_path)
    store = Path(objects.url)
    arguments = ("build", catalog, store, "--part=1/1")
    with frozen(tmp_path, "before _c2s/lineage.json", *arguments) as part:
        options = OTHER_PLANS[cell](catalog)
        plan = build_all(catalog, objects, **options)
        before = digests(store)
        assert revive(part) == 2, part.output
    assert "was planned anew since this part began" in part.output
    assert digests(store) == before
    assert faults(objects) == []
    assert maps_of_rows(objects, plan) == [[i] for i in range(len(plan.entries))]
    row("K4", "part frozen, another plan built and committed, part revived", 1, 0, "it is refused")


STEPS = ["subgrids/density/c/", "subgrids/ca/c/", "maps/TINY-", "receipts/TINY-", "residues/TINY-"]


@pytest.mark.parametrize("cell", range(chosen(1, len(STEPS))))
def test_a_part_under_inputs_that_were_replaced(
    cell: int, catalog: Path, tmp_path: Path, row
) -> None:
    objects = plan_it(catalog, tmp_path)
    store = Path(objects.url)
    arguments = ("build", catalog, store, "--part=1/1")
    with frozen(tmp_path, f"before {STEPS[cell]}", *arguments) as part:
        (begun,) = part.begun()
        index = next(e.map_index for e in load_plan(objects).entries if e.entry_id == begun)
        change_model(catalog.with_name(f"{begun}.cif"))
        plan = build_all(catalog, objects)
        assert [e.group for e in plan.entries][3:] == [f"{begun}.r2"]
        expected = [[i] for i in range(4)]
        expected[index] = [-1]
        assert maps_of_rows(objects, plan) == expected
        before = digests(store)
        assert revive(part) == 0, part.output
    after = digests(store)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys(), "it wrote what is its own"
    assert faults(objects) == []
    with taken_over(objects) as lease:
        assert not commit(objects, load_plan(objects), lease.check).is_new
    assert maps_of_rows(objects, plan) == expected
    row("K4", "part frozen, its inputs replaced, part revived", 1, 0, "it wrote rows of its own")


def change_model(model: Path) -> None:
    """Take out one residue, as a correction would."""
    lines = model.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not (line.startswith("ATOM") and " 12 " in line)]
    assert len(kept) < len(lines)
    model.write_text("".join(kept))


GENERATION = "generations/000001"
COMMIT_STEPS = [
    *("subgrids/map/c/0", "zarr.json", f"{GENERATION}/catalog", f"{GENERATION}/manifest"),
    f"{GENERATION}/plan.json",
]


@pytest.mark.parametrize("cell", range(chosen(1, len(COMMIT_STEPS))))
def test_a_commit_of_a_store_that_has_grown(cell: int, catalog: Path, tmp_path: Path, row) -> None:
    text = catalog.read_text()
    drop(2)(catalog)
    objects = plan_it(catalog, tmp_path)
    store = Path(objects.url)
    plan = load_plan(objects)
    run_entries(objects.url, plan, plan.entries, lambda outcome: None)
    with frozen(tmp_path, f"compared {COMMIT_STEPS[cell]}", "commit", store) as late:
        catalog.write_text(text)
        plan = build_all(catalog, objects)
        before = digests(store)
        assert revive(late) == 2, late.output
    assert "lost its lease" in late.output
    assert digests(store) == before
    assert faults(objects) == []
    assert maps_of_rows(objects, plan) == [[0], [1], [2]]
    row("K4", "commit frozen, the store grown and committed, revived", 1, 0, "it changes nothing")


REMOVALS = ["COMMITTED", "catalog.parquet", "manifest.parquet"]


@pytest.mark.parametrize("cell", range(chosen(1, len(REMOVALS))))
def test_a_removal_of_what_is_committed_after_all(
    cell: int, catalog: Path, tmp_path: Path, row
) -> None:
    store = tmp_path / "store.zarr"
    objects = open_objects(store)
    build_all(catalog, objects)
    plan = withdraw(load_plan(objects), "TINY-02", "wrong model")
    put_plan(objects, plan)
    with frozen(tmp_path, "before LATEST.json", "commit", store) as killed:
        os.kill(killed.process.pid, signal.SIGKILL)
        killed.wait()
    # Of the second generation all is there but the pointer to it.
    where = f"after generations/000002/{REMOVALS[cell]}"
    with frozen(tmp_path, where, "gc", store) as late:
        with taken_over(objects) as lease:
            assert commit(objects, plan, lease.check).generation == 2
        before = digests(store)
        assert revive(late) == 2, late.output
    assert "lost its lease" in late.output
    assert digests(store) == before
    assert open_store(store).generation == 2
    assert faults(objects) == []
    assert maps_of_rows(objects, plan) == [[0], [1], [2]]
    row("K4", "gc frozen, what it removes is committed after all", 1, 0, "it removes nothing more")
