"""Helix, coil and strand files: together the protein, apart the classes; and back to a model."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import gemmi
import numpy as np
import pytest

from c2s_data.errors import ModelError
from c2s_data.records.structure_parts import (
    fits_pdb,
    put_together,
    structure_parts,
    write_structure,
)
from c2s_data.sources.atomic_model import read_atomic_model

CLASSES = {1: "coil", 2: "helix", 3: "strand"}


def columns(path: Path, secondary: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Columns of a store's residue table, secondary structure from the file's records if given."""
    table = read_atomic_model(path).residues
    names = ("chain", "auth_seq_id", "insertion_code", "residue_name")
    found = {name: getattr(table, name) for name in names}
    return found | {"secondary": table.record_secondary if secondary is None else secondary}


def atoms_of(structure: gemmi.Structure, residues=lambda chain, residue: True) -> list[tuple]:
    """Every atom of the first model, read residue by residue."""
    return sorted(
        (
            *(chain.name, str(residue.seqid), residue.name, atom.name, atom.altloc),
            *(round(value, 3) for value in atom.pos.tolist()),
        )
        for chain in structure[0]
        for residue in chain
        if residues(chain, residue)
        for atom in residue
    )


def written(path: Path, table: dict[str, np.ndarray], folder: Path) -> dict[int, Path]:
    parts = structure_parts(path, table)
    files = {}
    for secondary, name in CLASSES.items():
        files[secondary] = folder / f"x_{name}{parts.suffix}"
        parts.write(secondary, files[secondary])
    return files


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("7kjr.pdb", ".pdb"),  # two chains, lipids
        ("1igy.cif", ".pdb"),  # insertion codes, sugars
        ("4i39.cif", ".pdb"),  # every atom has an alternative location
        ("1ema.cif", ".pdb"),  # modified residues and a chromophore
        ("1l2y.cif", ".pdb"),  # 38 models
        ("9be6.cif", None),  # nucleic acid too
    ],
)
def test_parts_are_the_protein_and_nothing_twice(
    shared_data: Path, tmp_path: Path, name: str, suffix: str | None
) -> None:
    path = shared_data / "models" / name
    rng = np.random.default_rng(5)
    table = columns(path)
    table["secondary"] = rng.integers(1, 4, len(table["chain"]), dtype=np.uint8)
    files = written(path, table, tmp_path)
    assert suffix in (None, files[1].suffix)
    found = [atoms_of(gemmi.read_structure(str(file))) for file in files.values()]
    # The oracle: gemmi's own entities, by the chemical table.
    whole = gemmi.read_structure(str(path))
    whole.setup_entities()
    protein = atoms_of(
        whole,
        lambda _, residue: (
            residue.entity_type == gemmi.EntityType.Polymer
            and gemmi.find_tabulated_residue(residue.name).is_amino_acid()
        ),
    )
    assert sorted(chain.from_iterable(found)) == protein


def test_parts_hold_the_residues_of_their_class(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "models" / "7kjr.pdb"
    files = written(path, columns(path), tmp_path)
    counts = {}
    for secondary, file in files.items():
        structure = gemmi.read_structure(str(file))
        counts[CLASSES[secondary]] = sum(len(chain) for chain in structure[0])
        assert file.read_text().count("TER") >= 1
    # Golden values of the published programs.
    assert counts == {"coil": 92, "helix": 256, "strand": 100}


def test_atom_numbers_are_those_of_the_model(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "models" / "7kjr.pdb"
    lines = {line[6:54] for line in path.read_text().splitlines() if line.startswith("ATOM")}
    for file in written(path, columns(path), tmp_path).values():
        part = [line for line in file.read_text().splitlines() if line.startswith("ATOM")]
        assert part
        assert {line[6:54] for line in part} <= lines


def test_a_model_comes_back_from_its_parts(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "models" / "7kjr.pdb"
    whole = put_together(written(path, columns(path), tmp_path))
    write_structure(whole, tmp_path / "whole.cif", ".cif")
    one, other = (read_atomic_model(p).residues for p in (path, tmp_path / "whole.cif"))
    for name in ("chain", "auth_seq_id", "residue_name", "ca_xyz_A", "o_xyz_A", "record_secondary"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert read_atomic_model(tmp_path / "whole.cif").has_records


def many_chains(path: Path, n_chains: int, name=lambda number: f"C{number}") -> Path:
    """An mmCIF model of chains of three alanines each."""
    structure = gemmi.Structure()
    model = gemmi.Model(1)
    for number in range(n_chains):
        chain = gemmi.Chain(name(number))
        for place in range(3):
            residue = gemmi.Residue()
            residue.name, residue.seqid = "ALA", gemmi.SeqId(place + 1, " ")
            for step, (atom_name, element) in enumerate(
                (("N", "N"), ("CA", "C"), ("C", "C"), ("O", "O"), ("CB", "C"))
            ):
                atom = gemmi.Atom()
                atom.name, atom.element, atom.occ = atom_name, gemmi.Element(element), 1.0
                atom.pos = gemmi.Position(1.2 * step + 3.6 * place, 9.0 * number, 2.0)
                residue.add_atom(atom)
            chain.add_residue(residue)
        model.add_chain(chain)
    structure.add_model(model)
    structure.setup_entities()
    structure.assign_serial_numbers()
    structure.make_mmcif_document().write_file(str(path))
    return path


def test_more_chains_than_a_pdb_file_can_name_stay_mmcif(tmp_path: Path) -> None:
    path = many_chains(tmp_path / "capsid.cif", 63)
    table = columns(path, np.tile(np.array([2, 1, 3], np.uint8), 63))
    files = written(path, table, tmp_path)
    assert {file.suffix for file in files.values()} == {".cif"}
    for secondary, place in ((2, 1), (1, 2), (3, 3)):
        part = gemmi.read_structure(str(files[secondary]))
        assert [chain.name for chain in part[0]] == [f"C{number}" for number in range(63)]
        assert {str(residue.seqid) for chain in part[0] for residue in chain} == {str(place)}
    write_structure(put_together(files), tmp_path / "whole.cif", ".cif")
    one, other = (columns(p) for p in (path, tmp_path / "whole.cif"))
    np.testing.assert_array_equal(one["chain"], other["chain"])
    np.testing.assert_array_equal(other["secondary"], table["secondary"])


def test_what_a_pdb_file_can_hold(tmp_path: Path) -> None:
    def fits(change=lambda structure: None) -> bool:
        path = many_chains(tmp_path / "x.cif", 3, lambda number: "ABC"[number])
        structure = gemmi.read_structure(str(path))
        change(structure)
        return fits_pdb(structure)

    assert fits()
    atom = lambda structure: structure[0][1][2][0]  # noqa: E731
    assert fits(lambda s: setattr(atom(s), "pos", gemmi.Position(-999.999, 0, 9999.999)))
    assert not fits(lambda s: setattr(atom(s), "pos", gemmi.Position(0, -1000, 0)))
    assert not fits(lambda s: setattr(atom(s), "pos", gemmi.Position(0, 0, 10000)))
    assert not fits(lambda s: setattr(atom(s), "name", "CA123"))
    assert not fits(lambda s: setattr(s[0][1], "name", "AA"))
    assert not fits(lambda s: setattr(s[0][1][0], "name", "A1LU6"))
    assert not fits(lambda s: setattr(s[0][1][0], "seqid", gemmi.SeqId(10000, " ")))


def test_a_class_without_residues_is_an_empty_file(tmp_path: Path) -> None:
    for suffix, names in ((".pdb", "ABC"), (".cif", ("A1", "B1", "C1"))):
        path = many_chains(tmp_path / "x.cif", 3, lambda number, names=names: names[number])
        files = written(path, columns(path, np.full(9, 2, np.uint8)), tmp_path)
        assert files[3].suffix == suffix
        assert sum(m.count_atom_sites() for m in gemmi.read_structure(str(files[3]))) == 0
        whole = put_together(files)
        assert atoms_of(whole) == atoms_of(gemmi.read_structure(str(path)))
        assert (len(whole.helices), len(whole.sheets)) == (3, 0)


def test_residues_that_the_table_lacks_are_coil(tmp_path: Path) -> None:
    path = many_chains(tmp_path / "x.cif", 2, lambda number: "AB"[number])
    table = columns(path, np.full(6, 3, np.uint8))
    table = {name: values[:-2] for name, values in table.items()}
    parts = structure_parts(path, table)
    assert parts.n_unclassified == 2
    assert [value for _, value in sorted(parts.classes.items())] == [3, 3, 3, 3, 1, 1]


def test_parts_that_make_no_model_are_refused(tmp_path: Path) -> None:
    path = many_chains(tmp_path / "x.cif", 2, lambda number: "AB"[number])
    files = written(path, columns(path, np.array([1, 2, 3, 1, 2, 3], np.uint8)), tmp_path)
    with pytest.raises(ModelError, match="both hold ALA 2 of chain A"):
        put_together(files | {1: files[2]})
    with pytest.raises(ModelError, match="no such file"):
        put_together(files | {3: tmp_path / "none.pdb"})
    empty = tmp_path / "empty.pdb"
    empty.write_text("END\n")
    with pytest.raises(ModelError, match="no atom in any"):
        put_together(dict.fromkeys(files, empty))
