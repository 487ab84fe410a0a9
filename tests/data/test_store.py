"""A store written from maps made by hand: every value comes back, by our reader and by others'."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr
import zarr
from made_maps import ORIGIN_XYZ_A, SHAPES_ZYX, made_map, made_plan

from c2s_data.config import make_config
from c2s_data.errors import (
    ConfigError,
    CorruptChunkError,
    MissingChunkError,
    NotCommittedError,
    StoreError,
)
from c2s_data.plan import Failure, Plan
from c2s_data.schema import MASKS
from c2s_data.store.begin import begin_store, load_plan
from c2s_data.store.commit import commit, outcomes
from c2s_data.store.layout import Layout
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import open_store
from c2s_data.store.receipt import valid_receipt, write_failure
from c2s_data.store.writer import write_entry


def write(folder: Path, plan: Plan, skip: int | None = None) -> None:
    objects = open_objects(folder)
    begin_store(objects, plan)
    for planned in plan.entries:
        if planned.map_index != skip:
            made = made_map(planned, plan.config)
            write_entry(objects, Layout.of(plan.config), planned, made)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return made_plan()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, plan: Plan) -> Path:
    path = tmp_path_factory.mktemp("store") / "made.zarr"
    write(path, plan)
    commit(open_objects(path), plan)
    return path


def brute_force_windows(shape_zyx, box: int = 32, core: int = 20):
    """Corners in published order by plain loops: axis 0 fastest, axis 2 slowest."""
    margin = (box - core) // 2
    return [
        (core * a - margin, core * b - margin, core * c - margin)
        for c in range(-(-shape_zyx[2] // core))
        for b in range(-(-shape_zyx[1] // core))
        for a in range(-(-shape_zyx[0] // core))
    ]


def cut(values: np.ndarray, corner, box: int = 32) -> np.ndarray:
    """One window by padding the whole map: the slow way, for comparison."""
    padded = np.pad(values, box)
    z, y, x = (c + box for c in corner)
    return padded[z : z + box, y : y + box, x : x + box]


@pytest.mark.parametrize("number", [0, 1])
def test_plain_zarr_reads_every_subgrid(folder: Path, plan: Plan, number: int) -> None:
    planned = plan.entries[number]
    made = made_map(planned, plan.config)
    group = zarr.open_group(folder / "subgrids", mode="r")
    corners = brute_force_windows(planned.shape_zyx)
    ca = made.labels["ca"].to_dense(planned.shape_zyx)
    n_ca = np.array([int(cut(ca, corner).astype(bool).sum()) for corner in corners])
    order = [k for k in range(len(corners)) if n_ca[k]] + [
        k for k in range(len(corners)) if not n_ca[k]
    ]
    assert 0 < np.count_nonzero(n_ca) < len(corners)
    rows = slice(planned.first_subgrid, planned.first_subgrid + planned.n_subgrids)
    assert np.array_equal(group["corner_zyx"][rows], np.array(corners)[order])
    assert np.array_equal(group["n_ca"][rows], n_ca[order])
    assert (group["map"][rows] == number).all()
    for name in ("density", *MASKS):
        stored = group[name][rows]
        values = (
            made.density_zyx if name == "density" else made.labels[name].to_dense(planned.shape_zyx)
        )
        expected = np.stack([cut(values, corners[k]) for k in order])
        assert stored.dtype == expected.dtype
        assert np.array_equal(stored, expected), name


def test_padding_rows_belong_to_no_map(folder: Path, plan: Plan) -> None:
    index = zarr.open_group(folder / "subgrids", mode="r")["map"][:]
    owned = np.zeros(plan.n_rows, bool)
    for planned in plan.entries:
        assert planned.first_subgrid % 512 == 0
        owned[planned.first_subgrid : planned.first_subgrid + planned.n_subgrids] = True
    assert (index[~owned] == -1).all()
    assert (index[owned] >= 0).all()


@pytest.mark.parametrize("number", [0, 1])
def test_xarray_opens_groups_without_our_code_or_a_warning(
    folder: Path, plan: Plan, number: int
) -> None:
    planned = plan.entries[number]
    made = made_map(planned, plan.config)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        subgrids = xr.open_zarr(folder, group="subgrids")
        level = xr.open_zarr(folder, group=f"maps/{planned.entry_id}/s0")
    assert dict(subgrids["density"].sizes) == {"subgrid": plan.n_rows, "z": 32, "y": 32, "x": 32}
    assert subgrids["corner_zyx"].dims == ("subgrid", "axis")
    assert np.array_equal(level["density"].values, made.density_zyx)
    for name in MASKS:
        expected = made.labels[name].to_dense(planned.shape_zyx)
        assert np.array_equal(level[name].values, expected)
    for axis, origin in zip("xyz", ORIGIN_XYZ_A, strict=True):
        n = planned.shape_zyx["zyx".index(axis)]
        assert np.array_equal(level[axis].values, origin + np.arange(n))
        assert level[axis].attrs["units"] == "angstrom"
    assert level["secondary"].attrs["flag_meanings"] == "none coil helix strand"
    assert level["amino"].attrs["flag_values"][8] == 8
    assert level["amino"].attrs["flag_meanings"].split()[8] == "GLY"
    nearest = level["density"].sel(x=ORIGIN_XYZ_A[0] + 5, y=ORIGIN_XYZ_A[1] + 3, method="nearest")
    assert np.array_equal(nearest.values, made.density_zyx[:, 3, 5])


def test_coarser_levels_are_means_at_shifted_positions(folder: Path, plan: Plan) -> None:
    planned = plan.entries[0]
    full = made_map(planned, plan.config).density_zyx.astype(np.float64)
    for level in (1, 2):
        data = xr.open_zarr(folder, group=f"maps/{planned.entry_id}/s{level}")
        side = 2**level
        z, y, x = (n // side for n in planned.shape_zyx)
        blocks = full[: z * side, : y * side, : x * side].reshape(z, side, y, side, x, side)
        np.testing.assert_allclose(
            data["density"].values, blocks.mean(axis=(1, 3, 5)), atol=1e-3, rtol=0
        )
        assert data["z"].values[1] == ORIGIN_XYZ_A[2] + side + (side - 1) / 2


def test_reader_gives_catalog_index_maps_and_rows(folder: Path, plan: Plan) -> None:
    store = open_store(folder)
    assert (store.generation, store.n_rows) == (1, plan.n_rows)
    assert store.attrs["preset"] == "recommended"
    assert store.attrs["decode_offset_voxel"] == 0.0
    assert [entry.entry_id for entry in store.entries] == ["MADE-0", "MADE-1"]
    first, second = store.entries
    assert second.shape_zyx == SHAPES_ZYX[1]
    assert second.origin_xyz_A == ORIGIN_XYZ_A
    assert (second.split, second.resolution_A, second.first_subgrid) == ("validation", 3.5, 512)
    assert first.facts["excluded_atoms"] == {"ion": 2}
    assert first.facts["label_counts"] == {"atom": [20, 20, 20]}
    group = zarr.open_group(folder / "subgrids", mode="r")
    for column, name in zip(store.index(), ("map", "corner_zyx", "n_ca"), strict=True):
        assert np.array_equal(column, group[name][:])
    made = made_map(plan.entries[1], plan.config)
    assert np.array_equal(store.read_map("MADE-1", "density"), made.density_zyx)
    atom = store.read_map("MADE-1", "atom")
    assert np.array_equal(atom, made.labels["atom"].to_dense(SHAPES_ZYX[1]))
    assert store.read_map("MADE-1", "density", level=2).shape == (9, 16, 5)
    out = np.empty((3, 32, 32, 32), np.float16)
    store.read_shard_rows("density", 1, 2, 5, out)
    assert np.array_equal(out, group["density"][514:517])


def test_opening_takes_four_reads_and_no_listing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from c2s_data.store.objects import LocalObjects

    asked: list[str] = []
    plain_get = LocalObjects.get

    def counted(
        self: LocalObjects, key: str, *, check: Callable[[bytes], bool] | None = None
    ) -> bytes:
        asked.append(key)
        return plain_get(self, key, check=check)

    def refuse(self: LocalObjects, prefix: str) -> None:
        raise AssertionError(f"listed {prefix}")

    monkeypatch.setattr(LocalObjects, "get", counted)
    monkeypatch.setattr(LocalObjects, "names", refuse)
    open_store(folder)
    assert len(asked) == 4, asked


def test_tables_and_manifest(folder: Path, plan: Plan) -> None:
    residues = pq.read_table(folder / "_c2s/residues/MADE-0.parquet").to_pydict()
    assert residues["chain"] == ["A", "BB"]
    manifest = pq.read_table(folder / "_c2s/generations/000001/manifest.parquet").to_pylist()
    listed = {row["name"]: row for row in manifest if row["kind"] == "object"}
    on_disk = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }
    unlisted = {
        name
        for name in on_disk
        if name not in listed and not name.startswith(("_c2s/generations", "_c2s/receipts"))
    }
    # The plan holds the folders of the inputs, the one thing that may differ between equal stores.
    assert unlisted == {"_c2s/LATEST.json", "_c2s/plan.json", "_c2s/lineage.json"}
    assert {name: row["nbytes"] for name, row in listed.items()} == {
        name: on_disk[name] for name in listed
    }
    assert any(row["kind"] == "input map" and row["nbytes"] == 7 for row in manifest)


def test_ome_zarr_attributes_place_every_level(folder: Path) -> None:
    attributes = json.loads((folder / "maps/MADE-0/zarr.json").read_bytes())["attributes"]
    (multiscale,) = attributes["ome"]["multiscales"]
    assert attributes["ome"]["version"] == "0.5"
    assert [axis["name"] for axis in multiscale["axes"]] == ["z", "y", "x"]
    second = multiscale["datasets"][1]
    scale, shift = second["coordinateTransformations"]
    assert second["path"] == "s1/density"
    assert scale["scale"] == [2.0, 2.0, 2.0]
    assert shift["translation"] == [103.5, 7.75, -11.0]


def test_same_input_gives_the_same_bytes(folder: Path, plan: Plan, tmp_path: Path) -> None:
    again = tmp_path / "again.zarr"
    write(again, plan)
    write(again, plan)
    commit(open_objects(again), plan)
    names = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
    for name in names:
        assert (folder / name).read_bytes() == (again / name).read_bytes(), name


def test_uncommitted_store_is_refused_and_commit_names_what_is_missing(
    tmp_path: Path, plan: Plan
) -> None:
    path = tmp_path / "part.zarr"
    write(path, plan, skip=1)
    with pytest.raises(NotCommittedError, match="not a committed store"):
        open_store(path)
    with pytest.raises(StoreError, match=r"1 of 2 entries are not built yet \(MADE-1\)"):
        commit(open_objects(path), plan)
    assert not (path / "_c2s/LATEST.json").exists()


def test_failed_entry_is_in_the_catalog_with_its_reason_and_a_later_success_is_added(
    tmp_path: Path, plan: Plan
) -> None:
    path = tmp_path / "failed.zarr"
    objects = open_objects(path)
    write(path, plan, skip=1)
    write_failure(objects, plan.entries[1], Failure("build", "truncated", "the file ends early"))
    assert commit(objects, plan).failures["MADE-1"].reason == "truncated"
    store = open_store(path)
    assert [entry.entry_id for entry in store.entries] == ["MADE-0"]
    assert store.failures == {"MADE-1": "[truncated] the file ends early"}
    assert (store.index()[0][512:] == -1).all()
    with pytest.raises(StoreError, match="MADE-1 could not be built"):
        store.entry("MADE-1")
    planned = plan.entries[1]
    made = made_map(planned, plan.config)
    write_entry(objects, Layout.of(plan.config), planned, made)
    assert commit(objects, plan).generation == 2
    assert not commit(objects, plan).is_new
    later = open_store(path)
    assert [entry.entry_id for entry in later.entries] == ["MADE-0", "MADE-1"]
    assert (later.index()[0][512 : 512 + planned.n_subgrids] == 1).all()


def test_nothing_built_means_nothing_committed(tmp_path: Path, plan: Plan) -> None:
    objects = open_objects(tmp_path / "none.zarr")
    begin_store(objects, plan)
    for planned in plan.entries:
        write_failure(objects, planned, Failure("build", "constant", "all zero"))
    with pytest.raises(StoreError, match="no entry could be built"):
        commit(objects, plan)


def test_resume_with_other_options_shows_what_differs(folder: Path) -> None:
    other = made_plan(make_config("recommended", core=16, scale="positive"))
    with pytest.raises(ConfigError) as caught:
        begin_store(open_objects(folder), other)
    assert "core: 20 -> 16" in str(caught.value)
    assert "scale: 'signal' -> 'positive'" in str(caught.value)
    assert load_plan(open_objects(folder)).config.core == 20


def test_receipt_counts_only_with_its_fingerprint_and_all_objects(
    tmp_path: Path, folder: Path, plan: Plan
) -> None:
    path = tmp_path / "copy.zarr"
    shutil.copytree(folder, path)
    objects = open_objects(path)
    assert valid_receipt(objects, plan.entries[0]) is not None
    assert valid_receipt(objects, replace(plan.entries[0], fingerprint="0" * 64)) is None
    shard = path / "subgrids/amino/c/0/0/0/0"
    shard.write_bytes(shard.read_bytes()[:-1])
    assert outcomes(objects, plan)["MADE-0"] is None
    (path / "_c2s/receipts/MADE-1.json").write_text("{")
    assert outcomes(objects, plan)["MADE-1"] is None


def test_lost_and_changed_objects_are_errors_and_never_zeros(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "lost.zarr"
    shutil.copytree(folder, path)
    shard = path / "subgrids/density/c/0/0/0/0"
    changed = bytearray(shard.read_bytes())
    changed[1000] ^= 1
    shard.write_bytes(changed)
    (path / "maps/MADE-0/s0/atom/c/0/0/0").unlink()
    store = open_store(path)
    out = np.empty((1, 32, 32, 32), np.float16)
    with pytest.raises(CorruptChunkError, match="density"):
        store.read_shard_rows("density", 0, 0, 1, out)
    with pytest.raises(MissingChunkError, match="maps/MADE-0/s0/atom"):
        store.read_map("MADE-0", "atom")
    catalog = path / "_c2s/generations/000001/catalog.parquet"
    catalog.write_bytes(catalog.read_bytes() + b" ")
    with pytest.raises(StoreError, match="not the one that was committed"):
        open_store(path)


@pytest.mark.parametrize("compressor", ["zstd", "none"])
def test_other_boxes_and_codecs_round_trip(tmp_path: Path, compressor: str) -> None:
    config = make_config("released", box=16, core=10, compressor=compressor)
    plan = made_plan(config)
    path = tmp_path / "small.zarr"
    write(path, plan)
    commit(open_objects(path), plan)
    store = open_store(path)
    planned = plan.entries[1]
    made = made_map(planned, config)
    corners = brute_force_windows(planned.shape_zyx, 16, 10)
    rows = slice(planned.first_subgrid, planned.first_subgrid + planned.n_subgrids)
    assert planned.first_subgrid == 4096
    _, corner_zyx, _ = store.index()
    assert sorted(map(tuple, corner_zyx[rows].tolist())) == sorted(corners)
    density = zarr.open_group(path / "subgrids", mode="r")["density"]
    assert density.dtype == np.float32
    for row in range(rows.start, rows.stop, 7):
        assert np.array_equal(density[row], cut(made.density_zyx, corner_zyx[row], 16))


def test_a_folder_of_something_else_is_not_taken_over(tmp_path: Path, plan: Plan) -> None:
    zarr.open_group(tmp_path / "other.zarr", mode="w").create_group("mine")
    with pytest.raises(StoreError, match="not empty and no store"):
        begin_store(open_objects(tmp_path / "other.zarr"), plan)


def test_forged_documents_leave_no_voxel_unset_and_allocate_nothing_absurd(
    tmp_path: Path, folder: Path
) -> None:
    path = tmp_path / "forged.zarr"
    shutil.copytree(folder, path)
    document = path / "maps/MADE-0/s0/density/zarr.json"
    forged = json.loads(document.read_bytes())
    forged["chunk_grid"]["configuration"]["chunk_shape"] = [32, 32, 32]
    document.write_text(json.dumps(forged))
    store = open_store(path)
    with pytest.raises(StoreError, match=r"in shards of \(32, 32, 32\), not those of the map"):
        store.read_map("MADE-0", "density")
    with pytest.raises(MissingChunkError, match="subgrids/map/c/1"):
        replace(store, n_rows=2**50).index()
