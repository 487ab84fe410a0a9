"""Spline resampling against scipy in float64, block by block, and by what it keeps of a density."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate1d, map_coordinates

from c2s_data.transforms.lowpass import needs_lowpass, raised_cosine_taps
from c2s_data.transforms.resample import resample_trilinear, resampled_shape
from c2s_data.transforms.resample_spline import (
    resample_spline,
    resample_spline_block,
    spline_grid,
    spline_memory_bytes,
)
from c2s_data.transforms.simulate_density import simulate_density

ANY_VOXEL = st.tuples(*[st.floats(0.9, 3.0) | st.floats(0.3, 0.9) | st.just(1.0)] * 3)


def random_map(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(2.0, 1.0, shape).astype(np.float32)


def expected(
    values: np.ndarray, voxel: tuple[float, ...], target: float = 1.0, *, antialias: bool = False
) -> np.ndarray:
    """Scipy in float64: filter, spline through the mirrored map, 0 from the last plane on."""
    wide = values.astype(np.float64)
    for axis, size in enumerate(voxel):
        if antialias and needs_lowpass(size, target):
            wide = correlate1d(wide, raised_cosine_taps(size, target), axis, mode="mirror")
    axes = [
        np.arange(int(n * size / target)) * target / size
        for n, size in zip(values.shape, voxel, strict=True)
    ]
    grid = np.meshgrid(*axes, indexing="ij")
    result = map_coordinates(wide, grid, order=3, mode="mirror")
    for axis, n in zip(grid, values.shape, strict=True):
        result[axis >= n - 1] = 0
    return result


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize(
    ("shape", "voxel", "target"),
    [
        ((83, 91, 77), (0.727, 0.727, 0.727), 1.0),
        ((12, 19, 26), (1.34, 0.65, 1.06), 1.0),
        ((14, 11, 16), (1.0, 1.37, 0.8), 1.0),
        ((21, 40, 133), (0.31, 0.27, 0.45), 1.0),
        ((9, 7, 8), (2.99, 3.7, 2.5), 1.0),
        ((16, 15, 54), (1.5, 1.0, 0.9), 0.75),
        ((2, 3, 40), (1.3, 1.1, 0.7), 1.0),
    ],
)
def test_agrees_with_scipy_in_float64(shape, voxel, target, antialias):
    values = random_map(shape)
    ours = resample_spline(values, voxel, target, antialias=antialias)
    reference = expected(values, voxel, target, antialias=antialias)
    assert ours.dtype == np.float32
    assert ours.shape == reference.shape
    # Zeros of the outside must be zeros, not merely small.
    np.testing.assert_array_equal(ours == 0, reference == 0)
    assert np.abs(ours - reference).max() <= 1e-6 * np.ptp(values)


@settings(max_examples=60)
@given(shape=st.tuples(*[st.integers(1, 12)] * 3), voxel=ANY_VOXEL, antialias=st.booleans())
def test_any_shape_agrees_with_scipy(shape, voxel, antialias):
    values = random_map(shape)
    if min(int(n * v) for n, v in zip(shape, voxel, strict=True)) < 1:
        with pytest.raises(ValueError, match="thinner than one voxel"):
            resample_spline(values, voxel, antialias=antialias)
    elif voxel != (1.0, 1.0, 1.0):
        ours = resample_spline(values, voxel, antialias=antialias)
        reference = expected(values, voxel, antialias=antialias)
        assert np.abs(ours - reference).max() <= 1e-6 * (np.ptp(values) + np.abs(values).max())


def cuts(draw: st.DrawFn, n: int) -> list[slice]:
    """Divide 0 to n at random places."""
    inner = draw(st.sets(st.integers(1, n - 1), max_size=3)) if n > 1 else set()
    edges = [0, *sorted(inner), n]
    return [slice(a, b) for a, b in pairwise(edges)]


@st.composite
def divided_maps(draw):
    shape = draw(st.tuples(st.integers(3, 90), st.integers(3, 60), st.integers(3, 70)))
    voxel = draw(ANY_VOXEL)
    new = tuple(int(n * size) for n, size in zip(shape, voxel, strict=True))
    if min(new) < 1:
        return draw(divided_maps())
    return shape, voxel, draw(st.booleans()), [cuts(draw, n) for n in new]


@settings(max_examples=40)
@given(divided_maps())
def test_any_division_into_blocks_gives_the_bits_of_the_whole(divided):
    shape, voxel, antialias, parts = divided
    values = random_map(shape)
    whole = resample_spline(values, voxel, antialias=antialias)
    grid = spline_grid(shape, voxel, antialias=antialias)
    assert grid.shape_zyx == whole.shape
    again = np.full(whole.shape, np.nan, np.float32)
    for block in np.ndindex(*(len(part) for part in parts)):
        new = tuple(part[i] for part, i in zip(parts, block, strict=True))
        source = values[grid.source_block(new)].copy()
        again[new] = resample_spline_block(source, grid, new)
    np.testing.assert_array_equal(again, whole)


@pytest.mark.parametrize(("voxel", "halo"), [(1.31, 16), (0.727, 38)])
def test_a_block_depends_on_a_halo_of_known_width(voxel, halo):
    grid = spline_grid((300, 300, 300), (voxel,) * 3, antialias=True)
    new = (slice(100, 120), slice(60, 61), slice(0, 40))
    for source, target in zip(grid.source_block(new), new, strict=True):
        first, last = target.start / voxel, (target.stop - 1) / voxel
        assert source.start == max(0, min(int(first) - halo + 1, 300 - 2 * halo))
        assert source.stop == max(int(last) + halo + 1, 2 * halo)


def test_a_block_of_the_outside_alone_is_zero():
    values = random_map((5, 6, 7))
    grid = spline_grid(values.shape, (1.25, 1.25, 1.25), antialias=False)
    beyond = (slice(5, 6), slice(0, 3), slice(0, 3))
    assert grid.source_block(beyond)[0] == slice(0, 0)
    source = values[grid.source_block(beyond)]
    np.testing.assert_array_equal(resample_spline_block(source, grid, beyond), np.zeros((1, 3, 3)))


def test_unit_voxels_return_the_map_itself_with_its_last_plane():
    values = random_map((4, 5, 6))
    assert resample_spline(values, (1.0, 1.0, 1.0), antialias=True) is values
    out = np.zeros_like(values)
    assert resample_spline(values, (1.0, 1.0, 1.0), antialias=True, out=out) is out
    np.testing.assert_array_equal(out, values)


def test_a_unit_axis_beside_others_keeps_its_values_and_loses_its_last_plane():
    values = np.broadcast_to(random_map((4,))[:, None, None], (4, 5, 6)).copy()
    ours = resample_spline(values, (1.0, 0.5, 1.0), antialias=True)
    assert ours.shape == (4, 2, 6)
    np.testing.assert_allclose(ours[:3, :, :5], values[:3, :2, :5], rtol=1e-6)
    assert not ours[3].any()
    assert not ours[:, :, 5].any()


def test_values_at_source_voxels_are_kept_and_axes_are_not_mixed():
    values = random_map((8, 30, 10))
    ours = resample_spline(values, (2.0, 1.0, 4.0), antialias=True)
    np.testing.assert_allclose(ours[:14:2, :29, :36:4], values[:7, :29, :9], atol=1e-6)


def test_a_cubic_polynomial_is_reproduced_far_from_the_border():
    z = np.arange(80.0)
    values = np.broadcast_to(((z / 80 - 0.4) ** 3)[:, None, None], (80, 3, 4)).astype(np.float32)
    ours = resample_spline(values, (1.3, 1.3, 1.3), antialias=False)
    k = np.arange(25, 75)
    np.testing.assert_allclose(ours[k, 0, 0], (k / 1.3 / 80 - 0.4) ** 3, atol=1e-7)


def test_the_low_pass_takes_what_would_alias_and_nothing_coarser():
    x = np.arange(300) * 0.5
    fine, coarse = (np.cos(2 * np.pi * x / length).astype(np.float32) for length in (1.6, 2.6))
    for wave, kept in ((fine, 0.0), (coarse, 1.0)):
        values = np.broadcast_to(wave, (5, 6, 300)).copy()
        sharp, smooth = (
            resample_spline(values, (1.2, 1.1, 0.5), antialias=on)[0, 0, 40:110]
            for on in (False, True)
        )
        assert np.abs(smooth - kept * wave[80:220:2]).max() < 0.012
        assert np.abs(sharp - wave[80:220:2]).max() < 1e-5


def shell_at_3A(found: np.ndarray, exact: np.ndarray) -> tuple[float, float]:
    """Correlation and amplitude in the Fourier shell of 1/64 per A around 3 A."""
    one, other = (np.fft.fftn(v[:-2, :-2, :-2].astype(np.float64)) for v in (found, exact))
    waves = np.meshgrid(*(np.fft.fftfreq(n) for n in one.shape), indexing="ij", sparse=True)
    radius = np.sqrt(sum(wave**2 for wave in waves))
    one, other = (spectrum[np.abs(radius - 1 / 3) < 1 / 128] for spectrum in (one, other))
    power, power_exact = np.linalg.norm(one), np.linalg.norm(other)
    return float((one * other.conj()).real.sum() / power / power_exact), power / power_exact


@pytest.fixture(scope="module")
def cloud():
    """Atoms as close to one another as those of a protein, in a box of 38 x 44 x 50 A."""
    rng = np.random.default_rng(8)
    return rng.uniform((9, 9, 9), (41, 35, 29), (900, 3)), rng.choice([6.0, 7.0, 8.0], 900)


def density_of(cloud, voxel, noise=0.0):
    shape = tuple(int(side / voxel) for side in (38, 44, 50))
    grids = ((shape, (voxel,) * 3), (resampled_shape(shape, (voxel,) * 3), (1.0, 1.0, 1.0)))
    source, exact = (
        simulate_density(
            *cloud, 3.0, shape_zyx=grid, voxel_size_zyx_A=size, origin_xyz_A=(0.0, 0.0, 0.0)
        )
        for grid, size in grids
    )
    white = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return source + noise * source.std() * white, exact


def test_a_spline_keeps_amplitudes_that_trilinear_interpolation_loses(cloud):
    source, exact = density_of(cloud, 1.06)
    correlation, amplitude = shell_at_3A(
        resample_spline(source, (1.06,) * 3, antialias=True), exact
    )
    assert correlation >= 0.995
    assert 0.95 <= amplitude <= 1.0
    assert shell_at_3A(resample_trilinear(source, (1.06,) * 3), exact)[1] < 0.75


def test_the_low_pass_keeps_noise_of_a_fine_map_out(cloud):
    source, exact = density_of(cloud, 0.5, noise=0.5)
    filtered, raw = (
        shell_at_3A(resample_spline(source, (0.5,) * 3, antialias=on), exact)
        for on in (True, False)
    )
    assert filtered[0] >= 0.98
    assert 0.97 <= filtered[1] <= 1.05
    assert raw[0] < 0.95
    assert raw[1] > 1.05


def test_out_is_filled_including_the_outside():
    values = random_map((6, 7, 8))
    voxel = (1.4, 1.2, 1.3)
    fresh = resample_spline(values, voxel, antialias=False)
    out = np.full(fresh.shape, np.nan, np.float32)
    assert resample_spline(values, voxel, antialias=False, out=out) is out
    np.testing.assert_array_equal(out, fresh)
    assert not fresh[-1].any()


def test_strided_and_read_only_maps_are_accepted():
    values = random_map((8, 9, 20))
    strided = values[:, :, ::2]
    packed = strided.copy()
    packed.flags.writeable = False
    voxel = (0.9, 1.1, 0.8)
    np.testing.assert_array_equal(
        resample_spline(strided, voxel, antialias=True),
        resample_spline(packed, voxel, antialias=True),
    )


def test_predicted_memory_is_both_maps_and_a_few_planes():
    source, target = (300, 310, 320), (218, 225, 232)
    maps = 4 * (300 * 310 * 320 + 218 * 225 * 232)
    assert maps + 4 * 8 * 310 * 320 < spline_memory_bytes(source, target) < 1.03 * maps


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values_zyx": np.zeros((4, 4, 4))}, "expected a float32"),
        ({"values_zyx": np.zeros((4, 4), np.float32)}, "expected a float32"),
        ({"voxel_size_zyx_A": (1.0, 0.0, 1.0)}, "voxel size y is 0.0"),
        ({"voxel_size_zyx_A": (1.0, 1.0, float("nan"))}, "voxel size x is nan"),
        ({"target_A": -1.0}, "voxel size target is -1.0"),
        ({"voxel_size_zyx_A": (0.2, 0.9, 0.9)}, "thinner than one voxel"),
        ({"out": np.zeros((3, 3, 4), np.float32)}, "out must be"),
        ({"out": np.zeros((3, 3, 3))}, "out must be"),
    ],
)
def test_wrong_input_is_refused(change, message):
    given_ = {
        "values_zyx": np.ones((4, 4, 4), np.float32),
        "voxel_size_zyx_A": (0.9, 0.9, 0.9),
        "antialias": True,
        **change,
    }
    with pytest.raises(ValueError, match=message):
        resample_spline(**given_)


def test_blocks_that_do_not_fit_are_refused():
    grid = spline_grid((10, 11, 12), (1.1, 1.2, 1.3), antialias=True)
    all_of_it = tuple(slice(0, n) for n in grid.shape_zyx)
    for wrong in (slice(-1, 3), slice(4, 4), slice(5, 12), slice(0, 4, 2)):
        with pytest.raises(ValueError, match="along z does not lie within"):
            grid.source_block((wrong, *all_of_it[1:]))
    with pytest.raises(ValueError, match=r"depends on \(10, 11, 12\) voxels"):
        resample_spline_block(np.ones((10, 11, 11), np.float32), grid, all_of_it)
