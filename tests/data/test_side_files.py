"""Sequences and masks beside a map are inputs like any other: known again, moved, missed, damaged.

And what is made of them in a store is repaired to the byte.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mrc_files import map_bytes

from c2s_data.build import EntryOutcome, run_entries
from c2s_data.config import BuildConfig, make_config
from c2s_data.errors import ConfigError
from c2s_data.growth import withdraw
from c2s_data.plan import Plan, make_plan
from c2s_data.repair import repair
from c2s_data.sources.catalog import read_catalog
from c2s_data.sources.density_map import DensityMap, write_density_map
from c2s_data.sources.procedural import procedural_protein
from c2s_data.sources.simulate import simulated_map, write_model
from c2s_data.store.begin import begin_store, load_plan, put_plan
from c2s_data.store.commit import commit
from c2s_data.store.garbage import find_garbage, remove
from c2s_data.store.objects import Objects, open_objects
from c2s_data.store.reader import open_store
from c2s_data.store.verify import verify

RAW = make_config("recommended", extra_masks=("ignore", "nucleic"))
FINISHED = make_config("paper", density="normalized", masks="files", extra_masks=("ignore",))
SEQUENCE = ">X_1|Chain A|β-lactamase\nMKVLAAGIVGLCAKTGGS\n"


@pytest.fixture
def inputs(made_inputs: Path, tmp_path: Path) -> Path:
    """Catalog of one map, in a folder that a test may change."""
    shutil.copytree(made_inputs, tmp_path / "inputs")
    return tmp_path / "inputs" / "catalog.csv"


@pytest.fixture(scope="module")
def made_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One map at 1 A in [0, 1] with a FASTA file and two masks beside it."""
    folder = tmp_path_factory.mktemp("made")
    structure = procedural_protein(91, 91)
    raw = simulated_map(
        structure, np.random.default_rng(0), voxel_size_zyx_A=(1.0, 1.0, 1.0), volume_ratio=1.6
    )
    values = np.clip(raw.values_zyx / raw.values_zyx.max(), 0, 1)
    write_density_map(folder / "a.mrc", DensityMap(values, raw.voxel_size_zyx_A, raw.origin_xyz_A))
    write_model(folder / "a.cif", structure)
    (folder / "a.fasta").write_text(SEQUENCE, "utf-8")
    write_mask(folder, raw, "atom", (3, 4, 5))
    write_mask(folder, raw, "ignore", (6, 4, 5))
    text = "entry_id,map,model,resolution_A,sequence\nA,a.mrc,a.cif,3,a.fasta\n"
    (folder / "catalog.csv").write_text(text)
    return folder


def write_mask(folder: Path, like: DensityMap, name: str, at_zyx: tuple[int, int, int]) -> None:
    values = np.zeros(like.values_zyx.shape, np.uint8)
    values[at_zyx] = 1
    cell = tuple(float(n) for n in reversed(values.shape))
    data = map_bytes(values, mode=0, cell=cell, origin=like.origin_xyz_A)
    (folder / f"{name}_a.mrc").write_bytes(data)


def planned(catalog: Path, config: BuildConfig) -> Plan:
    return make_plan(read_catalog(catalog), config)


def build(objects: Objects, plan: Plan) -> list[EntryOutcome]:
    seen: list[EntryOutcome] = []
    run_entries(objects.url, plan, plan.buildable, seen.append)
    return seen


def built(catalog: Path, url: Path, config: BuildConfig) -> Objects:
    objects = open_objects(url)
    plan = begin_store(objects, planned(catalog, config))
    assert [outcome.failure for outcome in build(objects, plan)] == [None]
    commit(objects, plan)
    return objects


def digests(url: Path) -> dict[str, str]:
    return {
        path.relative_to(url).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in url.rglob("*")
        if path.is_file() and "leases" not in path.parts
    }


def change_sequence(folder: Path) -> None:
    path = folder / "a.fasta"
    path.write_bytes(path.read_bytes().replace(b"MKV", b"MRV"))


def change_mask(folder: Path) -> None:
    path = folder / "atom_a.mrc"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


CHANGES = [change_sequence, change_mask]


def test_masks_that_the_options_do_not_ask_for_are_no_input(inputs: Path) -> None:
    plan = planned(inputs, FINISHED.model_copy(update={"extra_masks": ()}))
    assert [file.role for file in plan.entries[0].side_files] == ["sequence", "mask"]
    (inputs.parent / "nucleic_base_a.mrc").write_bytes(b"no mask at all")
    plan = planned(inputs, FINISHED)
    names = [Path(file.path).name for file in plan.entries[0].side_files]
    assert names == ["a.fasta", "atom_a.mrc", "ignore_a.mrc"]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_side_file_is_refused_by_a_part(
    inputs: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    objects = open_objects(tmp_path / "s.zarr")
    plan = begin_store(objects, planned(inputs, FINISHED))
    change(inputs.parent)
    (outcome,) = build(objects, plan)
    assert outcome.failure is not None
    assert outcome.failure.reason == "changed"
    again = begin_store(objects, planned(inputs, FINISHED))
    assert [done.failure for done in build(objects, again)] == [None]


@pytest.mark.parametrize("change", CHANGES)
def test_a_side_file_changed_after_the_build_needs_a_rebuild(
    inputs: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    url = tmp_path / "s.zarr"
    objects = built(inputs, url, FINISHED)
    before = digests(url)
    change(inputs.parent)
    with pytest.raises(ConfigError, match=r"A\.side_files"):
        begin_store(objects, planned(inputs, FINISHED))
    plan = begin_store(objects, planned(inputs, FINISHED), rebuild=True)
    assert [outcome.failure for outcome in build(objects, plan)] == [None]
    commit(objects, plan)
    assert verify(objects, "full").is_clean
    after = digests(url)
    old = [key for key in before if key.startswith(("maps/A/", "_c2s/sequences/A."))]
    assert len(old) > 10
    assert all(after[key] == before[key] for key in old)
    assert {"_c2s/sequences/A.r2.fasta", "maps/A.r2/s0/ignore/c/0/0/0"} <= after.keys()
    garbage = find_garbage(objects, load_plan(objects), keep=1)
    remove(objects, garbage)
    assert "_c2s/sequences/A.fasta" not in digests(url)
    assert verify(objects, "full").is_clean


def test_side_files_are_found_where_they_were_moved(inputs: Path, tmp_path: Path) -> None:
    url = tmp_path / "s.zarr"
    objects = open_objects(url)
    begin_store(objects, planned(inputs, FINISHED))
    moved = tmp_path / "moved"
    inputs.parent.rename(moved)
    plan = begin_store(objects, planned(moved / inputs.name, FINISHED))
    assert [outcome.failure for outcome in build(objects, plan)] == [None]
    commit(objects, plan)
    once_more = tmp_path / "once-more"
    moved.rename(once_more)
    put_plan(objects, begin_store(objects, planned(once_more / inputs.name, FINISHED)))
    before = digests(url)
    (url / "maps/A/s0/atom/c/0/0/0").unlink()
    assert repair(objects).refused == {}
    assert digests(url) == before


@pytest.mark.parametrize("names", [["a.fasta"], ["a.mrc", "a.cif", "a.fasta", "atom_a.mrc"]])
def test_what_is_built_needs_its_side_files_no_more(
    inputs: Path, tmp_path: Path, names: list[str]
) -> None:
    objects = built(inputs, tmp_path / "s.zarr", FINISHED)
    plan = load_plan(objects)
    for name in names:
        (inputs.parent / name).rename(tmp_path / name)
    assert begin_store(objects, planned(inputs, FINISHED)) == plan
    (tmp_path / "s.zarr/_c2s/sequences/A.fasta").unlink()
    done = repair(objects)
    assert set(done.refused) == {"_c2s/sequences/A.fasta"}
    assert "a.mrc" in str(done.refused) or "a.fasta" in str(done.refused)
    for name in names:
        shutil.copy(tmp_path / name, inputs.parent / name)
    assert repair(objects).refused == {}


def test_an_entry_whose_sequences_are_nowhere_is_listed_by_the_plan(inputs: Path) -> None:
    (inputs.parent / "a.fasta").unlink()
    failure = planned(inputs, RAW).entries[0].failure
    assert failure is not None
    assert failure.reason == "not-found"
    assert "a.fasta: the sequences do not exist" in failure.message


@pytest.mark.parametrize("data", [b"no FASTA", b">a\n\xff\xfe\n", b">a\nM\0K\n", b""])
def test_sequences_that_cannot_be_used_cost_no_entry(
    inputs: Path, tmp_path: Path, data: bytes
) -> None:
    (inputs.parent / "a.fasta").write_bytes(data)
    built(inputs, tmp_path / "s.zarr", RAW)
    notes = open_store(tmp_path / "s.zarr").entries[0].facts["notes"]
    assert [n for n in notes if "a.fasta" in n and "not used" in n]


def test_a_description_may_hold_any_letter(inputs: Path, tmp_path: Path) -> None:
    header = ">X_1|Chain A|β-lactamase Ångström"  # it names the chain, that is enough
    (inputs.parent / "a.fasta").write_text(f"{header}\nARNDCQEGHILKMFPSTWYV\n", "utf-8")
    objects = built(inputs, tmp_path / "s.zarr", RAW)
    assert "β-lactamase Ångström" in open_store(tmp_path / "s.zarr").sequences("A")
    assert verify(objects, "full").is_clean


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 8]) + data[middle + 1 :]


def test_what_the_options_add_to_a_store_is_repaired_to_the_byte(
    inputs: Path, tmp_path: Path
) -> None:
    url = tmp_path / "s.zarr"
    objects = built(inputs, url, RAW)
    before = digests(url)
    added = [
        *(key for key in before if key.startswith("_c2s/sequences/")),
        *(f"subgrids/{name}/c/0/0/0/0" for name in ("ignore", "nucleic_atom", "nucleic_base")),
        *(f"maps/A/s0/{name}/c/0/0/0" for name in ("ignore", "nucleic_atom", "nucleic_base")),
        *(f"{group}/ignore/zarr.json" for group in ("subgrids", "maps/A/s0")),
    ]
    assert len(added) == 9
    assert set(added) <= before.keys()
    ways: list[Callable[[bytes], bytes | None]] = [flip, lambda data: None, lambda data: data[:-1]]
    for way in ways:
        for key in added:
            data = way((url / key).read_bytes())
            (url / key).unlink() if data is None else (url / key).write_bytes(data)
        assert {fault.key for fault in verify(objects).faults} == set(added)
        assert repair(objects).refused == {}
        assert digests(url) == before
    for key, other in zip(added, added[1:] + added[:1], strict=True):
        shutil.copy(url / other, tmp_path / "kept")
        shutil.copy(url / key, url / other)
        shutil.copy(tmp_path / "kept", url / key)
    assert {fault.key for fault in verify(objects).faults} <= set(added)
    assert not verify(objects).is_clean
    assert repair(objects).refused == {}
    assert digests(url) == before
    assert verify(objects, "full").is_clean


def test_a_withdrawn_entry_takes_its_sequences_with_it(inputs: Path, tmp_path: Path) -> None:
    inputs.write_text(inputs.read_text() + "B,a.mrc,a.cif,3,a.fasta\n")
    url = tmp_path / "s.zarr"
    objects = open_objects(url)
    plan = begin_store(objects, planned(inputs, RAW))
    build(objects, plan)
    commit(objects, plan)
    plan = withdraw(plan, "A", "retracted")
    put_plan(objects, plan)
    commit(objects, plan)
    assert (url / "_c2s/sequences/A.fasta").exists()
    remove(objects, find_garbage(objects, plan, keep=1))
    assert not (url / "_c2s/sequences/A.fasta").exists()
    assert (url / "_c2s/sequences/B.fasta").exists()
    assert verify(objects, "full").is_clean


@pytest.mark.parametrize(("mask", "share"), [("atom", 0.12), ("ignore", 0.6)])
def test_a_mask_that_labels_more_than_atoms_could_is_none(
    inputs: Path, tmp_path: Path, mask: str, share: float
) -> None:
    path = inputs.parent / f"{mask}_a.mrc"
    data = bytearray(path.read_bytes())
    n_labeled = int(share * (len(data) - 1024))
    data[1024 : 1024 + n_labeled] = b"\1" * n_labeled
    path.write_bytes(bytes(data))
    (outcome,) = build(
        open_objects(tmp_path / "s.zarr"),
        begin_store(open_objects(tmp_path / "s.zarr"), planned(inputs, FINISHED)),
    )
    assert outcome.failure is not None
    assert outcome.failure.reason == "not-a-mask"
    assert f"the {mask} mask beside it labels {share:.0%}" in outcome.failure.message


def test_labels_of_a_mask_file_are_those_that_numpy_lists(inputs: Path, tmp_path: Path) -> None:
    path = inputs.parent / "atom_a.mrc"
    rng = np.random.default_rng(2)
    values = np.zeros(len(path.read_bytes()) - 1024, np.uint8)
    values[rng.choice(values.size, values.size // 20, replace=False)] = 3
    path.write_bytes(path.read_bytes()[:1024] + values.tobytes())
    built(inputs, tmp_path / "s.zarr", FINISHED)
    store = open_store(tmp_path / "s.zarr")
    assert np.array_equal(store.read_map("A", "atom").ravel(), values)
