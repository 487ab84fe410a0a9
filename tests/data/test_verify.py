"""What `verify` says of a fault is exact: what it is, where it lies, whose it is."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import grown_store
import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr
from grown_store import FAILED, first_plan, make_first_generation, make_grown_store
from memory_objects import MemoryObjects
from typer.testing import CliRunner

from c2s_data.cli import app
from c2s_data.errors import NotCommittedError
from c2s_data.store.begin import begin_store, load_plan
from c2s_data.store.digest import ArrayDigest, array_digest, decoded_digest
from c2s_data.store.layout import Layout
from c2s_data.store.objects import open_objects
from c2s_data.store.shard import shard_index
from c2s_data.store.verify import Fault, verify

DENSITY = "subgrids/density/c/0/0/0/0"


@pytest.fixture(scope="module")
def grown() -> dict[str, bytes]:
    objects = MemoryObjects()
    make_grown_store(objects)
    return objects.stored


@pytest.fixture
def objects(grown) -> MemoryObjects:
    return MemoryObjects(grown)


def flip(objects: MemoryObjects, key: str, byte: int) -> None:
    data = bytearray(objects.stored[key])
    data[byte] ^= 1
    objects.stored[key] = bytes(data)


def only_fault(objects: MemoryObjects, level="default") -> Fault:
    (fault,) = verify(objects, level).faults
    return fault


@pytest.mark.parametrize("key", [DENSITY, "subgrids/amino/c/0/0/0/0", "maps/MADE-0/s0/ca/c/0/0/0"])
def test_a_flipped_bit_is_located_to_its_chunk(objects, key: str) -> None:
    layout = Layout.of(first_plan().config)
    name = key.split("/c/", maxsplit=1)[0].rsplit("/", 1)[-1]
    spec = layout.subgrid_spec(name)
    if key.startswith("maps/"):
        spec = layout.map_spec(name, (41, 33, 52))
    index = shard_index(objects.stored[key], spec)
    for number in (0, 1, spec.n_chunks - 1):
        offset, nbytes = int(index.offset[number]), int(index.nbytes[number])
        for byte in (offset, offset + nbytes - 1):
            flip(objects, key, byte)
            fault = only_fault(objects)
            place = (fault.kind, fault.key, fault.entry, fault.array, fault.chunk)
            assert place == ("changed", key, "MADE-0", key.split("/c/", maxsplit=1)[0], number)
            assert (fault.offset, fault.nbytes) == (offset, nbytes)
            assert f"{key} chunk {number} at byte {offset:,} [MADE-0]" in str(fault)
            flip(objects, key, byte)
    end = len(objects.stored[key]) - spec.index_nbytes
    flip(objects, key, end + 5)
    fault = only_fault(objects)
    assert (fault.kind, fault.chunk, fault.offset) == ("changed", None, end)
    assert "shard index" in fault.message


def test_every_damaged_chunk_of_an_object_is_named(objects) -> None:
    spec = Layout.of(first_plan().config).subgrid_spec("density")
    index = shard_index(objects.stored[DENSITY], spec)
    for number in (0, 3, 7):
        flip(objects, DENSITY, int(index.offset[number]) + 20)
    assert [fault.chunk for fault in verify(objects).faults] == [0, 3, 7]


def test_every_kind_of_fault_is_told_from_the_others(objects) -> None:
    stored = objects.stored
    del stored["maps/MADE-1/s0/x/c/0"]
    stored["maps/MADE-1/s0/y/c/0"] += b"\0"
    maps = [f"maps/MADE-{number}/s0/density/c/0/0/0" for number in (0, 1)]
    stored[maps[0]], stored[maps[1]] = stored[maps[1]], stored[maps[0]]
    stored["_c2s/residues/MADE-0.parquet"] = stored["_c2s/statistics/MADE-0.npz"]
    stored["_c2s/receipts/MADE-1.json"] = stored["_c2s/receipts/MADE-0.json"]
    stored["notes.txt"] = b"mine"
    stored["maps/MADE-0/s0/density/c/0/0/9"] = stored[maps[1]]
    faults = {fault.key: fault for fault in verify(objects).faults}
    assert {key: (fault.kind, fault.entry) for key, fault in faults.items()} == {
        "maps/MADE-1/s0/x/c/0": ("missing", "MADE-1"),
        "maps/MADE-1/s0/y/c/0": ("size", "MADE-1"),
        maps[0]: ("swapped", "MADE-0"),
        maps[1]: ("swapped", "MADE-1"),
        "_c2s/residues/MADE-0.parquet": ("swapped", "MADE-0"),
        "_c2s/receipts/MADE-1.json": ("swapped", None),
        "notes.txt": ("unexpected", None),
        "maps/MADE-0/s0/density/c/0/0/9": ("unexpected", None),
    }
    assert faults[maps[0]].message == f"holds the bytes of {maps[1]}"
    assert faults[maps[1]].message == f"holds the bytes of {maps[0]}"
    assert "_c2s/statistics/MADE-0.npz" in faults["_c2s/residues/MADE-0.parquet"].message
    assert "belongs to 'MADE-0'" in faults["_c2s/receipts/MADE-1.json"].message


def test_quick_reads_no_array_and_finds_presence_and_documents(objects) -> None:
    flip(objects, DENSITY, 100)
    objects.n_read = 0
    assert verify(objects, "quick").faults == ()
    documents = sum(len(v) for k, v in objects.stored.items() if k.startswith("_c2s/"))
    assert objects.n_read < 3 * documents
    objects.stored[DENSITY] = objects.stored[DENSITY][:-1]
    fault = only_fault(objects, "quick")
    assert (fault.kind, fault.key) == ("size", DENSITY)
    del objects.stored["subgrids/zarr.json"]
    flip(objects, "_c2s/plan.json", 200)
    kinds = {f.key: f.kind for f in verify(objects, "quick").faults}
    assert kinds == {
        DENSITY: "size",
        "subgrids/zarr.json": "missing",
        "_c2s/plan.json": "changed",
    }


def test_a_damaged_document_hides_no_other_fault(objects) -> None:
    for key in ("LATEST.json", "plan.json", "generations/000002/catalog.parquet"):
        flip(objects, f"_c2s/{key}", 30)
    flip(objects, DENSITY, 100)
    report = verify(objects)
    assert {fault.key for fault in report.faults} == {
        "_c2s/LATEST.json", "_c2s/plan.json", "_c2s/generations/000002/catalog.parquet", DENSITY
    }  # fmt: skip
    assert report.generations == (2, 1)
    (located,) = [fault for fault in report.faults if fault.key == DENSITY]
    assert (located.entry, located.chunk) == ("MADE-0", 0)


def test_older_generations_are_verified_too(objects) -> None:
    # Only the first generation has the entry that was withdrawn and the one that was rebuilt.
    keys = [f"maps/{group}/s0/density/c/0/0/0" for group in ("MADE-3", "MADE-4")]
    for key in keys:
        flip(objects, key, 40)
    flip(objects, "_c2s/generations/000001/manifest.parquet", 99)
    report = verify(objects)
    assert [(fault.kind, fault.key) for fault in report.faults] == [
        ("changed", "_c2s/generations/000001/manifest.parquet"),
        *(("changed", key) for key in keys),
    ]
    assert report.generations == (2, 1)


@pytest.mark.parametrize("number", [1, 2])
def test_a_lost_commit_document_is_missing_and_its_generation_not_unexpected(
    objects, number: int
) -> None:
    del objects.stored[f"_c2s/generations/00000{number}/COMMITTED"]
    fault = only_fault(objects)
    assert (fault.kind, fault.key) == ("missing", f"_c2s/generations/00000{number}/COMMITTED")


def test_what_was_never_committed_cannot_be_verified() -> None:
    objects = MemoryObjects()
    with pytest.raises(NotCommittedError, match="is not committed"):
        verify(objects)
    begin_store(objects, first_plan())
    with pytest.raises(NotCommittedError, match="is not committed"):
        verify(objects)


def test_full_holds_the_map_against_its_subgrids(monkeypatch) -> None:
    from c2s_data.store import writer

    plain = writer.write_map_group

    def other_map(objects, layout, planned, density_zyx, labels, encoder):
        if planned.entry_id == "MADE-1":
            density_zyx = density_zyx[::-1].copy()
        return plain(objects, layout, planned, density_zyx, labels, encoder)

    monkeypatch.setattr(writer, "write_map_group", other_map)
    objects = MemoryObjects()
    make_first_generation(objects)
    assert verify(objects).faults == ()
    fault = only_fault(objects, "full")
    assert (fault.kind, fault.entry) == ("inconsistent", "MADE-1")
    assert fault.key == "maps/MADE-1/s0/density/c/0/0/0"


def test_full_finds_voxels_that_are_no_numbers_though_map_and_subgrids_agree(monkeypatch) -> None:
    plain = grown_store.made_map

    def with_nan(planned, config):
        made = plain(planned, config)
        if planned.entry_id == "MADE-1":
            made.density_zyx[1, 2, 3] = np.nan
        return made

    monkeypatch.setattr(grown_store, "made_map", with_nan)
    objects = MemoryObjects()
    make_first_generation(objects, density_dtype="float32")
    assert verify(objects).faults == ()
    faults = verify(objects, "full").faults
    assert {(fault.kind, fault.entry) for fault in faults} == {("inconsistent", "MADE-1")}
    assert faults[0].key == "maps/MADE-1/s0/density/c/0/0/0"
    assert all("no numbers" in fault.message for fault in faults)


def test_full_recomputes_index_and_counts(monkeypatch) -> None:
    from c2s_data.store import commit

    plain = commit.index_objects

    def shifted(plan, receipts):
        yield from plain(plan, {g: r for g, r in receipts.items() if g != "MADE-1"})

    monkeypatch.setattr(commit, "index_objects", shifted)
    objects = MemoryObjects()
    make_first_generation(objects)
    assert verify(objects).faults == ()
    monkeypatch.undo()
    found = {(fault.kind, fault.key) for fault in verify(objects, "full").faults}
    assert found >= {("inconsistent", "subgrids/map/c/0"), ("inconsistent", "subgrids/n_ca/c/0")}


def test_both_digests_by_hand(tmp_path: Path) -> None:
    """The digest over content, computed from what plain zarr reads."""
    objects = open_objects(tmp_path / "made.zarr")
    plan = make_first_generation(objects)
    report = verify(objects, "full")
    assert report.faults == ()
    root = zarr.open_group(objects.url, mode="r")
    entries = []
    for planned in plan.live:
        if planned.entry_id == FAILED:
            continue
        rows = slice(planned.first_subgrid, planned.first_subgrid + planned.n_subgrids)
        masks = ("atom", "ca", "amino", "secondary", "ignore")
        names = ("density", *masks, "map", "corner_zyx", "n_ca")
        arrays = [(f"subgrids/{n}", root[f"subgrids/{n}"][rows]) for n in names]
        for level in range(3):
            group = root[f"maps/{planned.group}/s{level}"]
            here = masks if level == 0 else ()
            arrays += [(f"s{level}/{n}", group[n][:]) for n in ("density", *here, *"zyx")]
        entries.append([(name, array_digest(values)) for name, values in arrays])
    assert report.decoded_sha256 == decoded_digest(entries)
    committed = json.loads((tmp_path / "made.zarr/_c2s/generations/000001/COMMITTED").read_bytes())
    assert report.stored_sha256 == committed["content"]["stored_sha256"]


@pytest.mark.parametrize("compressor", ["zstd", "none"])
def test_the_digest_of_content_does_not_depend_on_the_codec(grown, compressor: str) -> None:
    lz4, objects = verify(MemoryObjects(grown), "full"), MemoryObjects()
    make_grown_store(objects, compressor=compressor)
    other = verify(objects, "full")
    assert other.faults == ()
    assert lz4.decoded_sha256 == other.decoded_sha256 is not None
    assert lz4.stored_sha256 != other.stored_sha256


def test_the_digest_of_an_array_depends_on_dtype_shape_and_values_only() -> None:
    values = np.arange(12, dtype=np.int32).reshape(3, 4)
    digest = ArrayDigest(values.dtype, values.shape)
    for row in values:
        digest.update(row)
    assert digest.hexdigest() == array_digest(values) == array_digest(values.astype(">i4"))
    others = (values.T, values.reshape(4, 3), values.astype(np.int64), values + 1)
    assert array_digest(values) not in {array_digest(other) for other in others}


def test_a_link_inside_a_store_is_named_and_hides_nothing_else(tmp_path: Path) -> None:
    objects = open_objects(tmp_path / "made.zarr")
    make_first_generation(objects)
    folder = tmp_path / "made.zarr"
    outside = tmp_path / "outside"
    (folder / "maps/MADE-1/s0/z/c/0").rename(outside)
    (folder / "maps/MADE-1/s0/z/c/0").symlink_to(outside)
    (folder / "maps/MADE-0/zarr.json").unlink()
    faults = verify(objects).faults
    found = {fault.key: fault.kind for fault in faults}
    assert len(found) == len(faults)
    assert found == {"maps/MADE-1/s0/z/c/0": "unreadable", "maps/MADE-0/zarr.json": "missing"}


def test_progress_counts_every_byte_and_faults_are_told_as_they_come(objects) -> None:
    told, steps = [], []
    del objects.stored[DENSITY]
    report = verify(objects, on_fault=told.append, on_progress=lambda *now: steps.append(now))
    assert tuple(told) == report.faults
    assert steps[-1] == (report.nbytes, report.nbytes)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    manifest = pq.read_table(
        io.BytesIO(objects.stored["_c2s/generations/000002/manifest.parquet"])
    ).to_pylist()
    named = {row["name"]: row["nbytes"] for row in manifest if row["kind"] == "object"}
    assert report.nbytes >= sum(named.values())


def test_the_command_line_says_all_and_exits_with_one(tmp_path: Path) -> None:
    folder = tmp_path / "made.zarr"
    make_first_generation(open_objects(folder))
    runner = CliRunner()
    clean = runner.invoke(app, ["verify", str(folder), "--full"])
    assert clean.exit_code == 0
    assert re.search(r"no fault: generation 1, \d+ objects, .* level full", clean.stdout)
    assert len(re.findall(r"sha256 [0-9a-f]{64}", clean.stdout)) == 2
    path = folder / DENSITY
    path.write_bytes(path.read_bytes()[:1000] + b"\xff" + path.read_bytes()[1001:])
    broken = runner.invoke(app, ["verify", str(folder)])
    assert broken.exit_code == 1
    assert f"changed: {DENSITY} chunk 0 at byte 0 [MADE-0]" in broken.stdout
    as_json = json.loads(runner.invoke(app, ["verify", str(folder), "--json"]).stdout)
    assert as_json["faults"][0]["chunk"] == 0
    mended = runner.invoke(app, ["repair", str(folder)])
    assert mended.exit_code == 1  # The inputs of a made map exist nowhere.
    assert f"NOT restored: {DENSITY}: its inputs cannot be used" in mended.stdout
    assert load_plan(open_objects(folder)).live
