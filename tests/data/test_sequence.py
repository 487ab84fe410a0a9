"""Sequences of chains, and where observed residues stand in them."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest
from atom_records import TER, A, backbone, chain_of, loop, mmcif, pdb
from model_mutants import model_mutant

from c2s_data.errors import ModelError, ModelReason
from c2s_data.schema import AMINO_ACIDS
from c2s_data.sources.atomic_model import read_atomic_model
from c2s_data.sources.fasta import parse_fasta, read_fasta
from c2s_data.sources.residue_letter import AMINO_LETTERS, amino_letter, base_letter, plain_letters
from c2s_data.sources.sequence import ChainSequence, chain_sequences
from c2s_data.sources.sequence_table import sequence_facts, sequence_notes, sequence_places
from c2s_data.sources.structure_file import read_structure

ORF3A, APOLIPOPROTEIN = (193, 284), (31, 210)
WITH_SEQUENCE = [
    "models/1ema.cif", "models/1igy.cif", "models/1l2y.cif", "models/4i39.cif", "models/7a4m.cif",
    "models/7bv2.pdb", "models/7kjr.pdb", "models/8hb0.pdb", "models/8zpm.cif", "models/9be6.cif",
    "pairs/4ci0.pdb", "pairs/4uft_af3.cif", "pairs/6gyn.pdb",
]  # fmt: skip
CHAIN_OF_FIVE = ("ALA", "GLY", "MSE", "SER", "LEU")


def entity_sequence(*names: str) -> str:
    rows = [f"1 {number} {name}" for number, name in enumerate(names, start=1)]
    return loop("entity_poly_seq", "entity_id num mon_id", rows)


def check_7kjr(chains: tuple[ChainSequence, ...], path: Path, source: str) -> None:
    """Chain by chain 448 of 448; the author numbers count from each construct's own start."""
    assert [(c.chain, c.n_observed, c.length) for c in chains] == [
        ("A", *ORF3A), ("B", *ORF3A), ("C", *APOLIPOPROTEIN), ("D", *APOLIPOPROTEIN),
    ]  # fmt: skip
    numbers = {c.name: [r.seqid.num for r in c.get_polymer()] for c in read_with_entities(path)[0]}
    for chain in chains:
        offset = 1 if chain.chain in "AB" else 2
        assert chain.observed.tolist() == [number - offset for number in numbers[chain.chain]]
        assert chain.observed_letters == "".join(chain.sequence[i] for i in chain.observed)
        assert (chain.n_mismatches, chain.n_unaligned, chain.source) == (0, 0, source)
        assert chain.n_missing == chain.length - chain.n_observed
        assert chain.coverage == pytest.approx(chain.n_observed / chain.length)
    assert sequence_facts(chains) == {
        "n_sequence_residues": 988,
        "n_observed_residues": 448,
        "sequence_mismatches": 0,
        "sequence_source": source,
    }


def read_with_entities(path: Path) -> gemmi.Structure:
    structure = gemmi.read_structure(str(path))
    structure.setup_entities()
    return structure


def test_448_of_448_residues_of_7kjr(shared_data: Path) -> None:
    path = shared_data / "models" / "7kjr.pdb"
    records = read_fasta(shared_data / "models" / "7KJR.fasta")
    chains = chain_sequences(path, records)
    check_7kjr(chains, path, "seqres")
    assert [chain.sequence for chain in chains] == [
        records[number].sequence for number in (0, 0, 1, 1)
    ]
    assert sequence_notes(chains) == ()
    assert chains[2].description == "Apolipoprotein A-I|Homo sapiens (9606)"


def atom_sites(path: Path) -> dict[tuple[str, int], str]:
    """Names by label_asym_id and label_seq_id, straight from the table of the file."""
    block = gemmi.cif.read(str(path)).sole_block()
    columns = ["label_asym_id", "label_seq_id", "label_comp_id", "pdbx_PDB_model_num"]
    rows = block.find("_atom_site.", columns)
    return {(r[0], int(r[1])): r[2] for r in rows if r[1] != "." and r[3] == "1"}


@pytest.mark.parametrize("name", ["1igy", "9be6", "8zpm", "7a4m", "1ema", "4i39"])
def test_mmcif_by_its_own_tables(shared_data: Path, name: str) -> None:
    path = shared_data / "models" / f"{name}.cif"
    sites, block = atom_sites(path), gemmi.cif.read(str(path)).sole_block()
    deposited = {
        row[0]: gemmi.cif.as_string(row[1]).replace("\n", "")
        for row in block.find("_entity_poly.", ["entity_id", "pdbx_seq_one_letter_code_can"])
    }
    chains = chain_sequences(path)
    assert sum(chain.n_observed for chain in chains) == len(sites)
    for chain in chains:
        observed = sorted(n - 1 for asym, n in sites if asym == chain.label_asym_id)
        assert chain.observed.tolist() == observed
        of_table = deposited[chain.entity]
        if name == "1ema":  # a chromophore of three residues is one place
            assert of_table[64:67] == "GYG"
            of_table = of_table[:64] + "X" + of_table[67:]
        assert chain.sequence == of_table
        letter = amino_letter if chain.kind == "protein" else base_letter
        known = {n - 1: letter(comp) for (a, n), comp in sites.items() if a == chain.label_asym_id}
        expected = ["X" if chain.sequence[i] == "X" else known[i] for i in observed]
        assert chain.observed_letters == "".join(expected)


@pytest.mark.parametrize("name", WITH_SEQUENCE)
@pytest.mark.parametrize("zero_occupancy", ["keep", "exclude"])
def test_rows_of_the_residue_table_stand_where_the_file_says(shared_data, name, zero_occupancy):
    table = read_atomic_model(shared_data / name, zero_occupancy=zero_occupancy).residues
    chains = chain_sequences(shared_data / name)
    chain_number, sequence_index = sequence_places(table, chains)
    np.testing.assert_array_equal(sequence_index, table.label_seq_id - 1)
    assert [chains[n].chain for n in chain_number] == table.chain.tolist()
    assert [chains[n].label_asym_id for n in chain_number] == table.label_asym_id.tolist()
    letters = [chains[n].sequence[i] for n, i in zip(chain_number, sequence_index, strict=True)]
    assert letters == [AMINO_LETTERS[c] for c in table.amino_class]


def test_protein_and_nucleic_acid_are_kept_apart(shared_data: Path) -> None:
    chains = chain_sequences(shared_data / "models" / "7bv2.pdb")
    assert [(c.chain, c.kind, c.n_observed) for c in chains] == [
        ("A", "protein", 834), ("B", "protein", 114), ("C", "protein", 63),
        ("P", "nucleic", 11), ("T", "nucleic", 14),
    ]  # fmt: skip
    facts = sequence_facts(chains)  # the published 1,036 are these and 25 nucleotides
    assert (facts["n_observed_residues"], facts["n_sequence_residues"]) == (1011, 951 + 207 + 92)
    histones = chain_sequences(shared_data / "models" / "9be6.cif")
    assert [c.kind for c in histones] == ["protein"] * 8 + ["nucleic"] * 2
    assert set(histones[8].sequence) <= set("ACGT")


def test_insertion_codes_do_not_disturb_the_count(shared_data: Path) -> None:
    path = shared_data / "models" / "1igy.cif"
    table, chains = read_atomic_model(path).residues, chain_sequences(path)
    heavy = (table.chain == "B") & (table.auth_seq_id == 82)
    number, index = sequence_places(table, chains)
    assert set(number[heavy].tolist()) == {1}
    assert np.diff(index[heavy]).tolist() == [1, 1, 1]
    letters = "".join(chains[1].sequence[i] for i in index[heavy])
    assert letters == "".join(AMINO_LETTERS[c] for c in table.amino_class[heavy])


def test_modified_residues_caps_and_unknown_ones(tmp_path: Path) -> None:
    names = ("ACE", "ALA", "MSE", "UNK", "SEC", "SEP", "LEU")
    atoms = [A("C", "ACE", number=1, xyz=(-1.4, 0.0, 0.0), label_seq=1)]
    for number, name in enumerate(names[1:], start=2):
        if name != "SEP":  # not observed
            atoms += backbone(name, number, 4.2 * (number - 2), label_seq=number)
    path = tmp_path / "x.cif"
    path.write_text(mmcif(*atoms, extra=entity_sequence(*names)))
    (chain,) = chain_sequences(path)
    assert (chain.sequence, chain.source) == ("XAMXUSL", "entity")
    assert (chain.observed.tolist(), chain.observed_letters) == ([0, 1, 2, 3, 4, 6], "XAMXUL")
    assert (chain.n_missing, chain.n_mismatches, chain.coverage) == (1, 0, pytest.approx(6 / 7))
    table = read_atomic_model(path).residues
    assert sequence_places(table, [chain]).sequence_index.tolist() == [1, 2, 3, 4, 6]


@pytest.mark.parametrize("names", [("CYS", "SER"), ("SER", "CYS")])
def test_a_point_mutation_is_one_residue(tmp_path: Path, names: tuple[str, str]) -> None:
    two = [
        *backbone("CYS", 2, 4.2, altloc="A", occupancy=0.4, label_seq=2),
        *backbone("SER", 2, 4.3, altloc="B", occupancy=0.6, label_seq=2),
    ]
    atoms = [
        *backbone("ALA", 1, label_seq=1),
        *two,
        *backbone("GLY", 3, 8.4, label_seq=3),
    ]
    sequence = loop(
        "entity_poly_seq",
        "entity_id num mon_id",
        ["1 1 ALA", *(f"1 2 {name}" for name in names), "1 3 GLY"],
    )
    path = tmp_path / "x.cif"
    path.write_text(mmcif(*atoms, extra=sequence))
    (chain,) = chain_sequences(path)
    sequence = f"A{names[0][0]}G"
    assert (chain.sequence, chain.observed.tolist()) == (sequence, [0, 1, 2])
    assert (chain.observed_letters, chain.n_mismatches, chain.n_missing) == (sequence, 0, 0)
    table = read_atomic_model(path).residues
    assert table.residue_name.tolist() == ["ALA", "SER", "GLY"]
    assert sequence_places(table, [chain]).sequence_index.tolist() == [0, 1, 2]


@pytest.mark.parametrize("bad", [0, -1, 6, 2_000_000_000])
def test_a_place_outside_the_sequence_is_none(tmp_path: Path, bad: int) -> None:
    atoms = [*chain_of(*CHAIN_OF_FIVE)]
    numbers = {1: 1, 2: 2, 3: bad, 4: 4, 5: 5}
    atoms = [A(**(vars(a) | {"label_seq": numbers[a.number]})) for a in atoms]
    path = tmp_path / "x.cif"
    text = mmcif(*atoms, extra=entity_sequence(*CHAIN_OF_FIVE))
    path.write_text(text.replace(" MSE A 1 . ", f" MSE A 1 {bad} "))
    (chain,) = chain_sequences(path)
    assert chain.observed.tolist() == [0, 1, -1, 3, 4]
    assert (chain.n_unaligned, chain.n_missing, chain.n_mismatches) == (1, 1, 0)
    assert sequence_facts([chain])["n_observed_residues"] == 4
    assert sequence_facts([chain])["sequence_mismatches"] == 1
    assert sequence_notes([chain]) == (
        "chain A: observed residues without a place in the sequence",
    )


def test_residues_of_another_type_than_the_sequence_are_counted(tmp_path: Path) -> None:
    atoms = [A(**(vars(a) | {"label_seq": a.number})) for a in chain_of("ALA", "UNK", "ALA")]
    path = tmp_path / "x.cif"
    path.write_text(mmcif(*atoms, extra=entity_sequence("ALA", "GLY", "GLY")))
    (chain,) = chain_sequences(path)
    assert (chain.sequence, chain.observed_letters) == ("AGG", "AXA")
    assert chain.n_mismatches == 1


def test_without_any_sequence_the_observed_one_is_flagged(tmp_path: Path) -> None:
    path = tmp_path / "x.pdb"
    path.write_text(pdb(*chain_of(*CHAIN_OF_FIVE), TER, *chain_of("TRP", chain="B", at=60.0)))
    chains = chain_sequences(path)
    assert [(c.chain, c.sequence, c.source) for c in chains] == [
        ("A", "AGMSL", "observed"), ("B", "W", "observed"),
    ]  # fmt: skip
    assert sequence_notes(chains) == ("chains A, B: no sequence but that of the observed residues",)
    assert sequence_facts(chains)["sequence_source"] == "observed"
    places = sequence_places(read_atomic_model(path).residues, chains)
    assert places.chain_number.tolist() == [0, 0, 0, 0, 0, 1]
    assert places.sequence_index.tolist() == [0, 1, 2, 3, 4, 0]


def test_copies_of_an_assembly_stand_where_their_original_does(tmp_path: Path) -> None:
    import dataclasses

    path = tmp_path / "x.pdb"
    path.write_text(pdb(*chain_of("ALA", "GLY"), TER, *chain_of("SER", chain="B", at=60.0)))
    table, chains = read_atomic_model(path).residues, chain_sequences(path)
    tiled = {
        field.name: np.concatenate([getattr(table, field.name)] * 2)
        for field in dataclasses.fields(table)
    }
    suffix = np.repeat(["", "-2"], len(table))
    for column in ("chain", "label_asym_id"):
        tiled[column] = np.char.add(tiled[column], suffix)
    places = sequence_places(type(table)(**tiled), chains)
    assert places.chain_number.tolist() == [0, 0, 1] * 2
    assert places.sequence_index.tolist() == [0, 1, 0] * 2
    elsewhere = dataclasses.replace(table, chain=np.array(["Q"] * 3))
    assert sequence_places(elsewhere, chains).chain_number.tolist() == [-1] * 3


def test_a_structure_may_be_given_and_stays_as_it_is(shared_data: Path) -> None:
    path = shared_data / "models" / "7kjr.pdb"
    structure = read_structure(path)
    before = structure.make_pdb_string()
    check_7kjr(chain_sequences(structure), path, "seqres")
    assert structure.make_pdb_string() == before
    assert structure[0][0][0].label_seq is None


def test_letters() -> None:
    assert [amino_letter(name) for name in AMINO_ACIDS] == list("ARNDCQEGHILKMFPSTWYV")
    assert plain_letters("ma(MSE)g(XYZ)-*.u") == "MAMGXU"
    assert [base_letter(name) for name in ("A", "DA", "U", "PSU", "HOH", "ALA")] == list("AAUUXX")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        chain_sequences(tmp_path / "absent.cif")
    assert caught.value.reason is ModelReason.NOT_FOUND


def test_damaged_models_give_sequences_or_a_refusal(tmp_path: Path, fuzz_factor: int) -> None:
    path, n_read = tmp_path / "x.cif", 0
    records = parse_fasta(">a|Chain A|\nAGMSL\n>b\nCAG\n")
    n = 800 * fuzz_factor
    for number in range(n):
        path.write_bytes(model_mutant(7, number).content)
        try:
            chains = chain_sequences(path, records)
            table = read_atomic_model(path).residues
        except ModelError:
            continue
        n_read += 1
        places = sequence_places(table, chains)
        assert (places.chain_number >= 0).all()
        for place, row in zip(*places, strict=True):
            assert -1 <= row < chains[place].length
        assert sequence_facts(chains)["n_sequence_residues"] > 0
    assert n_read > n // 10
