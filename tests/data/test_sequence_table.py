"""What a store keeps of the sequences, written and made into chains again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from c2s_data.sources.atomic_model import read_atomic_model
from c2s_data.sources.fasta import parse_fasta
from c2s_data.sources.sequence import ChainSequence, ObservedResidue, chain_sequences
from c2s_data.sources.sequence_table import (
    sequence_facts,
    sequence_notes,
    sequence_places,
    stored_chains,
    to_fasta,
)


def made_chain(name: str, sequence: str, places: list[int], letters: str = "", **other):
    observed = letters or "".join(sequence[place] for place in places)
    residues = tuple(ObservedResidue(name, n, "", ("ALA",)) for n, _ in enumerate(places))
    options = {"label_asym_id": name, "entity": "1", "kind": "protein", "source": "entity"} | other
    return ChainSequence(
        chain=name, sequence=sequence, observed=np.array(places, np.int32),
        observed_letters=observed, residues=residues, **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    "name", ["1igy.cif", "9be6.cif", "8zpm.cif", "7a4m.cif", "7kjr.pdb", "7bv2.pdb", "4i39.cif"]
)
def test_a_store_gives_the_chains_again(shared_data: Path, name: str) -> None:
    path = shared_data / "models" / name
    chains, table = chain_sequences(path), read_atomic_model(path).residues
    again = stored_chains(
        parse_fasta(to_fasta(chains, "EMD-1")),
        chain=table.chain,
        label_asym_id=table.label_asym_id,
        amino_class=table.amino_class,
        sequence_index=sequence_places(table, chains).sequence_index,
    )
    protein = [chain for chain in chains if chain.kind == "protein"]
    assert [(c.chain, c.label_asym_id, c.sequence) for c in again] == [
        (c.chain, c.label_asym_id, c.sequence) for c in protein
    ]
    for one, two in zip(again, protein, strict=True):
        np.testing.assert_array_equal(one.observed, two.observed)
        assert one.observed_letters == two.observed_letters
        assert (one.source, one.n_mismatches) == ("stored", 0)
    assert sequence_facts(again) | {"sequence_source": ""} == sequence_facts(chains) | {
        "sequence_source": ""
    }


def test_author_names_stand_in_the_headers(shared_data: Path) -> None:
    chains = chain_sequences(shared_data / "models" / "8zpm.cif")
    text = to_fasta(chains, "EMD-60334")
    assert [line for line in text.splitlines() if line[0] == ">"] == [
        ">EMD-60334_1|Chain A[auth R]|protein",
        ">EMD-60334_2|Chain B[auth N]|protein",
    ]
    assert [len(record.sequence) for record in parse_fasta(text)] == [486, 169]


def test_copies_share_a_record_and_kinds_do_not_mix(shared_data: Path) -> None:
    chains = chain_sequences(shared_data / "models" / "1igy.cif")
    assert [record.chains for record in parse_fasta(to_fasta(chains, "x"))] == [
        (("A", "A"), ("C", "C")),
        (("B", "B"), ("D", "D")),
    ]
    assert to_fasta(chains, "x", kind="nucleic") == ""
    mixed = chain_sequences(shared_data / "models" / "9be6.cif")
    nucleic = parse_fasta(to_fasta(mixed, "x", kind="nucleic"))
    assert [record.chains for record in nucleic] == [(("I", "I"),), (("J", "J"),)]
    assert len(parse_fasta(to_fasta(mixed, "x"))) == 8


def test_a_capsid_takes_several_records() -> None:
    chains = [made_chain(f"A{n}", "MDL", [0]) for n in range(1200)]
    records = parse_fasta(to_fasta(chains, "x"))
    assert [len(record.chains) for record in records] == [500, 500, 200]
    assert [name for record in records for name, _ in record.chains] == [c.chain for c in chains]
    assert {record.sequence for record in records} == {"MDL"}
    assert [record.header.split("|")[0] for record in records] == ["x_1", "x_2", "x_3"]


def test_the_facts_add_up() -> None:
    chains = [
        made_chain("A", "MDLFMR", [1, 2, 4]),
        made_chain("B", "MDLFMR", [0, -1, 2, 2], letters="MKAL", source="fasta"),
        made_chain("P", "ACGU", [0], kind="nucleic", source="observed"),
    ]
    assert sequence_facts(chains) == {
        "n_sequence_residues": 12,
        "n_observed_residues": 5,
        "sequence_mismatches": 2,
        "sequence_source": "entity+fasta",
    }
    assert sequence_facts(chains[2:]) == {
        "n_sequence_residues": 0,
        "n_observed_residues": 0,
        "sequence_mismatches": 0,
        "sequence_source": "",
    }
    assert sequence_notes(chains) == (
        "chain B: observed residues without a place in the sequence",
        "chain B: observed residues of another type than the sequence has",
    )


def test_stored_chains_of_an_assembly_and_of_unknown_residues() -> None:
    records = parse_fasta(to_fasta([made_chain("A", "MUXF", [0]), made_chain("B", "GG", [0])], "x"))
    chains = stored_chains(
        records,
        chain=np.array(["A", "A", "A", "A-2", "A-2", "Q"]),
        label_asym_id=np.array(["A", "A", "A", "A-2", "A-2", "Q"]),
        amino_class=np.array([13, 0, 0, 13, 14, 1], np.uint8),
        sequence_index=np.array([0, 1, -1, 0, 3, 0]),
    )
    assert [(c.chain, c.sequence, c.observed.tolist(), c.observed_letters) for c in chains] == [
        ("A", "MUXF", [0, 1, -1], "MUX"),
        ("A-2", "MUXF", [0, 3], "MF"),
        ("B", "GG", [], ""),
    ]
    assert chains[2].coverage == 0
