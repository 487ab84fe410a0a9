"""Published records become a store; an export comes back to the last bit."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from records_store import PRESETS, build, same_arrays, small_store, write_inputs, write_published
from typer.testing import CliRunner

import c2s_data.cli.records  # noqa: F401 - registers its commands
from c2s_data.cli.app import app
from c2s_data.config import make_config
from c2s_data.errors import C2SError, CatalogError, ConfigError
from c2s_data.records.export import export_store
from c2s_data.records.import_catalog import write_import_catalog
from c2s_data.records.import_folder import find_records
from c2s_data.store.layout import Layout
from c2s_data.store.reader import Store, open_store


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store that the published-like folders are made of, to be read only."""
    return small_store(tmp_path_factory.mktemp("released"), "released")


@pytest.fixture
def model(released: Store) -> Path:
    return Path(released.url).parent / "inputs/model.pdb"


@pytest.fixture
def published(tmp_path: Path, released: Store, model: Path) -> Path:
    write_published(tmp_path / "archive", released, model)
    return tmp_path / "archive"


def imported(folder: Path, store: Path, preset: str | None = None) -> Store:
    found = find_records(folder, preset)
    assert write_import_catalog(found, folder / "c2s_import.csv") == {}
    return build(folder / "c2s_import.csv", store, found.config)


@pytest.mark.parametrize("preset", PRESETS)
def test_an_export_comes_back_to_the_last_bit(tmp_path: Path, preset: str) -> None:
    store = small_store(tmp_path, preset, box=24, core=12)
    export_store(store.url, tmp_path / "out")
    shutil.rmtree(tmp_path / "inputs")
    found = find_records(tmp_path / "out")
    assert found.is_export
    assert not found.refused
    back = imported(tmp_path / "out", tmp_path / "back.zarr")
    masks = Layout.of(found.config).masks
    assert ("ignore" in masks) == (preset == "recommended")
    same_arrays(store, back, ("density", *masks))
    if preset == "recommended":
        assert (back.read_map("made-up", "amino") == 255).sum() == 3
    for name in ("preset", "box", "core", "decode_offset_voxel"):
        assert back.attrs[name] == store.attrs[name]
    for column in ("emdb_id", "pdb_id", "resolution_A", "split", "contour_level", "method"):
        kept = [row[column] for row in store.rows if row["failure_reason"] is None]
        assert [row[column] or None for row in back.rows] == [value or None for value in kept]
    assert [entry.split for entry in back.entries] == ["train", "test"]
    for entry in store.entries:
        one, other = (which.residues(entry.entry_id) for which in (store, back))
        for name in ("chain", "auth_seq_id", "residue_name", "ca_x_A", "secondary", "voxel_z"):
            np.testing.assert_array_equal(one[name], other[name])


def test_an_export_of_an_import_is_the_same_export(tmp_path: Path) -> None:
    store = small_store(tmp_path, "recommended")
    export_store(store.url, tmp_path / "one")
    back = imported(tmp_path / "one", tmp_path / "back.zarr")
    export_store(back.url, tmp_path / "two")
    for path in (tmp_path / "one").rglob("*_normalized_map.mrc"):
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes()


def test_a_store_without_splits_comes_back_without(tmp_path: Path) -> None:
    catalog = write_inputs(tmp_path / "inputs")
    text = catalog.read_text().replace(",train,", ",,").replace(",test,", ",,")
    catalog.write_text(text)
    store = build(catalog, tmp_path / "small.zarr", make_config("paper"))
    export_store(store.url, tmp_path / "out")
    assert [entry.split for entry in find_records(tmp_path / "out").entries] == [None, None]


def test_an_export_lies_where_its_origin_words_say(tmp_path: Path) -> None:
    # The catalog overrides the rule of the store, which would put the export's maps at 0.
    store = small_store(tmp_path, "paper", origin="nstart")
    export_store(store.url, tmp_path / "out")
    back = imported(tmp_path / "out", tmp_path / "back.zarr")
    for one, other in zip(store.entries, back.entries, strict=True):
        np.testing.assert_allclose(one.origin_xyz_A, other.origin_xyz_A, rtol=1e-6)
        assert any(one.origin_xyz_A)


def test_masks_from_files_win_over_the_model(tmp_path: Path, released: Store) -> None:
    export_store(released.url, tmp_path / "out")
    path = tmp_path / "out/EMD_2/22898/atom_ca_emd_normalized_map.mrc"
    with mrcfile.open(path, "r+") as mrc:
        mrc.data[...] = 0
        mrc.data[3, 1, 2] = 1
        mrc.update_header_stats()
    back = imported(tmp_path / "out", tmp_path / "back.zarr")
    assert np.argwhere(back.read_map("EMD-22898", "ca")).tolist() == [[3, 1, 2]]
    same_arrays(released, back, ("density", "atom", "amino", "secondary"))


def test_masks_that_the_archive_lacks_are_made_under_released(
    published: Path, released: Store, tmp_path: Path
) -> None:
    found = find_records(published)
    assert (found.is_export, found.config.preset, found.refused) == (False, "released", {})
    (entry,) = found.entries
    assert (entry.entry_id, entry.pdb_id, entry.n_masks) == ("EMD-22898", "7KJR", 1)
    assert entry.sequence is not None
    assert entry.sequence.name == "7kjr.fasta"
    back = imported(published, tmp_path / "back.zarr")
    for name in ("density", "atom", "ca", "amino", "secondary"):
        one, other = (store.read_map("EMD-22898", name) for store in (released, back))
        assert one.tobytes() == other.tobytes(), name
    (row,) = back.rows
    assert (row["resolution_A"], row["split"], row["pdb_id"]) == (2.08, "validation", "7KJR")
    assert (row["method"], row["published_Model"]) == ("single particle", "a, b")
    assert row["published_notes"] == "x"  # a store's catalog has a column of that name


def test_a_preset_can_be_asked_for(published: Path, tmp_path: Path) -> None:
    back = imported(published, tmp_path / "back.zarr", "paper")
    assert back.attrs["preset"] == "paper"
    assert back.read_map("EMD-22898", "density").dtype == np.float16


@pytest.mark.parametrize("name", ["7kjr_{}.pdb", "{}.pdb"])
def test_a_missing_model_is_put_together_from_its_parts(
    published: Path, released: Store, tmp_path: Path, name: str
) -> None:
    export_store(released.url, tmp_path / "out", entries=["EMD-22898"])
    entry = published / "EMD_2/22898"
    (entry / "7kjr.pdb").unlink()
    for part in ("helix", "coil", "strand"):
        source = tmp_path / f"out/EMD_2/22898/7kjr_{part}.pdb"
        shutil.copy(source, entry / name.format(part))
    (found,) = find_records(published).entries
    assert found.model is None
    back = imported(published, tmp_path / "back.zarr")
    for mask in ("atom", "ca", "amino", "secondary"):
        one, other = (store.read_map("EMD-22898", mask) for store in (released, back))
        assert one.tobytes() == other.tobytes(), mask
    # Records of the published classes, not a guess of our own.
    assert back.rows[0]["secondary_source"] == "records"


def test_parts_beside_a_model_are_no_second_model(
    published: Path, tmp_path: Path, released: Store
) -> None:
    entry = published / "EMD_2/22898"
    for part in ("7kjr_helix", "coil", "7KJR_strand"):
        (entry / f"{part}.pdb").write_text("END\n")
    (found,) = find_records(published).entries
    assert found.model == entry / "7kjr.pdb"
    (entry / "other.pdb").write_text("END\n")
    assert find_records(published).entries[0].model == entry / "7kjr.pdb"  # metadata.csv says so
    (published / "metadata.csv").unlink()
    with pytest.raises(ConfigError, match=r"7kjr\.pdb and other\.pdb may be the atomic model"):
        find_records(published)


@pytest.mark.parametrize("place", ["22898", "EMD_2/emd_22898", "EMD-22898"])
def test_entries_are_found_grouped_or_not(published: Path, place: str) -> None:
    moved = published / place
    moved.parent.mkdir(exist_ok=True)
    (published / "EMD_2/22898").rename(moved)
    assert [entry.entry_id for entry in find_records(published).entries] == ["EMD-22898"]


def test_what_is_no_entry_is_listed(published: Path, tmp_path: Path) -> None:
    entry = published / "EMD_2/22898"
    for name in ("EMD_2/4444", "EMD_2/.hidden", "EMD_2/notes", "EMD_3/no model", "bad,name"):
        (published / name).mkdir(parents=True)
    shutil.copytree(entry, published / "EMD_0/0001")
    (published / "EMD_0/0001/7kjr.pdb").unlink()
    shutil.copytree(entry, published / "twice/22898")
    found = find_records(published)
    assert [entry.entry_id for entry in found.entries] == ["EMD-22898"]
    assert {name: why[:24] for name, why in found.refused.items()} == {
        "EMD_2/4444": "no emd_normalized_map.mr",
        "EMD_0/0001": "no atomic model in it, a",
        "EMD_3/no model": "the name is no plain nam",
        "bad,name": "the name is no plain nam",
        "twice/22898": "EMD-22898 lies in EMD_2/",
    }


@pytest.mark.parametrize(
    "name",
    ["emd_normalized_map.mrc", "7kjr.pdb", "7kjr.fasta", "atom_emd_normalized_map.mrc", ""],
)
def test_links_are_not_followed(published: Path, tmp_path: Path, name: str) -> None:
    target = published / "EMD_2/22898" / name
    outside = tmp_path / "outside"
    target.rename(outside)
    target.symlink_to(outside)
    with pytest.raises(ConfigError, match="a symbolic link"):
        find_records(published)


def test_a_forged_document_names_nothing_outside(tmp_path: Path, released: Store) -> None:
    secret = tmp_path / "secret.pdb"
    secret.write_text("ATOM")
    export_store(released.url, tmp_path / "out", entries=["EMD-22898"])
    document = tmp_path / "out/EMD_2/22898/c2s_entry.json"
    text = document.read_text()
    for old, new in (
        ('"model": "7kjr.pdb"', '"model": "../../../secret.pdb"'),
        ('"entry_id": "EMD-22898"', '"entry_id": "../../up"'),
    ):
        assert old in text
        document.write_text(text.replace(old, new, 1))
        with pytest.raises(C2SError, match=r"no file \.\./|is not usable"):
            find_records(tmp_path / "out")
    document.write_text(text)
    top = tmp_path / "out/c2s_export.json"
    top.write_text(top.read_text().replace('"box": 32', '"box": 100000'))
    with pytest.raises(ConfigError, match="box"):
        find_records(tmp_path / "out")


def test_half_an_export_is_not_imported(tmp_path: Path, released: Store) -> None:
    out = tmp_path / "out"
    export_store(released.url, out)
    whole = (out / "c2s_export.json").read_text()
    (out / "EMD_2/22898/c2s_entry.json").unlink()
    found = find_records(out)
    assert [entry.entry_id for entry in found.entries] == ["made-up"]
    assert "its export was stopped" in found.refused["EMD_2/22898"]
    # As it stands until the last step of an export.
    start = whole.index('"entries": [')
    end = whole.index('"failures"')
    (out / "c2s_export.json").write_text(whole[:start] + '"entries": [], ' + whole[end:])
    assert [entry.entry_id for entry in find_records(out).entries] == ["made-up"]
    shutil.copytree(out / "EMD_other/made-up", out / "EMD_other/withdrawn")
    (out / "c2s_export.json").write_text(whole)
    assert "left by an earlier" in find_records(out).refused["EMD_other/withdrawn"]


def test_tables_are_read_in_their_usual_forms(published: Path) -> None:
    def first(metadata: str, splits: str) -> tuple:
        (published / "metadata.csv").write_text(metadata)
        (published / "splits.csv").write_text(splits)
        (entry,) = find_records(published).entries
        return entry.metadata.get("resolution_A"), entry.pdb_id, entry.split

    own = first("emdb_id,pdb_id,resolution_A\nEMD-22898,7kjr,3.1\n", "emdb_id,split\n22898,test\n")
    assert own == ("3.1", "7kjr", "test")
    assert first("EMDB,resolution (A)\nemd_22898,2\n", "valid,test\n,22898\n") == (
        "2",
        "7kjr",
        "test",
    )
    assert first("EMDB-ID\n1\n", "train,validation\n1111,2222\n") == (None, "7kjr", None)
    for metadata, splits, why in (
        ("name\n22898\n", "train\n1\n", "no column of EMDB identifiers"),
        ("emdb\n22898\nEMD-22898\n", "train\n1\n", "EMD-22898 occurs twice"),
        ("emdb,x\n22898\n", "train\n1\n", "row 2 has 1 fields"),
        ("emdb\n", "train,test\n22898,22898\n", "is in train and in test"),
        ("emdb\n", "a,b\n1,2\n", "give a column of ids"),
    ):
        with pytest.raises(CatalogError, match=why):
            first(metadata, splits)


def test_the_command_builds_what_it_finds_and_lists_the_rest(
    published: Path, released: Store, tmp_path: Path
) -> None:
    (published / "EMD_2/4444").mkdir()
    store = tmp_path / "back.zarr"
    args = ["import", str(published), str(store), "--workers", "1"]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 1, done.output
    assert "1 entries of published records, 1 masks beside their maps" in done.output
    assert "3 ids of splits.csv have no data here, the first: 1111" in done.output
    assert "EMD_2/4444: no emd_normalized_map.mrc in it" in done.output
    back = open_store(str(store))
    assert [entry.entry_id for entry in back.entries] == ["EMD-22898"]
    with (published / "c2s_import.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert row["map"] == "EMD_2/22898/emd_normalized_map.mrc"
    ca = back.read_map("EMD-22898", "ca")
    assert ca.tobytes() == released.read_map("EMD-22898", "ca").tobytes()
