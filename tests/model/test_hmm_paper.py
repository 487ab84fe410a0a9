"""Tracing by the paper's hidden Markov model: what comes out, and what is said about the rest."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from candidate_clouds import emissions_of
from plain_viterbi import plain_matrices, plain_search

from c2s_data.errors import ConfigError
from c2s_data.schema import AMINO_ACIDS
from c2s_model.backbone.chain_trace import ChainTrace
from c2s_model.backbone.hmm_matrices import BACKGROUND
from c2s_model.backbone.hmm_paper import trace_paper
from c2s_model.backbone.residue_codes import LETTERS, residue_codes, residue_letters


def _line(sequence, rng, shift_A=0.0):
    """Return candidates 3.8 A apart, one per known residue, in shuffled order, and that order."""
    codes = residue_codes(sequence)
    known = codes[codes >= 0].astype(int)
    xyz_A = np.arange(len(known))[:, None] * [[3.8, 0.2, -0.1]] + shift_A
    order = rng.permutation(len(known))
    return xyz_A[order], emissions_of(known, rng, 0.9)[order], order


def test_letters_are_in_the_order_of_the_schema():
    names = [gemmi.find_tabulated_residue(name).one_letter_code for name in AMINO_ACIDS]
    assert "".join(names) == LETTERS
    assert residue_codes("ARNdcV").tolist() == [0, 1, 2, 3, 4, 19]
    assert residue_codes("XUOBZJ").tolist() == [-1] * 6
    assert residue_letters(residue_codes("WYOV")) == "WYXV"
    assert residue_codes("").shape == (0,)


@pytest.mark.parametrize("bad", ["AC-D", "AC D", "ACD*", "AÄ"])
def test_what_is_no_letter_is_refused_with_its_place(bad):
    with pytest.raises(ConfigError, match="character"):
        residue_codes(bad)


def test_two_lines_become_their_chains():
    rng = np.random.default_rng(1)
    first, second = "MKTAYIAKQRQISFVKSHFSRQ", "GGWPLVACDEFHNNTS"
    xyz_a, emission_a, order_a = _line(first, rng)
    xyz_b, emission_b, order_b = _line(second, rng, 40.0)
    xyz_A = np.concatenate([xyz_a, xyz_b])
    chains = [residue_codes(first), residue_codes(second)]
    result = trace_paper(xyz_A, np.concatenate([emission_a, emission_b]), chains)
    expected = np.concatenate([np.argsort(order_a), np.argsort(order_b) + len(first)])
    found = np.concatenate([chain.candidate for chain in result.chains])
    assert found[: len(first) - 2].tolist() == expected[: len(first) - 2].tolist()
    assert result.notes == ()
    assert sorted(found) == list(range(len(xyz_A)))
    for chain, sequence in zip(result.chains, (first, second), strict=True):
        assert chain.residue.tolist() == list(range(len(sequence)))
        assert (chain.xyz_A == xyz_A[chain.candidate]).all()


def test_fragments_are_those_of_the_description():
    rng = np.random.default_rng(4)
    xyz_A, emission = rng.uniform(0, 12, (40, 3)), rng.dirichlet(np.ones(20), 40)
    codes = rng.integers(0, 20, 37).astype(np.int8)
    (fragments,) = plain_search(*plain_matrices(xyz_A, emission, BACKGROUND), [codes])
    (trace,) = trace_paper(xyz_A, emission, [codes]).chains
    assert trace.n_fragments == len(fragments) > 1
    for number, states in enumerate(fragments):
        assert trace.candidate[trace.fragment == number].tolist() == states


def test_unknown_residues_are_left_out_and_said():
    rng = np.random.default_rng(2)
    sequence = "MKXXTAYUIAKOQRQISFV"
    xyz_A, emission, _ = _line(sequence, rng)
    result = trace_paper(xyz_A, emission, [residue_codes(sequence)])
    known = [i for i, letter in enumerate(sequence) if letter not in "XUO"]
    assert result.chains[0].residue.tolist() == known
    plain = trace_paper(xyz_A, emission, [residue_codes(sequence)[known]])
    assert result.chains[0].candidate.tolist() == plain.chains[0].candidate.tolist()
    assert result.notes == ("chain 1: 4 of 19 residues are unknown (X, U, O ...) and left out",)


def test_fewer_candidates_than_residues():
    rng = np.random.default_rng(3)
    xyz_A, emission, _ = _line("MKTAYIAK", rng)
    chains = [residue_codes(text) for text in ("MKTAY", "IAKQRQ", "SF")]
    result = trace_paper(xyz_A, emission, chains)
    assert [len(chain) for chain in result.chains] == [5, 3, 0]
    assert result.chains[2].xyz_A.shape == (0, 3)
    assert "13 known residues, but there are 8 candidates" in result.notes[0]
    assert result.notes[1].startswith("chain 2: 3 of 6 known residues")
    assert result.notes[2].startswith("chain 3: 0 of 2 known residues")


def test_no_candidates():
    result = trace_paper(np.empty((0, 3)), np.empty((0, 20)), [residue_codes("ACD")] * 2)
    assert [len(chain) for chain in result.chains] == [0, 0]
    assert result.notes == ("there are no candidates: none of 6 residues is placed",)


def test_chains_without_a_known_residue_and_candidates_left_over():
    rng = np.random.default_rng(5)
    xyz_A, emission, _ = _line("MKTAYIAK", rng)
    result = trace_paper(xyz_A, emission, [residue_codes(""), residue_codes("XX")])
    assert [len(chain) for chain in result.chains] == [0, 0]
    assert result.notes == (
        "chain 1: nothing to place, its sequence names no known residue",
        "chain 2: 2 of 2 residues are unknown (X, U, O ...) and left out",
        "chain 2: nothing to place, its sequence names no known residue",
        "8 of 8 candidates are in no chain",
    )
    assert trace_paper(xyz_A, emission, []).chains == ()


def test_candidates_with_no_emission_at_all_are_states_like_others():
    xyz_A = np.arange(6)[:, None] * [[3.8, 0, 0]]
    result = trace_paper(xyz_A, np.zeros((6, 20)), [residue_codes("AAAAAA")])
    assert sorted(result.chains[0].candidate) == list(range(6))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"xyz_A": np.zeros((3, 2))}, "do not belong together"),
        ({"emission": np.ones((2, 20))}, "do not belong together"),
        ({"xyz_A": np.full((3, 3), np.nan)}, "not finite"),
        ({"emission": np.full((3, 20), -0.1)}, "negative"),
        ({"lambda_": 0.0}, "lambda"),
        ({"lambda_": float("inf")}, "lambda"),
        ({"chains": [np.array([20])]}, "chain 1"),
        ({"chains": [np.array([3]), np.array([[1, 2]])]}, "chain 2"),
    ],
)
def test_what_cannot_be_traced_is_refused(change, message):
    case = {"xyz_A": np.zeros((3, 3)), "emission": np.ones((3, 20)), "chains": [], "lambda_": 10.0}
    case |= change
    with pytest.raises(ConfigError, match=message):
        trace_paper(case["xyz_A"], case["emission"], case["chains"], lambda_=case["lambda_"])


def test_traces_refuse_what_is_out_of_order():
    ones = np.ones(2, np.int32)
    with pytest.raises(ValueError, match="ascend"):
        ChainTrace(ones, ones, ones, np.zeros((2, 3)))
    with pytest.raises(ValueError, match="arrays"):
        ChainTrace(ones, ones, ones, np.zeros((3, 3)))
