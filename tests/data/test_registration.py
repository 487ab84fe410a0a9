"""Shift search and placement in turned and mirrored boxes: the right answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from simulated_pairs import moved, reread, simulated_pair

from c2s_data.transforms.handedness import (
    Placement,
    axis_operations,
    best_placements,
    every_nth,
)
from c2s_data.transforms.registration import best_shift

VOXEL = (1.1, 0.9, 1.3)
ORIGIN = (-31.5, 12.25, 104.75)
SHAPE = (11, 16, 13)


def test_every_shift_is_tried_and_the_best_returned():
    rng = np.random.default_rng(4)
    values = rng.standard_normal(SHAPE).astype(np.float32)
    xyz = rng.uniform(-1, 1.1, (7, 3)) * [14, 13, 11] + ORIGIN
    limits = np.array(SHAPE) - 1
    steps = np.arange(-4, 5) * 0.75
    expected = {}
    for shift in np.array(np.meshgrid(steps, steps, steps)).reshape(3, -1).T:
        voxel = (xyz + shift - ORIGIN)[:, ::-1] / VOXEL
        inside = ((voxel >= 0) & (voxel <= limits)).all(axis=1)
        density = map_coordinates(values.astype(float), voxel[inside].T, order=1)
        expected[tuple(shift)] = (density - 0.3).sum() / 7
    found = best_shift(values, VOXEL, ORIGIN, xyz, offset=0.3, reach_A=3.0, step_A=0.75)
    best = max(expected, key=expected.get)
    np.testing.assert_allclose(found.shift_xyz_A, best)
    assert found.at_best == pytest.approx(expected[best])
    assert found.at_rest == pytest.approx(expected[(0.0, 0.0, 0.0)])
    assert found.length_A == pytest.approx(np.linalg.norm(best))


@pytest.mark.parametrize("shift", [(2.0, -1.0, 3.0), (0.0, 0.0, -4.0), (0.0, 0.0, 0.0)])
def test_a_known_shift_is_undone(shift):
    pair = moved(simulated_pair(6), shift)
    found = best_shift(*pair.grid, pair.atoms.ca_xyz_A, offset=0.0)
    np.testing.assert_array_equal(found.shift_xyz_A, shift)
    assert (found.gain > 0.2) == any(shift)
    raised = best_shift(pair.grid[0] + 100, *pair.grid[1:], pair.atoms.ca_xyz_A, offset=100.0)
    np.testing.assert_array_equal(raised.shift_xyz_A, shift)
    assert raised.gain == pytest.approx(found.gain, rel=1e-3)


def test_ties_go_to_the_shorter_shift_and_nothing_to_no_shift():
    flat = np.full(SHAPE, 2.0, np.float32)
    inside = np.add(ORIGIN, [[6.0, 6.0, 5.0]])
    found = best_shift(flat, VOXEL, ORIGIN, inside, offset=1.0)
    assert (found.length_A, found.at_rest, found.gain) == (0.0, 1.0, 0.0)
    empty = best_shift(flat, VOXEL, ORIGIN, [[np.nan] * 3], offset=1.0)
    assert (empty.length_A, empty.gain) == (0.0, 0.0)


def test_a_gain_over_nothing_has_no_bound():
    values = np.zeros(SHAPE, np.float32)
    values[5, 8, 6] = 1.0
    point = np.array(ORIGIN) + np.array([6, 8, 5]) * VOXEL[::-1] + [3.0, 0.0, 0.0]
    found = best_shift(values, VOXEL, ORIGIN, point, offset=0.0)
    np.testing.assert_array_equal(found.shift_xyz_A, [-3.0, 0.0, 0.0])
    assert (found.at_rest, found.gain) == (0.0, math.inf)


def test_there_are_48_axis_operations_half_of_them_mirrors():
    matrices = list(axis_operations())
    assert len({matrix.tobytes() for matrix in matrices}) == 48
    assert sorted(round(float(np.linalg.det(m))) for m in matrices) == [-1] * 24 + [1] * 24
    assert all((m @ m.T == np.eye(3)).all() for m in matrices)
    np.testing.assert_array_equal(matrices[0], np.eye(3))


def test_a_placement_moves_about_the_center_and_says_how():
    matrix = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    place = Placement(matrix, np.array([0.5, 0.0, 0.0]), np.array([10.0, 20.0, 30.0]), 0.0)
    np.testing.assert_allclose(place.move(np.array([[11.0, 22.0, 33.0]])), [[7.5, 21.0, 32.0]])
    assert place.name == "-z, x, y"
    assert place.is_mirror
    assert not place.keeps_axes


@pytest.mark.parametrize(
    ("order_zyx", "reversed_axes"),
    [
        ((0, 1, 2), (0,)),
        ((0, 1, 2), (0, 1, 2)),
        ((2, 1, 0), ()),
        ((1, 2, 0), ()),
        ((1, 0, 2), (2,)),
    ],
)
def test_a_map_read_in_another_way_is_found_out(order_zyx, reversed_axes):
    pair = reread(moved(simulated_pair(6), (7.0, -3.0, 4.0)), order_zyx, reversed_axes)
    mean = float(pair.grid[0].mean())
    turned, mirrored = best_placements(*pair.grid, pair.atoms.ca_xyz_A, offset=mean)
    odd = np.linalg.det(np.eye(3)[list(order_zyx)]) * (-1) ** len(reversed_axes) < 0
    right, wrong = (mirrored, turned) if odd else (turned, mirrored)
    assert right[0].density > 2 * wrong[0].density
    # There the C-alphas have the density that they had in the map as it was made.
    made = simulated_pair(6)
    there = best_shift(*made.grid, made.atoms.ca_xyz_A, offset=mean).at_rest
    assert right[0].density == pytest.approx(there, rel=0.05)
    assert {place.is_mirror for place in mirrored} == {True}
    assert {place.is_mirror for place in turned} == {False}


def test_a_model_larger_than_its_map_has_a_place():
    values = np.random.default_rng(0).random((6, 5, 7)).astype(np.float32)
    points = np.array([[-40.0, 0.0, 0.0], [50.0, 3.0, 2.0], [1e12, 0.0, 0.0]])
    turned, mirrored = best_placements(values, (1.0,) * 3, (0.0,) * 3, points, offset=0.5)
    assert all(np.isfinite(place.density) for place in (*turned, *mirrored))


def test_an_even_choice_has_both_ends_in_reach():
    rows = np.arange(10.0)[:, None]
    np.testing.assert_array_equal(every_nth(rows, 4)[:, 0], [0.0, 3.0, 6.0, 9.0])
    np.testing.assert_array_equal(every_nth(rows, 10), rows)
    assert every_nth(rows[:0], 4).shape == (0, 1)
