"""The anti-aliasing filter by its frequency response and by its defining curve."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad

from c2s_data.transforms.lowpass import (
    PASS_SHARE,
    REACH_TARGET_VOXELS,
    needs_lowpass,
    raised_cosine_taps,
)

PAIRS = [(0.5, 1.0), (0.637, 1.0), (0.727, 1.0), (0.89, 1.0), (0.31, 0.75), (1.2, 1.5)]


def curve(wave_number, target):
    """The amplitude that a wave should keep: 1, half a period of a cosine, 0."""
    stop = 1 / (2 * target)
    along = (wave_number / stop - PASS_SHARE) / (1 - PASS_SHARE)
    return 0.5 + 0.5 * np.cos(np.pi * np.clip(along, 0, 1))


def response(taps, voxel, wave_number):
    distance = (np.arange(len(taps)) - len(taps) // 2) * voxel
    return np.cos(2 * np.pi * np.outer(wave_number, distance)) @ taps


@pytest.mark.parametrize(("voxel", "target"), PAIRS)
def test_every_wave_keeps_the_amplitude_of_the_curve(voxel, target):
    taps = raised_cosine_taps(voxel, target)
    waves = np.linspace(0, 1 / (2 * voxel), 700)
    kept = response(taps, voxel, waves)
    assert np.abs(kept - curve(waves, target)).max() < 0.009
    assert kept[0] == pytest.approx(1, abs=1e-14)
    assert kept[waves > 1 / (2 * target)].max() < 0.009


@pytest.mark.parametrize(("voxel", "target"), PAIRS)
def test_weights_are_the_transform_of_the_curve(voxel, target):
    taps = raised_cosine_taps(voxel, target)
    middle = len(taps) // 2
    assert middle == math.floor(REACH_TARGET_VOXELS * target / voxel)
    np.testing.assert_array_equal(taps, taps[::-1])
    for k in (0, 1, 2, 5, middle):
        integral, _ = quad(
            lambda f, k=k: float(curve(f, target)) * math.cos(2 * math.pi * f * k * voxel),
            0,
            1 / (2 * target),
            limit=400,
        )
        assert taps[middle + k] == pytest.approx(2 * voxel * integral, abs=6e-4)


def test_the_removable_pole_is_finite():
    # 2 b c d = 1 where d = 1 / (2 b c): 5 target voxels for a fall over the last fifth.
    center, half_width = (1 + PASS_SHARE) / 2, (1 - PASS_SHARE) / (1 + PASS_SHARE)
    distance = 1 / (2 * half_width * center)
    taps = raised_cosine_taps(distance / 10, 1.0)
    middle = len(taps) // 2
    around = taps[middle + 9 : middle + 12]
    assert np.isfinite(taps).all()
    limit = np.sinc(center * distance) * np.pi / 4 * taps[middle]
    assert around[1] == pytest.approx(limit, rel=1e-9)


@pytest.mark.parametrize(
    ("voxel", "target", "filtered"),
    [(0.9, 1.0, False), (0.899, 1.0, True), (1.2, 1.0, False), (1.3, 1.5, True), (0.5, 0.5, False)],
)
def test_axes_below_nine_tenths_are_filtered(voxel, target, filtered):
    assert needs_lowpass(voxel, target) is filtered


@pytest.mark.parametrize(
    ("voxel", "target"),
    [(1.0, 1.0), (1.5, 1.0), (0.0, 1.0), (-1.0, 1.0), (math.nan, 1.0), (0.5, math.inf)],
)
def test_a_filter_for_coarse_or_absurd_voxels_is_refused(voxel, target):
    with pytest.raises(ValueError, match="finer than the target"):
        raised_cosine_taps(voxel, target)
