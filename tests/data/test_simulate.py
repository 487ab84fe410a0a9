"""The simulated density and the demonstration files: integrals, positions, noise, bytes."""

from __future__ import annotations

import csv
import math

import mrcfile
import numpy as np
import pytest

from c2s_data.sources.atomic_model import read_atomic_model
from c2s_data.sources.catalog import read_catalog
from c2s_data.sources.density_map import read_density_map
from c2s_data.sources.procedural import procedural_protein
from c2s_data.sources.simulate import simulated_map, write_demo_inputs
from c2s_data.transforms.percentile import percentile_of
from c2s_data.transforms.simulate_density import (
    CUTOFF_SIGMA,
    sigma_of_resolution_A,
    simulate_density,
    solvent_box,
    solvent_noise,
)

SHAPE = (34, 41, 29)
VOXEL = (1.07, 0.93, 1.21)
ORIGIN = (-31.5, 12.25, 104.75)


def _centers(shape=SHAPE, voxel=VOXEL, origin=ORIGIN):
    """z, y, x coordinates of all voxel centers, three arrays that broadcast."""
    return np.meshgrid(
        *(origin[2 - k] + np.arange(shape[k]) * voxel[k] for k in range(3)),
        indexing="ij",
        sparse=True,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return write_demo_inputs(folder, seed=2024)


def test_sigma_is_resolution_over_pi_root_two():
    assert sigma_of_resolution_A(3.0) == pytest.approx(0.67523724, abs=1e-8)


@pytest.mark.parametrize("resolution_A", [0.0, -3.0, math.nan, math.inf])
def test_bad_resolution_is_refused(resolution_A):
    with pytest.raises(ValueError, match="resolution"):
        sigma_of_resolution_A(resolution_A)


def test_one_atom_is_the_normalized_gaussian_at_every_voxel():
    atom = np.array([-15.2, 31.0, 121.3])
    density = simulate_density(
        atom, 8.0, 6.0, shape_zyx=SHAPE, voxel_size_zyx_A=VOXEL, origin_xyz_A=ORIGIN
    )
    sigma = 6.0 / (math.pi * math.sqrt(2.0))
    z, y, x = _centers()
    square = (x - atom[0]) ** 2 + (y - atom[1]) ** 2 + (z - atom[2]) ** 2
    expected = 8.0 / (2.0 * math.pi * sigma**2) ** 1.5 * np.exp(-square / (2.0 * sigma**2))
    assert density.dtype == np.float32
    assert density.shape == SHAPE
    np.testing.assert_allclose(density, expected, atol=4e-6 * expected.max())


def test_sum_times_voxel_volume_is_the_weight():
    density = simulate_density(
        [[-15.2, 31.0, 121.3]],
        [7.0],
        5.0,
        shape_zyx=SHAPE,
        voxel_size_zyx_A=VOXEL,
        origin_xyz_A=ORIGIN,
    )
    assert density.sum(dtype=np.float64) * math.prod(VOXEL) == pytest.approx(7.0, rel=1e-5)


def test_peak_is_the_voxel_of_the_atom_on_unequal_axes():
    zyx = (20, 11, 23)
    atom = [ORIGIN[2 - k] + zyx[k] * VOXEL[k] for k in (2, 1, 0)]
    density = simulate_density(
        atom, 6.0, 3.0, shape_zyx=SHAPE, voxel_size_zyx_A=VOXEL, origin_xyz_A=ORIGIN
    )
    assert np.unravel_index(density.argmax(), SHAPE) == zyx
    sigma = sigma_of_resolution_A(3.0)
    assert density.max() == pytest.approx(6.0 / (2.0 * math.pi * sigma**2) ** 1.5, rel=1e-6)


def test_center_of_mass_is_that_of_the_atoms():
    rng = np.random.default_rng(1)
    span = (np.array(SHAPE) * VOXEL)[::-1]
    xyz = np.array(ORIGIN) + span * rng.uniform(0.35, 0.65, size=(40, 3))
    weight = rng.uniform(6.0, 16.0, size=40)
    density = simulate_density(
        xyz, weight, 4.5, shape_zyx=SHAPE, voxel_size_zyx_A=VOXEL, origin_xyz_A=ORIGIN
    ).astype(np.float64)
    center = [float((axis * density).sum() / density.sum()) for axis in _centers()[::-1]]
    np.testing.assert_allclose(center, weight @ xyz / weight.sum(), atol=1e-3)


def test_sum_over_atoms_equals_brute_force_also_for_atoms_outside_the_grid():
    rng = np.random.default_rng(2)
    shape, voxel = (9, 14, 11), (1.3, 0.8, 1.1)
    span = (np.array(shape) * voxel)[::-1]
    xyz = np.array(ORIGIN) + span * rng.uniform(-0.6, 1.6, size=(60, 3))
    weight = rng.uniform(1.0, 16.0, size=60)
    density = simulate_density(
        xyz, weight, 4.0, shape_zyx=shape, voxel_size_zyx_A=voxel, origin_xyz_A=ORIGIN
    )
    sigma = sigma_of_resolution_A(4.0)
    z, y, x = _centers(shape, voxel)
    expected = np.zeros(shape)
    for (ax, ay, az), w in zip(xyz, weight, strict=True):
        offsets = [np.abs(z - az), np.abs(y - ay), np.abs(x - ax)]
        near = np.ones(shape, bool)
        for offset in offsets:
            near = near & (offset <= CUTOFF_SIGMA * sigma)
        gauss = np.exp(-sum(d**2 for d in offsets) / (2.0 * sigma**2))
        expected += np.where(near, w / (2.0 * math.pi * sigma**2) ** 1.5 * gauss, 0.0)
    assert expected.max() > 0.2
    np.testing.assert_allclose(density, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"xyz_A": [[math.nan, 0.0, 0.0]]},
        {"shape_zyx": (4, 0, 5)},
        {"voxel_size_zyx_A": (1.0, -1.0, 1.0)},
    ],
)
def test_impossible_input_is_refused(change):
    arguments = {
        "xyz_A": [[0.0, 0.0, 0.0]],
        "weight": 1.0,
        "resolution_A": 3.0,
        "shape_zyx": (4, 5, 6),
        "voxel_size_zyx_A": (1.0, 1.0, 1.0),
        "origin_xyz_A": (0.0, 0.0, 0.0),
    }
    with pytest.raises(ValueError, match=r"not finite|must be positive"):
        simulate_density(**(arguments | change))


@pytest.mark.parametrize("ratio", [1.0, 5.0, 40.0])
def test_solvent_box_has_its_volume_three_unequal_sides_and_is_centered(ratio):
    rng = np.random.default_rng(3)
    xyz = rng.uniform((-70.0, 5.0, 90.0), (-30.0, 45.0, 130.0), size=(500, 3))
    shape, origin = solvent_box(xyz, VOXEL, volume_ratio=ratio)
    extent = np.ptp(xyz, axis=0)
    volume = math.prod(n * step for n, step in zip(shape, VOXEL, strict=True))
    assert volume >= ratio * extent.prod()
    assert volume < 1.3 * ratio * extent.prod()
    assert len(set(shape)) == 3
    last = np.array(origin) + ((np.array(shape) - 1) * VOXEL)[::-1]
    np.testing.assert_allclose(
        (np.array(origin) + last) / 2, (xyz.min(axis=0) + xyz.max(axis=0)) / 2, atol=1e-9
    )


def test_solvent_box_needs_atoms_and_a_ratio_of_one():
    with pytest.raises(ValueError, match="at least one atom"):
        solvent_box(np.empty((0, 3)), VOXEL)
    with pytest.raises(ValueError, match="ratio of 1"):
        solvent_box([[0.0, 0.0, 0.0]], VOXEL, volume_ratio=0.5)


def test_noise_has_mean_zero_the_wanted_sd_both_signs_and_no_fine_detail():
    shape, voxel = (60, 72, 66), (1.07, 0.93, 0.99)
    noise = solvent_noise(np.random.default_rng(4), shape, voxel, resolution_A=3.0, sd=0.25)
    assert noise.dtype == np.float32
    assert abs(noise.mean(dtype=np.float64)) < 1e-6
    assert noise.std(dtype=np.float64) == pytest.approx(0.25, rel=1e-5)
    assert (noise < 0).mean() == pytest.approx(0.5, abs=0.02)
    power = np.abs(np.fft.fftn(noise)) ** 2
    k = np.meshgrid(
        *(np.fft.fftfreq(n, d) for n, d in zip(shape, voxel, strict=True)), indexing="ij"
    )
    wave = np.sqrt(sum(axis**2 for axis in k))
    low = power[(wave > 0.02) & (wave < 0.08)].mean()
    at_resolution = power[np.abs(wave - 1 / 3) < 0.01].mean()
    # e^-2 in the continuum; sampling at 1 A folds a little of the spectrum back.
    assert at_resolution / low == pytest.approx(math.exp(-2.0), rel=0.2)
    assert power[wave > 0.6].mean() / low < 2e-3


def test_noise_comes_from_the_generator_alone():
    arguments = {"shape_zyx": (8, 9, 10), "voxel_size_zyx_A": VOXEL, "resolution_A": 3.0, "sd": 1.0}
    one, same, other = (
        solvent_noise(np.random.default_rng(seed), **arguments) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.5


def test_simulated_map_shows_the_c_alphas_at_six_noise_sd():
    structure = procedural_protein(1, 96)
    density = simulated_map(
        structure, np.random.default_rng(0), voxel_size_zyx_A=(1.07, 0.93, 0.99), volume_ratio=5.0
    )
    values, voxel, origin = density.values_zyx, density.voxel_size_zyx_A, density.origin_xyz_A
    ca = np.array([r["CA"][0].pos.tolist() for chain in structure[0] for r in chain])
    nearest = np.rint((ca - origin)[:, ::-1] / voxel).astype(int)
    solvent_sd = values[:8].std()
    # The nearest voxel is a little off the atom; six is set for the atom itself.
    assert 5.0 < values[tuple(nearest.T)].mean() / solvent_sd < 7.0
    assert (values < 0).mean() > 0.4


def test_scale_of_the_signal_does_not_depend_on_the_solvent():
    structure = procedural_protein(1, 96)
    box = simulated_map(
        structure,
        np.random.default_rng(0),
        voxel_size_zyx_A=(1.0, 1.0, 1.0),
        volume_ratio=14.0,
    ).values_zyx
    margins = [round(n * (1 - 10 ** (-1 / 3)) / 2) for n in box.shape]
    tight = np.ascontiguousarray(box[tuple(slice(m, -m) for m in margins)])
    assert box.size > 9.5 * tight.size
    ratio = percentile_of(tight, "signal") / percentile_of(box, "signal")
    assert ratio == pytest.approx(1.0, abs=0.05)
    assert percentile_of(tight, "positive") / percentile_of(box, "positive") > 1.5


def test_demo_catalog_is_read_and_every_file_is_there(demo):
    entries = read_catalog(demo)
    assert [e.entry_id for e in entries] == ["DEMO-0001", "DEMO-0002", "DEMO-0003"]
    assert [e.split for e in entries] == ["train", "train", "validation"]
    assert {e.resolution_A for e in entries} == {3.0}
    with demo.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["map"], row["model"]) for row in rows] == [
        (f"{e.entry_id}.map.gz", f"{e.entry_id}.cif") for e in entries
    ]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_demo_pair_is_in_register(demo, number):
    density = read_density_map(demo.parent / f"DEMO-000{number}.map.gz")
    residues = read_atomic_model(demo.parent / f"DEMO-000{number}.cif").residues
    values, voxel = density.values_zyx, density.voxel_size_zyx_A
    assert len(set(values.shape)) == 3
    assert len(set(voxel)) == 3
    assert all(abs(coordinate) > 1.0 for coordinate in density.origin_xyz_A)
    assert set(residues.amino_class.tolist()) == set(range(1, 21))
    nearest = np.rint((residues.ca_xyz_A - density.origin_xyz_A)[:, ::-1] / voxel).astype(int)
    shifted = nearest + np.array([3, -3, 3])
    at_ca = (values[tuple(nearest.T)].mean() - values.mean()) / values.std()
    beside = (values[tuple(shifted.T)].mean() - values.mean()) / values.std()
    assert at_ca > 4.0
    assert beside < 0.6 * at_ca
    volume = math.prod(n * step for n, step in zip(values.shape, voxel, strict=True))
    assert volume >= 5.0 * np.ptp(residues.ca_xyz_A, axis=0).prod()


def test_demo_map_passes_the_reference_validation(demo, capsys):
    assert mrcfile.validate(demo.parent / "DEMO-0001.map.gz"), capsys.readouterr().out


def test_equal_seeds_give_equal_bytes(demo, tmp_path):
    again = write_demo_inputs(tmp_path / "again", seed=2024)
    names = sorted(path.name for path in demo.parent.iterdir())
    assert names == sorted(path.name for path in again.parent.iterdir())
    for name in names:
        assert (demo.parent / name).read_bytes() == (again.parent / name).read_bytes(), name
