"""The residue table and the named atoms, case by case on small texts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from atom_records import TER, A, backbone, chain_of, loop, mmcif, pdb

from c2s_data.sources.amino_acid import literal_class, parent_class
from c2s_data.sources.atomic_model import AtomicModel, ResidueTable, read_atomic_model

COLUMNS = [field.name for field in dataclasses.fields(ResidueTable)]


@pytest.fixture
def read(tmp_path):
    """Write a text and read it as a model."""

    def read_text(text: str, **options) -> AtomicModel:
        path = tmp_path / "model"
        path.write_text(text)
        return read_atomic_model(path, **options)

    return read_text


def names(model: AtomicModel) -> list[str]:
    table = model.residues
    return [f"{n}{i}" for n, i in zip(table.residue_name, table.auth_seq_id, strict=True)]


def test_every_column_of_a_small_pdb(read):
    model = read(
        pdb(
            A("N", "GLY", number=7, xyz=(1.25, -2.5, 3.125), occupancy=0.75, b=11.5),
            A("CA", "GLY", number=7, xyz=(2.0, 0, 0), occupancy=0.5, b=12.5),
            A("C", "GLY", number=7, xyz=(3.0, 0, 0)),
            A("O", "GLY", number=7, xyz=(3.0, 1, 0)),
            A("N", "TRP", number=8, xyz=(4.0, 0, 0), icode="B", occupancy=0.25, b=30.0),
            A("CB", "TRP", number=8, xyz=(4.0, 1, 0), icode="B"),
            A("N", "VAL", chain="z", number=-3, xyz=(40.0, 0, 0)),
            A("CA", "VAL", chain="z", number=-3, xyz=(41.0, 0, 0)),
        )
    )
    table = model.residues
    assert len(table) == 3
    assert table.chain.tolist() == table.label_asym_id.tolist() == ["A", "A", "z"]
    assert table.chain_index.tolist() == [0, 0, 1]
    assert table.auth_seq_id.tolist() == [7, 8, -3]
    assert table.label_seq_id.tolist() == [-1, -1, -1]
    assert table.insertion_code.tolist() == ["", "B", ""]
    assert table.residue_name.tolist() == ["GLY", "TRP", "VAL"]
    assert table.amino_class.tolist() == table.amino_class_literal.tolist() == [8, 18, 20]
    assert table.altloc.tolist() == ["", "", ""]
    # The C-alpha's, and where that is absent N's.
    assert table.occupancy.tolist() == [0.5, 0.25, 1.0]
    assert table.b_factor.tolist() == [12.5, 30.0, 20.0]
    assert not table.is_modified.any()
    assert table.n_xyz_A[0].tolist() == [1.25, -2.5, 3.125]
    assert table.o_xyz_A[0].tolist() == [3.0, 1.0, 0.0]
    assert np.isnan(table.ca_xyz_A).all(axis=1).tolist() == [False, True, False]
    assert np.isnan(table.c_xyz_A).all(axis=1).tolist() == [False, True, True]
    assert table.record_secondary.tolist() == [1, 1, 1]
    assert (model.has_records, model.n_models, model.excluded) == (False, 1, {})
    dtypes = {column: getattr(table, column).dtype for column in COLUMNS}
    assert {c for c, d in dtypes.items() if d == np.int32} == {"label_seq_id", "auth_seq_id"}
    assert {c for c, d in dtypes.items() if d == np.float64} == {
        "n_xyz_A", "ca_xyz_A", "c_xyz_A", "o_xyz_A",
    }  # fmt: skip
    assert {c for c, d in dtypes.items() if d == np.uint8} == {
        "amino_class", "amino_class_literal", "record_secondary",
    }  # fmt: skip

    atoms = table.backbone_atoms()
    assert atoms.atom_class.tolist() == [2, 1, 3, 2, 2, 1]
    assert atoms.residue_index.tolist() == [0, 0, 0, 1, 2, 2]
    assert atoms.xyz_A[:, 0].tolist() == [1.25, 2.0, 3.0, 4.0, 40.0, 41.0]


def test_calcium_is_no_c_alpha(read):
    model = read(
        pdb(
            *chain_of("ALA", "SER"),
            TER,
            A("CA", "CA", number=90, xyz=(50.0, 0, 0), element="Ca", het=True),
            # An ion written into a residue of the chain.
            A("N", "MET", chain="B"),
            A("CA", "MET", chain="B", xyz=(1.4, 0, 0), element="Ca"),
            A("C", "MET", chain="B", xyz=(2.8, 0, 0)),
        )
    )
    assert names(model) == ["ALA1", "SER2", "MET1"]
    assert np.isnan(model.residues.ca_xyz_A).all(axis=1).tolist() == [False, False, True]
    assert model.excluded == {"ion": 2}
    # `released` takes both, the lone ion without an amino acid.
    named = model.named
    assert len(named) == 6 + 1 + 3
    ion = int(np.flatnonzero(named.xyz_A[:, 0] == 50.0)[0])
    assert (named.atom_class[ion], named.amino_class[ion], named.residue_index[ion]) == (1, 0, -1)


def test_ligands_caps_and_nucleotides_stay_out(read):
    model = read(
        pdb(
            *backbone("ACE", 0, -4.2, names="C O", het=True),
            *chain_of("GLY", "PRO"),
            *backbone("NME", 3, 8.4, names="N", het=True),
            TER,
            *backbone("LIG", 101, 60.0, het=True),
            *[A("C", "DA", chain="B", number=1, xyz=(80.0, 0, 0)), TER],
        )
    )
    assert names(model) == ["GLY1", "PRO2"]
    assert model.excluded == {"ligand-or-cap": 1 + 1 + 3, "nucleic": 1}
    assert model.named.amino_class.tolist() == [0] + [8] * 3 + [15] * 3 + [0] * 5


def test_without_ter_only_what_is_bonded_belongs_to_the_chain(read):
    model = read(
        pdb(
            *backbone("LIG", 900, -50.0, het=True),
            *chain_of("ALA", "HIE", "GLY", "MSE"),
            *backbone("CYX", 5, 16.8, het=True),
            *backbone("GLU", 6, 60.0, het=True),
            *backbone("LIG", 7, 90.0, het=True),
            A("O", "HOH", number=8, xyz=(99.0, 9, 9), het=True),
            *backbone("GLU", 9, 120.0),
        )
    )
    # GLU 6 is a free amino acid; GLU 9 is an ATOM record behind a gap.
    assert names(model) == ["ALA1", "HIE2", "GLY3", "MSE4", "CYX5", "GLU9"]
    assert model.residues.amino_class.tolist() == [1, 0, 8, 13, 0, 7]
    assert model.excluded == {"ligand-or-cap": 9}


@pytest.mark.parametrize(("first", "second", "expected"), [(0.4, 0.6, "B"), (0.5, 0.5, "A")])
def test_the_most_occupied_conformer_first_on_a_tie(read, first, second, expected):
    model = read(
        pdb(
            A("N"),
            A("CA", xyz=(1.0, 0, 0), altloc="A", occupancy=first),
            A("CA", xyz=(2.0, 0, 0), altloc="B", occupancy=second),
            A("C", xyz=(3.0, 0, 0), altloc="A", occupancy=first),
            A("C", xyz=(4.0, 0, 0), altloc="B", occupancy=second),
        )
    )
    table = model.residues
    assert table.altloc.tolist() == [expected]
    assert table.ca_xyz_A[0, 0] == {"A": 1.0, "B": 2.0}[expected]
    assert table.c_xyz_A[0, 0] == {"A": 3.0, "B": 4.0}[expected]
    assert table.n_xyz_A[0, 0] == 0.0
    assert model.excluded == {"alternative-conformer": 2}
    assert table.occupancy[0] == np.float32(max(first, second))


def test_the_conformer_is_of_the_whole_residue_while_named_atoms_choose_one_by_one(read):
    model = read(
        pdb(
            A("N", xyz=(1.0, 0, 0), altloc="A", occupancy=0.7),
            A("N", xyz=(2.0, 0, 0), altloc="B", occupancy=0.3),
            A("CA", xyz=(3.0, 0, 0), altloc="A", occupancy=0.4),
            A("CA", xyz=(4.0, 0, 0), altloc="B", occupancy=0.6),
            A("CB", xyz=(5.0, 0, 0), altloc="A", occupancy=0.2),
            A("CB", xyz=(6.0, 0, 0), altloc="B", occupancy=0.8),
            # Only the location that is not chosen has a C.
            A("C", xyz=(7.0, 0, 0), altloc="A", occupancy=0.4),
        )
    )
    table = model.residues
    # A sums to 1.7 and B to 1.7: the first on a tie, although sums of floats differ.
    assert table.altloc.tolist() == ["A"]
    assert (table.n_xyz_A[0, 0], table.ca_xyz_A[0, 0], table.c_xyz_A[0, 0]) == (1.0, 3.0, 7.0)
    assert model.named.xyz_A[:, 0].tolist() == [1.0, 4.0, 7.0]


def test_an_atom_that_the_chosen_conformer_lacks_comes_from_elsewhere(read):
    model = read(
        pdb(
            A("N", altloc="A", xyz=(1.0, 0, 0), occupancy=0.3),
            A("CA", altloc="A", xyz=(2.0, 0, 0), occupancy=0.3),
            A("CA", altloc="B", xyz=(3.0, 0, 0), occupancy=0.7),
            A("C", xyz=(4.0, 0, 0)),
        )
    )
    table = model.residues
    assert table.altloc.tolist() == ["B"]
    assert (table.n_xyz_A[0, 0], table.ca_xyz_A[0, 0], table.c_xyz_A[0, 0]) == (1.0, 3.0, 4.0)


@pytest.mark.parametrize("writer", [pdb, mmcif])
def test_a_point_mutation_is_one_residue(read, writer):
    small = [dataclasses.replace(a, altloc="A", occupancy=0.6) for a in backbone("GLY", 5)]
    large = [dataclasses.replace(a, altloc="B", occupancy=0.4) for a in backbone("LYS", 5, 0.5)]
    large += [A(n, "LYS", number=5, altloc="B", occupancy=0.4) for n in ("CB", "CG", "CD", "CE")]
    model = read(writer(*chain_of("ALA", first=4, at=-4.2), *small, *large))
    # By sum of all atoms the larger side chain would win.
    assert names(model) == ["ALA4", "GLY5"]
    assert model.residues.altloc.tolist() == ["", "A"]
    assert model.excluded == {"alternative-conformer": 3}
    # `released`: the last residue, which is not the one in the table.
    assert model.named.amino_class.tolist() == [1, 1, 1, 12, 12, 12]
    assert model.named.residue_index.tolist() == [0, 0, 0, -1, -1, -1]
    assert model.named.xyz_A[3:, 0].tolist() == [0.5, 1.9, 3.3]


def test_equal_shares_go_to_the_first_residue_name_and_the_first_location(read):
    shares = {"GLY": "A", "LYS": "B"}
    mutated = [
        dataclasses.replace(atom, altloc=altloc, occupancy=0.5)
        for name, altloc in shares.items()
        for atom in backbone(name, 5)
    ]
    atoms = [
        A("CA", number=6, xyz=(5.6 + i, 0, 0), altloc=a, occupancy=0.5) for i, a in enumerate("AB")
    ]
    model = read(pdb(*mutated, *atoms))
    assert names(model) == ["GLY5", "ALA6"]
    assert model.named.xyz_A[model.named.amino_class == 1, 0].tolist() == [5.6]


def test_residues_numbered_alike_without_alternative_locations_are_two(read):
    model = read(pdb(*backbone("ALA", 1), *backbone("SER", 1, 4.2)))
    assert names(model) == ["ALA1", "SER1"]
    assert model.excluded == {}


def test_long_chain_names_and_insertion_codes_of_mmcif(read):
    atoms = [
        *backbone("ALA", 52, 0.0, chain="LONG1", label_asym="AA", label_seq=3),
        *backbone("SER", 52, 4.2, chain="LONG1", icode="A", label_asym="AA", label_seq=4),
        *backbone("GLY", 53, 8.4, chain="LONG1", label_asym="AA", label_seq=6),
        *backbone("VAL", 1, 90.0, chain="LONG2", label_asym="AB", label_seq=1),
    ]
    table = read(mmcif(*atoms)).residues
    assert table.chain.tolist() == ["LONG1"] * 3 + ["LONG2"]
    assert table.label_asym_id.tolist() == ["AA"] * 3 + ["AB"]
    assert table.label_seq_id.tolist() == [3, 4, 6, 1]
    assert table.auth_seq_id.tolist() == [52, 52, 53, 1]
    assert table.insertion_code.tolist() == ["", "A", "", ""]
    assert table.chain_index.tolist() == [0, 0, 0, 1]


def test_sequence_positions_of_a_pdb_come_from_its_seqres(read):
    head = "SEQRES   1 A    5  GLY TRP ALA SER VAL\n"
    table = read(pdb(*chain_of("TRP", "ALA", first=30), *backbone("VAL", 33, 14.0), head=head))
    assert table.residues.label_seq_id.tolist() == [2, 3, 5]


@pytest.mark.parametrize(
    ("name", "parent"),
    [
        ("MSE", "MET"), ("SEP", "SER"), ("TPO", "THR"), ("PTR", "TYR"), ("HYP", "PRO"),
        ("CSO", "CYS"), ("CME", "CYS"), ("OCS", "CYS"), ("CSD", "CYS"), ("LLP", "LYS"),
        ("KCX", "LYS"), ("MLY", "LYS"), ("M3L", "LYS"), ("PCA", "GLU"), ("FME", "MET"),
        ("DAL", "ALA"), ("DVA", "VAL"), ("TRP", "TRP"),
    ],
)  # fmt: skip
def test_a_modified_residue_has_the_class_of_its_parent(name, parent):
    assert parent_class(name) == literal_class(parent) > 0


@pytest.mark.parametrize("name", ["SEC", "PYL", "ASX", "GLX", "UNK", "HIE", "XYZ", "ACE", "DA"])
def test_names_without_a_class(name):
    assert parent_class(name) == literal_class(name) == 0


def test_what_the_file_says_of_parents_serves_unknown_names_only():
    assert parent_class("HIE", frozenset({"HIS"})) == literal_class("HIS")
    assert parent_class("MSE", frozenset({"CYS"})) == literal_class("MET")
    assert parent_class("SEC", frozenset({"CYS"})) == 0
    # A chromophore fused from several residues is none of them.
    assert parent_class("CRO", frozenset({"GLY", "TYR"})) == 0


@pytest.mark.parametrize("kind", ["pdb", "mmcif"])
def test_parents_are_read_from_the_file(read, kind):
    atoms = chain_of("ALA", "XHI", "GLY")
    if kind == "pdb":
        text = pdb(*atoms, head="MODRES 1ABC XHI A    2  HIS  SOME FORM\n")
    else:
        extra = loop(
            "pdbx_struct_mod_residue",
            "id auth_asym_id auth_seq_id PDB_ins_code label_comp_id auth_comp_id parent_comp_id",
            ["1 A 2 ? XHI XHI HIS"],
        )
        text = mmcif(*atoms, extra=extra)
    table = read(text).residues
    assert table.amino_class.tolist() == [1, 9, 8]
    assert table.amino_class_literal.tolist() == [1, 0, 8]
    assert table.is_modified.tolist() == [False, True, False]


def test_the_first_model_only_but_all_of_them_named(read):
    first = chain_of("ALA", "SER")
    second = [dataclasses.replace(a, model=2, xyz=(a.xyz[0], 5.0, 0)) for a in first]
    model = read(pdb(*first, *second))
    assert model.n_models == 2
    assert names(model) == ["ALA1", "SER2"]
    assert model.excluded == {"further-model": 6}
    assert "2 models in the file" in model.notes[0]
    assert model.named.residue_index.tolist() == [0, 0, 0, 1, 1, 1] + [-1] * 6
    assert model.named.xyz_A[:, 1].tolist() == [0.0] * 6 + [5.0] * 6
    assert model.named.amino_class.tolist() == ([1] * 3 + [16] * 3) * 2


def test_zero_occupancy_is_kept_or_excluded(read):
    whole, partly = backbone("ALA", 1), backbone("SER", 2, 4.2)
    absent = [dataclasses.replace(a, occupancy=0.0) for a in backbone("GLY", 3, 8.4)]
    partly[1] = dataclasses.replace(partly[1], occupancy=0.0)
    text = pdb(*whole, *partly, *absent)
    kept = read(text)
    assert names(kept) == ["ALA1", "SER2", "GLY3"]
    assert kept.excluded == {}
    left = read(text, zero_occupancy="exclude")
    assert names(left) == ["ALA1", "SER2"]
    assert np.isnan(left.residues.ca_xyz_A).all(axis=1).tolist() == [False, True]
    assert left.excluded == {"zero-occupancy": 4}
    assert len(left.named) == len(kept.named) == 9
    assert left.named.residue_index.tolist() == [0] * 3 + [1] * 3 + [-1] * 3


def test_named_atoms_come_in_file_order_with_each_atom_once(read):
    model = read(
        pdb(
            A("C", number=1, xyz=(1.0, 0, 0)),
            A("CA", number=1, xyz=(2.0, 0, 0)),
            A("CA", number=1, xyz=(3.0, 0, 0)),
            A("N", number=1, xyz=(4.0, 0, 0)),
            *backbone("GLY", 2, 10.0, names="CA N"),
        )
    )
    assert model.named.atom_class.tolist() == [3, 1, 2, 1, 2]
    assert model.named.xyz_A[:, 0].tolist() == [1.0, 2.0, 4.0, 11.4, 10.0]
    assert model.excluded == {"alternative-conformer": 1}
