"""Heavy atoms: small texts case by case, and deposited models counted again by plain loops."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from atom_records import TER, A, backbone, chain_of, loop, mmcif, pdb

from c2s_data.sources.atomic_model import AtomicModel, read_atomic_model
from c2s_data.sources.heavy_atoms import NUCLEIC, OTHER, PROTEIN, HeavyAtoms

NUCLEOTIDE = ["P", "O5'", "C5'", "C4'", "C3'", "O3'", "C2'", "C1'", "N9"]


@pytest.fixture
def read(tmp_path):
    """Write a text and read it as a model."""

    def read_text(text: str, **options) -> AtomicModel:
        path = tmp_path / "model"
        path.write_text(text)
        return read_atomic_model(path, **options)

    return read_text


def nucleotide(residue: str, number: int, at: float, **other) -> list[A]:
    return [
        A(name, residue, number=number, xyz=(at + 0.9 * i, 9.0, 0.0), **other)
        for i, name in enumerate(NUCLEOTIDE)
    ]


def kinds(heavy: HeavyAtoms) -> dict[str, set[int]]:
    return {str(name): set(heavy.kind[heavy.residue_name == name]) for name in heavy.residue_name}


def test_every_column(read):
    heavy = read(
        pdb(
            *backbone("SER", 1),
            A("OG", "SER", number=1, xyz=(1.0, 2.0, -3.5), occupancy=0.25, b=41.5),
            A("HG", "SER", number=1, xyz=(1.0, 2.0, -4.5), element="H"),
            A("DA", "SER", number=1, xyz=(1.0, 3.0, -4.5), element="D"),
            A("CB", "VAL", number=2, xyz=(9.0, 0, 0)),
            *backbone("ALA", 3, 8.4, names="CA"),
            TER,
            A("ZN", "ZN", "B", number=9, xyz=(20, 0, 0), element="ZN", het=True),
            A("O", "HOH", "B", number=10, xyz=(30, 0, 0), het=True),
        )
    ).heavy
    assert heavy.atom_name.tolist() == ["N", "CA", "C", "O", "OG", "CB", "CA", "ZN"]
    assert heavy.residue_name.tolist() == ["SER"] * 5 + ["VAL", "ALA", "ZN"]
    assert heavy.element.tolist() == [7, 6, 6, 8, 8, 6, 6, 30]
    assert heavy.kind.tolist() == [PROTEIN] * 7 + [OTHER]
    # The valine has neither N, C-alpha nor C, and so no row.
    assert heavy.residue_index.tolist() == [0, 0, 0, 0, 0, -1, 1, -1]
    assert heavy.chain.tolist() == heavy.label_asym_id.tolist() == ["A"] * 7 + ["B"]
    assert heavy.xyz_A[4].tolist() == [1.0, 2.0, -3.5]
    assert heavy.occupancy[[0, 4]].tolist() == [1.0, 0.25]
    assert heavy.b_factor[[0, 4]].tolist() == [20.0, 41.5]
    assert len(heavy) == 8


def test_kinds_of_a_pdb(read):
    heavy = read(
        pdb(
            *chain_of("ALA", "GLY"),
            TER,
            *nucleotide("DA", 1, 0.0, chain="B"),
            *nucleotide("U", 2, 12.0, chain="B"),
            TER,
            *nucleotide("ATP", 50, 40.0, chain="C", het=True),
            *backbone("GLY", 7, 80.0, chain="D", het=True),  # a free amino acid
        )
    ).heavy
    assert kinds(heavy) == {"ALA": {0}, "GLY": {0, 2}, "DA": {1}, "U": {1}, "ATP": {2}}
    free = (heavy.chain == "D").tolist()
    assert set(heavy.kind[free]) == {OTHER}
    assert set(heavy.residue_index[heavy.kind != PROTEIN]) == {-1}


def test_kinds_of_an_mmcif_with_a_modified_nucleotide(read):
    scheme = loop("entity_poly", "entity_id type", ["1 polypeptide(L)", "3 polyribonucleotide"])
    atoms = [
        *chain_of("ALA", "MSE", label_asym="A"),
        *nucleotide("G", 1, 0.0, chain="R", label_asym="B"),
        *nucleotide("5MC", 2, 12.0, chain="R", label_asym="B"),
    ]
    text = mmcif(*atoms, extra=scheme, entities="1 polymer,3 polymer")
    rows = [
        line.replace(" B 1 ", " B 3 ") if " B 1 " in line else line for line in text.split("\n")
    ]
    heavy = read("\n".join(rows)).heavy
    assert gemmi.find_tabulated_residue("5MC").found() is False
    assert kinds(heavy) == {"ALA": {PROTEIN}, "MSE": {PROTEIN}, "G": {NUCLEIC}, "5MC": {NUCLEIC}}
    assert set(heavy.chain[heavy.kind == NUCLEIC]) == {"R"}
    assert set(heavy.label_asym_id[heavy.kind == NUCLEIC]) == {"B"}


def test_one_conformer_that_of_the_residue_table(read):
    model = read(
        pdb(
            *backbone("SER", 1, names="N CA C", altloc="A", occupancy=0.3),
            *backbone("SER", 1, at=0.5, names="N CA C", altloc="B", occupancy=0.7),
            A("CB", xyz=(0, 4, 0), residue="SER", altloc="A", occupancy=0.3),
            A("CB", xyz=(0, 5, 0), residue="SER"),  # common to both
            A("OG", xyz=(0, 6, 0), residue="SER", altloc="A", occupancy=0.3),
            A("OG", xyz=(0, 7, 0), residue="SER", altloc="B", occupancy=0.7),
            A("OX", xyz=(0, 8, 0), residue="SER", altloc="A", occupancy=0.3),  # B lacks it
            *backbone("ALA", 2, at=4.2),
        )
    )
    heavy, first = model.heavy, model.heavy.residue_index == 0
    assert heavy.atom_name[first].tolist() == ["N", "CA", "C", "CB", "OG", "OX"]
    assert heavy.xyz_A[first, 1].tolist() == [0, 0, 0, 5, 7, 8]
    assert heavy.xyz_A[1].tolist() == model.residues.ca_xyz_A[0].tolist() == [1.9, 0, 0]


def test_a_ligand_has_its_most_occupied_conformer_first_on_a_tie(read):
    def ligand(occupancy_b: float) -> list[float]:
        atoms = [
            A("C1", "LIG", number=9, xyz=(x, 50, 0), altloc=letter, occupancy=occ, het=True)
            for letter, x, occ in (("A", 1.0, 0.5), ("B", 2.0, occupancy_b))
        ]
        heavy = read(pdb(*chain_of("ALA", "GLY"), TER, *atoms)).heavy
        return heavy.xyz_A[heavy.kind == OTHER, 0].tolist()

    assert ligand(0.5) == [1.0]
    assert ligand(0.6) == [2.0]


def test_a_point_mutation_counts_once(read):
    model = read(
        pdb(
            *backbone("SER", 1, altloc="A", occupancy=0.4),
            A("OG", "SER", xyz=(0, 6, 0), altloc="A", occupancy=0.4),
            *backbone("VAL", 1, at=0.3, altloc="B", occupancy=0.6),
            A("CG1", "VAL", xyz=(0, 7, 0), altloc="B", occupancy=0.6),
            *backbone("GLY", 2, at=4.2),
        )
    )
    assert model.residues.residue_name.tolist() == ["VAL", "GLY"]
    assert model.heavy.atom_name.tolist() == ["N", "CA", "C", "O", "CG1", "N", "CA", "C", "O"]
    assert model.heavy.residue_index.tolist() == [0] * 5 + [1] * 4


def test_zero_occupancy_as_the_table_has_it(read):
    text = pdb(
        *backbone("SER", 1),
        A("OG", "SER", xyz=(0, 6, 0), occupancy=0.0),
        *backbone("ALA", 2, at=4.2, names="N CA C", occupancy=0.0),
    )
    assert len(read(text).heavy) == 8
    left = read(text, zero_occupancy="exclude")
    assert left.heavy.atom_name.tolist() == ["N", "CA", "C", "O"]
    assert len(left.residues) == 1


def test_elements_that_the_file_does_not_tell(read):
    heavy = read(
        mmcif(
            *(A(name, xyz=(i, 0, 0), element="X") for i, name in enumerate(["N", "CA", "C", "O"])),
            A("SG", xyz=(9, 0, 0), element="X"),
            A("1HB", xyz=(9, 1, 0), element="X"),
            A("U1", "UNX", "B", xyz=(30, 0, 0), element="X", het=True),
            A("CA", "UNL", "C", xyz=(40, 0, 0), element="X", het=True),
            A("N", "DUM", "D", xyz=(50, 0, 0), het=True),
        )
    ).heavy
    assert heavy.atom_name.tolist() == ["N", "CA", "C", "O", "SG", "U1", "CA"]
    # Of a ligand a name tells nothing: CA may be calcium.
    assert heavy.element.tolist() == [7, 6, 6, 8, 16, 0, 0]


def test_the_first_model_only(read):
    both = [*chain_of("ALA", "GLY"), *chain_of("ALA", "GLY", at=50.0, model=2)]
    heavy = read(pdb(*both)).heavy
    assert len(heavy) == 8
    assert heavy.xyz_A[:, 0].max() < 20


# n protein, nucleic and other, each counted by `counted` and pinned here
REAL = {
    "models/9be6.cif": (5959, 5204, 0),
    "models/7bv2.pdb": (8064, 524, 37),
    "models/1ema.cif": (1771, 0, 0),
    "models/7a4m.cif": (1409, 0, 2),
    "models/4i39.cif": (976, 0, 11),
    "models/8zpm.cif": (3140, 0, 82),
    "models/1l2y.cif": (154, 0, 0),
    "models/1igy.cif": (10032, 0, 220),
}


def counted(path) -> set[tuple[str, str, str]]:
    """Distinct heavy atoms of the first model by chain, residue number and atom name, not water."""
    found = set()
    for chain in gemmi.read_structure(str(path))[0]:
        for residue in chain:
            if residue.name not in ("HOH", "DOD"):
                for atom in residue:
                    if atom.element.name not in ("H", "D"):
                        found.add((chain.name, f"{residue.seqid} {residue.name}", atom.name))
    return found


@pytest.mark.parametrize("name", REAL)
def test_atoms_of_deposited_models(shared_data, name):
    model = read_atomic_model(shared_data / name)
    heavy, table = model.heavy, model.residues
    assert np.bincount(heavy.kind, minlength=3).tolist() == list(REAL[name])
    assert len(heavy) == len(counted(shared_data / name))
    assert set(heavy.element.tolist()) <= set(range(2, 119))
    for atom in ("N", "CA", "C", "O"):
        rows = np.flatnonzero((heavy.atom_name == atom) & (heavy.residue_index >= 0))
        carbon = heavy.element[rows] == {"N": 7, "O": 8}.get(atom, 6)
        rows = rows[carbon]
        expected = getattr(table, f"{atom.lower()}_xyz_A")
        assert len(rows) == np.isfinite(expected).all(axis=1).sum()
        np.testing.assert_array_equal(heavy.xyz_A[rows], expected[heavy.residue_index[rows]])
    inside = heavy.residue_index >= 0
    index = heavy.residue_index[inside]
    assert (np.diff(index) >= 0).all()
    np.testing.assert_array_equal(heavy.residue_name[inside], table.residue_name[index])
    np.testing.assert_array_equal(heavy.chain[inside], table.chain[index])
    np.testing.assert_array_equal(heavy.label_asym_id[inside], table.label_asym_id[index])


def test_what_is_no_amino_acid_in_deposited_models(shared_data):
    def names(file: str, kind: int) -> set[str]:
        heavy = read_atomic_model(shared_data / "models" / file).heavy
        return set(heavy.residue_name[heavy.kind == kind].tolist())

    assert names("7bv2.pdb", OTHER) == {"F86", "POP", "ZN", "MG"}
    assert names("7bv2.pdb", NUCLEIC) == {"A", "C", "G", "U"}
    assert names("8zpm.cif", OTHER) == {"A1D8L", "CLR"}
    assert names("7a4m.cif", OTHER) == {"FE", "ZN"}
    green = read_atomic_model(shared_data / "models" / "1ema.cif").heavy
    chromophore = green.residue_name == "CRO"
    assert chromophore.sum() == 22
    assert set(green.kind[chromophore]) == {PROTEIN}
    assert set(green.residue_index[chromophore]) == {-1}
