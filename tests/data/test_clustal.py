"""The sequence files of the published layout, and Clustal Omega against the truth."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_sequence_table import made_chain

from c2s_data.errors import CatalogError
from c2s_data.sources import clustal
from c2s_data.sources.clustal import (
    ClustalError,
    clustal_input,
    mapped_alignment,
    n_misplaced,
    published_sequence_files,
    run_clustalo,
)
from c2s_data.sources.fasta import FastaError, parse_fasta
from c2s_data.sources.sequence import ChainSequence, chain_sequences

PAIR = [made_chain("A", "MDLFMR", [1, 2, 4]), made_chain("B", "GST", [0, 1, 2])]
INPUT = ">original\nMDLFMRGST\n>atom\nDLMGST\n"


@pytest.fixture
def with_clustalo() -> None:
    if shutil.which("clustalo") is None:
        pytest.skip("the program clustalo is not on this machine")


@pytest.fixture
def chains_of_7kjr(shared_data: Path) -> tuple[ChainSequence, ...]:
    return chain_sequences(shared_data / "models" / "7kjr.pdb")


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    path = folder / "clustalo"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_the_files_of_two_chains_and_a_nucleic_one() -> None:
    nucleic = made_chain("P", "ACGU", [0, 1], kind="nucleic")
    assert published_sequence_files([*PAIR, nucleic], "1abc") == {
        "1abc.fasta": ">1ABC_1|Chain A|protein\nMDLFMR\n>1ABC_2|Chain B|protein\nGST\n",
        "1abc_all_chain_combined.fasta": "MDLFMRGST",
        "atomic.fasta": "DLMGST\n",
        "dealign_clustal_input.fasta": INPUT,
        "dealign_clustal_output.fasta": ">original\nMDLFMRGST\n>atom\n-DL-M-GST\n",
    }


def test_what_the_caller_brings_is_written() -> None:
    files = published_sequence_files(PAIR, "1abc", original=">x\nM\n", alignment=">y\nM\n")
    assert files["1abc.fasta"] == ">x\nM\n"
    assert files["dealign_clustal_output.fasta"] == ">y\nM\n"


def test_every_copy_of_a_chain_is_in_the_joined_file(chains_of_7kjr) -> None:
    files = published_sequence_files(chains_of_7kjr, "7kjr")
    a, b, c, d = (chain.sequence for chain in chains_of_7kjr)
    assert files["7kjr_all_chain_combined.fasta"] == a + b + c + d
    assert a == b
    assert len(files["atomic.fasta"]) == 448 + 1
    aligned = parse_fasta(files["dealign_clustal_output.fasta"])
    assert [(record.header, len(record.sequence)) for record in aligned] == [
        ("original", 988),
        ("atom", 988),
    ]
    assert n_misplaced(files["dealign_clustal_output.fasta"], chains_of_7kjr) == 0


CHAINS = st.lists(
    st.text("ACDX", min_size=1, max_size=9).flatmap(
        lambda sequence: st.tuples(
            st.just(sequence),
            st.lists(st.booleans(), min_size=len(sequence), max_size=len(sequence)),
            st.integers(0, 3),
        )
    ),
    min_size=1,
    max_size=4,
)


@given(CHAINS)
def test_the_mapped_alignment_says_what_the_mapping_says(made) -> None:
    chains = []
    for number, (sequence, present, extra) in enumerate(made):
        places = [place for place, there in enumerate(present) if there] + [-1] * extra
        letters = "".join(sequence[place] for place in places if place >= 0) + "W" * extra
        chains.append(made_chain(str(number), sequence, places, letters))
    if not any(chain.n_observed for chain in chains):
        with pytest.raises(FastaError):
            mapped_alignment(chains)
        return
    alignment = mapped_alignment(chains)
    above, below = (record.sequence for record in parse_fasta(alignment))
    assert len(above) == len(below)
    assert above.replace("-", "") == "".join(chain.sequence for chain in chains)
    assert below.replace("-", "") == "".join(chain.observed_letters for chain in chains)
    assert all(one != "-" or two != "-" for one, two in zip(above, below, strict=True))
    assert n_misplaced(alignment, chains) == 0


def test_a_residue_out_of_order_stands_against_a_gap() -> None:
    chains = [made_chain("A", "MDLF", [2, 0, 3])]
    assert mapped_alignment(chains) == ">original\nMDL-F\n>atom\n--LMF\n"
    assert n_misplaced(mapped_alignment(chains), chains) == 1


def test_misplaced_residues_are_counted_one_by_one() -> None:
    assert n_misplaced(">original\nMDLFMRGST\n>atom\n-DL-M-GST\n", PAIR) == 0
    assert n_misplaced(">original\nMDLFMRGST\n>atom\n-DLM--GST\n", PAIR) == 1
    assert n_misplaced(">original\nMDLFMRGST\n>atom\nDLMGST---\n", PAIR) == 6
    assert n_misplaced(">original\nMDLFMR-GST\n>atom\n-DL-M-GS-T\n", PAIR) == 2
    for other in (">original\nM\n>atom\nM\n", ">original\nMD\n>atom\nM\n", ">a\nM\n"):
        with pytest.raises(FastaError, match="does not hold"):
            n_misplaced(other, PAIR)


@pytest.mark.usefixtures("with_clustalo")
def test_clustal_omega_on_joined_chains_misplaces_two_chains_of_7kjr(chains_of_7kjr) -> None:
    text = clustal_input(chains_of_7kjr)
    alignment = run_clustalo(text)
    assert n_misplaced(alignment, chains_of_7kjr) == 62
    above, below = (record.sequence for record in parse_fasta(alignment))
    differing = sum(
        "-" not in pair and pair[0] != pair[1] for pair in zip(above, below, strict=True)
    )
    assert differing == 26  # chain C; all of chain D lies on the equal letters of C
    for chain in chains_of_7kjr:  # alone, each is placed well
        alone = run_clustalo(clustal_input([chain]))
        assert n_misplaced(alone, [chain]) == 0


@pytest.mark.usefixtures("with_clustalo")
def test_the_mapping_is_written_as_clustal_omega_writes(shared_data: Path) -> None:
    chains = chain_sequences(shared_data / "models" / "8hb0.pdb")
    assert run_clustalo(clustal_input(chains)) == mapped_alignment(chains)


def test_a_program_that_is_absent_fails_or_hangs(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClustalError, match="is not installed"):
        run_clustalo(INPUT)
    program(tmp_path, monkeypatch, "echo out of memory >&2; exit 3")
    with pytest.raises(ClustalError, match="clustalo failed: 'out of memory'"):
        run_clustalo(INPUT)
    program(tmp_path, monkeypatch, "exec sleep 20")
    with pytest.raises(ClustalError, match=r"longer than 0\.2 s"):
        run_clustalo(INPUT, timeout_s=0.2)


@pytest.mark.parametrize(
    "printed",
    [">original\nMDLFMRGST\n>atom\nDLMGST", ">original\nMDL\n>atom\nDLM", ">atom\nDLMGST"],
)
def test_a_program_that_gives_no_alignment_of_its_input(tmp_path, monkeypatch, printed) -> None:
    program(tmp_path, monkeypatch, f"cat > /dev/null; printf '{printed}\n'")
    with pytest.raises(ClustalError, match="changed the sequences"):
        run_clustalo(INPUT)


def test_the_program_is_called_as_published(tmp_path, monkeypatch) -> None:
    seen = tmp_path / "seen"
    script = f"echo \"$@\" > {seen}; cat > {seen}.in; printf '>original\nMD\n>atom\nM-\n'"
    program(tmp_path, monkeypatch, script)
    assert run_clustalo(">original\nMD\n>atom\nM\n") == ">original\nMD\n>atom\nM-\n"
    assert seen.read_text().split()[:3] == ["-i", "-", "--dealign"]
    assert (tmp_path / "seen.in").read_text() == ">original\nMD\n>atom\nM\n"


def test_what_is_too_long_or_empty_is_refused(monkeypatch) -> None:
    with pytest.raises(FastaError, match="0 protein chains of 0 residues"):
        published_sequence_files([], "1abc")
    with pytest.raises(CatalogError, match="not usable"):
        published_sequence_files(PAIR, "../1abc")
    monkeypatch.setattr(clustal, "MAX_CLUSTAL", 8)
    with pytest.raises(ClustalError, match="9 residues are more than the 8"):
        run_clustalo(INPUT)
    monkeypatch.setattr(clustal, "MAX_SEQUENCE", 8)
    with pytest.raises(FastaError, match="2 protein chains of 9 residues"):
        mapped_alignment(PAIR)


def test_no_observed_residue_makes_no_file() -> None:
    unseen = [made_chain("A", "MDL", [])]
    with pytest.raises(FastaError, match="no observed residue"):
        published_sequence_files(unseen, "1abc")
    assert np.asarray(unseen[0].observed).size == 0
