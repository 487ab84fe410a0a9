"""Labels of nucleic acids: classes by name, collisions, and two complexes read with gemmi."""

from __future__ import annotations

from collections import Counter

import gemmi
import numpy as np
import pytest

from c2s_data.schema import NUCLEIC_BASE_CLASSES
from c2s_data.transforms.label_window import Grid
from c2s_data.transforms.nucleic_labels import (
    BASE,
    BASE_OF_RESIDUE,
    C1,
    PHOSPHATE,
    SUGAR,
    atom_classes,
    nucleic_labels,
)

GRID = Grid((9, 12, 15), (-4.0, 2.5, 30.0))


def at(*voxels_zyx: tuple[float, float, float]) -> np.ndarray:
    return np.array(voxels_zyx)[:, ::-1] + GRID.origin_xyz_A


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["P", "OP1", "OP2", "OP3", "O1P", "PA", "O2B", "O3G"], PHOSPHATE),
        (["C1'", "C1*"], C1),
        (["O5'", "C5'", "C4'", "O4'", "C3'", "O3'", "C2'", "O2'", "CM2'", "O2*"], SUGAR),
        (["N1", "C2", "O2", "N9", "C8", "C7", "C5M", "O6", "N6"], BASE),
    ],
)
def test_names_say_the_part(names, expected):
    assert atom_classes(names).tolist() == [expected] * len(names)


def test_bases_are_those_of_the_chemical_table():
    letters = {1: "A", 2: "C", 3: "G", 4: "UT"}
    n_tabulated = 0
    for name, base in BASE_OF_RESIDUE.items():
        info = gemmi.find_tabulated_residue(name)
        if info.found():  # rare modifications are not
            assert info.is_nucleic_acid(), name
            assert info.one_letter_code.upper() in letters[base], name
            n_tabulated += 1
    assert n_tabulated > 20
    assert set(BASE_OF_RESIDUE.values()) == {1, 2, 3, 4}
    assert NUCLEIC_BASE_CLASSES[4] == "U or T"


def test_each_atom_labels_its_voxel_and_c1_the_base():
    xyz = at((1, 2, 3), (4, 5, 6), (4, 5, 7.4), (8, 11, 14), (0, 0, 0))
    result = nucleic_labels(
        xyz, ["P", "C1'", "N9", "C1'", "C1'"], ["G", "G", "G", "DT", "XYZ"], GRID
    )
    assert result.atom.index_zyx.tolist() == [
        [0, 0, 0], [1, 2, 3], [4, 5, 6], [4, 5, 7], [8, 11, 14],
    ]  # fmt: skip
    assert result.atom.value.tolist() == [C1, PHOSPHATE, C1, BASE, C1]
    # The unknown residue XYZ has an atom, and no base.
    assert result.base.index_zyx.tolist() == [[4, 5, 6], [8, 11, 14]]
    assert result.base.value.tolist() == [3, 4]
    assert (result.n_outside, result.n_collisions) == (0, 0)


def test_the_phosphate_keeps_a_shared_voxel_and_the_first_of_equals():
    xyz = at((3, 3, 3.1), (3, 3, 2.9), (3, 3.2, 3), (3, 2.8, 3), (5, 5, 5.1), (5, 5, 5))
    names = ["N1", "O4'", "C1'", "C1'", "C1'", "P"]
    result = nucleic_labels(xyz, names, ["A", "A", "C", "U", "G", "G"], GRID)
    assert result.atom.value.tolist() == [C1, PHOSPHATE]
    assert result.base.value.tolist() == [2, 3]  # the mask of bases knows C1' alone
    assert result.n_collisions == 4


def test_atoms_outside_are_dropped_and_counted():
    xyz = at((-1, 0, 0), (0, 12, 0), (0, 0, 14.6), (8.4, 11.4, 14.4), (0, -0.6, 0))
    result = nucleic_labels(xyz, ["C1'"] * 5, ["A"] * 5, GRID)
    assert result.n_outside == 4
    assert result.atom.index_zyx.tolist() == [[8, 11, 14]]


def test_the_rule_of_the_paper_is_a_floor():
    xyz = at((2.9, 3.9, 4.9))
    found = [
        nucleic_labels(xyz, ["P"], ["A"], GRID, rule=rule).atom.index_zyx.tolist()
        for rule in ("formula1", "nearest")
    ]
    assert found == [[[2, 3, 4]], [[3, 4, 5]]]


def test_nothing_gives_nothing():
    result = nucleic_labels(np.empty((0, 3)), [], [], GRID)
    assert result.atom.index_zyx.shape == result.base.index_zyx.shape == (0, 3)


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="2 positions, 1 atom names, 2 residue names"):
        nucleic_labels(at((1, 2, 3), (1, 2, 4)), ["P"], ["A", "A"], GRID)


@pytest.mark.parametrize(("name", "n_nucleotides"), [("9be6.cif", 254), ("7bv2.pdb", 25)])
def test_every_nucleotide_of_a_complex_is_labeled(shared_data, name, n_nucleotides):
    structure = gemmi.read_structure(str(shared_data / "models" / name))
    structure.setup_entities()
    structure.remove_alternative_conformations()
    structure.remove_hydrogens()
    residues = [
        residue
        for chain in structure[0]
        for residue in chain
        if residue.entity_type == gemmi.EntityType.Polymer
        and gemmi.find_tabulated_residue(residue.name).is_nucleic_acid()
    ]
    assert len(residues) == n_nucleotides
    atoms = [(atom, residue.name) for residue in residues for atom in residue]
    xyz = np.array([atom.pos.tolist() for atom, _ in atoms])
    low = xyz.min(axis=0) - 4.3
    shape = tuple(int(n) for n in (xyz.max(axis=0) - low + 5)[::-1])
    grid = Grid(shape, tuple(low.tolist()))
    result = nucleic_labels(xyz, [a.name for a, _ in atoms], [r for _, r in atoms], grid)

    assert result.n_outside == 0
    assert len(result.atom.value) + result.n_collisions == len(atoms)
    assert result.n_collisions < 0.02 * len(atoms)
    counts = Counter(result.atom.value.tolist())
    assert counts[C1] == len(residues)
    n_phosphorus = sum(atom.element == gemmi.Element("P") for atom, _ in atoms)
    assert 2.7 * n_phosphorus < counts[PHOSPHATE] <= 3.2 * n_phosphorus
    letters = Counter(gemmi.find_tabulated_residue(r.name).one_letter_code for r in residues)
    expected = {
        number: sum(letters[code] for code in codes if code in letters)
        for number, codes in ((1, "Aa"), (2, "Cc"), (3, "Gg"), (4, "UuTt"))
    }
    found = Counter(result.base.value.tolist())
    assert {number: found[number] for number in expected} == expected
    for residue in residues:
        sugar = residue.find_atom("C1'", "*")
        voxel = np.rint(np.array(sugar.pos.tolist()) - low).astype(int)[::-1]
        assert result.base.to_dense(shape)[tuple(voxel)] == BASE_OF_RESIDUE[residue.name]
