"""FASTA records as the sequences of chains, and alignment where residues differ."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import gemmi
import numpy as np
import pytest
from test_sequence import check_7kjr

from c2s_data.sources import sequence_match
from c2s_data.sources.fasta import FastaRecord, read_fasta
from c2s_data.sources.polymer_chains import polymer_chains
from c2s_data.sources.procedural import procedural_protein
from c2s_data.sources.sequence import chain_sequences
from c2s_data.sources.sequence_match import MIN_IDENTITY, best_match, candidates
from c2s_data.sources.sequence_table import sequence_facts, sequence_notes
from c2s_data.sources.structure_file import read_structure


def without_seqres(source: Path, folder: Path) -> Path:
    lines = source.read_text().splitlines(keepends=True)
    path = folder / "no_seqres.pdb"
    path.write_text("".join(line for line in lines if not line.startswith(("SEQRES", "DBREF"))))
    return path


@pytest.mark.parametrize("headers", ["as deposited", "plain", "of other chains"])
def test_7kjr_without_seqres_and_with_a_fasta(shared_data, tmp_path, headers) -> None:
    path = without_seqres(shared_data / "models" / "7kjr.pdb", tmp_path)
    records = read_fasta(shared_data / "models" / "7KJR.fasta")
    if headers == "plain":
        records = [FastaRecord(f"protein {n}", r.sequence) for n, r in enumerate(records)]
    elif headers == "of other chains":  # C and D are named by the sequence of A and B
        swapped = [records[1].header, records[0].header]
        records = [FastaRecord(h, r.sequence) for h, r in zip(swapped, records, strict=True)]
    chains = chain_sequences(path, records)
    check_7kjr(chains, path, "fasta")
    notes = sequence_notes(chains)
    assert len(notes) == (2 if headers == "of other chains" else 0)
    assert all("names the chain and does not fit it" in note for note in notes)


def test_a_model_and_a_fasta_that_do_not_belong_together(shared_data, tmp_path) -> None:
    path = without_seqres(shared_data / "models" / "7kjr.pdb", tmp_path)
    chains = chain_sequences(path, read_fasta(shared_data / "models" / "8hb0.fasta"))
    assert [(c.source, c.length, c.n_missing) for c in chains] == [
        ("observed", n, 0) for n in (193, 193, 31, 31)
    ]
    assert all("no sequence but that of the observed residues; the best" in c.note for c in chains)
    with_seqres = chain_sequences(
        shared_data / "models" / "7kjr.pdb", read_fasta(shared_data / "models" / "8hb0.fasta")
    )
    check_7kjr(with_seqres, path, "seqres")
    names = (
        "record '8HB0_1|Chain A|Sodium/glucose cotransporter 2|Homo sapiens (' of 676",
        "record '8HB0_2|Chain B|PDZK1-interacting protein 1|Homo sapiens (960' of 114",
    )
    tail = "residues is not the file's own sequence of 284, which is used"
    assert sequence_notes(with_seqres) == (
        f"chain A: the {names[0]} {tail}",
        f"chain B: the {names[1]} {tail}",
        "chains C, D: no FASTA record is the file's own sequence, which is used",
    )


def test_unrelated_proteins_stay_far_below_what_is_accepted(shared_data: Path) -> None:
    models = [shared_data / "models" / name for name in ("7kjr.pdb", "8hb0.pdb", "7bv2.pdb")]
    chains = [c for m in models for c in polymer_chains(read_structure(m), m)]
    protein = [chain for chain in chains if chain.kind == "protein"]
    identities = {}
    for chain in protein:
        letters = "".join(chain.letters)
        others = {c.sequence for c in protein if c.sequence != chain.sequence}
        match = best_match(chain, letters, candidates(FastaRecord("x", s) for s in others))
        identities[len(letters)] = match.identity
    assert len(identities) == 7
    assert max(identities.values()) < 0.2 < MIN_IDENTITY


def test_tags_gaps_and_mutations_against_a_sequence_from_elsewhere(shared_data, tmp_path) -> None:
    path = without_seqres(shared_data / "models" / "7kjr.pdb", tmp_path)
    truth = chain_sequences(shared_data / "models" / "7kjr.pdb")[0]
    own = truth.sequence
    first, mutated = 7, [60, 61, 150, 200]  # the model begins at 39
    letters = ["G" if i in mutated else letter for i, letter in enumerate(own)]
    foreign = "MHHHHHH" + "".join(letters[first:250])
    (chain, *_) = chain_sequences(path, [FastaRecord("isoform", foreign)])
    assert (chain.source, chain.length) == ("fasta", 250)
    assert chain.observed.tolist() == truth.observed.tolist()  # 7 letters go, 7 come
    assert chain.n_mismatches == sum(own[i] != "G" for i in mutated) == 4
    cut = "".join(letters[:100] + letters[110:])  # ten observed residues are not in this one
    (chain, *_) = chain_sequences(path, [FastaRecord("deletion", cut)])
    assert chain.n_unaligned == 10
    lost = np.flatnonzero(chain.observed == -1)
    assert lost.tolist() == list(range(lost[0], lost[0] + 10))
    behind = truth.observed > 115
    np.testing.assert_array_equal(chain.observed[behind], truth.observed[behind] - 10)
    assert sequence_facts([chain])["sequence_mismatches"] == chain.n_mismatches + 10
    assert len(sequence_notes([chain])) == 2


@pytest.mark.parametrize("seqres", [True, False])
def test_a_chain_half_of_alanine_is_placed_in_full(shared_data, tmp_path, seqres) -> None:
    source = shared_data / "models" / "7kjr.pdb"
    truth = chain_sequences(source)
    structure = gemmi.read_structure(str(source if seqres else without_seqres(source, tmp_path)))
    for chain in structure[0]:
        for number, residue in enumerate(chain.get_polymer()):
            if number % 4 < (2 if seqres else 1):  # a FASTA must agree more than SEQRES
                residue.name = "ALA"
    path = tmp_path / "alanine.pdb"
    structure.write_pdb(str(path))
    records = () if seqres else read_fasta(shared_data / "models" / "7KJR.fasta")
    chains = chain_sequences(path, records)
    for one, two in zip(truth, chains, strict=True):
        assert two.source == ("seqres" if seqres else "fasta")
        assert (two.n_mismatches, two.n_unaligned) != (0, 0)
        np.testing.assert_array_equal(one.observed, two.observed)


def test_a_nucleic_chain_takes_no_protein_record(shared_data: Path, tmp_path: Path) -> None:
    path = without_seqres(shared_data / "models" / "7bv2.pdb", tmp_path)
    known = {c.chain: c for c in chain_sequences(shared_data / "models" / "7bv2.pdb")}
    records = [FastaRecord(name, known[name].sequence) for name in "TAPCB"]
    for chain in chain_sequences(path, records):
        assert chain.source == "fasta"
        assert chain.sequence == known[chain.chain].sequence
        assert chain.observed.tolist() == known[chain.chain].observed.tolist()
    (p_chain,) = [chain for chain in known.values() if chain.chain == "P"]
    alike = [FastaRecord("protein", f"{p_chain.observed_letters}WKLE")]
    assert chain_sequences(path, alike)[3].source == "observed"


def test_a_file_of_many_entries_is_searched_in_little_memory(monkeypatch) -> None:
    """Each of its records names a chain A; few are aligned."""
    rng = np.random.default_rng(5)
    letters = np.frombuffer(b"ACDEFGHIKLMNPQRSTVWY", np.uint8)
    others = [rng.choice(letters, 300).tobytes().decode() for _ in range(3000)]
    model = procedural_protein(7, 90)
    chain = next(polymer_chains(model.clone(), "made"))
    right = "".join(choice[0] for choice in chain.letters)
    records = [FastaRecord(f"{n}_1|Chain A|", s) for n, s in enumerate([*others, right])]
    aligned = []
    plain = sequence_match.aligned_positions
    monkeypatch.setattr(
        sequence_match, "aligned_positions", lambda *a: aligned.append(a) or plain(*a)
    )
    tracemalloc.start()
    match = best_match(chain, right, candidates(records))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert match is not None
    assert (match.candidate.sequence, match.identity) == (right, 1.0)
    assert len(aligned) <= 6
    assert peak < 10e6
