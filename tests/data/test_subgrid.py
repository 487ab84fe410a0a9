"""Grid division against loops in plain numpy, and the published counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2s_data.transforms.subgrid import (
    count_in_windows,
    extract,
    n_windows,
    occupied_first,
    scatter_labels,
    stitch,
    stitch_into,
    window_corners,
)

SHAPES = st.tuples(st.integers(1, 17), st.integers(1, 23), st.integers(1, 13))
BOX_AND_CORE = st.tuples(st.integers(1, 7), st.integers(0, 3)).map(
    lambda t: (t[0] + 2 * t[1], t[0])
)


def random_map(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    values = np.random.default_rng(2).uniform(1, 200, shape)
    return values.astype(dtype)


def cut(values: np.ndarray, corner: np.ndarray, box: int) -> np.ndarray:
    """One window by way of a padded copy."""
    far = box + int(np.abs(corner).max())
    padded = np.pad(values, far)
    z, y, x = corner + far
    return padded[z : z + box, y : y + box, x : x + box]


def c_alphas_of(path: Path) -> np.ndarray:
    """(m, 3) z y x in Angstrom of the first conformer's C-alphas, by columns of the PDB format."""
    with path.open(encoding="ascii") as lines:
        xyz = [
            [float(line[30:38]), float(line[38:46]), float(line[46:54])]
            for line in lines
            if line.startswith("ATOM") and line[12:16] == " CA " and line[16] in " A"
        ]
    return np.array(xyz)[:, ::-1]


@pytest.mark.parametrize(("side", "count"), [(218, 1331), (198, 1000), (400, 8000)])
def test_published_numbers_of_subgrids(side: int, count: int) -> None:
    assert n_windows((side,) * 3, 20) == count
    assert len(window_corners((side,) * 3, 32, 20)) == count


def test_corners_in_published_order() -> None:
    corners = window_corners((41, 20, 21), 32, 20)
    assert corners.dtype == np.int32
    assert corners.tolist() == [
        [-6, -6, -6],
        [14, -6, -6],
        [34, -6, -6],
        [-6, -6, 14],
        [14, -6, 14],
        [34, -6, 14],
    ]


@pytest.mark.parametrize(("box", "core"), [(32, 21), (20, 32), (32, 0), (8, -2)])
def test_box_and_core_must_fit(box: int, core: int) -> None:
    with pytest.raises(ValueError, match="difference even"):
        window_corners((10, 10, 10), box, core)


def test_an_empty_map_has_no_windows() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        n_windows((10, 0, 10), 20)


def test_c_alphas_of_7kjr_in_windows_and_cores(shared_data: Path) -> None:
    voxel = np.floor(c_alphas_of(shared_data / "models" / "7kjr.pdb")).astype(np.int32)
    assert len(voxel) == 448
    shape = (218, 218, 218)
    assert np.count_nonzero(count_in_windows(voxel, shape, 32, 20)) == 57
    in_core = count_in_windows(voxel, shape, 20, 20)
    assert np.count_nonzero(in_core) == 36
    assert in_core.sum() == 448


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint8, np.float64, np.int16])
def test_extract_equals_a_padded_copy(dtype: type) -> None:
    values = random_map((37, 50, 41), dtype)
    corners = window_corners(values.shape, 32, 20)
    subgrids = extract(values, corners, 32)
    assert subgrids.dtype == dtype
    assert subgrids.shape == (2 * 3 * 3, 32, 32, 32)
    for corner, subgrid in zip(corners, subgrids, strict=True):
        np.testing.assert_array_equal(subgrid, cut(values, corner, 32))


@settings(deadline=None)  # the first call may compile
@given(
    shape=SHAPES,
    box=st.integers(1, 9),
    corners=st.lists(st.tuples(*[st.integers(-12, 30)] * 3), max_size=6),
)
def test_extract_of_any_windows(
    shape: tuple[int, int, int], box: int, corners: list[tuple[int, int, int]]
) -> None:
    values = random_map(shape, np.float16)
    where = np.array(corners, dtype=np.int32).reshape(-1, 3)
    out = np.full((len(where), box, box, box), np.nan, np.float16)
    assert extract(values, where, box, out) is out
    for corner, subgrid in zip(where, out, strict=True):
        np.testing.assert_array_equal(subgrid, cut(values, corner, box))


def test_extract_from_strided_and_read_only_maps() -> None:
    values = random_map((12, 14, 30))[:, :, ::2]
    packed = values.copy()
    packed.flags.writeable = False
    corners = window_corners(values.shape, 8, 4)
    np.testing.assert_array_equal(extract(values, corners, 8), extract(packed, corners, 8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values_zyx": np.zeros((4, 4), np.float32)}, "cannot cut"),
        ({"box": 0}, "cannot cut"),
        ({"corners_zyx": np.zeros((2, 2), np.int32)}, "corners"),
        ({"out": np.zeros((1, 4, 4, 4), np.float32)}, "out must be"),
        ({"out": np.zeros((2, 4, 4, 4), np.float64)}, "out must be"),
        ({"values_zyx": np.zeros((4, 4, 4), np.complex128)}, "cannot copy voxels"),
    ],
)
def test_extract_refuses_what_does_not_fit(change: dict[str, object], message: str) -> None:
    given_ = {
        "values_zyx": np.zeros((4, 4, 4), np.float32),
        "corners_zyx": np.zeros((2, 3), np.int32),
        "box": 4,
        **change,
    }
    with pytest.raises(ValueError, match=message):
        extract(**given_)


@settings(deadline=None)  # the first call may compile
@given(shape=SHAPES, sides=BOX_AND_CORE, dtype=st.sampled_from([np.float16, np.float32, np.uint8]))
def test_stitching_the_subgrids_gives_the_map(
    shape: tuple[int, int, int], sides: tuple[int, int], dtype: type
) -> None:
    box, core = sides
    values = random_map(shape, dtype)
    corners = window_corners(shape, box, core)
    subgrids = extract(values, corners, box)
    np.testing.assert_array_equal(stitch(subgrids, corners, shape, core), values)
    shuffled = np.random.default_rng(0).permutation(len(corners))
    again = stitch(subgrids[shuffled], corners[shuffled], shape, core)
    np.testing.assert_array_equal(again, values)
    assert again.dtype == dtype


@pytest.mark.parametrize("shape", [(33, 61, 20), (5, 40, 41), (100, 3, 27)])
def test_stitching_with_the_published_sides(shape: tuple[int, int, int]) -> None:
    values = random_map(shape)
    corners = window_corners(shape, 32, 20)
    np.testing.assert_array_equal(stitch(extract(values, corners, 32), corners, shape, 20), values)


def test_stitching_takes_the_core_only() -> None:
    corners = window_corners((40, 20, 20), 32, 20)
    subgrids = np.full((2, 32, 32, 32), 9, np.uint8)
    subgrids[0, 6:26, 6:26, 6:26] = 1
    subgrids[1, 6:26, 6:26, 6:26] = 2
    stitched = stitch(subgrids, corners, (40, 20, 20), 20)
    assert (stitched[:20] == 1).all()
    assert (stitched[20:] == 2).all()


def test_stitching_batch_after_batch() -> None:
    values = random_map((23, 31, 17))
    corners = window_corners(values.shape, 12, 6)
    target = np.full(values.shape, np.nan, np.float32)
    first, second = slice(0, 11), slice(11, None)
    stitch_into(target, extract(values, corners[first], 12), corners[first], 6)
    assert np.isnan(target).any()
    stitch_into(target, extract(values, corners[second], 12), corners[second], 6)
    np.testing.assert_array_equal(target, values)


def test_stitching_refuses_an_incomplete_map() -> None:
    values = random_map((9, 11, 13))
    corners = window_corners(values.shape, 8, 4)
    subgrids = extract(values, corners, 8)
    twice = np.r_[0, 0, 2 : len(corners)]
    for chosen in (np.arange(1, len(corners)), twice):
        with pytest.raises(ValueError, match="each of its 36 windows once"):
            stitch(subgrids[chosen], corners[chosen], values.shape, 4)
    with pytest.raises(ValueError, match="subgrids, got shape"):
        stitch(subgrids[0], corners, values.shape, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"corners_zyx": np.array([[-2, -2, -2], [40, 0, 0]])}, "outside the map"),
        ({"corners_zyx": np.array([[-3, 0, 0], [0, 0, 0]])}, "outside the map"),
        ({"corners_zyx": np.zeros((1, 3), int)}, "do not fit 1 corners"),
        ({"subgrids": np.zeros((2, 8, 8, 8), np.float64)}, "do not fit"),
        ({"values_zyx": np.zeros((9, 9, 18), np.float32)[:, :, ::2]}, "C-contiguous"),
    ],
)
def test_stitching_into_refuses_what_does_not_fit(change: dict[str, object], message: str) -> None:
    given_ = {
        "values_zyx": np.zeros((9, 9, 9), np.float32),
        "subgrids": np.zeros((2, 8, 8, 8), np.float32),
        "corners_zyx": np.zeros((2, 3), int),
        "core": 4,
        **change,
    }
    with pytest.raises(ValueError, match=message):
        stitch_into(**given_)


@settings(deadline=None)  # the first call may compile
@given(shape=SHAPES, sides=BOX_AND_CORE, n_points=st.integers(0, 40))
def test_counting_equals_looking_into_each_window(
    shape: tuple[int, int, int], sides: tuple[int, int], n_points: int
) -> None:
    box, core = sides
    points = np.random.default_rng(4).integers(0, shape, (n_points, 3)).astype(np.int32)
    counts = count_in_windows(points, shape, box, core)
    corners = window_corners(shape, box, core)
    inside = (points[None] >= corners[:, None]) & (points[None] < corners[:, None] + box)
    np.testing.assert_array_equal(counts, inside.all(axis=2).sum(axis=1))
    assert counts.dtype == np.int32


def test_counting_refuses_voxels_outside_the_map() -> None:
    with pytest.raises(ValueError, match=r"1 of 2 voxels are outside .* first \[3, 10, 2\]"):
        count_in_windows(np.array([[1, 1, 1], [3, 10, 2]]), (10, 10, 10), 8, 4)
    with pytest.raises(ValueError, match="voxel indices"):
        count_in_windows(np.array([1, 1, 1]), (10, 10, 10), 8, 4)


def test_occupied_windows_come_first_in_published_order() -> None:
    order = occupied_first(np.array([0, 3, 0, 0, 1, 9, 0], np.int32))
    assert order.tolist() == [1, 4, 5, 0, 2, 3, 6]
    assert order.dtype == np.int64


@settings(deadline=None)  # the first call may compile
@given(shape=SHAPES, sides=BOX_AND_CORE, share=st.sampled_from([0.0, 0.02, 0.3, 1.0]))
def test_scattered_labels_equal_the_cut_mask(
    shape: tuple[int, int, int], sides: tuple[int, int], share: float
) -> None:
    box, core = sides
    rng = np.random.default_rng(9)
    mask = rng.integers(1, 255, shape).astype(np.uint8)
    mask[rng.random(shape) >= share] = 0
    index = np.argwhere(mask).astype(np.int32)
    corners = rng.permutation(window_corners(shape, box, core))[: 1 + n_windows(shape, core) // 2]
    out = np.zeros((len(corners), box, box, box), np.uint8)
    scatter_labels(index, mask[tuple(index.T)], corners, box, out)
    np.testing.assert_array_equal(out, extract(mask, corners, box))


@pytest.mark.parametrize(
    ("index", "value", "message"),
    [
        ([[0, 0, 2], [0, 0, 1]], [1, 1], "sorted in C order"),
        ([[0, 1, 0], [0, 0, 1]], [1, 1], "sorted in C order"),
        ([[1, 0, 0], [0, 1, 1]], [1, 1], "sorted in C order"),
        ([[1, 2, 3], [1, 2, 3]], [1, 1], "unique"),
        ([[1, 2, 3]], [1, 1], "expected"),
        ([[1, 2]], [1], "expected"),
    ],
)
def test_labels_must_be_sorted_and_fit(
    index: list[list[int]], value: list[int], message: str
) -> None:
    out = np.zeros((1, 4, 4, 4), np.uint8)
    corners = np.zeros((1, 3), np.int32)
    with pytest.raises(ValueError, match=message):
        scatter_labels(np.array(index), np.array(value, np.uint8), corners, 4, out)


def test_labels_need_a_fitting_out() -> None:
    voxel, label = np.array([[1, 2, 3]]), np.array([1], np.uint8)
    corners = np.zeros((1, 3), np.int32)
    for out in (np.zeros((2, 4, 4, 4), np.uint8), np.zeros((1, 4, 4, 4), np.int8)):
        with pytest.raises(ValueError, match="out must be uint8"):
            scatter_labels(voxel, label, corners, 4, out)
