"""Evidence for bonds against its formula, pair by pair, and on ideal backbones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from c2s_data.sources.procedural.geometry import backbone_from_torsions
from c2s_model.backbone.bond_evidence import (
    BOND_SD_A,
    BRANCHES,
    C_PLACE,
    N_PLACE,
    BondOptions,
    Steps,
    against,
    bends,
    bond_steps,
    crowding,
    skip_steps,
)
from c2s_model.backbone.candidates import AtomPoints

LOOSE = BondOptions(most_bonds=16, most_skips=16, least=-1000.0)


def points(xyz_A) -> AtomPoints:
    return AtomPoints(np.asarray(xyz_A, float), np.ones(len(xyz_A), np.float32))


def backbone(n=14, phi_deg=-75.0, psi_deg=120.0):
    xyz = backbone_from_torsions(np.full(n, np.radians(phi_deg)), np.full(n, np.radians(psi_deg)))
    return xyz[:, 0], xyz[:, 1], xyz[:, 3]  # N, C-alpha, C of N, CA, CB, C, O


def as_pairs(steps: Steps) -> dict[tuple[int, int], float]:
    return {
        (int(i), j): float(w)
        for j, (sources, weights) in enumerate(zip(steps.source, steps.weight, strict=True))
        for i, w in zip(sources, weights, strict=True)
        if i >= 0
    }


def gauss(x, sd):
    return math.exp(-0.5 * (x / sd) ** 2) / (sd * math.sqrt(2 * math.pi))


def ratio_by_hand(i, j, n_points, c_points, noise_A, options):
    """The formula of the module for one pair of positions, without any vector."""
    d = math.dist(i, j)
    ratio = math.log(
        gauss(d - 3.80, math.hypot(BOND_SD_A, math.sqrt(2) * noise_A))
        / (4 * math.pi * max(d, 1) ** 2 * options.candidate_density)
    )
    axis = [(b - a) / d for a, b in zip(i, j, strict=True)]
    for atoms, (share, off_A) in ((n_points, N_PLACE), (c_points, C_PLACE)):
        blur2 = noise_A**2 * (1 + share**2 + (1 - share) ** 2)
        along_sd, off_sd = math.sqrt(blur2 + 0.01), math.sqrt(blur2 + off_A**2 / 2)
        seen = 0.0
        for atom in atoms:
            away = [p - a - share * (b - a) for p, a, b in zip(atom, i, j, strict=True)]
            length2 = sum(x * x for x in away)
            if length2 > (3 * off_sd) ** 2:
                continue
            along = sum(x * u for x, u in zip(away, axis, strict=True))
            off = math.sqrt(max(length2 - along**2, 0))
            seen += gauss(along, along_sd) * gauss(off, off_sd) * gauss(0, off_sd)
        m = options.missing
        ratio += math.log(m + (1 - m) * seen / options.atom_density)
    return ratio


def test_ratio_is_the_formula():
    rng = np.random.default_rng(2)
    xyz = rng.uniform((3, -8, 20), (13, 2, 28), (15, 3))
    n_atoms, c_atoms = (rng.uniform((3, -8, 20), (13, 2, 28), (30, 3)) for _ in range(2))
    found = as_pairs(bond_steps(xyz, points(n_atoms), points(c_atoms), 0.5, LOOSE))
    assert len(found) > 40
    for (i, j), ratio in found.items():
        expected = ratio_by_hand(xyz[i], xyz[j], n_atoms, c_atoms, 0.5, LOOSE)
        assert ratio == pytest.approx(expected, abs=1e-4)
    reach_A = 3.80 + 3 * math.hypot(BOND_SD_A, math.sqrt(2) * 0.5)
    near = {
        (i, j)
        for i in range(15)
        for j in range(15)
        if i != j and math.dist(xyz[i], xyz[j]) <= reach_A
    }
    assert set(found) == near


def test_atoms_give_a_direction_and_name_the_neighbor():
    n_atoms, ca, c_atoms = backbone()
    rng = np.random.default_rng(0)
    noisy = [atoms + rng.normal(0, 0.25, atoms.shape) for atoms in (n_atoms, ca, c_atoms)]
    found = as_pairs(bond_steps(noisy[1], points(noisy[0]), points(noisy[2]), 0.25, LOOSE))
    forward = [found[i, i + 1] for i in range(13)]
    backward = [found.get((i + 1, i), -99.0) for i in range(13)]
    assert all(f > b for f, b in zip(forward, backward, strict=True))
    for i in range(13):
        others = [w for (a, _), w in found.items() if a == i and w != found[i, i + 1]]
        assert found[i, i + 1] > max(others, default=-99)
    alone = as_pairs(bond_steps(noisy[1], None, None, 0.25, LOOSE))
    assert alone[3, 4] == alone[4, 3]


def test_weights_only_speak_against():
    _, ca, _ = backbone()
    ca = ca + np.random.default_rng(0).normal(0, 0.3, ca.shape)
    ratios = bond_steps(ca, None, None, 0.3, BondOptions())
    weights = against(ratios, slack=0.5)
    assert np.array_equal(weights.source, ratios.source)
    usual = np.median(ratios.weight.max(axis=1))
    known = ratios.source >= 0
    expected = np.minimum(ratios.weight[known] - usual + 0.5, 0)
    assert weights.weight[known] == pytest.approx(expected, abs=1e-5)
    assert (weights.weight[known] == 0).any()
    assert (weights.weight[known] < 0).any()


def test_rows_hold_the_best_and_descend():
    rng = np.random.default_rng(7)
    xyz = rng.uniform(0, 9, (40, 3))
    every = as_pairs(bond_steps(xyz, None, None, 0.6, BondOptions(most_bonds=30, most_skips=1)))
    few = bond_steps(xyz, None, None, 0.6, BondOptions(most_bonds=3))
    for j in range(40):
        best = sorted((w for (_, to), w in every.items() if to == j), reverse=True)[:3]
        kept = few.weight[j][few.source[j] >= 0]
        assert kept == pytest.approx(best)


def test_skips_span_one_missed_residue():
    _, ca, _ = backbone()
    options = BondOptions()
    found = as_pairs(skip_steps(ca, 0.3, options))
    assert all((i, i + 2) in found for i in range(12))
    assert max(found.values()) <= 0
    d = np.linalg.norm(ca[5] - ca[3])
    spread = math.hypot(0.59, math.sqrt(2) * 0.3)
    shell = 4 * math.pi * d**2 * options.candidate_density
    expected = math.log(gauss(d - 5.88, spread) / shell) + math.log(options.missing)
    assert found[3, 5] == pytest.approx(min(expected, 0), abs=1e-4)


def test_bends_forbid_going_back():
    _, ca, _ = backbone()
    options = BondOptions()
    bonds = bond_steps(ca, None, None, 0.3, options)
    skips = skip_steps(ca, 0.3, options)
    source = np.hstack((bonds.source, skips.source))
    cost = bends(ca, source, 8, 0.3, options)
    assert cost.max() <= 0
    spread = math.hypot(0.59, math.sqrt(2) * 0.3)
    seen = set()
    for s in range(14):
        for k, u in enumerate(source[s]):
            for k2, q in enumerate(source[u] if u >= 0 else ()):
                if q < 0:
                    continue
                off = (math.dist(ca[q], ca[s]) - 5.88) / spread
                if k >= 8 or k2 >= 8:
                    off = min(off, 0)
                expected = min(options.bend_slack - options.bend_weight * 0.5 * off**2, 0)
                assert cost[s, k, k2] == pytest.approx(expected, abs=1e-4)
                seen.add(q == s)
                if q == s:
                    assert cost[s, k, k2] < -10
    assert seen == {True, False}


def test_crowding_counts_the_ways_of_two_steps():
    rng = np.random.default_rng(5)
    n, k = 30, 6
    source = rng.integers(-1, n, (n, k)).astype(np.int32)
    weight = np.where(source >= 0, -rng.exponential(0.3, (n, k)), -np.inf).astype(np.float32)
    bend = -rng.exponential(0.3, (n, k, k)).astype(np.float32)
    ways = 0.0
    for s in range(n):
        for one, u in enumerate(source[s]):
            for two, q in enumerate(source[u] if u >= 0 else ()):
                if q >= 0:
                    ways += math.exp(weight[s, one] + weight[u, two] + bend[s, one, two])
    found = crowding(Steps(source, weight), bend)
    assert found == pytest.approx(math.log(ways / n / BRANCHES) / 2, abs=1e-5)
    assert found > 0
    assert crowding(Steps(source, weight - 3), bend) == 0


def test_steps_among_some():
    source = np.array([[1, 3], [0, -1], [3, 1], [2, 0]], np.int32)
    weight = np.array([[-1, -2], [-3, -np.inf], [-4, -5], [-6, -7]], np.float32)
    part = Steps(source, weight).among(np.array([3, 0, 1]))
    assert part.source.tolist() == [[-1, 1], [2, 0], [1, -1]]
    assert part.weight.tolist() == [[-np.inf, -7], [-1, -2], [-3, -np.inf]]


@pytest.mark.parametrize("wrong", [{"missing": 0.0}, {"missing": 1.0}, {"most_bonds": 30}])
def test_options_are_checked(wrong):
    with pytest.raises(ValueError, match=r"missing is|steps into"):
        BondOptions(**wrong)


def test_nothing_near():
    steps = bond_steps(np.array([[0, 0, 0], [50.0, 0, 0]]), None, None, 0.5, BondOptions())
    assert (steps.source == -1).all()
    assert (against(steps, 1.0).weight == -np.inf).all()
