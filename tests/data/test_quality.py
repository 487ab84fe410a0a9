"""Flags, facts and the gate on simulated pairs, right ones and ones spoilt in a known way."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from simulated_pairs import SimulatedPair, moved, quality_of, reread, simulated_pair

from c2s_data.quality import expected_q_score, gate, measure_quality, quality_memory_bytes
from c2s_data.transforms.resample import sample_trilinear

FACTS = {
    "q_score",
    "q_score_expected",
    "cc_mask",
    "fsc_05_A",
    "explained_density_share",
    "explained_density_level",
    "quality_flags",
}
SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def right():
    return {seed: quality_of(simulated_pair(seed)) for seed in SEEDS}


def random_shift(seed, length_A):
    direction = np.random.default_rng(seed).standard_normal(3)
    return length_A * direction / np.linalg.norm(direction)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_right_pair_has_no_flag(right, seed):
    quality = right[seed]
    assert (quality.flags, quality.messages) == ((), ())
    facts = quality.facts
    assert set(facts) == FACTS
    assert 0.85 < facts["q_score"] < 0.95
    assert facts["q_score_expected"] == pytest.approx(0.5867)
    assert facts["cc_mask"] > 0.85
    # Map and model are the same Gaussians, so that they agree beyond the resolution.
    assert 2.1 <= facts["fsc_05_A"] < 3.0
    assert facts["explained_density_share"] > 0.95
    assert facts["quality_flags"] == []


@pytest.mark.parametrize("resolution_A", [2.0, 4.5, 6.0, 8.0])
def test_a_right_pair_has_no_flag_at_any_resolution(resolution_A):
    assert quality_of(simulated_pair(2, resolution_A)).flags == ()


@pytest.mark.parametrize(
    ("seed", "length_A"), [(1, 1.5), (2, 1.5), (3, 2.0), (1, 3.0), (2, 10.0), (3, 10.0)]
)
def test_a_shifted_model_is_flagged_and_the_shift_told(seed, length_A):
    shift = random_shift(seed, length_A)
    quality = quality_of(moved(simulated_pair(seed), shift))
    assert quality.flags == ("mismatch", "wrong-origin")
    assert quality.facts["quality_flags"] == ["mismatch", "wrong-origin"]
    assert quality.facts["q_score"] < 0.35
    told = quality.messages[1].split("moving the model by (")[1].split(")")[0]
    # Shifts are searched in steps of 0.25 A.
    np.testing.assert_allclose([float(v) for v in told.split(",")], shift, atol=0.26)


def test_a_shift_is_seen_at_low_resolution_where_the_score_is_not_low_enough():
    quality = quality_of(moved(simulated_pair(2, 6.0), random_shift(0, 1.75)))
    assert quality.flags == ("wrong-origin",)
    assert "C-alphas by" in quality.messages[0]


def test_a_model_of_no_density_is_moved_nowhere():
    pair = simulated_pair(2)
    noise = np.random.default_rng(5).normal(size=pair.density.values_zyx.shape).astype(np.float32)
    quality = quality_of(
        SimulatedPair(pair.atoms, dataclasses.replace(pair.density, values_zyx=noise), 3.0)
    )
    assert quality.flags == ("mismatch",)


@pytest.mark.parametrize(
    ("order_zyx", "reversed_axes", "resolution_A"),
    [
        ((0, 1, 2), (0,), 3.0),
        ((0, 1, 2), (2,), 6.0),
        ((0, 1, 2), (0, 1, 2), 3.0),
        ((2, 1, 0), (), 3.0),
    ],
)
def test_a_mirrored_map_is_of_the_wrong_hand(order_zyx, reversed_axes, resolution_A):
    pair = reread(simulated_pair(3, resolution_A), order_zyx, reversed_axes)
    quality = quality_of(pair)
    assert "wrong-hand" in quality.flags
    assert "wrong-origin" not in quality.flags
    assert quality.facts["q_score"] < 0.2
    assert "mirror image" in quality.messages[-1]


def test_a_mirrored_map_elsewhere_is_of_the_wrong_hand():
    pair = moved(reread(simulated_pair(1), (0, 1, 2), (1,)), (9.0, -4.0, 6.0))
    assert "wrong-hand" in quality_of(pair).flags


def test_axes_in_a_wrong_order_of_the_same_hand_are_a_wrong_origin():
    quality = quality_of(reread(simulated_pair(2), (1, 2, 0)))
    assert quality.flags == ("mismatch", "wrong-origin")
    assert "turning its x, y, z to" in quality.messages[1]
    assert "order of the axes" in quality.messages[1]


def test_a_model_of_another_map_is_a_mismatch_alone():
    map_of, model_of = simulated_pair(1), simulated_pair(2)
    middle = [pair.atoms.xyz_A.mean(axis=0) for pair in (map_of, model_of)]
    atoms = model_of.atoms._replace(xyz_A=model_of.atoms.xyz_A + middle[0] - middle[1])
    flags = quality_of(map_of._replace(atoms=atoms)).flags
    assert "mismatch" in flags
    assert "wrong-hand" not in flags


def test_a_model_outside_its_map_is_told_so():
    quality = quality_of(moved(simulated_pair(1), (5000.0, 0.0, 0.0)))
    assert quality.flags[0] == "mismatch"
    assert "inside the map" in quality.messages[0]
    assert quality.facts["q_score"] is None
    assert quality.facts["cc_mask"] is None
    assert quality.facts["fsc_05_A"] is None
    assert quality.facts["explained_density_share"] == 0.0
    assert np.isnan(quality.residue_q_score).all()


def test_without_a_resolution_the_score_is_measured_but_not_judged():
    pair = simulated_pair(1)
    quality = quality_of(pair, resolution_A=None)
    assert quality.facts["q_score"] > 0.85
    assert [quality.facts[name] for name in ("q_score_expected", "cc_mask", "fsc_05_A")] == [
        None
    ] * 3
    assert quality.flags == ()
    mirrored = quality_of(reread(pair, (0, 1, 2), (0,)), resolution_A=None)
    assert mirrored.flags == ("wrong-hand",)


def test_the_contour_decides_what_is_explained():
    pair = simulated_pair(1)
    values = pair.grid[0]
    level = float(np.quantile(values, 0.999))
    facts = quality_of(pair, contour_level=level).facts
    assert facts["explained_density_level"] == level
    assert facts["explained_density_share"] == 1.0
    half = pair.atoms.residue_index < pair.atoms.n_residues // 2
    part = quality_of(
        pair,
        xyz_A=pair.atoms.xyz_A[half],
        element=pair.atoms.element[half],
        residue_index=pair.atoms.residue_index[half],
        contour_level=level,
    )
    assert 0.4 < part.facts["explained_density_share"] < 0.8
    nothing = quality_of(pair, contour_level=float(values.max()))
    assert nothing.facts["explained_density_share"] is None


def test_a_masked_map_takes_its_level_from_the_c_alphas():
    pair = simulated_pair(1)
    values, voxel, origin = pair.grid
    positive = np.maximum(values, 0)
    atoms = pair.atoms
    ca = quality_of(pair).facts["explained_density_level"]
    facts = measure_quality(
        positive, voxel, origin, *atoms[:3], atoms.ca_xyz_A, atoms.n_residues, 3.0, None
    ).facts
    at_ca = sample_trilinear(positive, (atoms.ca_xyz_A - origin)[:, ::-1] / voxel).mean()
    assert facts["explained_density_level"] == pytest.approx((positive.mean() + at_ca) / 2)
    assert facts["explained_density_level"] != ca


def test_hydrogens_and_other_molecules_do_not_count():
    pair = simulated_pair(1)
    atoms = pair.atoms
    plain = quality_of(pair)
    with_hydrogens = quality_of(
        pair,
        xyz_A=np.concatenate([atoms.xyz_A, atoms.xyz_A[:200] + 0.6]),
        element=np.concatenate([atoms.element, np.ones(200, np.uint8)]),
        residue_index=np.concatenate([atoms.residue_index, atoms.residue_index[:200]]),
    )
    assert with_hydrogens.facts == plain.facts
    np.testing.assert_array_equal(with_hydrogens.residue_q_score, plain.residue_q_score)
    assert np.isnan(with_hydrogens.atom_q_score[-200:]).all()
    # A ligand in the solvent scores low; the protein's mean is the protein's.
    solvent = np.array(pair.grid[2])[None] + [[3.0, 3.0, 3.0], [5.0, 3.0, 3.0]]
    with_ligand = quality_of(
        pair,
        xyz_A=np.concatenate([atoms.xyz_A, solvent]),
        element=np.append(atoms.element, [8, 8]).astype(np.uint8),
        residue_index=np.append(atoms.residue_index, [-1, -1]).astype(np.int32),
    )
    assert with_ligand.facts["q_score"] == plain.facts["q_score"]
    assert np.isfinite(with_ligand.atom_q_score[-2:]).all()


def test_a_residue_has_the_mean_of_its_atoms_and_a_bad_one_stands_out(right):
    pair = simulated_pair(1)
    quality = right[1]
    index = pair.atoms.residue_index
    seventh = quality.atom_q_score[index == 7].mean()
    assert quality.residue_q_score[7] == pytest.approx(seventh, rel=1e-5)
    assert quality.residue_q_score.dtype == np.float32
    spoilt = pair.atoms.xyz_A.copy()
    spoilt[index == 7] += [1.5, 1.5, 0.0]
    found = quality_of(pair, xyz_A=spoilt)
    assert found.flags == ()
    assert np.argmin(found.residue_q_score) == 7


def test_the_gate_gives_reasons_unless_it_is_off(right):
    bad = quality_of(moved(simulated_pair(1), (2.0, 2.0, 0.0)))
    assert gate(bad, "off") == ()
    assert gate(bad, "warn") == gate(bad, "drop") == bad.messages
    assert len(bad.messages) == len(bad.flags) == 2
    assert f"{bad.facts['q_score']:.2f}" in bad.messages[0]
    assert gate(right[1], "drop") == ()
    with pytest.raises(ValueError, match="off, warn, drop"):
        gate(bad, "sometimes")


def test_expected_score_is_the_published_line():
    assert expected_q_score(4.0) == pytest.approx(0.4092)
    assert expected_q_score(1.0) == pytest.approx(0.9417)
    assert expected_q_score(6.4) is None
    assert expected_q_score(None) is None


def test_memory_does_not_grow_with_the_map():
    small, large = quality_memory_bytes((600, 600, 600), 0), quality_memory_bytes((900,) * 3, 0)
    assert small == large < 4 * 600**3 / 4
    assert quality_memory_bytes((10, 20, 30), 1000) > quality_memory_bytes((10, 20, 30), 0)


def test_facts_hold_no_nan(right):
    for quality in right.values():
        numbers = [v for v in quality.facts.values() if isinstance(v, float)]
        assert all(type(v) is float and math.isfinite(v) for v in numbers)


@pytest.mark.parametrize("n", [1, 4, 12])
def test_a_few_residues_are_not_judged_by_a_shift(n):
    pair = simulated_pair(1)
    few = pair.atoms.ca_xyz_A[:n] + random_shift(n, 3.0)
    assert quality_of(pair, ca_xyz_A=few).flags == ()
    many = pair.atoms.ca_xyz_A + random_shift(n, 3.0)
    assert quality_of(pair, ca_xyz_A=many).flags == ("wrong-origin",)
