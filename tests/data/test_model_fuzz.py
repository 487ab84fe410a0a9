"""Damaged atomic models: finite coordinates or a `ModelError`, and nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import gemmi
import numpy as np
import pytest
from atom_records import A, backbone, chain_of, loop, mmcif, pdb
from model_mutants import bases, model_mutant
from mutant_checks import model_outcome

from c2s_data.errors import ModelError, ModelReason
from c2s_data.sources import structure_file
from c2s_data.sources.atomic_model import read_atomic_model

SEED = 20260101
MODELS = 8_000


@pytest.mark.parametrize("block", range(4))
def test_every_mutant_is_a_model_or_a_refusal(tmp_path: Path, block: int, fuzz_factor: int) -> None:
    path, n = tmp_path / "x.cif", MODELS * fuzz_factor // 4
    found: Counter[ModelReason | None] = Counter()
    for number in range(block * n, (block + 1) * n):
        path.write_bytes(model_mutant(SEED, number).content)
        found[model_outcome(path)] += 1
    assert set(found) == {
        None,
        ModelReason.UNREADABLE,
        ModelReason.BAD_COORDINATES,
        ModelReason.NO_PROTEIN,
    }
    assert found[None] > n // 10


def test_what_the_mutants_come_from_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "x.cif"
    for content in bases():
        path.write_bytes(content)
        assert model_outcome(path) is None
    assert model_mutant(SEED, 5) == model_mutant(SEED, 5)


def refusal(path: Path, text: bytes) -> ModelError:
    path.write_bytes(text)
    with pytest.raises(ModelError) as caught:
        read_atomic_model(path)
    assert caught.value.reason == ModelReason.UNREADABLE
    return caught.value


@pytest.mark.parametrize(
    ("found", "bad"), [(b"CA  ALA", b"C\xb1  ALA"), (b"ALA A", b"AL\xff A"), (b"HELIX", b"HELIX")]
)
def test_a_name_that_is_no_text_is_refused(tmp_path: Path, found: bytes, bad: bytes) -> None:
    head = "HELIX    1  H1 ALA A    1  GLY A    3  1                                   3    \n"
    text = pdb(*chain_of("ALA", "GLY", "SER"), head=head).encode()
    if found == bad:  # the chain name of a record, which only this reader looks at
        text = text.replace(b"ALA A    1  GLY", b"ALA \xb1    1  GLY")
    assert "is not text" in str(refusal(tmp_path / "x.pdb", text.replace(found, bad)))


def test_latin_letters_in_remarks_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "x.pdb").write_bytes(b"AUTHOR    M\xfcLLER\n" + pdb(*chain_of("ALA")).encode())
    assert len(read_atomic_model(tmp_path / "x.pdb").residues) == 1


def test_names_of_eight_letters_are_read(tmp_path: Path) -> None:
    atoms = chain_of("ALA", "GLY", chain="CHAIN_NUMBER_ONE", label_asym="SUBCHAIN_ONE")
    ligand = A("O", "LIGAND_12", number=9, xyz=(1.0, 2.0, 3.0), chain="B", het=True)
    (tmp_path / "x.cif").write_text(mmcif(*atoms, ligand, entities="1 polymer,2 non-polymer"))
    table = read_atomic_model(tmp_path / "x.cif").residues
    assert table.chain.tolist() == ["CHAIN_NUMBER_ONE"] * 2
    np.testing.assert_array_equal(table.ca_xyz_A[:, 0], [1.4, 5.6])
    with pytest.raises(RuntimeError, match="8\\+ char"):
        gemmi.FlatStructure(gemmi.read_structure(str(tmp_path / "x.cif")))


def test_long_names_are_refused(tmp_path: Path) -> None:
    text = mmcif(*chain_of("ALA", chain="A" * 65), *backbone("GLY", 1, 9.0, chain="B"))
    assert "has 65 letters" in str(refusal(tmp_path / "x.cif", text.encode()))


def test_a_sequence_too_long_to_align_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(structure_file, "MAX_ALIGNMENT", 11)
    sequence = loop("entity_poly_seq", "entity_id num mon_id", [f"1 {n} ALA" for n in range(1, 7)])
    chain = chain_of("ALA", "ALA")
    text = mmcif(*chain, extra=sequence)
    assert "has 2 residues, its sequence 6" in str(refusal(tmp_path / "x.cif", text.encode()))
    numbered = [A(**(vars(atom) | {"label_seq": atom.number})) for atom in chain]
    (tmp_path / "x.cif").write_text(mmcif(*numbered, extra=sequence))
    assert read_atomic_model(tmp_path / "x.cif").residues.label_seq_id.tolist() == [1, 2]


@pytest.mark.parametrize(("x", "fits"), [("1e6", True), ("-1e6", True), ("1000001", False)])
def test_a_position_beyond_any_map_is_refused(tmp_path: Path, x: str, fits: bool) -> None:
    path = tmp_path / "x.cif"
    path.write_text(mmcif(*chain_of("ALA", "GLY")).replace(" 1.4 ", f" {x} "))
    assert model_outcome(path) == (None if fits else ModelReason.BAD_COORDINATES)
