"""FASTA: the forms that headers take, exact round trips, and what is refused."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2s_data.sources import fasta
from c2s_data.sources.fasta import (
    FastaError,
    FastaRecord,
    chain_list,
    format_fasta,
    parse_fasta,
    read_fasta,
)

HEADERS = st.text(st.characters(blacklist_characters="\n\r\0"), max_size=40)
SEQUENCES = st.from_regex(r"(?:[A-Za-z*.\-]|\([A-Z0-9]{1,3}\)){1,80}", fullmatch=True)
NAMES = st.text(max_size=6)


def test_the_sequences_of_7kjr(shared_data: Path) -> None:
    one, two = read_fasta(shared_data / "models" / "7KJR.fasta")
    assert one.chains == (("A", "A"), ("B", "B"))
    assert two.chains == (("C", "C"), ("D", "D"))
    assert one.description == (
        "ORF3a protein|Severe acute respiratory syndrome coronavirus 2 (2697049)"
    )
    assert (len(one.sequence), len(two.sequence)) == (284, 210)
    assert (one.sequence[:8], one.sequence[-6:]) == ("MDLFMRIF", "LEVLFQ")
    assert (two.sequence[:9], two.sequence[-4:]) == ("HHHHHHHDY", "LNTQ")


@pytest.mark.parametrize(
    ("header", "chains"),
    [
        ("1ABC_1|Chain A|name|organism (1)", (("A", "A"),)),
        ("1ABC_1|Chains A, B[auth X]|name|", (("A", "A"), ("B", "X"))),
        ("1ABC_1|Chain A[auth 1]|name", (("A", "1"),)),
        ("1ABC_1|Chains AA[auth A-2],B|x", (("AA", "A-2"), ("B", "B"))),
        ("1ABC_1|Chains A, |x", (("A", "A"), ("", ""))),
        ("1ABC_1|Chain A[auth|x", (("A[auth", "A[auth"),)),
        ("1ABC:b|PDBID|CHAIN|SEQUENCE", (("b", "b"),)),
        ("sp|P69905|HBA_HUMAN Hemoglobin subunit alpha OS=Homo sapiens OX=9606", ()),
        ("pdb|1ABC|A Chain A, of a protein", ()),
        ("Chain A", ()),
        ("a plain name", ()),
        ("", ()),
    ],
)
def test_the_chains_that_a_header_names(header: str, chains: tuple[tuple[str, str], ...]) -> None:
    assert FastaRecord(header, "M").chains == chains


def test_several_lines_ends_of_lines_comments_and_letters() -> None:
    text = "; made by hand\n>one|Chain A|x\nMDl F\r\n\tUOBZX*\r>two \n\n(MSE)--.A\n\n"
    records = parse_fasta(text)
    assert records == (
        FastaRecord("one|Chain A|x", "MDlFUOBZX*"),
        FastaRecord("two ", "(MSE)--.A"),
    )
    assert records[0].description == "x"
    assert records[1].description == "two "


def test_lines_are_as_long_as_asked() -> None:
    records = [FastaRecord("a", "MDLFM"), FastaRecord("b", "RIFT")]
    assert format_fasta(records, width=2) == ">a\nMD\nLF\nM\n>b\nRI\nFT\n"
    assert format_fasta(records, width=None) == ">a\nMDLFM\n>b\nRIFT\n"
    assert format_fasta([FastaRecord("c", "A" * 61)]) == f">c\n{'A' * 60}\nA\n"


@given(
    st.lists(st.builds(FastaRecord, HEADERS, SEQUENCES), min_size=1, max_size=5),
    st.one_of(st.none(), st.integers(1, 90)),
)
def test_what_is_written_is_read_again(records: list[FastaRecord], width: int | None) -> None:
    assert parse_fasta(format_fasta(records, width=width)) == tuple(records)


@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=5))
def test_any_chain_name_is_read_again(names: list[tuple[str, str]]) -> None:
    record = FastaRecord(f"x_1|{chain_list(names)}|protein", "M")
    (again,) = parse_fasta(format_fasta([record]))
    assert again.chains == tuple(names)
    assert again.description == "protein"


def test_the_list_of_chains_reads_like_that_of_the_data_bank() -> None:
    assert chain_list([("A", "A")]) == "Chain A"
    assert chain_list([("A", "A"), ("B", "X"), ("C", "a'")]) == "Chains A, B[auth X], C[auth a']"
    assert chain_list([("A,B", "[")]) == "Chain A%2CB[auth %5B]"


def test_a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "x.fasta"
    path.write_bytes(b"\xef\xbb\xbf>\xc3\xa9\nMD\n")
    assert read_fasta(path) == (FastaRecord("é", "MD"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no sequence"),
        ("\n; nothing\n", "no sequence"),
        ("MDLF\n", "line 1: a sequence without a header"),
        ("\n\nMDLF\n>a\nM\n", "line 3: a sequence without a header"),
        (">a\n>b\nM\n", "line 1: no sequence after the header 'a'"),
        (">a\nM\n>b\n\n", "line 3: no sequence after the header 'b'"),
        (">a\nMD\0LF\n", r"'\\x00' is letter 3"),
        (">a\0b\nMD\n", "holds a NUL"),
        (">a\nMD1LF\n", "'1' is letter 3 of the sequence of 'a'"),
        (">a\n1 MDLF\n", "'1' is letter 1"),
        (">a\nMD(MSE\n", r"'\(' is letter 3"),
        (">a\nMÄ\n", r"'\\xc4' is letter 2"),
        ("<html><body>not found</body></html>", "without a header"),
    ],
)
def test_what_is_no_fasta_is_refused(text: str, message: str) -> None:
    with pytest.raises(FastaError, match=message) as caught:
        parse_fasta(text, name="x.fasta")
    assert str(caught.value).startswith("x.fasta: ")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FastaError, match="cannot be read"):
        read_fasta(tmp_path / "absent.fasta")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FastaError, match="no regular file"):
        read_fasta(tmp_path / "pipe")
    packed = tmp_path / "x.fasta.gz"
    packed.write_bytes(gzip.compress(b">a\nMD\n"))
    with pytest.raises(FastaError, match="no UTF-8 text; give the FASTA file unpacked"):
        read_fasta(packed)


@pytest.mark.parametrize(
    ("bound", "value", "fits", "too_much"),
    [
        ("MAX_BYTES", 6, ">a\nMDL", ">a\nMDLF"),
        ("MAX_RECORDS", 2, ">a\nM\n>b\nM", ">a\nM\n>b\nM\n>c\nM"),
        ("MAX_HEADER", 3, ">abc\nM", ">abcd\nM"),
        ("MAX_SEQUENCE", 3, ">a\nMD\nL", ">a\nMD\nLF"),
    ],
)
def test_sizes_are_bounded(tmp_path: Path, monkeypatch, bound, value, fits, too_much) -> None:
    monkeypatch.setattr(fasta, bound, value)
    path = tmp_path / "x.fasta"
    path.write_text(fits)
    assert read_fasta(path)[0].header.startswith("a")
    path.write_text(too_much)
    with pytest.raises(FastaError, match=r"larger|more than|are allowed"):
        read_fasta(path)


@pytest.mark.parametrize("record", [FastaRecord("a\nb", "M"), FastaRecord("a", "")])
def test_what_could_not_be_read_again_is_not_written(record: FastaRecord) -> None:
    with pytest.raises(FastaError):
        format_fasta([record])
    with pytest.raises(FastaError, match="no sequence to write"):
        format_fasta([])
