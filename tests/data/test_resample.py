"""Resampling and sampling against scipy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from c2s_data.transforms.resample import (
    resample_trilinear,
    resampled_shape,
    sample_trilinear,
    truncate_to,
)


def random_map(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(2.0, 1.0, shape).astype(np.float32)


def expected(
    values: np.ndarray, voxel: tuple[float, float, float], target: float, positions: str
) -> np.ndarray:
    """Scipy in float64, with every sample at or beyond the last plane set to 0."""
    axes = []
    for n, size in zip(values.shape, voxel, strict=True):
        k = np.arange(int(n * size / target))
        if positions == "float32":
            axes.append((k.astype(np.float32) * np.float32(target / size)).astype(np.float64))
        else:
            axes.append(k * target / size)
    grid = np.meshgrid(*axes, indexing="ij")
    result = map_coordinates(values.astype(np.float64), grid, order=1, mode="constant")
    for axis, n in zip(grid, values.shape, strict=True):
        result[axis >= n - 1] = 0
    return result


@pytest.mark.parametrize(
    ("shape", "voxel", "new"),
    [
        ((300, 300, 300), (0.727, 0.727, 0.727), (218, 218, 218)),
        ((312, 312, 312), (0.637, 0.637, 0.637), (198, 198, 198)),
        ((400, 400, 400), (1.0, 1.0, 1.0), (400, 400, 400)),
        ((10, 20, 30), (1.06, 0.5, 1.99), (10, 10, 59)),
    ],
)
def test_new_shape_is_truncated(
    shape: tuple[int, int, int], voxel: tuple[float, float, float], new: tuple[int, int, int]
) -> None:
    assert resampled_shape(shape, voxel) == new


@pytest.mark.parametrize("positions", ["float64", "float32"])
@pytest.mark.parametrize(
    ("shape", "voxel", "target"),
    [
        ((23, 31, 17), (0.727, 0.727, 0.727), 1.0),
        ((12, 19, 26), (1.34, 0.65, 1.06), 1.0),
        ((14, 11, 16), (1.0, 1.37, 0.8), 1.0),
        ((11, 13, 9), (1.0, 1.0, 1.25), 1.0),
        ((21, 40, 33), (0.31, 0.27, 0.45), 1.0),
        ((9, 7, 8), (2.99, 3.7, 2.5), 1.0),
        ((16, 15, 14), (1.5, 1.0, 0.9), 0.75),
        ((2, 3, 40), (1.3, 1.1, 0.7), 1.0),
    ],
)
def test_agrees_with_scipy_in_float64(
    shape: tuple[int, int, int], voxel: tuple[float, float, float], target: float, positions: str
) -> None:
    values = random_map(shape)
    ours = resample_trilinear(values, voxel, target, positions=positions)
    reference = expected(values, voxel, target, positions)
    assert ours.dtype == np.float32
    assert ours.shape == reference.shape
    # Zeros of the outside must be zeros, not merely small.
    np.testing.assert_array_equal(ours == 0, reference == 0)
    assert np.abs(ours - reference).max() <= 1e-6 * np.ptp(values)


def test_a_large_map_stays_within_a_millionth_of_its_range() -> None:
    values = random_map((61, 300, 150))
    voxel = (0.727, 0.727, 0.637)
    error = np.abs(resample_trilinear(values, voxel) - expected(values, voxel, 1.0, "float64"))
    assert error.max() <= 1e-6 * np.ptp(values)


def test_float32_positions_differ_as_their_rounding_says() -> None:
    # Between -1 and 1 and back from voxel to voxel, so that an error of position shows doubled.
    comb = np.broadcast_to(np.float32(-1) ** np.arange(300), (3, 4, 300)).astype(np.float32)
    voxel = (0.9, 0.9, 0.727)
    exact = resample_trilinear(comb, voxel)
    single = resample_trilinear(comb, voxel, positions="float32")
    assert np.abs(exact - expected(comb, voxel, 1.0, "float64")).max() < 1e-6
    assert np.abs(single - expected(comb, voxel, 1.0, "float32")).max() < 1e-6
    assert 5e-6 < np.abs(single - exact).max() < 1e-4


def test_a_linear_field_is_reproduced_and_the_axes_are_not_mixed() -> None:
    z, y, x = np.meshgrid(np.arange(8), np.arange(9), np.arange(10), indexing="ij")
    values = (1 + z + 100 * y + 10_000 * x).astype(np.float32)
    ours = resample_trilinear(values, (0.5, 0.8, 0.9))
    assert ours.shape == (4, 7, 9)
    assert ours[3, 4, 5] == pytest.approx(1 + 3 / 0.5 + 100 * 4 / 0.8 + 10_000 * 5 / 0.9, rel=1e-6)


def test_unit_voxels_return_the_map_itself_with_its_last_plane() -> None:
    values = random_map((4, 5, 6))
    assert resample_trilinear(values, (1.0, 1.0, 1.0)) is values
    out = np.zeros_like(values)
    assert resample_trilinear(values, (1.0, 1.0, 1.0), out=out) is out
    np.testing.assert_array_equal(out, values)


def test_a_unit_axis_beside_others_loses_its_last_plane() -> None:
    values = np.ones((4, 5, 6), np.float32)
    ours = resample_trilinear(values, (1.0, 0.5, 1.0))
    assert ours.shape == (4, 2, 6)
    np.testing.assert_array_equal(ours[:3, :, :5], 1)
    assert not ours[3].any()
    assert not ours[:, :, 5].any()


def test_a_sample_exactly_on_the_last_plane_is_outside() -> None:
    values = np.ones((5, 5, 5), np.float32)
    ours = resample_trilinear(values, (1.25, 1.25, 1.25))
    assert ours.shape == (6, 6, 6)  # sample 5 lies at 5 / 1.25 = 4, the last plane
    assert ours[4, 4, 4] == 1
    assert ours[5, 4, 4] == ours[4, 5, 4] == ours[4, 4, 5] == 0


def test_an_axis_of_one_plane_has_no_inside() -> None:
    ours = resample_trilinear(np.ones((1, 6, 7), np.float32), (1.5, 0.9, 1.1))
    assert ours.shape == (1, 5, 7)
    assert not ours.any()


@settings(deadline=None)  # the first call may compile
@given(
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    voxel=st.tuples(*[st.floats(1.0, 3.0) | st.floats(0.3, 1.0)] * 3),
    positions=st.sampled_from(["float64", "float32"]),
)
def test_any_shape_agrees_with_scipy(
    shape: tuple[int, int, int], voxel: tuple[float, float, float], positions: str
) -> None:
    values = random_map(shape)
    if min(int(n * v) for n, v in zip(shape, voxel, strict=True)) < 1:
        with pytest.raises(ValueError, match="thinner than one voxel"):
            resample_trilinear(values, voxel, positions=positions)
    elif voxel != (1.0, 1.0, 1.0):
        ours = resample_trilinear(values, voxel, positions=positions)
        reference = expected(values, voxel, 1.0, positions)
        assert np.abs(ours - reference).max() <= 1e-6 * (np.ptp(values) + np.abs(values).max())


def test_out_is_filled_including_the_outside() -> None:
    values = random_map((6, 7, 8))
    voxel = (1.4, 1.2, 1.3)
    fresh = resample_trilinear(values, voxel)
    out = np.full(fresh.shape, np.nan, np.float32)
    assert resample_trilinear(values, voxel, out=out) is out
    np.testing.assert_array_equal(out, fresh)
    assert not fresh[-1].any()


def test_strided_and_read_only_maps_are_accepted() -> None:
    values = random_map((8, 9, 20))
    strided = values[:, :, ::2]
    packed = strided.copy()
    packed.flags.writeable = False
    np.testing.assert_array_equal(
        resample_trilinear(strided, (0.9, 1.1, 0.8)), resample_trilinear(packed, (0.9, 1.1, 0.8))
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values_zyx": np.zeros((4, 4, 4))}, "expected a float32"),
        ({"values_zyx": np.zeros((4, 4), np.float32)}, "expected a float32"),
        ({"voxel_size_zyx_A": (1.0, 0.0, 1.0)}, "voxel size y is 0.0"),
        ({"voxel_size_zyx_A": (1.0, 1.0, float("nan"))}, "voxel size x is nan"),
        ({"target_A": -1.0}, "voxel size target is -1.0"),
        ({"voxel_size_zyx_A": (0.2, 0.9, 0.9)}, "thinner than one voxel"),
        ({"positions": "float16"}, "positions must be"),
        ({"out": np.zeros((3, 3, 4), np.float32)}, "out must be"),
        ({"out": np.zeros((3, 3, 3))}, "out must be"),
    ],
)
def test_wrong_input_is_refused(change: dict[str, object], message: str) -> None:
    given_ = {
        "values_zyx": np.ones((4, 4, 4), np.float32),
        "voxel_size_zyx_A": (0.9, 0.9, 0.9),
        **change,
    }
    with pytest.raises(ValueError, match=message):
        resample_trilinear(**given_)


def test_integer_maps_are_truncated_toward_zero() -> None:
    values = np.array([-1.9, -0.5, 0.0, 0.99, 1.0, 254.7], np.float32)
    truncated = truncate_to(values, np.int8)
    np.testing.assert_array_equal(truncated, np.array([-1, 0, 0, 0, 1, 254], np.float32))
    assert truncated.dtype == np.float32
    assert not np.signbit(truncated[1])
    np.testing.assert_array_equal(values[:2], np.array([-1.9, -0.5], np.float32))


def test_float_maps_keep_their_type() -> None:
    values = np.array([0.1, -2.3], np.float32)
    assert truncate_to(values, np.float32) is values
    np.testing.assert_array_equal(truncate_to(values, np.float16), values.astype(np.float16))
    with pytest.raises(ValueError, match="complex64"):
        truncate_to(values, np.complex64)


def test_sampling_agrees_with_scipy() -> None:
    values = random_map((7, 9, 11))
    points = np.random.default_rng(1).uniform(0, 1, (500, 3)) * (np.array(values.shape) - 1)
    reference = map_coordinates(values.astype(np.float64), points.T, order=1)
    np.testing.assert_allclose(sample_trilinear(values, points), reference, rtol=0, atol=1e-12)


def test_sampling_on_the_border_and_outside() -> None:
    values = random_map((3, 4, 5))
    points = np.array(
        [[0, 0, 0], [2, 3, 4], [2, 1.5, 4], [-1e-9, 0, 0], [0, 3.001, 0], [0, 0, np.nan]]
    )
    found = sample_trilinear(values, points, fill=-7.0)
    assert found[:2].tolist() == [values[0, 0, 0], values[2, 3, 4]]
    assert found[2] == pytest.approx((float(values[2, 1, 4]) + float(values[2, 2, 4])) / 2)
    assert found[3:].tolist() == [-7.0, -7.0, -7.0]
    assert np.isnan(sample_trilinear(values, points)[3:]).all()


def test_sampling_a_single_plane() -> None:
    values = random_map((1, 4, 5))
    assert sample_trilinear(values, np.array([[0.0, 2, 3]])).tolist() == [values[0, 2, 3]]
    assert sample_trilinear(values, np.zeros((0, 3))).shape == (0,)
    with pytest.raises(ValueError, match=r"\(m, 3\) points"):
        sample_trilinear(values, np.zeros(3))
