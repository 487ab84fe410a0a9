"""The residue table of deposited models."""

from __future__ import annotations

import dataclasses

import gemmi
import numpy as np
import pytest

from c2s_data.sources.atomic_model import ResidueTable, read_atomic_model

COLUMNS = [field.name for field in dataclasses.fields(ResidueTable)]
REAL = [
    "models/1ema.cif", "models/1igy.cif", "models/1l2y.cif", "models/4i39.cif", "models/7a4m.cif",
    "models/7bv2.pdb", "models/7kjr.pdb", "models/8hb0.pdb", "models/8zpm.cif", "models/9be6.cif",
    "pairs/3ajo_fitted_refined.pdb", "pairs/4ci0.pdb", "pairs/4uft_af3.cif", "pairs/6gyn.pdb",
]  # fmt: skip


def assert_same_table(one: ResidueTable, two: ResidueTable, without=()) -> None:
    for column in COLUMNS:
        if column not in without:
            np.testing.assert_array_equal(getattr(one, column), getattr(two, column), column)


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("zero_occupancy", ["keep", "exclude"])
def test_every_named_atom_of_a_real_file_is_counted_once(shared_data, name, zero_occupancy):
    path = shared_data / name
    model = read_atomic_model(path, zero_occupancy=zero_occupancy)
    n_raw = sum(
        atom.name in ("CA", "N", "C")
        for part in gemmi.read_structure(str(path))
        for chain in part
        for residue in chain
        for atom in residue
    )
    assert len(model.residues.backbone_atoms().xyz_A) + sum(model.excluded.values()) == n_raw


def test_the_same_structure_as_pdb_and_as_mmcif(shared_data, tmp_path):
    source = shared_data / "models" / "7kjr.pdb"
    structure = gemmi.read_structure(str(source))
    structure.setup_entities()
    structure.assign_label_seq_id()
    copy = tmp_path / "7kjr.cif"
    structure.make_mmcif_document().write_file(str(copy))
    one, two = read_atomic_model(source), read_atomic_model(copy)
    assert len(one.residues) == 448
    assert_same_table(one.residues, two.residues, without=("label_asym_id",))
    assert (one.residues.label_seq_id > 0).all()
    np.testing.assert_array_equal(one.named.xyz_A, two.named.xyz_A)


def test_a_chromophore_and_selenomethionines(shared_data):
    model = read_atomic_model(shared_data / "models" / "1ema.cif")
    table = model.residues
    assert len(table) == 225
    assert "CRO" not in table.residue_name
    assert any("A/CRO 66" in note for note in model.notes)
    selenium = table.residue_name == "MSE"
    assert selenium.sum() == 4
    assert set(table.amino_class[selenium]) == {13}
    assert set(table.amino_class_literal[selenium]) == {0}
    assert table.is_modified[selenium].all()


def test_every_atom_with_an_alternative_location(shared_data):
    model = read_atomic_model(shared_data / "models" / "4i39.cif")
    assert len(model.residues) == 125
    assert set(model.residues.altloc) <= {"A", "B"}
    assert model.excluded == {"alternative-conformer": 375}


def test_insertion_codes_of_an_antibody(shared_data):
    table = read_atomic_model(shared_data / "models" / "1igy.cif").residues
    assert len(table) == 1294
    heavy = (table.chain == "B") & (table.auth_seq_id == 82)
    assert table.insertion_code[heavy].tolist() == ["", "A", "B", "C"]
    assert np.diff(table.label_seq_id[heavy]).tolist() == [1, 1, 1]


def test_protein_beside_nucleic_acid_and_many_models(shared_data):
    assert len(read_atomic_model(shared_data / "models" / "9be6.cif").residues) == 751
    many = read_atomic_model(shared_data / "models" / "1l2y.cif")
    assert (many.n_models, len(many.residues), len(many.named)) == (38, 20, 38 * 60)
    assert many.excluded == {"further-model": 37 * 60}
