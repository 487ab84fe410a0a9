"""The 24 rotations are the group they should be, and labels turn as atoms do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from c2s_model.data.rotations import N_ROTATIONS, rotate_back_zyx, rotate_zyx


def matrix(number: int) -> np.ndarray:
    """What a rotation does to offsets from the centre, read off three marked voxels."""
    marked = torch.zeros(3, 5, 5, 5)
    for axis in range(3):
        place = [2, 2, 2]
        place[axis] = 4
        marked[(axis, *place)] = 1
    turned = rotate_zyx(marked, number)
    return np.stack([np.argwhere(one.numpy())[0] - 2 for one in turned], axis=1) // 2


def test_they_are_all_proper_rotations_and_a_group() -> None:
    matrices = [matrix(number) for number in range(N_ROTATIONS)]
    assert N_ROTATIONS == 24
    assert len({m.tobytes() for m in matrices}) == 24
    assert all(round(np.linalg.det(m)) == 1 for m in matrices)
    assert all(np.array_equal(m @ m.T, np.eye(3)) for m in matrices)
    known = {m.tobytes() for m in matrices}
    assert all((a @ b).tobytes() in known for a in matrices for b in matrices)
    np.testing.assert_array_equal(matrices[0], np.eye(3))


@pytest.mark.parametrize("number", range(24))
def test_each_is_undone_whatever_the_sides(number: int) -> None:
    values = torch.arange(2 * 3 * 4 * 5 * 7).reshape(2, 3, 4, 5, 7)
    turned = rotate_zyx(values, number)
    assert sorted(turned.shape[2:]) == [4, 5, 7]
    assert torch.equal(rotate_back_zyx(turned, number), values)


def test_turned_labels_are_the_labels_of_turned_atoms() -> None:
    rng = np.random.default_rng(3)
    side = 8
    atoms_zyx = rng.uniform(-0.5, side - 0.5, (40, 3))
    labels = torch.zeros(side, side, side, dtype=torch.uint8)
    voxel = np.rint(atoms_zyx).astype(int)
    labels[tuple(voxel.T)] = 1
    centre = (side - 1) / 2
    for number in range(24):
        turned_atoms = (atoms_zyx - centre) @ matrix(number).T + centre
        expected = torch.zeros_like(labels)
        expected[tuple(np.rint(turned_atoms).astype(int).T)] = 1
        assert torch.equal(rotate_zyx(labels, number), expected), number
