"""Repair restores what was committed to the byte, from the recorded inputs, or says why not."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest
from memory_objects import MemoryObjects

from c2s_data import build
from c2s_data.config import make_config
from c2s_data.growth import withdraw
from c2s_data.plan import Failure, Plan, make_plan
from c2s_data.repair import repair
from c2s_data.sources.catalog import read_catalog
from c2s_data.sources.density_map import write_density_map
from c2s_data.sources.procedural import procedural_protein
from c2s_data.sources.simulate import simulated_map, write_model
from c2s_data.store.begin import begin_store, load_plan, put_plan
from c2s_data.store.commit import commit
from c2s_data.store.layout import Layout
from c2s_data.store.receipt import write_failure
from c2s_data.store.verify import verify
from c2s_data.store.writer import write_entry

DENSITY = "subgrids/density/c/0/0/0/0"

CONFIG = make_config("recommended", secondary="records")
LEASES = "_c2s/leases/"


def write_inputs(folder: Path, names: str) -> Path:
    """Write one small map of a made protein for each letter."""
    lines = ["entry_id,map,model,resolution_A,split"]
    structure = procedural_protein(91, 91)
    for number, name in enumerate(names):
        shift = gemmi.Transform(gemmi.Mat33(), gemmi.Vec3(3.7 * number, -11.2, 5.1))
        structure[0].transform_pos_and_adp(shift)
        density = simulated_map(
            structure,
            np.random.default_rng(number),
            voxel_size_zyx_A=(1.07, 0.93, 0.99),
            volume_ratio=1.6,
        )
        write_density_map(folder / f"{name}.map", density)
        write_model(folder / f"{name}.cif", structure)
        lines.append(f"{name},{name}.map,{name}.cif,3.0,train")
    catalog = folder / "catalog.csv"
    catalog.write_text("\n".join(lines) + "\n")
    return catalog


def build_pending(objects: MemoryObjects, plan: Plan) -> None:
    for planned in plan.buildable:
        if planned.entry_id == "C":
            write_failure(objects, planned, Failure("build", "constant", "all zero"))
        elif objects.size(f"_c2s/receipts/{planned.group}.json") is None:
            made = build.build_entry(planned, plan.config)
            write_entry(objects, Layout.of(plan.config), planned, made)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("inputs"), "ABCDE")


@pytest.fixture(scope="module")
def made(inputs: Path) -> dict[str, bytes]:
    """Two generations: A, B and a failed C; then B withdrawn and D added; E waits."""
    objects = MemoryObjects()
    whole = make_plan(read_catalog(inputs)[:4], CONFIG)
    plan = begin_store(objects, replace(whole, entries=whole.entries[:3], n_rows=3 * 512))
    build_pending(objects, plan)
    commit(objects, plan)
    plan = withdraw(begin_store(objects, whole), "B", "the model was retracted")
    put_plan(objects, plan)
    build_pending(objects, plan)
    commit(objects, plan)
    return objects.stored


@pytest.fixture
def objects(made: dict[str, bytes]) -> MemoryObjects:
    return MemoryObjects(made)


def content(stored: dict[str, bytes]) -> dict[str, str]:
    return {
        key: hashlib.sha256(data).hexdigest()
        for key, data in stored.items()
        if not key.startswith(LEASES)
    }


def flip(objects: MemoryObjects, key: str, byte: int | None = None) -> None:
    data = bytearray(objects.stored[key])
    data[len(data) // 2 if byte is None else byte] ^= 0x10
    objects.stored[key] = bytes(data)


def test_damage_of_all_kinds_is_mended_to_the_byte(objects, made) -> None:
    stored = objects.stored
    flip(objects, "subgrids/density/c/0/0/0/0")
    del stored["subgrids/atom/c/0/0/0/0"]
    stored["maps/A/s0/density/c/0/0/0"] = stored["maps/D/s0/density/c/0/0/0"]
    stored["maps/A/zarr.json"] = b""
    stored["maps/A/s1/z/c/0"] += b"\0"
    flip(objects, "_c2s/residues/A.parquet")
    del stored["_c2s/receipts/A.json"]
    flip(objects, "_c2s/statistics/B.npz")  # withdrawn, but the first generation has it
    flip(objects, "_c2s/failures/C.json")
    del stored["_c2s/lineage.json"]
    flip(objects, "subgrids/n_ca/c/0")
    stored["subgrids/map/c/0"] = stored["subgrids/n_ca/c/0"]
    del stored["zarr.json"]
    stored["subgrids/density/zarr.json"] = stored["subgrids/atom/zarr.json"]
    stored["_c2s/leases/000001.json"] = b"{}"
    before = dict(stored)
    damaged = {fault.key for fault in verify(objects).faults}
    assert damaged == {key for key in {**made, **before} if made.get(key) != before.get(key)}
    done = repair(objects)
    assert content(stored) == content(made)
    assert (done.refused, done.after.faults) == ({}, ())
    assert set(done.restored) == damaged - {"_c2s/leases/000001.json"}
    assert verify(objects, "full").faults == ()


@pytest.mark.parametrize(
    "name",
    ["LATEST.json", "generations/000002/COMMITTED", "generations/000002/catalog.parquet",
     "generations/000002/manifest.parquet"],
)  # fmt: skip
@pytest.mark.parametrize("gone", [True, False])
def test_documents_of_the_newest_generation_are_computed_again(objects, made, name, gone) -> None:
    key = f"_c2s/{name}"
    flip(objects, "subgrids/ca/c/0/0/0/0")
    if gone:
        del objects.stored[key]
    else:
        flip(objects, key)
    done = repair(objects)
    assert (done.refused, done.after.faults) == ({}, ())
    assert content(objects.stored) == content(made)


def test_all_documents_of_the_newest_generation_at_once(objects, made) -> None:
    for name in ("COMMITTED", "catalog.parquet", "manifest.parquet"):
        flip(objects, f"_c2s/generations/000002/{name}")
    assert repair(objects).refused == {}
    assert content(objects.stored) == content(made)


def test_what_cannot_be_computed_is_left_and_told(objects, made) -> None:
    lost = {
        "_c2s/plan.json": "no intact copy of it",
        "_c2s/generations/000002/plan.json": "c2s-data gc --keep",
        "_c2s/generations/000001/catalog.parquet": "c2s-data gc --keep",
        "subgrids/ca/c/0/0/0/0": "while the plan is damaged",
    }
    for key in lost:
        flip(objects, key)
    damaged = dict(objects.stored)
    done = repair(objects)
    assert done.restored == ()
    assert content(objects.stored) == content(damaged)
    assert done.refused.keys() == lost.keys()
    assert {key: words in done.refused[key] for key, words in lost.items()} == dict.fromkeys(
        lost, True
    )


@pytest.mark.parametrize("gone", [True, False])
def test_the_plan_is_put_back_from_the_copy_of_the_newest_generation(objects, made, gone) -> None:
    for key in ("_c2s/plan.json", "_c2s/generations/000001/catalog.parquet", DENSITY):
        flip(objects, key)
    if gone:
        del objects.stored["_c2s/plan.json"]
    done = repair(objects)
    assert set(done.restored) == {"_c2s/plan.json", DENSITY}
    assert objects.stored["_c2s/plan.json"] == made["_c2s/plan.json"]


def test_a_copy_of_the_plan_is_written_again_where_it_is_the_same_plan(objects, made) -> None:
    for number in (1, 2):
        flip(objects, f"_c2s/generations/00000{number}/plan.json")
    done = repair(objects)
    assert done.restored == ("_c2s/generations/000002/plan.json",)
    assert "gc --keep" in done.refused["_c2s/generations/000001/plan.json"]
    key = "_c2s/generations/000002/plan.json"
    assert objects.stored[key] == made[key]


def test_rows_of_a_lost_plan_are_never_given_again(objects) -> None:
    objects.stored["subgrids/density/c/40/0/0/0"] = b"of an entry that nobody remembers"
    flip(objects, "_c2s/plan.json")
    repair(objects)
    assert load_plan(objects).n_rows == 41 * 512


def test_a_lost_pointer_never_takes_a_generation_back(objects) -> None:
    flip(objects, "_c2s/LATEST.json")
    flip(objects, "_c2s/generations/000002/COMMITTED")
    before = content(objects.stored)
    done = repair(objects)
    assert "would take a generation back" in done.refused["_c2s/LATEST.json"]
    assert content(objects.stored) == before


def test_what_nothing_needs_is_left_to_gc(objects) -> None:
    objects.stored["subgrids/other"] = b"?"
    assert "`c2s-data gc` removes it" in repair(objects).refused["subgrids/other"]
    assert objects.stored["subgrids/other"] == b"?"


def test_a_changed_input_repairs_nothing(objects, inputs: Path) -> None:
    key = "subgrids/ca/c/0/0/0/0"
    flip(objects, key)
    model = inputs.with_name("A.cif")
    text = model.read_text()
    try:
        model.write_text(text.replace(" ALA ", " GLY "))
        assert "[changed]" in repair(objects).refused[key]
        model.unlink()
        assert "inputs cannot be used" in repair(objects).refused[key]
    finally:
        model.write_text(text)
    assert repair(objects).refused == {}


def test_a_map_with_the_planned_header_and_other_voxels_repairs_nothing(objects, inputs) -> None:
    key = "_c2s/residues/A.parquet"
    flip(objects, key)
    path = inputs.with_name("A.map")
    data = path.read_bytes()
    try:
        changed = bytearray(data)
        changed[len(data) // 2] ^= 1
        path.write_bytes(changed)
        refused = repair(objects).refused
    finally:
        path.write_bytes(data)
    # The residue table does not depend on the voxels: it is the recorded sha256 that refuses.
    assert list(refused) == [key]
    assert "A.map: not the file that the entry was built from" in refused[key]


def test_other_bytes_of_the_same_inputs_never_replace_what_was_committed(
    objects, monkeypatch
) -> None:
    plain = build.build_entry

    def newer_version(planned, config):
        result = plain(planned, config)
        return replace(result, density_zyx=result.density_zyx / np.float16(2))

    monkeypatch.setattr("c2s_data.rebuild.build_entry", newer_version)
    density, ca = "subgrids/density/c/0/0/0/0", "subgrids/ca/c/0/0/0/0"
    flip(objects, density)
    flip(objects, ca)
    done = repair(objects)
    assert done.restored == (ca,)
    assert "other bytes" in done.refused[density]
    assert [fault.key for fault in verify(objects).faults] == [density]


def test_what_is_shared_is_mended_while_the_store_grows(objects, inputs, made) -> None:
    grown = [row for row in read_catalog(inputs) if row.entry_id != "B"]
    begin_store(objects, make_plan(grown, CONFIG))
    put_plan(objects, withdraw(load_plan(objects), "A", "not wanted"))
    damaged = ("subgrids/map/c/0", "zarr.json", "subgrids/zarr.json")
    for key in damaged:
        flip(objects, key)
    flip(objects, "_c2s/generations/000002/manifest.parquet")
    done = repair(objects)
    assert (done.refused, done.after.faults) == ({}, ())
    for key in (*damaged, "_c2s/generations/000002/manifest.parquet"):
        assert objects.stored[key] == made[key]
    assert verify(objects, "full").faults == ()
