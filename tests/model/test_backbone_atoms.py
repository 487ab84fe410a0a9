"""Peptide planes against ideal geometry, real structures, and a search over all turns."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from c2s_data.sources.atomic_model import read_atomic_model
from c2s_data.sources.procedural.geometry import backbone_from_torsions
from c2s_model.backbone import backbone_atoms
from c2s_model.backbone.backbone_atoms import CIS, TRANS, place_backbone
from c2s_model.backbone.candidates import AtomPoints
from c2s_model.backbone.even_steps import settle_steps


def points(xyz_A) -> AtomPoints:
    xyz_A = np.asarray(xyz_A, float).reshape(-1, 3)
    return AtomPoints(xyz_A, np.ones(len(xyz_A), np.float32))


def ideal(n: int, seed: int = 0):
    """N, CA, C, O of a chain with ideal bonds and random torsions, (n, 3) each."""
    rng = np.random.default_rng(seed)
    phi, psi = np.deg2rad(rng.uniform(-140, -50, n)), np.deg2rad(rng.uniform(-60, 150, n))
    xyz_A = np.add(backbone_from_torsions(phi, psi), (12.0, -7.0, 30.0))
    return xyz_A[:, 0], xyz_A[:, 1], xyz_A[:, 3], xyz_A[:, 4]


def rms_A(found, wanted) -> float:
    return float(np.sqrt(np.nanmean(((found - wanted) ** 2).sum(axis=1))))


def test_the_plane_has_the_lengths_of_a_peptide() -> None:
    assert TRANS.length_A == pytest.approx(3.80, abs=0.02)
    assert CIS.length_A == pytest.approx(2.95, abs=0.2)  # observed; ideal angles give 2.79
    for plane in (TRANS, CIS):
        c, o, n, end = (np.array(p) for p in (plane.c, plane.o, plane.n, (plane.length_A, 0.0)))
        bonds = [np.linalg.norm(c), np.linalg.norm(o - c), np.linalg.norm(n - c)]
        assert bonds == pytest.approx([1.525, 1.231, 1.329], abs=1e-9)
        assert np.linalg.norm(end - n) == pytest.approx(1.458, abs=1e-9)


def test_an_ideal_chain_is_rebuilt_from_its_own_atoms() -> None:
    n, ca, c, o = ideal(40)
    placed = place_backbone(ca, np.ones(39, bool), points(n), points(c))
    assert placed.n_supported == 78
    assert np.isnan(placed.n_xyz_A[0]).all()
    assert np.isnan(placed.c_xyz_A[-1]).all()
    assert np.isnan(placed.o_xyz_A[-1]).all()
    assert np.isfinite(placed.n_xyz_A[1:]).all()
    # steps of 5 degrees: at most 2.5 degrees off at up to 1.7 A from the axis
    assert rms_A(placed.n_xyz_A, n) < 0.03
    assert rms_A(placed.c_xyz_A, c) < 0.03
    assert rms_A(placed.o_xyz_A, o) < 0.08


def test_one_kind_of_atom_is_enough() -> None:
    n, ca, c, o = ideal(30, 1)
    placed = place_backbone(ca, np.ones(29, bool), None, points(c))
    assert placed.n_supported == 29
    assert rms_A(placed.n_xyz_A, n) < 0.06
    assert rms_A(placed.o_xyz_A, o) < 0.12


def test_a_plane_without_evidence_is_left_out() -> None:
    n, ca, c, _ = ideal(20, 2)
    keep = np.arange(20) != 8
    placed = place_backbone(ca, np.ones(19, bool), points(n[np.roll(keep, 1)]), points(c[keep]))
    assert np.isnan(placed.c_xyz_A[8]).all()
    assert np.isnan(placed.n_xyz_A[9]).all()
    assert np.isfinite(placed.c_xyz_A[[7, 9]]).all()
    nothing = place_backbone(ca, np.ones(19, bool), points([(500, 0, 0)]), None)
    assert np.isnan(nothing.c_xyz_A).all()
    assert np.isnan(place_backbone(ca, np.ones(19, bool), None, None).o_xyz_A).all()


def test_nothing_is_placed_across_a_break_or_a_long_step() -> None:
    n, ca, c, _ = ideal(12, 3)
    bonded = np.ones(11, bool)
    bonded[4] = False
    step = ca[9] - ca[8]
    for one in (n, ca, c):
        one[9:] += 0.4 * step  # 5.3 A from one C-alpha to the next
    placed = place_backbone(ca, bonded, points(n), points(c))
    for first in (4, 8):
        assert np.isnan(placed.c_xyz_A[first]).all()
        assert np.isnan(placed.n_xyz_A[first + 1]).all()
    assert np.isfinite(placed.c_xyz_A[[3, 5, 7]]).all()


def test_the_turns_are_the_best_of_all(monkeypatch) -> None:
    """Eight turns, four planes: every one of the 4,096 combinations is tried."""
    monkeypatch.setattr(backbone_atoms, "TURNS", 8)
    rng = np.random.default_rng(4)
    for seed in range(5):
        _, ca, _, _ = ideal(5, seed)
        ca = ca + rng.normal(scale=0.2, size=ca.shape)
        first = np.arange(4)
        length = np.linalg.norm(np.diff(ca, axis=0), axis=1)
        turned = backbone_atoms._turned_planes(ca, first, length)
        near = {name: rng.uniform(0, 1.5, (4, 8)) for name in "NC"}
        chosen = backbone_atoms._best_turns(turned, ca, first, near)

        def cost(turns, turned=turned, near=near, ca=ca) -> float:
            total = 0.0
            for place, turn in enumerate(turns):
                for one in near.values():
                    total += min(one[place, turn], backbone_atoms.REACH_A) ** 2 / 2 / 0.5**2
                if place:
                    a = turned["N"][place - 1, turns[place - 1]] - ca[place]
                    b = turned["C"][place, turn] - ca[place]
                    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
                    total += ((np.rad2deg(np.arccos(cosine)) - 111) / 12) ** 2 / 2
            return total

        best = min(product(range(8), repeat=4), key=cost)
        assert cost(tuple(chosen)) == pytest.approx(cost(best), abs=1e-9)


def test_noisy_atoms_of_a_real_model(shared_data) -> None:
    residues = read_atomic_model(shared_data / "models" / "7kjr.pdb").residues
    bonded = np.linalg.norm(residues.c_xyz_A[:-1] - residues.n_xyz_A[1:], axis=1) < 1.7
    exact = place_backbone(
        residues.ca_xyz_A, bonded, points(residues.n_xyz_A), points(residues.c_xyz_A)
    )
    assert rms_A(exact.n_xyz_A, residues.n_xyz_A) < 0.12
    assert rms_A(exact.o_xyz_A, residues.o_xyz_A) < 0.35
    rng = np.random.default_rng(5)
    noisy = [
        xyz_A + rng.normal(scale=0.3, size=xyz_A.shape)
        for xyz_A in (residues.ca_xyz_A, residues.n_xyz_A, residues.c_xyz_A)
    ]
    placed = place_backbone(noisy[0], bonded, points(noisy[1]), points(noisy[2]))
    assert np.isfinite(placed.c_xyz_A[:, 0]).mean() > 0.85
    assert rms_A(placed.n_xyz_A, residues.n_xyz_A) < 0.65
    assert rms_A(placed.c_xyz_A, residues.c_xyz_A) < 0.65


def test_steps_become_even_and_positions_better() -> None:
    _, ca, _, _ = ideal(60, 8)
    rng = np.random.default_rng(9)
    noisy = ca + rng.normal(scale=0.3, size=ca.shape)
    bonded, proline = np.ones(59, bool), np.zeros(59, bool)
    bonded[20] = False
    noisy[21:] += (40.0, 0, 0)
    moved = settle_steps(noisy, bonded, proline)
    length_A = np.linalg.norm(np.diff(moved, axis=0), axis=1)
    np.testing.assert_allclose(length_A[bonded], TRANS.length_A, atol=0.01)
    for part in (slice(0, 21), slice(21, 60)):
        np.testing.assert_allclose(moved[part].mean(axis=0), noisy[part].mean(axis=0), atol=1e-9)
    truth = ca.copy()
    truth[21:] += (40.0, 0, 0)
    assert rms_A(moved, truth) < 0.92 * rms_A(noisy, truth)


def test_no_smaller_move_makes_the_steps_even() -> None:
    """A general optimizer under the same constraints ends no nearer to the given positions."""
    from scipy.optimize import minimize

    _, ca, _, _ = ideal(5, 3)
    given = ca + np.random.default_rng(2).normal(scale=0.25, size=ca.shape)
    even = {
        "type": "eq",
        "fun": lambda x: np.linalg.norm(np.diff(x.reshape(-1, 3), axis=0), axis=1) - TRANS.length_A,
    }
    best = minimize(
        lambda x: ((x - given.ravel()) ** 2).sum(), given.ravel(), constraints=[even], tol=1e-12
    )
    assert best.success
    moved = settle_steps(given, np.ones(4, bool), np.zeros(4, bool))
    assert ((moved - given) ** 2).sum() < 1.1 * best.fun


def test_short_steps_are_cis_before_a_proline_only_and_long_ones_stay() -> None:
    xyz_A = np.array([(0, 0, 0), (2.8, 0, 0), (5.6, 0, 0), (15.6, 0, 0.0)])
    moved = settle_steps(xyz_A, np.ones(3, bool), np.array([True, False, False]))
    length_A = np.linalg.norm(np.diff(moved, axis=0), axis=1)
    assert length_A[:2] == pytest.approx([CIS.length_A, TRANS.length_A], abs=0.01)
    assert moved[3].tolist() == xyz_A[3].tolist()
    assert settle_steps(xyz_A[:1], np.zeros(0, bool), np.zeros(0, bool)).shape == (1, 3)
