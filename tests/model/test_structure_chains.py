"""Which chains are looked for, by FASTA headers, kept models and the answer."""

from __future__ import annotations

import numpy as np
import pytest
from made_prediction import write_protein

from c2s_data.errors import ConfigError
from c2s_data.sources.fasta import FastaRecord
from c2s_model.backbone import target_chains
from c2s_model.backbone.target_chains import (
    chains_of_answer,
    chains_of_fasta,
    chains_of_records,
    renamed,
    without_kept,
)


def of(*headers_and_sequences):
    return chains_of_records([FastaRecord(h, s) for h, s in headers_and_sequences], "a test")


def test_headers_name_the_copies() -> None:
    chains, notes = of(
        ("1ABC_1|Chains A, B[auth X]|one|x", "mktay(MSE)V*"),
        ("1ABC_2|Chain C|two|x", "GGGK"),
        ("plain", "WWW"),
        ("1ABC_4|Chain A|same name again|x", "VVV"),
        ("1ABC_5|Chain A b-d|unfit for a file|x", "LLL"),
    )
    assert [(one.name, one.sequence) for one in chains] == [
        ("A", "MKTAYMV"),
        ("X", "MKTAYMV"),
        ("C", "GGGK"),
        ("B", "WWW"),
        ("D", "VVV"),
        ("E", "LLL"),
    ]
    assert notes == ()
    assert chains[0].places.tolist() == list(range(7))
    assert chains[0].codes.tolist() == [12, 11, 16, 0, 18, 12, 19]


def test_nucleic_acids_are_left_out_and_said() -> None:
    chains, notes = of(("9XYZ_1|Chain R|RNA|x", "ACGUUGCA"), ("9XYZ_2|Chain P|protein|x", "ACGTK"))
    assert [one.name for one in chains] == ["P"]
    assert "nucleic" in notes[0]
    with pytest.raises(ConfigError, match="no protein sequence"):
        of(("r", "ACGU"))


def test_floods_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(target_chains, "MAX_RESIDUES", 10)
    with pytest.raises(ConfigError, match="11 residues"):
        of(("p", "K" * 11))


def test_kept_chains_take_theirs_out() -> None:
    chains, _ = of(("x|Chains A, B, C|one", "MKTAYV"), ("x|Chain D|two", "GGGLV"))
    left, notes = without_kept(chains, [("C", "MKTAYV"), ("Z", "MKTAYV"), ("Y", "PPPP"), ("W", "")])
    assert [one.name for one in left] == ["B", "D"]
    assert len(notes) == 2
    again, more = renamed(left, {"D", "A"})
    assert [one.name for one in again] == ["B", "C"]
    assert "chain D is called C" in more[0]


def test_the_answer_gives_only_what_it_shows(tmp_path) -> None:
    import gemmi

    model, fasta = write_protein(tmp_path)
    whole, _ = chains_of_fasta(fasta)
    structure = gemmi.read_structure(str(model))
    chain = structure[0]["A"]
    for _ in range(5):
        del chain[10]
    structure.make_mmcif_document().write_file(str(tmp_path / "gaps.cif"))
    found, notes = chains_of_answer(tmp_path / "gaps.cif")
    assert [one.name for one in found] == ["A", "B"]
    assert found[0].sequence == whole[0].sequence
    assert found[0].places.tolist() == [*range(10), *range(15, 96)]
    np.testing.assert_array_equal(found[0].codes, whole[0].codes[found[0].places])
    assert "answer" in notes[0]
