"""Correlation, Fourier shells and explained density against plain numpy and known answers."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from c2s_data.transforms.fourier_shells import FourierShells, fsc_resolution_A
from c2s_data.transforms.map_model_fit import fit_memory_bytes, map_model_fit
from c2s_data.transforms.simulate_density import simulate_density

VOXEL = (1.1, 0.9, 1.3)
ORIGIN = (-31.5, 12.25, 104.75)
SHAPE = (41, 57, 36)


@pytest.fixture(scope="module")
def molecule():
    """A ball of atoms off the middle of the box, of several elements."""
    rng = np.random.default_rng(2)
    ball = rng.normal(size=(400, 3))
    ball *= (9.0 * rng.random((400, 1)) ** (1 / 3)) / np.linalg.norm(ball, axis=1)[:, None]
    middle = np.array(SHAPE[::-1]) * VOXEL[::-1] * [0.45, 0.55, 0.5] + ORIGIN
    return ball + middle, rng.choice([6, 7, 8, 16], 400).astype(np.uint8)


def density_of(molecule, resolution_A, shape=SHAPE):
    xyz, element = molecule
    return simulate_density(
        xyz, element, resolution_A, shape_zyx=shape, voxel_size_zyx_A=VOXEL, origin_xyz_A=ORIGIN
    )


def distances(xyz, shape=SHAPE):
    """From every voxel to its nearest atom, (z, y, x)."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    centers = (index * VOXEL)[..., ::-1] + ORIGIN
    return cKDTree(xyz).query(centers)[0]


@pytest.fixture(scope="module")
def noisy(molecule):
    noise = gaussian_filter(np.random.default_rng(3).standard_normal(SHAPE), 1.0)
    return (2.5 * density_of(molecule, 3.0) + 1.5 * noise - 40.0).astype(np.float32)


@pytest.mark.parametrize("tile", [160, 17])
def test_correlation_and_explained_voxels_are_those_of_numpy(molecule, noisy, tile):
    level = float(np.quantile(noisy, 0.9))
    fit = map_model_fit(noisy, VOXEL, ORIGIN, *molecule, resolution_A=4.0, level=level, tile=tile)
    near = distances(molecule[0]) <= 3.0
    expected = np.corrcoef(noisy[near], density_of(molecule, 4.0)[near])[0, 1]
    assert 0.3 < expected < 0.95
    assert fit.cc_mask == pytest.approx(expected, abs=2e-5)
    assert fit.n_above == (noisy > level).sum()
    assert fit.n_explained == (near & (noisy > level)).sum()


def plain_fsc(a, b, voxel, step, n_shells):
    """Whole complex transforms and a loop over shells."""
    fa, fb = np.fft.fftn(a.astype(float)), np.fft.fftn(b.astype(float))
    z, y, x = (np.fft.fftfreq(n, v) for n, v in zip(a.shape, voxel, strict=True))
    frequency = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
    found = []
    for k in range(1, n_shells + 1):
        shell = (frequency >= (k - 0.5) * step) & (frequency < (k + 0.5) * step)
        cross = (fa[shell] * fb[shell].conj()).sum().real
        found.append(cross / math.sqrt((abs(fa[shell]) ** 2).sum() * (abs(fb[shell]) ** 2).sum()))
    return np.array(found)


@pytest.mark.parametrize("shape", [(50, 60, 36), (45, 27, 75)])
def test_shells_are_those_of_whole_transforms(shape):
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, *shape)).astype(np.float32)
    b += a
    shells = FourierShells(np.array(VOXEL), shape)
    shells.add(a, b)
    frequency, fsc = shells.correlation()
    step = 1 / min(n * v for n, v in zip(shape, VOXEL, strict=True))
    np.testing.assert_allclose(frequency, np.arange(1, len(fsc) + 1) * step)
    assert frequency[-1] <= 0.5 / max(VOXEL) < frequency[-1] + step
    np.testing.assert_allclose(fsc, plain_fsc(a, b, VOXEL, step, len(fsc)), atol=1e-5)


def test_a_map_correlates_with_itself_in_every_shell(molecule):
    density = density_of(molecule, 3.0)
    fit = map_model_fit(density, VOXEL, ORIGIN, *molecule, resolution_A=3.0, level=0.0)
    assert fit.cc_mask == pytest.approx(1.0, abs=1e-6)
    resolved = fit.frequency_per_A < 1 / 3  # beyond, float32 rounding of the map shows
    np.testing.assert_allclose(fit.fsc[resolved], 1.0, atol=1e-4)


@pytest.mark.parametrize(("tile", "tolerance"), [(160, 0.25), (29, 0.4)])
def test_the_shell_where_the_model_ends_is_found(molecule, tile, tolerance):
    # The map holds the model at 6 A and 0.3 times as many other atoms at 3 A, in the same place.
    # Both are Gaussians, of widths s and t: in the shell of wave number k the others have the
    # power (0.3 exp((s^2 - t^2) k^2 / 2))^2 = n of the model's, and the FSC is 1 / sqrt(1 + n).
    xyz, element = molecule
    shuffled = np.random.default_rng(8).permutation(400)
    others = (2 * xyz.mean(axis=0) - xyz, element[shuffled])
    spoilt = density_of(molecule, 6.0) + np.float32(0.3) * density_of(others, 3.0)
    fit = map_model_fit(spoilt, VOXEL, ORIGIN, *molecule, resolution_A=3.0, level=0.0, tile=tile)
    s, t = (resolution / (math.pi * math.sqrt(2)) for resolution in (6.0, 3.0))
    wave_number = math.sqrt(2 * math.log(math.sqrt(3) / 0.3) / (s**2 - t**2))
    expected_A = 2 * math.pi / wave_number
    assert 3.9 < expected_A < 4.0
    found_A = fsc_resolution_A(fit.frequency_per_A, fit.fsc)
    assert found_A == pytest.approx(expected_A, abs=tolerance)


def test_neither_scale_nor_offset_matters(molecule, noisy):
    first, second = (
        map_model_fit(values, VOXEL, ORIGIN, *molecule, resolution_A=3.0, level=0.0)
        for values in (noisy, noisy * 3 + 500)
    )
    assert second.cc_mask == pytest.approx(first.cc_mask, abs=1e-4)
    np.testing.assert_allclose(second.fsc, first.fsc, atol=2e-3)


def test_what_cannot_be_measured_is_not(molecule, noisy):
    xyz, element = molecule
    blind = map_model_fit(noisy, VOXEL, ORIGIN, *molecule, resolution_A=None, level=-41.0)
    coarse = map_model_fit(noisy, VOXEL, ORIGIN, *molecule, resolution_A=10.1, level=-41.0)
    for fit in (blind, coarse):
        assert math.isnan(fit.cc_mask)
        assert fit.fsc.size == 0
        assert fit.n_explained > 0
    away = map_model_fit(noisy, VOXEL, ORIGIN, xyz + 500, element, resolution_A=3.0, level=-41.0)
    assert math.isnan(away.cc_mask)
    assert (away.n_explained, away.n_above) == (0, (noisy > -41.0).sum())
    flat = map_model_fit(noisy * 0, VOXEL, ORIGIN, *molecule, resolution_A=3.0, level=0.0)
    assert math.isnan(flat.cc_mask)
    assert (flat.n_above, fsc_resolution_A(flat.frequency_per_A, flat.fsc)) == (0, None)


@pytest.mark.parametrize(
    ("fsc", "expected"),
    [
        ([0.9, 0.8, 0.6, 0.4], 1 / 0.35),
        ([0.9, 0.8, 0.6, 0.5], 1 / 0.4),
        ([0.1, 0.8, 0.4, 0.7], 1 / (0.2 + 0.075)),
        ([0.9, 0.5, 0.3, 0.6], 1 / 0.2),
        ([0.9, 0.8, math.nan, 0.0], 1 / (0.2 + 0.1 * 0.3 / 1.8)),
        ([0.4, 0.3, 0.2, 0.1], None),
        ([], None),
    ],
)
def test_resolution_is_where_the_curve_first_falls_to_one_half(fsc, expected):
    frequency = np.arange(1, len(fsc) + 1) * 0.1
    assert fsc_resolution_A(frequency, np.array(fsc)) == (
        expected if expected is None else pytest.approx(expected)
    )


def test_memory_stays_below_what_is_stated(molecule):
    xyz, element = molecule
    shape = (150, 120, 130)
    spread = (xyz - xyz.mean(axis=0)) * 7 + np.array(shape[::-1]) * VOXEL[::-1] / 2 + ORIGIN
    values = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    for tile in (160, 64):
        arguments = (values, VOXEL, ORIGIN, spread, element)
        map_model_fit(*arguments, resolution_A=3.0, level=1.0, tile=tile)
        tracemalloc.start()
        map_model_fit(*arguments, resolution_A=3.0, level=1.0, tile=tile)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        stated = fit_memory_bytes(shape, tile)
        assert stated / 3 < peak < stated


@pytest.mark.parametrize(("factor", "offset"), [(1e25, 0.0), (1e-25, 0.0), (1.0, 3e4)])
def test_the_correlation_knows_neither_unit_nor_offset(molecule, noisy, factor, offset):
    level = float(noisy.max())
    values = (noisy.astype(np.float64) * factor + offset).astype(np.float32)
    fit = map_model_fit(values, VOXEL, ORIGIN, *molecule, resolution_A=4.0, level=level)
    near = distances(molecule[0]) <= 3.0
    exact = values[near].astype(np.float64)
    expected = np.corrcoef(exact, density_of(molecule, 4.0)[near])[0, 1]
    assert fit.cc_mask == pytest.approx(expected, abs=2e-5)
