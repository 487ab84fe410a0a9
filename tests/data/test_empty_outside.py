"""The outside of a mask stays empty under spline resampling."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from c2s_data.transforms.empty_outside import clear_outside
from c2s_data.transforms.resample import resample_trilinear
from c2s_data.transforms.resample_spline import resample_spline

VOXEL_ZYX_A = (1.31, 0.87, 1.06)


def masked_map(shape_zyx: tuple[int, int, int]) -> np.ndarray:
    rng = np.random.default_rng(5)
    values = rng.standard_normal(shape_zyx, dtype=np.float32)
    z, y, x = np.ogrid[tuple(slice(n) for n in shape_zyx)]
    outside = (z - 9) ** 2 + (y - 14) ** 2 + (x - 11) ** 2 > 60
    values[outside] = 0
    return values


def test_just_what_lies_between_eight_zeros_is_cleared() -> None:
    source = masked_map((19, 31, 23))
    smooth = resample_spline(source, VOXEL_ZYX_A, antialias=False)
    cleared = smooth.copy()
    n = clear_outside(cleared, source, VOXEL_ZYX_A)
    expected = smooth.copy()
    for place in itertools.product(*(range(size) for size in smooth.shape)):
        low = [int(k / voxel) for k, voxel in zip(place, VOXEL_ZYX_A, strict=True)]
        corners = itertools.product(
            *({b, min(b + 1, size - 1)} for b, size in zip(low, source.shape, strict=True))
        )
        if all(source[corner] == 0 for corner in corners):
            expected[place] = 0
    assert np.array_equal(cleared, expected)
    assert n == np.count_nonzero(smooth) - np.count_nonzero(expected)
    assert n > 100, "the spline rings outside of the mask"


def test_what_is_left_is_where_trilinear_resampling_has_density_too() -> None:
    source = masked_map((19, 31, 23))
    smooth = resample_spline(source, VOXEL_ZYX_A, antialias=False)
    clear_outside(smooth, source, VOXEL_ZYX_A)
    assert np.count_nonzero(smooth) == pytest.approx(
        np.count_nonzero(resample_trilinear(source, VOXEL_ZYX_A)), rel=0.02
    )


def test_a_map_without_a_mask_is_left_alone() -> None:
    source = np.random.default_rng(1).standard_normal((12, 17, 9), dtype=np.float32)
    smooth = resample_spline(source, VOXEL_ZYX_A, antialias=False)
    before = smooth.copy()
    assert clear_outside(smooth, source, VOXEL_ZYX_A) == 0
    assert np.array_equal(smooth, before)
