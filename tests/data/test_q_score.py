"""The Q-score against a version written straight from its definition, and its known values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates
from simulated_pairs import simulated_pair

from c2s_data.transforms.q_score import mean_by_residue, q_score, spiral
from c2s_data.transforms.simulate_density import simulate_density

VOXEL = (0.83, 1.21, 1.07)
ORIGIN = (-31.5, 12.25, 104.75)
SHAPE = (19, 25, 22)


def plain_q_score(values, voxel_zyx, origin_xyz, xyz, which, sigma=0.6):
    """The definition, sentence by sentence; nothing shared with the fast one."""
    high = min(values.mean() + 10 * values.std(), values.max())
    low = max(values.mean() - values.std(), values.min())
    limits = (np.array(values.shape) - 1) * voxel_zyx
    scores = []
    for m in which:
        atom = xyz[m]
        others = np.delete(xyz, m, axis=0)
        others = others[np.linalg.norm(others - atom, axis=1) < 5]  # points are within 2 A
        densities, reference = [], []
        for shell in range(21):
            r = 0.1 * shell
            points = np.repeat(atom[None], 8, axis=0)
            if shell:
                points = points_of_shell(atom, r, others)
            zyx = (points - origin_xyz)[:, ::-1]
            zyx = zyx[((zyx >= 0) & (zyx <= limits)).all(axis=1)]
            densities += list(map_coordinates(values, (zyx / voxel_zyx).T, order=1))
            reference += [low + (high - low) * math.exp(-0.5 * (r / sigma) ** 2)] * len(zyx)
        inside = ((atom - origin_xyz)[::-1] >= 0).all() & (
            (atom - origin_xyz)[::-1] <= limits
        ).all()
        scores.append(np.corrcoef(densities, reference)[0, 1] if inside else math.nan)
    return np.array(scores)


def points_of_shell(atom, r, others):
    for n in range(8, 108, 2):
        k = np.arange(n)
        height = 1 - (2 * k + 1) / n
        azimuth = k * math.pi * (3 - math.sqrt(5))
        flat = np.sqrt(1 - height**2)
        points = atom + r * np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), height], 1)
        to_others = np.linalg.norm(points[:, None] - others, axis=2).min(axis=1, initial=np.inf)
        points = points[to_others > np.linalg.norm(points - atom, axis=1)]
        if len(points) >= 8:
            break
    return points


@pytest.fixture(scope="module")
def crowd():
    """Atoms as dense as in a protein (some outside the map) in a smooth random map."""
    rng = np.random.default_rng(5)
    values = gaussian_filter(rng.standard_normal(SHAPE), 1.2).astype(np.float32)
    side = (np.array(SHAPE) * VOXEL)[::-1]
    tries = rng.uniform(-0.1, 1.1, (1200, 3)) * side
    atoms = []
    for atom in tries:
        if all(np.linalg.norm(atom - other) > 1.2 for other in atoms):
            atoms.append(atom)
    return values, np.array(atoms) + ORIGIN


def test_every_score_is_that_of_the_definition(crowd):
    values, xyz = crowd
    some = np.arange(0, len(xyz), 9)
    expected = plain_q_score(values, VOXEL, ORIGIN, xyz, some)
    found = q_score(values, VOXEL, ORIGIN, xyz, which=some)
    assert found.dtype == np.float32
    assert 25 < np.isfinite(expected).sum() < len(some)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_sigma_is_that_of_the_reference(crowd):
    values, xyz = crowd
    few = xyz[:30]
    found = q_score(values, VOXEL, ORIGIN, few, sigma_A=0.4)
    expected = plain_q_score(values, VOXEL, ORIGIN, few, range(30), sigma=0.4)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_scale_and_offset_of_the_map_do_not_matter(crowd):
    values, xyz = crowd
    plain = q_score(values, VOXEL, ORIGIN, xyz)
    np.testing.assert_allclose(q_score(values * 37 - 1200, VOXEL, ORIGIN, xyz), plain, atol=3e-4)
    np.testing.assert_allclose(q_score(-values, VOXEL, ORIGIN, xyz), -plain, atol=1e-6)


def test_order_of_atoms_does_not_matter_and_a_choice_sees_all_neighbors(crowd):
    values, xyz = crowd
    every = q_score(values, VOXEL, ORIGIN, xyz)
    order = np.random.default_rng(1).permutation(len(xyz))
    np.testing.assert_array_equal(q_score(values, VOXEL, ORIGIN, xyz[order]), every[order])
    chosen = np.arange(len(xyz)) % 3 == 1
    np.testing.assert_array_equal(q_score(values, VOXEL, ORIGIN, xyz, which=chosen), every[chosen])


@pytest.mark.parametrize("width_A", [0.3, 0.6, 1.1])
def test_a_lone_gaussian_atom_has_the_correlation_of_two_gaussians(width_A):
    atom = np.array([3.1, 2.9, 3.3])
    density = simulate_density(
        atom, 6.0, width_A * math.pi * math.sqrt(2), shape_zyx=(131, 121, 111),
        voxel_size_zyx_A=(0.05, 0.05, 0.05), origin_xyz_A=(0.0, 0.0, 0.0),
    )  # fmt: skip
    r = np.repeat(np.arange(21) * 0.1, 8)
    expected = np.corrcoef(np.exp(-0.5 * (r / width_A) ** 2), np.exp(-0.5 * (r / 0.6) ** 2))[0, 1]
    found = q_score(density, (0.05, 0.05, 0.05), (0.0, 0.0, 0.0), atom[None])
    assert found[0] == pytest.approx(expected, abs=1e-3)


def test_a_right_model_scores_high_and_a_wrong_one_low():
    # The first three ranges were measured apart from this package, on analytic density.
    pair = simulated_pair(3, 2.5)
    values, voxel, origin = pair.grid
    xyz = pair.atoms.xyz_A
    clean = simulate_density(
        xyz, pair.atoms.element, 2.5,
        shape_zyx=values.shape, voxel_size_zyx_A=voxel, origin_xyz_A=origin,
    )  # fmt: skip
    jitter = np.random.default_rng(0).normal(0.0, 0.5, xyz.shape)
    middle = (xyz.min(axis=0) + xyz.max(axis=0)) / 2
    mean = {
        name: float(np.nanmean(q_score(clean, voxel, origin, positions)))
        for name, positions in {
            "right": xyz,
            "jitter": xyz + jitter,
            "shift": xyz + 1.0,
            "mirror": (xyz - middle) * [1, 1, -1] + middle,
        }.items()
    }
    assert 0.89 < mean["right"] < 0.98
    assert 0.63 < mean["jitter"] < 0.75
    assert 0.04 < mean["shift"] < 0.31
    assert -0.15 < mean["mirror"] < 0.05


def test_atoms_outside_the_map_have_no_score_and_those_in_flat_density_zero():
    values = np.zeros((9, 11, 13), np.float32)
    corners = [[0.0, 0.0, 0.0], [12.0, 10.0, 8.0], [12.001, 10.0, 8.0], [5.0, -0.001, 4.0]]
    for constant in (0.0, 3.7):
        found = q_score(values + np.float32(constant), (1.0,) * 3, (0.0,) * 3, corners)
        np.testing.assert_array_equal(found, [0.0, 0.0, np.nan, np.nan])


def test_atoms_at_one_place_have_no_score_and_a_crowd_ends(crowd):
    values, xyz = crowd
    twice = np.concatenate([xyz[:3], xyz[:1]])
    found = q_score(values, VOXEL, ORIGIN, twice)
    assert np.isnan(found[[0, 3]]).all()
    middle = np.array(ORIGIN) + 10.0
    pile = middle + np.random.default_rng(0).uniform(0, 1, (600, 3))
    assert np.isnan(q_score(values, VOXEL, ORIGIN, pile)).all()


def test_nothing_to_score_gives_nothing():
    values = np.ones((4, 5, 6), np.float32)
    assert q_score(values, (1.0,) * 3, (0.0,) * 3, np.empty((0, 3))).shape == (0,)
    far = [[1e30, 0.0, 0.0], [-500.0, 0.0, 0.0]]
    assert np.isnan(q_score(values, (1.0,) * 3, (0.0,) * 3, far)).all()


def test_bad_positions_and_sigma_are_refused():
    values = np.ones((4, 5, 6), np.float32)
    with pytest.raises(ValueError, match="position"):
        q_score(values, (1.0,) * 3, (0.0,) * 3, [[1.0, np.nan, 0.0]])
    with pytest.raises(ValueError, match="sigma"):
        q_score(values, (1.0,) * 3, (0.0,) * 3, [[1.0, 1.0, 1.0]], sigma_A=0.0)


def test_a_spiral_is_even():
    for n in (8, 30, 106):
        vectors = spiral(n)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0)
        assert np.abs(vectors.mean(axis=0)).max() < 0.06
        # The second moments of an even sphere are 1/3 of the identity.
        np.testing.assert_allclose(vectors.T @ vectors / n, np.eye(3) / 3, atol=0.06)


def test_a_residue_has_the_mean_of_its_scored_atoms():
    atoms = np.array([0.5, 0.7, np.nan, 0.9, 0.2, np.nan], np.float32)
    index = np.array([2, 2, 2, 0, -1, 3], np.int32)
    found = mean_by_residue(atoms, index, 5)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [0.9, np.nan, 0.6, np.nan, np.nan], rtol=1e-6)
