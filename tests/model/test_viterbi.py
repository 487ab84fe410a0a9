"""The customized Viterbi search, state by state against the plain description."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from candidate_clouds import blurred, compact_walk, emissions_of, model_chains
from hypothesis import given
from hypothesis import strategies as st
from plain_viterbi import plain_matrices, plain_search

from c2s_data.errors import ConfigError
from c2s_model.backbone import viterbi
from c2s_model.backbone.hmm_matrices import BACKGROUND, emission_matrix, sparse_transitions
from c2s_model.backbone.viterbi import FreeStates
from c2s_model.backbone.viterbi_kernel import BLOCK


def fast(xyz_A, emission, chains, lambda_=10.0):
    free = FreeStates(sparse_transitions(xyz_A, lambda_), emission_matrix(emission))
    return [[path.tolist() for path in free.trace(codes)] for codes in chains]


def plain(xyz_A, emission, chains, lambda_=10.0):
    return plain_search(*plain_matrices(xyz_A, emission, BACKGROUND, lambda_), chains)


def random_chains(rng, *lengths):
    return [rng.integers(0, 20, length).astype(np.int8) for length in lengths]


@pytest.mark.parametrize(("n", "lengths"), [(75, (60,)), (97, (41, 3, 30)), (290, (70,))])
def test_compact_walks_as_described(n, lengths):
    rng = np.random.default_rng(n)
    chains = random_chains(rng, *lengths)
    codes = np.resize(np.concatenate(chains), n)
    xyz_A, emission = blurred(compact_walk(n, rng), codes, rng)
    expected = plain(xyz_A, emission, chains)
    assert n < 290 or max(len(fragment) for fragment in expected[0]) > 2 * BLOCK
    assert fast(xyz_A, emission, chains) == expected


@pytest.mark.parametrize("lambda_", [4.0, 20.0])
def test_other_scaling_factors_as_described(lambda_):
    rng = np.random.default_rng(3)
    chains = random_chains(rng, 50)
    xyz_A, emission = blurred(compact_walk(70, rng), np.resize(chains[0], 70), rng)
    assert fast(xyz_A, emission, chains, lambda_) == plain(xyz_A, emission, chains, lambda_)


def test_long_fragments_keep_every_part_of_their_paths():
    # A straight line without any doubt: fragments through checkpoints.
    rng = np.random.default_rng(8)
    chains = random_chains(rng, 119)
    line_A = np.arange(119)[:, None] * np.array([[3.8, 0.1, -0.05]])
    order = rng.permutation(119)
    emission = emissions_of(chains[0].astype(int), rng)
    found = fast(line_A[order], emission[order], chains)
    assert found == plain(line_A[order], emission[order], chains)
    assert order[found[0][0]].tolist() == list(range(len(found[0][0])))
    assert len(found[0][0]) > 2 * BLOCK


@pytest.mark.parametrize("name", ["7kjr.pdb", "8hb0.pdb", "7bv2.pdb"])
def test_real_c_alphas_as_described(shared_data, name):
    rng = np.random.default_rng(11)
    xyz_A, codes, chains = model_chains(shared_data / "models" / name)
    near = np.argsort(np.linalg.norm(xyz_A - xyz_A[40], axis=1))[:110]
    xyz_A, emission = blurred(xyz_A[near], codes[near], rng)
    chains = [chain[:45] for chain in chains[:2]]
    assert fast(xyz_A, emission, chains) == plain(xyz_A, emission, chains)


@st.composite
def _tied(draw):
    """Candidates on a grid of equal distances, a few different emissions, few residue types."""
    n = draw(st.integers(1, 40))
    side = draw(st.integers(2, 4))
    spacing_A = draw(st.sampled_from([3.8, 3.8047179727719045, 2.0, 9.0]))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    grid = np.array(list(itertools.product(range(side), repeat=3)), float)
    xyz_A = grid[rng.permutation(np.resize(np.arange(side**3), n))] * spacing_A
    kinds = rng.integers(0, 3, (draw(st.integers(1, 3)), 20)) + draw(st.sampled_from([0.0, 1.0]))
    emission = kinds[rng.integers(0, len(kinds), n)].astype(float)
    n_codes = draw(st.integers(1, 3))
    lengths = draw(st.lists(st.integers(0, 35), min_size=1, max_size=3))
    return xyz_A, emission, [rng.integers(0, n_codes, r).astype(np.int8) for r in lengths]


@given(_tied())
def test_ties_fall_as_described(case):
    assert fast(*case) == plain(*case)


@given(_tied(), st.integers(0, 2**32 - 1))
def test_sums_that_become_equal_by_rounding_fall_as_described(case, seed):
    # Differences of a few units in the last place of V vanish when the emission is added.
    xyz_A, emission, chains = case
    rng = np.random.default_rng(seed)
    noise = 1 + rng.integers(-3, 4, emission.shape) * 2.0**-52
    noise_A = rng.integers(-3, 4, xyz_A.shape) * 2.0**-50
    assert fast(xyz_A + noise_A, emission * noise, chains) == plain(
        xyz_A + noise_A, emission * noise, chains
    )


@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(1, 60))
def test_random_clouds_as_described(seed, n, length):
    rng = np.random.default_rng(seed)
    xyz_A = rng.uniform(0, rng.uniform(3, 25), (n, 3)).round(rng.integers(0, 4))
    emission = rng.dirichlet(np.full(20, rng.uniform(0.05, 2)), n)
    chains = random_chains(rng, length, length // 3)
    assert fast(xyz_A, emission, chains) == plain(xyz_A, emission, chains)


def test_greedy_paths_are_what_is_defined_and_not_the_global_optimum():
    """Against all visit-once paths: never above the best, at times below, equal without repeats."""
    rng = np.random.default_rng(21)
    below = equal = ordinary = 0
    for _ in range(40):
        n, length = 6, 5
        xyz_A = rng.uniform(0, 8, (n, 3))
        emission = rng.dirichlet(np.full(20, 0.5), n)
        codes = rng.integers(0, 3, length).astype(np.int8)
        log_t, e = plain_matrices(xyz_A, emission, BACKGROUND)
        log_e = np.log(e)[:, codes]
        log_pi = np.log(e[:, codes[0]] / e[:, codes[0]].sum())

        def score(path, log_t=log_t, log_e=log_e, log_pi=log_pi):
            steps = sum(log_t[a, b] for a, b in itertools.pairwise(path))
            return log_pi[path[0]] + sum(log_e[s, t] for t, s in enumerate(path)) + steps

        (fragments,) = fast(xyz_A, emission, [codes])
        if len(fragments) > 1:
            continue
        found = score(fragments[0])
        assert len(set(fragments[0])) == length
        best = max(score(path) for path in itertools.permutations(range(n), length))
        assert found <= best + 1e-9
        below += found < best - 1e-9
        equal += abs(found - best) <= 1e-9
        # Ordinary Viterbi, where repeats may occur: if its optimum has none, it is found.
        free_path = max(itertools.product(range(n), repeat=length), key=score)
        if len(set(free_path)) == length and _no_repeat_on_the_way(log_t, log_e, log_pi):
            ordinary += 1
            assert fragments[0] == list(free_path)
    assert below > 0
    assert equal > 5


def _no_repeat_on_the_way(log_t, log_e, log_pi):
    """Whether no state's ordinary Viterbi path, at any residue, holds a state twice."""
    n, length = log_e.shape
    value, paths = log_pi + log_e[:, 0], [[s] for s in range(n)]
    for t in range(1, length):
        total = value[:, None] + log_t
        parent = total.argmax(axis=0)
        value = total.max(axis=0) + log_e[:, t]
        paths = [[*paths[p], s] for s, p in enumerate(parent)]
        if any(len(set(path)) < len(path) for path in paths):
            return False
    return True


def test_one_state_is_a_fragment_of_one():
    assert fast(np.zeros((1, 3)), np.ones((1, 20)), [np.array([3, 3, 3], np.int8)]) == [[[0]]]


def test_search_ends_when_no_state_is_free():
    xyz_A = np.arange(5)[:, None] * np.array([[3.8, 0, 0]])
    chains = [np.array([1] * 4, np.int8), np.array([2] * 9, np.int8), np.array([1], np.int8)]
    found = fast(xyz_A, np.ones((5, 20)), chains)
    assert found == plain(xyz_A, np.ones((5, 20)), chains)
    assert sorted(itertools.chain(*found[0], *found[1])) == [0, 1, 2, 3, 4]
    assert found[2] == []


def test_more_states_than_can_be_numbered_are_refused(monkeypatch):
    monkeypatch.setattr(viterbi, "MAX_STATES", 4)
    with pytest.raises(ConfigError, match="5 candidates"):
        fast(np.eye(5, 3), np.ones((5, 20)), [])
