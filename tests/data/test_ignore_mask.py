"""The ignore mask against all distances, at made atoms and at a complex of protein and RNA."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from c2s_data.transforms.ignore_mask import ignore_mask
from c2s_data.transforms.label_window import Grid

SHAPE, ORIGIN, VOXEL = (37, 14, 23), (-7.5, 31.25, 104.0), (1.07, 0.93, 1.21)
GRID = Grid(SHAPE, ORIGIN, VOXEL)
NONE = np.empty((0, 3), np.int32)


def near_voxels(xyz: np.ndarray, grid: Grid, radius_A: float) -> np.ndarray:
    """Voxels, (m, 3) in C order, whose center is that near to an atom; by a tree of the atoms."""
    index = np.indices(grid.shape_zyx).reshape(3, -1).T
    centers = (index * grid.voxel_size_zyx_A)[:, ::-1] + grid.origin_xyz_A
    distance, _ = cKDTree(xyz).query(centers, distance_upper_bound=radius_A + 1)
    return index[distance <= radius_A]


@settings(max_examples=40)
@given(seed=st.integers(0, 999), radius_A=st.floats(0.5, 6.0), n=st.integers(1, 12))
def test_all_voxels_near_an_atom_but_the_protected(seed, radius_A, n):
    rng = np.random.default_rng(seed)
    zyx = rng.uniform(-4, np.array(SHAPE) + 4, (n, 3)) * VOXEL
    xyz = zyx[:, ::-1] + ORIGIN
    protected = rng.integers(0, SHAPE, (400, 3)).astype(np.int32)
    mask = ignore_mask(xyz, GRID, radius_A=radius_A, protected_zyx=protected)
    taken = {tuple(voxel) for voxel in protected.tolist()}
    near = near_voxels(xyz, GRID, radius_A).tolist()
    assert mask.index_zyx.tolist() == [voxel for voxel in near if tuple(voxel) not in taken]
    assert mask.index_zyx.dtype == np.int32
    assert mask.value.dtype == np.uint8
    assert (mask.value == 1).all()


def test_one_atom_on_a_voxel_covers_a_ball():
    grid = Grid((40, 9, 9), (0.0, 0.0, 0.0))
    mask = ignore_mask([[4.0, 4.0, 16.0]], grid, radius_A=3.0, protected_zyx=NONE)
    assert len(mask.value) == 123  # lattice points with x^2 + y^2 + z^2 <= 9
    assert mask.index_zyx.min(axis=0).tolist() == [13, 1, 1]
    assert mask.index_zyx.max(axis=0).tolist() == [19, 7, 7]
    kept = ignore_mask(
        [[4.0, 4.0, 16.0]], grid, radius_A=3.0, protected_zyx=np.array([[16, 4, 4], [0, 0, 0]])
    )
    assert len(kept.value) == 122
    assert [16, 4, 4] not in kept.index_zyx.tolist()


def test_no_atoms_ignore_nothing():
    mask = ignore_mask(np.empty((0, 3)), GRID, protected_zyx=NONE)
    assert mask.index_zyx.shape == (0, 3)
    assert mask.value.shape == (0,)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="outside the map"):
        ignore_mask([[0.0, 0, 0]], GRID, protected_zyx=np.array([[37, 0, 0]]))
    with pytest.raises(ValueError, match="radius"):
        ignore_mask([[0.0, 0, 0]], GRID, radius_A=0.0, protected_zyx=NONE)
    with pytest.raises(ValueError, match="finite"):
        ignore_mask([[np.nan, 0, 0]], GRID, protected_zyx=NONE)


def test_rna_in_a_polymerase_is_ignored_and_its_protein_is_not(shared_data):
    structure = gemmi.read_structure(str(shared_data / "models" / "7bv2.pdb"))
    structure.setup_entities()
    structure.remove_waters()
    place = {"protein": [], "other": []}
    for found in structure[0].all():
        info = gemmi.find_tabulated_residue(found.residue.name)
        place["protein" if info.is_amino_acid() else "other"].append(found.atom.pos.tolist())
    protein, other = (np.array(place[kind]) for kind in ("protein", "other"))
    both = np.concatenate([protein, other])
    low, high = both.min(0), both.max(0)
    grid = Grid(tuple((high - low + 12).astype(int)[::-1].tolist()), tuple((low - 5.3).tolist()))
    labels = np.rint(protein - grid.origin_xyz_A).astype(np.int32)[:, ::-1]
    mask = ignore_mask(other, grid, radius_A=3.0, protected_zyx=labels)
    dense = mask.to_dense(grid.shape_zyx)
    assert not dense[tuple(labels.T)].any()
    expected = np.zeros(grid.shape_zyx, np.uint8)
    expected[tuple(near_voxels(other, grid, 3.0).T)] = 1
    expected[tuple(labels.T)] = 0
    np.testing.assert_array_equal(dense, expected)
    share = dense[tuple(np.rint(other - grid.origin_xyz_A).astype(int)[:, ::-1].T)].mean()
    assert share > 0.98  # the rest share a voxel with the protein
    assert 0.005 < dense.mean() < 0.1
