"""A committed store grows in generations: old rows keep indices and bytes, readers see one."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr
import zarr
from made_maps import SHAPES_ZYX, made_map, made_plan

from c2s_data.config import make_config
from c2s_data.errors import ConfigError, LeaseError, NotCommittedError, StoreError
from c2s_data.growth import withdraw
from c2s_data.plan import Failure, Plan, PlannedEntry, plan_of, with_rows
from c2s_data.store.begin import begin_store, claim_lineage, load_plan, put_plan
from c2s_data.store.commit import Committed, commit
from c2s_data.store.garbage import find_garbage, remove
from c2s_data.store.generation import generations, latest_generation
from c2s_data.store.layout import Layout
from c2s_data.store.objects import Objects, open_objects
from c2s_data.store.reader import Store, open_store
from c2s_data.store.receipt import write_failure
from c2s_data.store.sealed import seal
from c2s_data.store.writer import write_entry


def catalog(*names: str, **changes) -> Plan:
    """The plan that a catalog of these entries leads to; ``A*`` is A from other inputs."""
    plan = made_plan(shapes=[SHAPES_ZYX[ord(name[0]) % 2] for name in names])
    entries = []
    for planned, name in zip(plan.entries, names, strict=True):
        entry = replace(planned.entry, entry_id=name[0], resolution_A=3.0, split="train")
        other = {"model_sha256": "other"} if name.endswith("*") else {}
        named = replace(planned, entry=replace(entry, **changes), **other)
        entries.append(with_rows(named, planned.first_subgrid, plan.config))
    return plan_of(plan.config, entries, plan.n_rows)


def seed_of(planned: PlannedEntry) -> int:
    return 10 * ord(planned.entry_id) + planned.revision


def build(objects: Objects, fresh: Plan, *, rebuild: bool = False) -> Committed:
    plan = begin_store(objects, fresh, rebuild=rebuild)
    write_pending(objects, plan)
    return commit(objects, plan)


def write_pending(objects: Objects, plan: Plan, leave: int = 0) -> None:
    waiting = [e for e in plan.buildable if objects.size(f"_c2s/receipts/{e.group}.json") is None]
    for planned in waiting[: len(waiting) - leave]:
        made = made_map(planned, plan.config, seed_of(planned))
        write_entry(objects, Layout.of(plan.config), planned, made)


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return open_objects(tmp_path / "grown.zarr")


def shards(folder: str) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for part in ("subgrids/density", "subgrids/amino", "maps")
        for path in (Path(folder) / part).rglob("c/**/*")
        if path.is_file()
    }


def assert_holds(store: Store, groups: list[str]) -> None:
    """Every map and every row is what was built for it, by our reader and by plain zarr."""
    assert [entry.group for entry in store.entries] == groups
    map_index, corner_zyx, n_ca = store.index()
    plan = load_plan(open_objects(store.url))
    density = zarr.open_group(f"{store.url}/subgrids", mode="r")["density"]
    for entry in store.entries:
        planned = plan.entries[entry.map_index]
        made = made_map(planned, plan.config, seed_of(planned))
        assert np.array_equal(store.read_map(entry.entry_id, "density"), made.density_zyx)
        rows = slice(entry.first_subgrid, entry.first_subgrid + entry.n_subgrids)
        assert (map_index[rows] == entry.map_index).all()
        assert n_ca[rows][: entry.n_occupied].all()
        assert not n_ca[rows][entry.n_occupied :].any()
        z, y, x = corner_zyx[rows.start] + 6
        core = made.density_zyx[z : z + 20, y : y + 20, x : x + 20]
        inner = density[rows.start][tuple(slice(6, 6 + n) for n in core.shape)]
        assert np.array_equal(inner, core)


def test_new_entries_are_a_new_generation_and_old_ones_stay_as_they_were(
    objects: Objects,
) -> None:
    build(objects, catalog("A", "B"))
    first, before = open_store(objects.url), shards(objects.url)
    old_index = [column.copy() for column in first.index()]
    committed = build(objects, catalog("C", "A", "B"))
    assert (committed.generation, committed.is_new) == (2, True)
    second = open_store(objects.url)
    assert_holds(second, ["A", "B", "C"])
    assert [entry.first_subgrid for entry in second.entries] == [0, 512, 1024]
    assert {k: v for k, v in shards(objects.url).items() if k in before} == before
    again = open_store(objects.url, generation=1)
    assert (again.fingerprint, again.n_rows) == (first.fingerprint, 1024)
    assert first.fingerprint != second.fingerprint
    assert [entry.group for entry in again.entries] == ["A", "B"]
    for was, column, now in zip(old_index, again.index(), second.index(), strict=True):
        assert np.array_equal(was, column)
        assert np.array_equal(was, now[:1024])
    assert xr.open_zarr(objects.url, group="subgrids").sizes["subgrid"] == 1536
    assert not build(objects, catalog("A", "B", "C")).is_new


def test_a_new_split_or_column_is_a_new_generation_without_building(objects: Objects) -> None:
    build(objects, catalog("A", "B"))
    before = shards(objects.url)
    fresh = catalog("A", "B", split="test", metadata={"batch": "3"})
    plan = begin_store(objects, fresh)
    assert commit(objects, plan).generation == 2
    assert shards(objects.url) == before
    store = open_store(objects.url)
    assert [entry.split for entry in store.entries] == ["test", "test"]
    assert [row["batch"] for row in store.rows] == ["3", "3"]
    assert [entry.split for entry in open_store(objects.url, 1).entries] == ["train", "train"]


def test_a_rebuilt_entry_gets_new_rows_and_the_old_generation_still_reads_the_old_ones(
    objects: Objects,
) -> None:
    build(objects, catalog("A", "B"))
    old = open_store(objects.url)
    density = old.read_map("A", "density")
    with pytest.raises(ConfigError, match=r"A\.model_sha256: '' -> 'other'"):
        begin_store(objects, catalog("A*", "B"))
    build(objects, catalog("A*", "B"), rebuild=True)
    store = open_store(objects.url)
    assert_holds(store, ["B", "A.r2"])
    assert store.entry("A").first_subgrid == 1024
    assert store.failures == {}
    assert store.withdrawn == {"A": "[rebuilt] built anew from other inputs in later rows"}
    assert not np.array_equal(store.read_map("A", "density"), density)
    assert np.array_equal(open_store(objects.url, 1).read_map("A", "density"), density)
    assert np.array_equal(old.index()[0], open_store(objects.url, 1).index()[0])


def test_a_withdrawn_entry_leaves_the_next_generation_and_gc_frees_its_bytes(
    objects: Objects,
) -> None:
    build(objects, catalog("A", "B"))
    put_plan(objects, withdraw(load_plan(objects), "A", "wrong handedness"))
    assert commit(objects, load_plan(objects)).generation == 2
    store = open_store(objects.url)
    assert_holds(store, ["B"])
    with pytest.raises(StoreError, match=r"A was left out: \[withdrawn\] wrong handedness"):
        store.entry("A")
    assert find_garbage(objects, load_plan(objects)).objects == ()
    garbage = find_garbage(objects, load_plan(objects), keep=1)
    keys = [key for key, _ in garbage.objects]
    assert keys[0] == "_c2s/generations/000001/COMMITTED"
    assert "subgrids/density/c/0/0/0/0" in keys
    assert "maps/A/s0/density/c/0/0/0" in keys
    assert not any("/B" in key or "/c/1/" in key for key in keys)
    remove(objects, garbage)
    assert find_garbage(objects, load_plan(objects), keep=1).objects == ()
    assert_holds(open_store(objects.url), ["B"])
    with pytest.raises(NotCommittedError, match="no generation 1"):
        open_store(objects.url, 1)
    assert [generation.number for generation in generations(objects)] == [2]
    assert not commit(objects, load_plan(objects)).is_new


def test_gc_leaves_what_a_build_under_way_has_written(objects: Objects) -> None:
    build(objects, catalog("A"))
    plan = begin_store(objects, catalog("A", "B", "C"))
    write_pending(objects, plan, leave=1)
    objects.put("maps/C/s0/density/c/0/0/0", b"half of it")
    objects.put("subgrids/density/c/9/0/0/0", b"nobody's")
    leftover = Path(objects.url) / "maps/A/.x.1.ab.part"
    leftover.write_bytes(b"")
    assert find_garbage(objects, plan).objects == (("subgrids/density/c/9/0/0/0", 8),)
    assert find_garbage(objects, plan).leftovers == ()  # Its writer may still be at work.

    os.utime(leftover, (0, 0))
    garbage = find_garbage(objects, plan)
    assert len(garbage.leftovers) == 1
    remove(objects, garbage)
    assert not leftover.exists()
    write_pending(objects, plan)
    commit(objects, plan)
    assert_holds(open_store(objects.url), ["A", "B", "C"])


def test_gc_of_a_store_without_a_commit_is_refused(objects: Objects) -> None:
    plan = begin_store(objects, catalog("A"))
    with pytest.raises(StoreError, match="nothing is committed yet"):
        find_garbage(objects, plan)


def test_a_growing_store_reads_as_before_until_it_is_committed(objects: Objects) -> None:
    build(objects, catalog("A"))
    plan = begin_store(objects, catalog("A", "B", "C"))
    write_pending(objects, plan, leave=1)
    assert_holds(open_store(objects.url), ["A"])
    with pytest.raises(StoreError, match=r"1 of 3 entries are not built yet \(C\)"):
        commit(objects, plan)
    assert xr.open_zarr(objects.url, group="subgrids").sizes["subgrid"] == 512
    # An entry that was never built may still leave the catalog.
    dropped = begin_store(objects, catalog("A", "B"))
    assert commit(objects, dropped).generation == 2
    assert_holds(open_store(objects.url), ["A", "B"])


@pytest.mark.parametrize("step", [0, 1, 4, 9, 13, 15, 16, 17])
def test_a_commit_that_loses_its_lease_or_dies_leaves_the_old_generation(
    objects: Objects, step: int
) -> None:
    build(objects, catalog("A"))
    plan = begin_store(objects, catalog("A", "B"))
    write_pending(objects, plan)
    calls = 0

    def guard() -> None:
        nonlocal calls
        calls += 1
        if calls > step:
            raise LeaseError("lost")

    with pytest.raises(LeaseError, match="lost"):
        commit(objects, plan, guard)
    assert latest_generation(objects) == 1
    assert_holds(open_store(objects.url), ["A"])
    assert commit(objects, plan).generation == 2
    assert_holds(open_store(objects.url), ["A", "B"])


def test_a_commit_never_takes_the_number_of_one_that_was_not_swapped_in(objects: Objects) -> None:
    build(objects, catalog("A"))
    plan = begin_store(objects, catalog("A", "B"))
    write_pending(objects, plan)

    def guard() -> None:
        if objects.size("_c2s/generations/000002/COMMITTED") is not None:
            raise LeaseError("killed before the swap")

    with pytest.raises(LeaseError):
        commit(objects, plan, guard)
    committed = objects.get("_c2s/generations/000002/COMMITTED")
    other = begin_store(objects, catalog("A", "B", split="test"))
    assert commit(objects, other).generation == 3
    assert objects.get("_c2s/generations/000002/COMMITTED") == committed
    assert [generation.number for generation in generations(objects)] == [3, 1]
    garbage = find_garbage(objects, load_plan(objects))
    assert {key.split("/")[2] for key, _ in garbage.objects} == {"000002"}


def test_what_a_generation_vouches_for_is_a_chain(objects: Objects) -> None:
    build(objects, catalog("A"))
    build(objects, catalog("A", "B"))
    newest, oldest = generations(objects)
    assert newest.previous == (1, oldest.committed_sha256)
    assert oldest.previous is None
    assert newest.stored_sha256 != oldest.stored_sha256
    path = Path(objects.url) / "_c2s/generations/000001/COMMITTED"
    path.write_bytes((Path(objects.url) / "_c2s/generations/000002/COMMITTED").read_bytes())
    with pytest.raises(StoreError, match="not the one that was committed"):
        list(generations(objects))


def test_manifest_names_inputs_objects_and_what_was_skipped(objects: Objects) -> None:
    build(objects, catalog("A", "B"))
    put_plan(objects, withdraw(load_plan(objects), "A", "wrong handedness"))
    commit(objects, load_plan(objects))
    rows = pq.read_table(f"{objects.url}/_c2s/generations/000002/manifest.parquet").to_pylist()
    assert [row for row in rows if row["kind"] == "skipped"] == [
        {"kind": "skipped", "name": "A", "nbytes": 0, "sha256": "",
         "detail": "withdrawn: [withdrawn] wrong handedness"}
    ]  # fmt: skip
    assert [(r["name"], r["detail"]) for r in rows if r["kind"] == "input map"] == [
        ("B", "none.map")
    ]
    for row in rows:
        if row["kind"] == "object":
            data = (Path(objects.url) / row["name"]).read_bytes()
            assert (row["nbytes"], row["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())


def test_until_a_part_begins_a_plan_may_be_replaced_and_its_parts_are_refused(
    objects: Objects,
) -> None:
    old = begin_store(objects, catalog("A", "B"))
    new = begin_store(objects, catalog("B", "A"))
    assert [(e.group, e.first_subgrid) for e in new.entries] == [("B", 0), ("A", 512)]
    claim_lineage(objects, new.lineage)
    with pytest.raises(StoreError, match="planned anew since this part began"):
        claim_lineage(objects, old.lineage)
    build(objects, catalog("B", "A"))
    grown = begin_store(objects, catalog("B", "A", "C"))
    assert grown.lineage == new.lineage
    claim_lineage(objects, new.lineage)


def test_once_a_part_has_begun_rows_keep_their_owners(objects: Objects) -> None:
    old = begin_store(objects, catalog("A", "B"))
    claim_lineage(objects, old.lineage)
    new = begin_store(objects, catalog("C", "B"))
    assert [(e.group, e.first_subgrid, e.withdrawn is None) for e in new.entries] == [
        ("A", 0, False), ("B", 512, True), ("C", 1024, True),
    ]  # fmt: skip
    assert new.lineage == old.lineage
    other = made_plan(make_config("recommended", core=16))
    with pytest.raises(ConfigError, match="core: 20 -> 16"):
        begin_store(objects, other)
    # A part of an older plan got in between two plans: nobody can say what it will write.
    objects.put("_c2s/lineage.json", seal({"lineage": "0" * 64}))
    with pytest.raises(StoreError, match="a part of an older plan began"):
        begin_store(objects, catalog("A", "B"))


@pytest.mark.parametrize("name", ["LATEST.json", "generations/000001/COMMITTED"])
def test_another_document_in_the_place_of_a_pointer_is_told(objects: Objects, name: str) -> None:
    build(objects, catalog("A"))
    objects.put(f"_c2s/{name}", objects.get("_c2s/receipts/A.json"))
    with pytest.raises(StoreError, match=r"holds another document|not the one that was"):
        open_store(objects.url)
    with pytest.raises(StoreError, match="holds another document"):
        open_store(objects.url, 1) if "COMMITTED" in name else latest_generation(objects)


def test_a_failure_of_other_inputs_is_no_reason_any_more(objects: Objects) -> None:
    build(objects, catalog("A"))
    plan = begin_store(objects, catalog("A", "B"))
    write_failure(objects, plan.entries[1], Failure("build", "constant", "all zero"))
    assert set(commit(objects, plan).failures) == {"B"}
    again = begin_store(objects, catalog("A", "B*"))
    with pytest.raises(StoreError, match=r"not built yet \(B\)"):
        commit(objects, again)
    write_pending(objects, again)
    assert commit(objects, again).failures == {}


def test_gc_removes_what_is_no_part_of_an_unfinished_entry(objects: Objects) -> None:
    build(objects, catalog("A"))
    plan = begin_store(objects, catalog("A", "B"))
    objects.put("maps/B/s0/density/c/0/0/0", b"its own")
    objects.put("maps/B/s0/density/c/7/0/0", b"not its own")
    assert find_garbage(objects, plan).objects == (("maps/B/s0/density/c/7/0/0", 11),)
