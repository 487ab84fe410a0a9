"""The simulator against its own rules, each measured on what it draws, and the score by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from c2s_data.sources.procedural import procedural_protein
from c2s_model.backbone.chain_trace import ChainTrace, TraceResult, empty_trace

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks import simulate_candidates as simulator
from benchmarks.simulate_candidates import Conditions, TrueChain


@pytest.fixture(scope="module")
def dimer() -> list[TrueChain]:
    return simulator.true_chains(procedural_protein(3, 92))


@pytest.fixture(scope="module")
def long_chain() -> TrueChain:
    """6,000 residues far apart from each other, so that every point names its atom."""
    rng = np.random.default_rng(1)
    grid = np.stack(np.unravel_index(np.arange(6000), (15, 20, 20)), axis=1) * 60.0 + (7, -9, 31)
    atoms = grid[:, None] + np.array([[-1.2, 0.6, 0], [0, 0, 0], [1.1, 0.9, 0.3]])
    codes = rng.choice(20, 6000, p=simulator.COMPOSITION).astype(np.int8)
    return TrueChain("A", codes, np.arange(6000, dtype=np.int32), atoms)


def draw(chain: TrueChain, seed: int = 0, **conditions):
    return simulator.simulate([chain], Conditions(**conditions), np.random.default_rng(seed))


def owner(chain: TrueChain, xyz_A):
    away, row = cKDTree(chain.n_ca_c_xyz_A[:, 1]).query(xyz_A)
    return away, row


def test_chains_of_a_model(dimer):
    assert [chain.name for chain in dimer] == ["A", "B"]
    a, b = dimer
    assert np.array_equal(a.codes, b.codes)
    assert a.codes.shape == (92,)
    assert np.array_equal(a.residue, np.arange(92))
    bond_A = np.linalg.norm(a.n_ca_c_xyz_A[1:, 0] - a.n_ca_c_xyz_A[:-1, 2], axis=1)
    assert bond_A == pytest.approx(1.33, abs=0.02)  # C to the next N


@pytest.mark.parametrize("noise_A", [0.3, 0.8])
def test_noise_per_axis(long_chain, noise_A):
    drawn = draw(long_chain, noise_A=noise_A, missing=0, false=0)
    assert len(drawn.candidates) == 6000
    _, row = owner(long_chain, drawn.candidates.xyz_A)
    off = drawn.candidates.xyz_A - long_chain.n_ca_c_xyz_A[row, 1]
    assert off.std(axis=0) == pytest.approx(noise_A, rel=0.04)
    assert off.mean(axis=0) == pytest.approx(0, abs=0.05)
    assert not np.array_equal(row, np.sort(row))  # shuffled


def missing_runs(chain, drawn):
    _, row = owner(chain, drawn.candidates.xyz_A)
    gone = np.ones(len(chain.residue) + 2, np.int8)
    gone[[0, -1]], gone[row + 1] = 0, 0
    edges = np.diff(gone)
    return gone.mean(), (np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)).mean()


def test_misses_at_random_and_in_stretches(long_chain):
    share, run = missing_runs(long_chain, draw(long_chain, missing=0.1, false=0))
    assert share == pytest.approx(0.1, abs=0.015)
    assert run == pytest.approx(1 / 0.9, abs=0.06)
    stretched = draw(long_chain, missing=0.1, false=0, stretches=True)
    share, run = missing_runs(long_chain, stretched)
    assert share == pytest.approx(0.1, abs=0.03)
    assert run == pytest.approx(5, abs=1)
    # N and C are lost on their own, in the same way.
    assert len(stretched.n_points) == pytest.approx(6000 * 0.9 + 600, abs=200)


def test_decoys_and_duplicates(long_chain):
    drawn = draw(long_chain, noise_A=1e-6, missing=0, false=0.2)
    away, _ = owner(long_chain, drawn.candidates.xyz_A)
    assert (away > 0.5).sum() == 1200
    from_atoms = cKDTree(long_chain.n_ca_c_xyz_A.reshape(-1, 3)).query(drawn.candidates.xyz_A)[0]
    decoys = from_atoms[away > 0.5]
    assert decoys.max() <= 8
    assert np.median(decoys) > 3
    assert len(drawn.n_points) == len(drawn.c_points) == 6600
    twice = draw(long_chain, noise_A=1e-6, missing=0, false=0, duplicates=0.4)
    away, _ = owner(long_chain, twice.candidates.xyz_A)
    second = away[away > 0.5]
    assert len(second) == pytest.approx(2400, abs=150)
    assert second.min() >= 1 - 1e-4
    assert second.max() <= 3 + 1e-4


@pytest.mark.parametrize("top1", [0.9, 0.7, 0.5])
def test_emissions_are_right_as_often_as_wished_and_calibrated(long_chain, top1):
    drawn = draw(long_chain, missing=0, false=0, top1=top1)
    _, row = owner(long_chain, drawn.candidates.xyz_A)
    amino, truth = drawn.candidates.amino, long_chain.codes[row]
    right = amino.argmax(axis=1) == truth
    assert right.mean() == pytest.approx(top1, abs=0.02)
    assert amino.max(axis=1).mean() == pytest.approx(top1, abs=0.02)  # a posterior knows its worth
    assert amino.sum(axis=1) == pytest.approx(1)
    assert (amino > 0).all()


def test_posterior_is_bayes_rule():
    rng = np.random.default_rng(4)
    codes, noise = np.array([0, 7, 19]), rng.normal(size=(3, 20))
    directions = np.array([simulator._directions()[k] for k in range(20)])
    assert np.linalg.norm(directions, axis=1) == pytest.approx(1)
    ile, leu, lys = 9, 10, 11
    assert directions[ile] @ directions[leu] == pytest.approx(0.5)
    assert directions[leu] @ directions[lys] == pytest.approx(0)
    found = simulator.posterior(codes, noise, 1.7)
    for row, code in enumerate(codes):
        seen = 1.7 * directions[code] + noise[row]
        density = [np.exp(-0.5 * np.sum((seen - 1.7 * d) ** 2)) for d in directions]
        expected = np.array(density) * simulator.COMPOSITION
        assert found[row] == pytest.approx(expected / expected.sum())


def test_equal_seeds_give_equal_draws(dimer):
    one, two, other = (
        simulator.simulate(dimer, Conditions(duplicates=0.2), np.random.default_rng(seed))
        for seed in (5, 5, 6)
    )
    assert np.array_equal(one.candidates.xyz_A, two.candidates.xyz_A)
    assert np.array_equal(one.candidates.amino, two.candidates.amino)
    assert np.array_equal(one.c_points.xyz_A, two.c_points.xyz_A)
    assert not np.array_equal(one.n_points.xyz_A[:5], other.n_points.xyz_A[:5])
    assert (np.diff(one.n_points.p) <= 0).all()


def trace_of(chain: TrueChain, shift=0, interpolated=()) -> ChainTrace:
    n = len(chain.residue)
    candidate = np.arange(n, dtype=np.int32)
    candidate[list(interpolated)] = -1
    return ChainTrace(
        chain.residue + np.int32(shift), candidate, np.zeros(n, np.int32),
        chain.n_ca_c_xyz_A[:, 1].copy(),
    )  # fmt: skip


def test_score(dimer):
    a, b = dimer
    perfect = simulator.score(TraceResult((trace_of(a), trace_of(b)), ()), dimer)
    assert perfect == simulator.Score(1, 1, 0, 1)
    # Equal chains are interchangeable.
    assert simulator.score(TraceResult((trace_of(b), trace_of(a)), ()), dimer).by_chain == 1
    shifted = simulator.score(TraceResult((trace_of(a, shift=5), trace_of(b)), ()), dimer)
    assert shifted.right == 0.5
    assert shifted.precision == 0.5
    bridged = TraceResult((trace_of(a, interpolated=range(10, 20)), empty_trace()), ())
    found = simulator.score(bridged, dimer)
    assert found.right == pytest.approx(82 / 184)
    assert found.interpolated == pytest.approx(10 / 184)
    # Half of each chain exchanged: each residue is right, the chains are not.
    mixed = []
    for one, two in ((a, b), (b, a)):
        trace = trace_of(one)
        trace.xyz_A[60:] = two.n_ca_c_xyz_A[60:, 1]
        mixed.append(trace)
    crossed = simulator.score(TraceResult(tuple(mixed), ()), dimer)
    assert crossed.right == 1
    assert crossed.by_chain == pytest.approx(60 / 92)


def test_score_within_3_A(dimer):
    a, b = dimer
    for away, expected in ((2.99, 1), (3.01, 0.5)):
        trace = trace_of(a)
        trace.xyz_A[:] += (away, 0, 0)
        assert simulator.score(TraceResult((trace, trace_of(b)), ()), dimer).right == expected
