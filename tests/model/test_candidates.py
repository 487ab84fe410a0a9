"""Candidates against the definitions, written out voxel by voxel; ties, rims and hostile lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2s_model.backbone.candidates import (
    Candidates,
    CandidateVoxels,
    atom_peaks,
    cluster_leader,
    suppress_non_maxima,
)

ORIGIN_XYZ_A = (-12.5, 40.25, 7.0)


def voxels_of(index_zyx, p_ca, *, seed=0, secondary=True, voxel_size_A=1.0) -> CandidateVoxels:
    rng = np.random.default_rng(seed)
    n = len(index_zyx)
    return CandidateVoxels(
        np.asarray(index_zyx, np.int32).reshape(n, 3),
        np.asarray(p_ca, np.float32),
        rng.dirichlet(np.ones(20), n).astype(np.float32).reshape(n, 20),
        rng.dirichlet(np.ones(3), n).astype(np.float32).reshape(n, 3) if secondary else None,
        ORIGIN_XYZ_A,
        voxel_size_A,
    )


def random_voxels(seed: int, n: int = 160, shape_zyx=(6, 9, 12)) -> CandidateVoxels:
    """A clump, in random order, its probabilities drawn from few values so that many are equal."""
    rng = np.random.default_rng(seed)
    flat = rng.choice(np.prod(shape_zyx), min(n, int(np.prod(shape_zyx))), replace=False)
    index = np.add(np.stack(np.unravel_index(flat, shape_zyx), axis=1), (3, -20, 100))
    return voxels_of(index, rng.choice([0.41, 0.5, 0.75, 1.0], len(index)), seed=seed)


def squared(a, b) -> int:
    return int(((np.asarray(a, int) - np.asarray(b, int)) ** 2).sum())


def plain_leader(voxels: CandidateVoxels, squared_radius: float):
    """The published clustering, one list and one loop: rows of each cluster."""
    left = sorted(range(len(voxels)), key=lambda row: tuple(voxels.index_zyx[row][::-1]))
    clusters = []
    while left:
        leader = voxels.index_zyx[left[0]]
        taken = [row for row in left if squared(voxels.index_zyx[row], leader) <= squared_radius]
        clusters.append(taken)
        left = [row for row in left if row not in taken]
    return clusters


def plain_peaks(index_zyx, p, squared_radius: float) -> list[int]:
    order = sorted(range(len(p)), key=lambda row: (-p[row], *index_zyx[row][::-1]))
    peaks: list[int] = []
    for row in order:
        if all(squared(index_zyx[row], index_zyx[peak]) > squared_radius for peak in peaks):
            peaks.append(row)
    return peaks


def position(voxels: CandidateVoxels, rows, weight, offset: float):
    index = np.average(voxels.index_zyx[rows].astype(float), axis=0, weights=weight)
    return np.array(ORIGIN_XYZ_A) + (index[::-1] + offset) * voxels.voxel_size_A


def check_means(made: Candidates, place: int, voxels: CandidateVoxels, rows, weight) -> None:
    assert made.n_voxels[place] == len(rows)
    for name in ("amino", "secondary"):
        wanted = np.average(getattr(voxels, name)[rows].astype(float), axis=0, weights=weight)
        np.testing.assert_allclose(getattr(made, name)[place], wanted, rtol=0, atol=1e-7)


@pytest.mark.parametrize("seed", range(6))
def test_leader_clusters_are_those_of_the_plain_loop(seed: int) -> None:
    voxels = random_voxels(seed)
    made = cluster_leader(voxels)
    clusters = plain_leader(voxels, 4)
    assert len(made) == len(clusters) < len(voxels)
    for place, rows in enumerate(clusters):
        wanted = position(voxels, rows, np.ones(len(rows)), 0.0)
        np.testing.assert_allclose(made.xyz_A[place], wanted, rtol=0, atol=1e-9)
        assert made.p_ca[place] == pytest.approx(voxels.p_ca[rows].mean(), abs=1e-6)
        check_means(made, place, voxels, rows, np.ones(len(rows)))


@pytest.mark.parametrize("seed", range(6))
def test_peaks_are_those_of_the_plain_loop(seed: int) -> None:
    voxels = random_voxels(seed)
    made = suppress_non_maxima(voxels, radius_A=2.5, centroid_radius_A=1.5, decode_offset_voxel=0.5)
    peaks = plain_peaks(voxels.index_zyx, voxels.p_ca, 6.25)
    assert made.p_ca.tolist() == voxels.p_ca[peaks].tolist()
    for place, peak in enumerate(peaks):
        rows = [
            row
            for row in range(len(voxels))
            if squared(voxels.index_zyx[row], voxels.index_zyx[peak]) <= 2
        ]
        weight = voxels.p_ca[rows].astype(float)
        wanted = position(voxels, rows, weight, 0.5)
        np.testing.assert_allclose(made.xyz_A[place], wanted, rtol=0, atol=1e-9)
        check_means(made, place, voxels, rows, weight)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 80), radius=st.floats(0, 5))
def test_any_clump_and_radius(seed: int, n: int, radius: float) -> None:
    voxels = random_voxels(seed, n, (3, 5, 8))
    made = cluster_leader(voxels, radius_A=radius)
    assert made.n_voxels.tolist() == [len(rows) for rows in plain_leader(voxels, radius**2)]
    peaks = suppress_non_maxima(voxels, radius_A=radius, decode_offset_voxel=0)
    assert peaks.p_ca.tolist() == [
        voxels.p_ca[row] for row in plain_peaks(voxels.index_zyx, voxels.p_ca, radius**2)
    ]


def test_the_order_of_the_list_does_not_matter() -> None:
    voxels = random_voxels(11)
    order = np.random.default_rng(1).permutation(len(voxels))
    other = CandidateVoxels(
        voxels.index_zyx[order],
        voxels.p_ca[order],
        voxels.amino[order],
        None,
        voxels.origin_xyz_A,
    )
    for merge in (cluster_leader, lambda v: suppress_non_maxima(v, decode_offset_voxel=0)):
        assert merge(voxels).n_voxels.tolist() == merge(other).n_voxels.tolist()
        np.testing.assert_allclose(merge(voxels).xyz_A, merge(other).xyz_A, rtol=0, atol=1e-9)
        assert merge(other).secondary is None


def test_the_rim_belongs_to_the_leader_and_x_is_outermost() -> None:
    # z, y, x: the leader is the lowest x, although another voxel comes first in z and in y.
    voxels = voxels_of([(0, 0, 3), (5, 5, 1), (5, 5, 3), (5, 5, 4)], [0.5, 0.5, 0.9, 0.5])
    made = cluster_leader(voxels)  # leaders x = 1 (takes x = 3, 2.0 A away), x = 3, x = 4
    assert made.n_voxels.tolist() == [2, 1, 1]
    np.testing.assert_array_equal(
        made.xyz_A - ORIGIN_XYZ_A, [(2.0, 5.0, 5.0), (3.0, 0.0, 0.0), (4.0, 5.0, 5.0)]
    )


def test_positions_scale_with_the_voxel_and_take_the_offset() -> None:
    voxels = voxels_of([(2, 3, 4)], [0.7], voxel_size_A=1.5)
    assert (cluster_leader(voxels).xyz_A - ORIGIN_XYZ_A).tolist() == [[6.0, 4.5, 3.0]]
    offset = cluster_leader(voxels, decode_offset_voxel=0.5)
    assert (offset.xyz_A - ORIGIN_XYZ_A).tolist() == [[6.75, 5.25, 3.75]]


def test_a_radius_counts_in_angstrom() -> None:
    voxels = voxels_of([(0, 0, 0), (0, 0, 2)], [0.7, 0.6], voxel_size_A=1.1)
    assert len(cluster_leader(voxels, radius_A=2.2)) == 1
    assert len(cluster_leader(voxels, radius_A=2.19)) == 2


def test_sub_voxel_positions_of_a_smooth_peak() -> None:
    """A Gaussian between voxels is found to 0.15 voxels, where its voxel is 0.4 off."""
    center_zyx = np.array([6.4, 5.7, 7.4])
    grid = np.stack(np.meshgrid(*map(np.arange, (12, 13, 14)), indexing="ij"), -1).reshape(-1, 3)
    p = np.exp(-((grid - center_zyx) ** 2).sum(axis=1) / 2 / 0.8**2)
    keep = p > 0.05
    made = suppress_non_maxima(voxels_of(grid[keep], p[keep]), decode_offset_voxel=0)
    assert np.abs(made.xyz_A[0] - ORIGIN_XYZ_A - center_zyx[::-1]).max() < 0.15


def test_atoms_other_than_c_alpha_are_found_alike() -> None:
    voxels = random_voxels(3)
    points = atom_peaks(
        voxels.index_zyx, voxels.p_ca, origin_xyz_A=ORIGIN_XYZ_A, decode_offset_voxel=0.5
    )
    made = suppress_non_maxima(voxels, decode_offset_voxel=0.5)
    np.testing.assert_array_equal(points.xyz_A, made.xyz_A)
    np.testing.assert_array_equal(points.p, made.p_ca)


def test_no_voxel_gives_no_candidate() -> None:
    voxels = voxels_of(np.zeros((0, 3)), [])
    assert len(cluster_leader(voxels)) == 0
    made = suppress_non_maxima(voxels, decode_offset_voxel=0.5)
    assert made.xyz_A.shape == (0, 3)
    assert made.amino.shape == (0, 20)
    empty = atom_peaks(
        voxels.index_zyx, voxels.p_ca, origin_xyz_A=ORIGIN_XYZ_A, decode_offset_voxel=0
    )
    assert len(empty) == 0


def test_impossible_lists_are_refused() -> None:
    with pytest.raises(ValueError, match=r"voxel \(1, 2, 3\) \(z, y, x\) is listed twice"):
        cluster_leader(voxels_of([(1, 2, 3), (0, 0, 0), (1, 2, 3)], [1, 1, 1]))
    with pytest.raises(ValueError, match="not one map's"):
        cluster_leader(voxels_of([(0, 0, 0), (0, 2**20, 2**20)], [1, 1]))
    with pytest.raises(ValueError, match="finite and not negative"):
        voxels_of([(0, 0, 0)], [np.nan])
    with pytest.raises(ValueError, match=r"amino has shape \(1, 20\), not \(2, 20\)"):
        CandidateVoxels(
            np.zeros((2, 3), np.int32),
            np.ones(2, np.float32),
            np.ones((1, 20), np.float32),
            None,
            ORIGIN_XYZ_A,
        )
    with pytest.raises(ValueError, match="give positive lengths"):
        cluster_leader(voxels_of([(0, 0, 0)], [1]), radius_A=-1.0)


def test_take_selects_rows() -> None:
    made = cluster_leader(random_voxels(5))
    chosen = made.take(np.array([2, 0]))
    np.testing.assert_array_equal(chosen.xyz_A, made.xyz_A[[2, 0]])
    assert chosen.n_voxels.tolist() == made.n_voxels[[2, 0]].tolist()
