"""Inputs that change: noticed by the plan, refused by a part, and never taken as finished."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from c2s_data.build import EntryOutcome, run_entries
from c2s_data.config import make_config
from c2s_data.errors import ConfigError
from c2s_data.plan import Plan, make_plan
from c2s_data.sources.catalog import read_catalog
from c2s_data.store.begin import begin_store, load_plan
from c2s_data.store.commit import commit, outcomes
from c2s_data.store.objects import Objects, open_objects
from c2s_data.store.verify import verify

CONFIG = make_config("recommended")


@pytest.fixture
def inputs(demo_catalog: Path, tmp_path: Path) -> Path:
    """Catalog of one plain, uncompressed map, in a folder that tests may change."""
    folder = tmp_path / "inputs"
    folder.mkdir()
    with (
        mrcfile.open(demo_catalog.with_name("DEMO-0003.map.gz")) as source,
        mrcfile.new(folder / "a.mrc", source.data) as file,
    ):
        file.voxel_size = source.voxel_size
        file.header.origin = source.header.origin
    shutil.copy(demo_catalog.with_name("DEMO-0003.cif"), folder / "a.cif")
    catalog = folder / "catalog.csv"
    catalog.write_text("entry_id,map,model,resolution_A\nA,a.mrc,a.cif,3\n")
    return catalog


def planned(catalog: Path) -> Plan:
    return make_plan(read_catalog(catalog), CONFIG)


def build(objects: Objects, plan: Plan) -> list[EntryOutcome]:
    seen: list[EntryOutcome] = []
    run_entries(objects.url, plan, plan.entries, seen.append)
    return seen


def scale_map(catalog: Path) -> None:
    with mrcfile.open(catalog.with_name("a.mrc"), "r+") as file:
        file.set_data(file.data * np.float32(1.5))


def move_origin(catalog: Path) -> None:
    with mrcfile.open(catalog.with_name("a.mrc"), "r+") as file:
        file.header.origin.x += 10


def rename_residues(catalog: Path) -> None:
    model = catalog.with_name("a.cif")
    model.write_text(model.read_text().replace(" ALA ", " GLY "))


CHANGES = [scale_map, move_origin, rename_residues]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_input_of_the_same_size_is_another_plan(
    inputs: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    objects = open_objects(tmp_path / "a.zarr")
    plan = begin_store(objects, planned(inputs))
    assert build(objects, plan)[0].failure is None
    commit(objects, plan)
    sizes = [path.stat().st_size for path in sorted(inputs.parent.iterdir())]
    change(inputs)
    assert [path.stat().st_size for path in sorted(inputs.parent.iterdir())] == sizes
    with pytest.raises(ConfigError, match=r"A\.(map_ends|model)_sha256"):
        begin_store(objects, planned(inputs))


@pytest.mark.parametrize("change", CHANGES)
def test_a_part_refuses_what_was_not_planned(
    inputs: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    objects = open_objects(tmp_path / "a.zarr")
    plan = begin_store(objects, planned(inputs))
    change(inputs)
    (outcome,) = build(objects, plan)
    assert outcome.failure is not None
    assert outcome.failure.reason == "changed"
    again = begin_store(objects, planned(inputs))
    assert again.entries[0].fingerprint != plan.entries[0].fingerprint
    assert build(objects, again)[0].failure is None
    assert not commit(objects, again).failures
    assert verify(objects, "full").is_clean


def test_a_plan_that_nothing_was_built_from_may_be_replaced(inputs: Path, tmp_path: Path) -> None:
    objects = open_objects(tmp_path / "a.zarr")
    model = inputs.with_name("a.cif")
    text = model.read_text()
    model.unlink()
    first = begin_store(objects, planned(inputs))
    assert first.entries[0].failure is not None
    model.write_text(text)
    second = begin_store(objects, planned(inputs))
    assert load_plan(objects) == second
    assert outcomes(objects, second) == {"A": None}
    assert build(objects, second)[0].failure is None
    assert not commit(objects, second).failures
    # What the store holds needs its inputs no more; a damaged one is another matter.
    model.unlink()
    assert begin_store(objects, planned(inputs)) == second
    inputs.with_name("a.mrc").write_bytes(b"no map")
    model.write_text(text)
    with pytest.raises(ConfigError, match="could be read then, not now"):
        begin_store(objects, planned(inputs))


def test_moved_inputs_resume_and_parts_find_them(inputs: Path, tmp_path: Path) -> None:
    objects = open_objects(tmp_path / "a.zarr")
    begin_store(objects, planned(inputs))
    moved = tmp_path / "moved"
    inputs.parent.rename(moved)
    begin_store(objects, planned(moved / inputs.name))
    assert build(objects, load_plan(objects))[0].failure is None


def test_a_folder_of_other_things_is_no_store(inputs: Path) -> None:
    from c2s_data.errors import StoreError

    with pytest.raises(StoreError, match="not empty and no store"):
        begin_store(open_objects(inputs.parent), planned(inputs))
