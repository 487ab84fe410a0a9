"""The 24 rotations are the group they should be, and labels turn as atoms do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from c2s_data.transforms.label import LabelRule, label_voxels
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


def test_they_are_the_rotations_of_the_octahedron() -> None:
    expected = Rotation.create_group("O").as_matrix().round().astype(int) + 0
    found = {tuple(matrix(number).ravel().tolist()) for number in range(N_ROTATIONS)}
    assert found == {tuple(one.ravel().tolist()) for one in expected}


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


def labels(atoms_zyx: np.ndarray, side: int, rule: LabelRule) -> torch.Tensor:
    """Label atoms of a grid of 1 A voxels in a box of its own origin: N, C-alpha and C in turn."""
    origin_xyz_A = np.array([3.0, -7.0, 12.0])
    classes = np.arange(len(atoms_zyx)) % 3 + 1
    found = label_voxels(
        atoms_zyx[:, ::-1] + origin_xyz_A,
        classes,
        classes,
        classes,
        shape_zyx=(side,) * 3,
        origin_xyz_A=origin_xyz_A,
        voxel_size_zyx_A=(1.0, 1.0, 1.0),
        rule=rule,
        collision="ca-first",
    )
    return torch.from_numpy(found.atom.to_dense((side,) * 3))


def test_turned_labels_are_the_labels_of_turned_atoms_under_the_nearest_rule() -> None:
    side = 12
    atoms_zyx = np.random.default_rng(3).uniform(-0.5, side - 0.5, (150, 3))
    centre = (side - 1) / 2
    fits_the_formula = []
    for number in range(N_ROTATIONS):
        turned_zyx = (atoms_zyx - centre) @ matrix(number).T + centre
        turned = rotate_zyx(labels(atoms_zyx, side, "nearest"), number)
        assert torch.equal(turned, labels(turned_zyx, side, "nearest")), number
        turned = rotate_zyx(labels(atoms_zyx, side, "formula1"), number)
        if torch.equal(turned, labels(turned_zyx, side, "formula1")):
            fits_the_formula.append(number)
    # The paper's formula puts labels half a voxel low on each axis: only the three turns about the
    # diagonal leave that offset as it is.
    diagonal = np.ones(3)
    keep = [n for n in range(N_ROTATIONS) if np.array_equal(matrix(n) @ diagonal, diagonal)]
    assert fits_the_formula == keep
    assert len(keep) == 3
