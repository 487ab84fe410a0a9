"""Label shapes against brute force over all atoms, and windows against the whole map."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2s_data.transforms.label import label_voxels
from c2s_data.transforms.label_shapes import (
    GAUSSIAN_CUTOFF_SIGMA,
    NOBODY,
    gaussian_maps,
    offsets_voxel,
    painted,
    sphere_owners,
    voxel_owners,
)
from c2s_data.transforms.label_window import SLAB_PLANES, Grid, Window
from c2s_data.transforms.residue_weights import weights_from_b_factor, weights_from_q_score

GRID = Grid((19, 14, 23), (-7.5, 31.25, 104.0), (1.07, 0.93, 1.21))


def atoms(seed: int, n: int = 60, grid: Grid = GRID) -> np.ndarray:
    """Positions in and around a map, some exactly on voxel centers and some twice."""
    rng = np.random.default_rng(seed)
    voxel, shape = np.array(grid.voxel_size_zyx_A), np.array(grid.shape_zyx)
    zyx = rng.uniform(-3, shape + 3, (n, 3))
    zyx[: n // 3] = np.rint(zyx[: n // 3])
    zyx[n - n // 10 :] = zyx[: n // 10]
    return (zyx * voxel)[:, ::-1] + grid.origin_xyz_A


def distances(xyz: np.ndarray, grid: Grid = GRID) -> np.ndarray:
    """Squared distances of all voxel centers to all atoms, (n, z, y, x)."""
    relative = (xyz - np.array(grid.origin_xyz_A))[:, ::-1]
    index = np.indices(grid.shape_zyx).reshape(3, -1).T * np.array(grid.voxel_size_zyx_A)
    d = index[None] - relative[:, None]
    # z first, as the kernel adds: atoms equally near must compare equal.
    square = d[..., 0] * d[..., 0] + d[..., 1] * d[..., 1] + d[..., 2] * d[..., 2]
    return square.reshape(len(xyz), *grid.shape_zyx)


def crop(whole: np.ndarray, window: Window, fill: float = 0) -> np.ndarray:
    """The window's part of a map (..., z, y, x), `fill` beyond the map."""
    out = np.full((*whole.shape[:-3], *window.shape_zyx), fill, whole.dtype)
    for place in np.ndindex(*window.shape_zyx):
        voxel = np.add(place, window.corner_zyx)
        if (voxel >= 0).all() and (voxel < whole.shape[-3:]).all():
            out[(..., *place)] = whole[(..., *voxel)]
    return out


windows = st.builds(
    Window, st.tuples(*[st.integers(-9, 25)] * 3), st.tuples(*[st.integers(1, 9)] * 3)
)


@pytest.mark.parametrize("radius_A", [0.4, 1.5, 3.0])
def test_a_voxel_belongs_to_the_nearest_atom_within_the_radius(radius_A):
    xyz = atoms(1)
    square = distances(xyz)
    expected = np.where(square.min(0) <= radius_A**2, square.argmin(0), NOBODY)
    owner = sphere_owners(xyz, GRID, radius_A=radius_A)
    assert owner.dtype == np.int32
    np.testing.assert_array_equal(owner, expected)
    assert (owner == NOBODY).any()
    assert len(np.unique(owner)) > 10


def test_the_first_of_atoms_equally_near_wins_and_the_radius_is_included():
    grid = Grid((5, 7, 9), (0.0, 0.0, 0.0))
    owner = sphere_owners([[2, 3, 2], [6, 3, 2], [2, 3, 2]], grid, radius_A=2.0)
    assert owner[2, 3, 4] == 0  # two voxels from both
    assert owner[2, 3, [2, 5, 6, 8]].tolist() == [0, 1, 1, 1]
    assert owner[2, 5, 2] == 0
    assert owner[2, 5, 3] == NOBODY


@settings(max_examples=60)
@given(seed=st.integers(0, 99), window=windows, radius_A=st.floats(0.3, 5.0))
def test_a_window_of_spheres_is_that_part_of_the_map(seed, window, radius_A):
    xyz = atoms(seed)
    whole = sphere_owners(xyz, GRID, radius_A=radius_A)
    np.testing.assert_array_equal(
        sphere_owners(xyz, GRID, window, radius_A=radius_A), crop(whole, window, NOBODY)
    )


def test_the_nearest_voxel_of_an_atom_is_that_of_the_label_rule():
    xyz = atoms(3)
    one = np.ones(len(xyz), np.uint8)
    labels = label_voxels(
        xyz,
        one,
        one,
        one,
        shape_zyx=GRID.shape_zyx,
        origin_xyz_A=GRID.origin_xyz_A,
        voxel_size_zyx_A=GRID.voxel_size_zyx_A,
        rule="nearest",
        collision="ca-first",
    )
    owner = voxel_owners(xyz, GRID)
    np.testing.assert_array_equal(painted(owner, one), labels.atom.to_dense(GRID.shape_zyx))
    square = distances(xyz)
    for place in np.argwhere(owner != NOBODY):
        mine = owner[tuple(place)]
        assert square[(mine, *place)] <= 3 * (1.21 / 2) ** 2


def test_the_nearest_atom_owns_a_shared_voxel_and_the_first_of_equals():
    grid = Grid((4, 5, 6), (0.0, 0.0, 0.0))
    xyz = [[1.4, 2, 3], [1.125, 2, 3], [0.875, 2, 3], [4, 2, 1], [4, 2, 1]]
    owner = voxel_owners(xyz, grid)
    assert owner[3, 2, 1] == 1
    assert owner[1, 2, 4] == 3
    assert (owner != NOBODY).sum() == 2


@settings(max_examples=60)
@given(seed=st.integers(0, 99), window=windows)
def test_a_window_of_voxels_and_offsets_is_that_part_of_the_map(seed, window):
    xyz = atoms(seed)
    whole, part = voxel_owners(xyz, GRID), voxel_owners(xyz, GRID, window)
    np.testing.assert_array_equal(part, crop(whole, window, NOBODY))
    np.testing.assert_array_equal(
        offsets_voxel(part, xyz, GRID, window), crop(offsets_voxel(whole, xyz, GRID), window)
    )


@pytest.mark.parametrize("shape", ["voxel", "sphere"])
def test_index_plus_offset_is_the_atom(shape):
    xyz = atoms(5)
    owner = voxel_owners(xyz, GRID) if shape == "voxel" else sphere_owners(xyz, GRID, radius_A=1.5)
    offset = offsets_voxel(owner, xyz, GRID)
    assert offset.dtype == np.float32
    assert offset.shape == (3, *GRID.shape_zyx)
    assert not offset[:, owner == NOBODY].any()
    labeled = np.argwhere(owner != NOBODY)
    place = (labeled + offset[:, owner != NOBODY].T) * GRID.voxel_size_zyx_A
    np.testing.assert_allclose(
        place[:, ::-1] + GRID.origin_xyz_A, xyz[owner[owner != NOBODY]], atol=1e-5
    )
    limit = 0.5 if shape == "voxel" else 1.5 / 0.93
    assert 0.7 * limit < np.abs(offset).max() <= limit + 1e-6


def test_what_an_atom_has_is_painted():
    xyz = atoms(6)
    owner = sphere_owners(xyz, GRID, radius_A=2.0)
    weight = np.linspace(0.1, 0.9, len(xyz)).astype(np.float32)
    out = painted(owner, weight, fill=1.0)
    assert out.dtype == np.float32
    for place in np.ndindex(owner.shape):
        assert out[place] == (1.0 if owner[place] == NOBODY else weight[owner[place]])


@pytest.mark.parametrize("combine", ["max", "sum"])
def test_gaussians_by_class_against_brute_force(combine):
    xyz, sigma = atoms(7), 0.8
    channel = np.arange(len(xyz)) % 3
    square = distances(xyz)
    value = np.exp(-square / (2 * sigma**2))
    value[square > (GAUSSIAN_CUTOFF_SIGMA * sigma) ** 2] = 0
    out = gaussian_maps(xyz, channel, 3, GRID, sigma_A=sigma, combine=combine)
    assert out.dtype == np.float32
    for k in range(3):
        np.testing.assert_allclose(
            out[k], getattr(value[channel == k], combine)(axis=0), rtol=1e-5, atol=1e-7
        )
    assert (out.max() > 1.01) == (combine == "sum")


@settings(max_examples=40)
@given(
    seed=st.integers(0, 99),
    window=windows,
    sigma_A=st.floats(0.2, 1.5),
    combine=st.sampled_from(["max", "sum"]),
)
def test_a_window_of_gaussians_is_that_part_of_the_map(seed, window, sigma_A, combine):
    xyz = atoms(seed, 30)
    channel = np.arange(30) % 2
    whole = gaussian_maps(xyz, channel, 2, GRID, sigma_A=sigma_A, combine=combine)
    part = gaussian_maps(xyz, channel, 2, GRID, window, sigma_A=sigma_A, combine=combine)
    np.testing.assert_array_equal(part, crop(whole, window))


def test_slabs_are_the_map():
    grid = Grid((2 * SLAB_PLANES + 3, 4, 5), (0.0, 0.0, 0.0))
    slabs = list(grid.slabs())
    assert [slab.corner_zyx for slab in slabs] == [(k * SLAB_PLANES, 0, 0) for k in range(3)]
    assert [slab.shape_zyx for slab in slabs] == [(SLAB_PLANES, 4, 5)] * 2 + [(3, 4, 5)]


def test_no_atoms_and_atoms_beyond_all_bounds_label_nothing():
    far = [[1e30, 0, 0], [0, -1e300, 0], [4e9, 4e9, 4e9]]
    for xyz in (np.empty((0, 3)), far):
        assert (sphere_owners(xyz, GRID, radius_A=2.0) == NOBODY).all()
        assert (voxel_owners(xyz, GRID) == NOBODY).all()
        assert not gaussian_maps(xyz, np.zeros(len(xyz)), 1, GRID, sigma_A=1.0).any()


def test_axes_are_not_mixed_up():
    grid = Grid((10, 20, 40), (1.0, 2.0, 4.0), (2.0, 3.0, 0.5))
    # x: 9 / 0.5, y: 18 / 3, z: 12 / 2
    owner = voxel_owners([[10.0, 20.0, 16.0]], grid)
    assert np.argwhere(owner == 0).tolist() == [[6, 6, 18]]
    offset = offsets_voxel(voxel_owners([[10.1, 20.9, 16.2]], grid), [[10.1, 20.9, 16.2]], grid)
    np.testing.assert_allclose(offset[:, 6, 6, 18], [0.1, 0.3, 0.2], atol=1e-6)


def test_weights_by_q_score():
    # Expected at 3 A: 1.1192 - 0.5325 = 0.5867.
    weight = weights_from_q_score([0.5867, 0.9, 0.29335, -0.2, np.nan], 3.0)
    assert weight.dtype == np.float32
    np.testing.assert_allclose(weight, [1, 1, 0.5, 0, 1], atol=1e-6)
    low = weights_from_q_score([-0.2, 0.29335, np.nan], 3.0, floor=0.1, unknown=0.25)
    np.testing.assert_allclose(low, [0.1, 0.5, 0.25], atol=1e-6)
    # From 5.2 A on the expectation stays at 0.2.
    np.testing.assert_allclose(weights_from_q_score([0.1], 8.0), [0.5])


def test_weights_by_b_factor():
    # exp(-36 / (4 * 9)) = 1 / e for a residue 36 A^2 above the median of 50.
    weight = weights_from_b_factor([10.0, 50.0, 86.0, np.nan, 50.0, 1e9], 3.0)
    np.testing.assert_allclose(weight, [1, 1, np.exp(-1), 1, 1, 0], atol=1e-6)
    assert weights_from_b_factor([0.0, 0.0, 1e9], 3.0, floor=0.2)[2] == np.float32(0.2)
    assert weights_from_b_factor([np.nan], 3.0, unknown=0.5).tolist() == [0.5]
    assert weights_from_b_factor([-1e9, 0, 0], 3.0).tolist() == [1, 1, 1]


@pytest.mark.parametrize("resolution", [0.0, -1.0, np.nan, np.inf])
def test_weights_need_a_resolution(resolution):
    for weights in (weights_from_q_score, weights_from_b_factor):
        with pytest.raises(ValueError, match="resolution"):
            weights([0.5], resolution)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"xyz_A": [[np.nan, 0, 0]]}, "must be finite"),
        ({"grid": Grid((3, 4, 5), (0, 0, np.inf))}, "must be finite"),
        ({"grid": Grid((3, 4, 5), (0, 0, 0), (1, 0, 1))}, "must be positive"),
        ({"window": Window((0, 0, 0), (3, 0, 3))}, "must not be empty"),
    ],
)
def test_what_cannot_be_labeled_is_refused(change, message):
    given_ = {"xyz_A": [[0.0, 0, 0]], "grid": GRID, "window": None} | change
    for shape in (
        lambda **a: sphere_owners(**a, radius_A=1.0),
        voxel_owners,
        lambda **a: gaussian_maps(**a, channel=[0], n_channels=1, sigma_A=1.0),
    ):
        with pytest.raises(ValueError, match=message):
            shape(**given_)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma_A": 0.0}, "sigma"),
        ({"combine": "mean"}, "neither 'max' nor 'sum'"),
        ({"channel": [0, 0]}, "channels for 1 atoms"),
        ({"channel": [2]}, "channels 2 to 2 of 2"),
        ({"channel": [-1]}, "channels -1 to -1 of 2"),
    ],
)
def test_gaussians_that_make_no_sense_are_refused(change, message):
    given_ = {"channel": [0], "n_channels": 2, "sigma_A": 1.0} | change
    with pytest.raises(ValueError, match=message):
        gaussian_maps([[0.0, 0, 0]], grid=GRID, **given_)


@pytest.mark.parametrize("radius_A", [0.0, -1.0, np.nan, np.inf])
def test_a_radius_is_positive(radius_A):
    with pytest.raises(ValueError, match="radius"):
        sphere_owners([[0.0, 0, 0]], GRID, radius_A=radius_A)
