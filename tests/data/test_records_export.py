"""A store as published records: every file, every value, and what is done about faults."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import gemmi
import mrcfile
import numpy as np
import pytest
from records_store import PRESETS, TITLE, small_store

from c2s_data.errors import StoreError
from c2s_data.records.entry_export import ExportOptions
from c2s_data.records.export import export_store
from c2s_data.store.reader import Store

FIRST, SECOND = "EMD_2/22898", "EMD_other/made-up"
MRC_FILES = {
    "density": "emd_normalized_map.mrc",
    "atom": "atom_emd_normalized_map.mrc",
    "ca": "atom_ca_emd_normalized_map.mrc",
    "amino": "amino_emd_normalized_map.mrc",
    "secondary": "sec_struc_emd_normalized_map.mrc",
}
PUBLISHED = (
    "emd_22898.map", *MRC_FILES.values(),
    "7kjr.pdb", "7kjr_helix.pdb", "7kjr_coil.pdb", "7kjr_strand.pdb",
    "7kjr.fasta", "7kjr_all_chain_combined.fasta", "atomic.fasta",
    "dealign_clustal_input.fasta", "dealign_clustal_output.fasta",
)  # fmt: skip
"""Every file of an entry in the published layout."""


@pytest.fixture(scope="module", params=PRESETS)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Store, Path]:
    """A store of each preset and its export, to be read only."""
    folder = tmp_path_factory.mktemp(request.param)
    store = small_store(folder, request.param)
    done = export_store(store.url, folder / "out")
    assert done.is_complete
    assert done.n_in_folder == 2
    assert list(done.store_failures) == ["no-map"]
    return store, folder / "out"


@pytest.fixture(scope="module")
def paper_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return small_store(tmp_path_factory.mktemp("paper"), "paper")


def listing(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        name: ((folder / name).stat().st_mtime_ns, (folder / name).read_bytes())
        for name in listing(folder)
    }


def test_every_published_file_is_there_and_nothing_unsaid(exported: tuple[Store, Path]) -> None:
    store, out = exported
    extra = {"ignore_emd_normalized_map.mrc"} if store.attrs["preset"] == "recommended" else set()
    assert listing(out / FIRST) == {*PUBLISHED, *extra, "c2s_entry.json"}
    made = {name.replace("7kjr", "made-up").replace("22898", "made-up") for name in PUBLISHED}
    assert listing(out / SECOND) == {*made, *extra, "made-up.cif", "c2s_entry.json"}
    top = {"metadata.csv", "splits.csv", "c2s_export.json", "croissant.json", "README.md"}
    assert {name for name in listing(out) if "/" not in name} == top


def test_mrc_files_are_valid_untouched_and_hold_the_store(exported: tuple[Store, Path]) -> None:
    store, out = exported
    for entry, folder in zip(store.entries, (FIRST, SECOND), strict=True):
        for name, file in MRC_FILES.items():
            path = out / folder / file
            messages: list[str] = []
            sink = type("Sink", (), {"write": lambda self, text, m=messages: m.append(text)})()
            assert mrcfile.validate(path, print_file=sink), messages
            with mrcfile.open(path) as mrc:
                values = store.read_map(entry.entry_id, name)
                np.testing.assert_array_equal(mrc.data, values)
                assert mrc.voxel_size.tolist() == (1.0, 1.0, 1.0)
                origin = [float(mrc.header.origin[axis]) for axis in "xyz"]
                assert origin == [float(np.float32(value)) for value in entry.origin_xyz_A]
                assert any(origin)
                assert len(set(values.shape)) > 1
                labels = b" ".join(mrc.header.label.tolist()).decode()
                needs_16_bits = name == "amino" and values.max() == 255
                assert mrc.header.mode == (2 if name == "density" else int(needs_16_bits))
            assert "cryo2struct-store 0." in labels
            assert f"preset {store.attrs['preset']}" in labels
    amino = store.read_map("made-up", "amino")
    assert (amino == 255).any() == (store.attrs["preset"] == "recommended")


def test_source_files_are_the_inputs(exported: tuple[Store, Path]) -> None:
    store, out = exported
    inputs = Path(store.url).parent / "inputs"
    with (
        mrcfile.open(inputs / "one.map.gz") as one,
        mrcfile.open(out / FIRST / "emd_22898.map") as other,
    ):
        np.testing.assert_array_equal(one.data, other.data)
        assert one.header.tobytes() == other.header.tobytes()
    assert (out / FIRST / "7kjr.pdb").read_bytes() == (inputs / "model.pdb").read_bytes()
    assert (out / SECOND / "made-up.cif").read_bytes() == (inputs / "unknown.cif").read_bytes()
    made = gemmi.read_structure(str(out / SECOND / "made-up.pdb"))
    given = gemmi.read_structure(str(inputs / "unknown.cif"))
    assert made[0].count_atom_sites() == given[0].count_atom_sites()


def test_parts_have_as_many_residues_as_the_store_says(exported: tuple[Store, Path]) -> None:
    store, out = exported
    secondary = store.residues("EMD-22898")["secondary"]
    for value, name in ((1, "coil"), (2, "helix"), (3, "strand")):
        structure = gemmi.read_structure(str(out / FIRST / f"7kjr_{name}.pdb"))
        assert sum(len(chain) for chain in structure[0]) == np.count_nonzero(secondary == value) > 0


def test_sequences_are_those_of_the_model(exported: tuple[Store, Path]) -> None:
    store, out = exported
    names = store.residues("EMD-22898")["residue_name"]
    letters = "".join(gemmi.find_tabulated_residue(str(n)).one_letter_code.upper() for n in names)
    assert (out / FIRST / "atomic.fasta").read_text() == letters + "\n"
    assert (out / FIRST / "7kjr_all_chain_combined.fasta").read_text().strip() == letters


def test_tables_have_a_row_an_entry(exported: tuple[Store, Path]) -> None:
    _, out = exported
    with (out / "metadata.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    columns = ["emdb_id", "pdb_id", "resolution_A", "method", "software", "title", "journal"]
    assert list(rows[0])[:7] == columns
    assert (rows[0]["emdb_id"], rows[0]["pdb_id"]) == ("EMD-22898", "7KJR")
    assert (rows[0]["resolution_A"], rows[0]["contour_level"]) == ("3.08", "0.7")
    assert rows[0]["title"] == TITLE
    with (out / "splits.csv").open(newline="") as stream:
        assert [tuple(row.values()) for row in csv.DictReader(stream)] == [
            ("EMD-22898", "EMD-22898", "7KJR", "train"),
            ("made-up", "", "", "test"),
        ]


def test_the_document_says_how_the_labels_were_made(exported: tuple[Store, Path]) -> None:
    store, out = exported
    document = json.loads((out / "c2s_export.json").read_text())
    assert document["config"]["preset"] == store.attrs["preset"]
    offset = 0.0 if store.attrs["preset"] == "recommended" else 0.5
    assert document["decode_offset_voxel"] == offset
    assert list(document["failures"]) == ["no-map"]
    assert [entry["folder"] for entry in document["entries"]] == [FIRST, SECOND]
    for entry in document["entries"]:
        for name, array in entry["arrays"].items():
            values = store.read_map(entry["entry_id"], name)
            assert array["sha256"] == hashlib.sha256(values.tobytes()).hexdigest()
            assert array["dtype"] == values.dtype.name
    record = json.loads((out / FIRST / "c2s_entry.json").read_text())
    for name, digest in record["files"].items():
        data = (out / FIRST / name).read_bytes()
        assert digest == {"nbytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_a_second_export_writes_nothing(exported: tuple[Store, Path]) -> None:
    store, out = exported
    before = state(out)
    done = export_store(store.url, out)
    assert [entry.n_written for entry in done.entries] == [0, 0]
    assert state(out) == before


def test_what_is_missing_or_changed_is_written_again_alone(
    paper_store: Store, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    export_store(paper_store.url, out)
    before = state(out)
    (out / FIRST / "7kjr_coil.pdb").unlink()
    changed = out / SECOND / "amino_emd_normalized_map.mrc"
    changed.write_bytes(changed.read_bytes()[:-1] + b"\1")
    (out / FIRST / ".emd_22898.map.part").write_bytes(b"of a killed run")
    done = export_store(paper_store.url, out)
    assert [entry.n_written for entry in done.entries] == [1, 1]
    after = state(out)
    rewritten = {
        f"{FIRST}/7kjr_coil.pdb", f"{FIRST}/c2s_entry.json",
        f"{SECOND}/amino_emd_normalized_map.mrc", f"{SECOND}/c2s_entry.json",
    }  # fmt: skip
    assert {name for name in before if before[name][0] != after[name][0]} == rewritten
    assert {name: data for name, (_, data) in before.items()} == {
        name: data for name, (_, data) in after.items()
    }


def test_entries_can_be_added_one_by_one(paper_store: Store, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    export_store(paper_store.url, whole)
    for entry_id in ("made-up", "EMD-22898"):
        done = export_store(paper_store.url, out, entries=[entry_id])
    assert done.n_in_folder == 2
    assert {n: data for n, (_, data) in state(out).items()} == {
        n: data for n, (_, data) in state(whole).items()
    }
    with pytest.raises(StoreError, match="could not be built"):
        export_store(paper_store.url, out, entries=["no-map"])
    with pytest.raises(StoreError, match="no entry 'nobody'"):
        export_store(paper_store.url, out, entries=["nobody"])


def test_subgrids_have_the_published_keys_and_order(paper_store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ExportOptions(raw_maps=False, npz=True)
    export_store(paper_store.url, out, entries=["EMD-22898"], options=options)
    assert not (out / FIRST / "emd_22898.map").exists()
    entry = paper_store.entry("EMD-22898")
    maps = {
        "protein_grid": paper_store.read_map("EMD-22898", "density"),
        "atom_grid": paper_store.read_map("EMD-22898", "atom"),
        "amino_grid": paper_store.read_map("EMD-22898", "amino"),
    }
    padded = {key: np.pad(values.astype(float), 6 + 32) for key, values in maps.items()}
    nz, ny, nx = (-(-n // 20) for n in entry.shape_zyx)
    names = listing(out / FIRST / "subgrids")
    assert names == {f"22898_{number}.npz" for number in range(nz * ny * nx)}
    assert len({nz, ny, nx}) > 1
    for number in range(0, nz * ny * nx, 7):
        # Upstream's order: the first axis fastest.
        z, y, x = number % nz, number // nz % ny, number // (nz * ny)
        with np.load(out / FIRST / "subgrids" / f"22898_{number}.npz") as arrays:
            assert set(arrays) == set(maps)
            for key, values in padded.items():
                window = tuple(slice(32 + 20 * k, 64 + 20 * k) for k in (z, y, x))
                assert arrays[key].dtype == np.float64
                np.testing.assert_array_equal(arrays[key], values[window])
    before = state(out)
    export_store(paper_store.url, out, entries=["EMD-22898"], options=options)
    assert state(out) == before
    (out / FIRST / "subgrids" / "22898_3.npz").write_bytes(b"damaged")
    export_store(paper_store.url, out, entries=["EMD-22898"], options=options)
    assert {n: data for n, (_, data) in state(out).items()} == {
        n: data for n, (_, data) in before.items()
    }
