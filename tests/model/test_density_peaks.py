"""Density peaks against a plain double loop, and on a map whose peaks are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from c2s_model.evaluation.density_peaks import density_peaks


def plain_peaks(values_zyx, *, origin_xyz_A, voxel_size_A, level, min_distance_A):
    """Voxel by voxel from the densest down, each compared with all that were taken."""
    dense = np.argwhere(values_zyx >= level).tolist()
    order = sorted((-float(values_zyx[z, y, x]), (z, y, x)) for z, y, x in dense)
    taken = []
    for value, (z, y, x) in order:
        xyz_A = np.array(origin_xyz_A) + np.array([x, y, z]) * voxel_size_A
        if all(np.linalg.norm(xyz_A - other) >= min_distance_A - 1e-7 for other, _ in taken):
            taken.append((xyz_A, -value))
    return taken


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 8), st.integers(1, 7)),
    levels=st.integers(2, 500),
    distance_A=st.sampled_from([0.7, 1.0, 2.0, 3.0, 3.7, 20.0]),
    voxel_A=st.sampled_from([1.0, 0.8, 1.3]),
)
def test_peaks_are_those_of_a_plain_loop(seed, shape, levels, distance_A, voxel_A):
    values = np.random.default_rng(seed).integers(0, levels, shape).astype(np.float32)
    options = {
        "origin_xyz_A": (-3.5, 40.25, 7.0),
        "voxel_size_A": voxel_A,
        "level": levels // 4,
        "min_distance_A": distance_A,
    }
    found, expected = density_peaks(values, **options), plain_peaks(values, **options)
    assert len(found) == len(expected)
    for xyz_A, density, (known_A, value) in zip(found.xyz_A, found.density, expected, strict=True):
        np.testing.assert_allclose(xyz_A, known_A, rtol=0, atol=1e-9)
        assert density == value


def test_gaussians_are_found_where_they_were_put_and_axes_are_not_mixed():
    centers_xyz = np.array([[4, 7, 12], [4, 7, 15], [9, 2, 3], [4, 9, 12]])
    heights = [5.0, 4.0, 3.0, 4.5]
    z, y, x = np.mgrid[:20, :13, :11]
    values = np.zeros((20, 13, 11))
    for (cx, cy, cz), height in zip(centers_xyz, heights, strict=True):
        values = np.maximum(
            values, height * np.exp(-2 * ((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2))
        )
    found = density_peaks(values, origin_xyz_A=(100.0, 200.0, -300.0), level=1.0)
    # The last center is 2 A from the highest and gives way; the second is exactly 3 A away.
    expected = centers_xyz[:3] + np.array([100.0, 200.0, -300.0])
    np.testing.assert_allclose(found.xyz_A, expected)
    np.testing.assert_allclose(found.density, heights[:1] + heights[1:3], rtol=1e-6)


def test_a_higher_level_gives_the_first_of_the_same_peaks():
    values = np.random.default_rng(3).random((17, 14, 19), np.float32)
    options = {"origin_xyz_A": (0.0, 0.0, 0.0), "min_distance_A": 3.0}
    low = density_peaks(values, level=0.2, **options)
    for level in (0.2, 0.7, float(low.density[5]), 2.0):
        high = density_peaks(values, level=level, **options)
        np.testing.assert_array_equal(low.above(level).xyz_A, high.xyz_A)
        np.testing.assert_array_equal(low.above(level).density, high.density)
    assert len(low.above(float(low.density[5]))) == 6
    assert cdist(low.xyz_A, low.xyz_A)[~np.eye(len(low), dtype=bool)].min() >= 3.0


def test_peaks_are_everywhere_apart_and_leave_no_dense_voxel_uncovered():
    values = np.random.default_rng(5).random((31, 22, 27)).astype(np.float16)
    found = density_peaks(values, origin_xyz_A=(0.0, 0.0, 0.0), level=0.5)
    dense = np.argwhere(values >= 0.5)[:, ::-1]
    assert cdist(dense, found.xyz_A).min(axis=1).max() < 3.0


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (np.zeros((3, 4)), {}, "z, y, x"),
        (np.full((2, 3, 4), np.nan), {}, "finite"),
        (np.zeros((2, 3, 4)), {"min_distance_A": 0.0}, "positive"),
        (np.zeros((2, 3, 4)), {"voxel_size_A": -1.0}, "positive"),
    ],
)
def test_what_is_no_map_is_refused(values, options, words):
    with pytest.raises(ValueError, match=words):
        density_peaks(values, origin_xyz_A=(0.0, 0.0, 0.0), level=0.0, **options)


def test_no_voxel_reaches_the_level():
    found = density_peaks(np.zeros((4, 5, 6)), origin_xyz_A=(0.0, 0.0, 0.0), level=0.1)
    assert len(found) == 0
    assert found.xyz_A.shape == (0, 3)
