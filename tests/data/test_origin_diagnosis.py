"""Origin conventions: told apart on tampered headers, silent on the real pairs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import gemmi
import numpy as np
import pytest
from mrc_files import map_bytes, write
from pairs import PAIRS

from c2s_data import origin_diagnosis
from c2s_data.errors import MapError
from c2s_data.origin_diagnosis import OriginDiagnosis, OriginFit, diagnose_origin
from c2s_data.sources.atomic_model import read_atomic_model
from c2s_data.sources.density_map import read_density_map, read_map_header
from c2s_data.sources.procedural import procedural_protein
from c2s_data.transforms.resample import sample_trilinear
from c2s_data.transforms.simulate_density import simulate_density, solvent_noise

VOXEL_XYZ_A = (2.0, 1.75, 2.25)
SHAPE_ZYX = (44, 56, 50)
PLACE = (-21, 34, 12)  # in voxels x, y, z: where the map truly lies
PLACE_XYZ_A = (-42.0, 59.5, 27.0)
AWAY_XYZ_A = (150.0, -7.0, 31.5)


@pytest.fixture(scope="module")
def placed() -> tuple[np.ndarray, np.ndarray]:
    """Return a simulated map (z, y, x) that lies at PLACE_XYZ_A, and its C-alphas."""
    atoms = [a for chain in procedural_protein(7, 92)[0] for r in chain for a in r]
    xyz_A = np.array([a.pos.tolist() for a in atoms])
    middle = PLACE_XYZ_A + np.array(SHAPE_ZYX)[::-1] * VOXEL_XYZ_A / 2
    xyz_A += middle - xyz_A.mean(axis=0)
    grid = {"shape_zyx": SHAPE_ZYX, "voxel_size_zyx_A": VOXEL_XYZ_A[::-1]}
    weight = np.array([a.element.atomic_number for a in atoms], float)
    values = simulate_density(xyz_A, weight, 4.0, **grid, origin_xyz_A=PLACE_XYZ_A)
    rng = np.random.default_rng(2)
    values += solvent_noise(
        rng, SHAPE_ZYX, VOXEL_XYZ_A[::-1], resolution_A=4.0, sd=float(values.max()) / 12
    )
    is_ca = np.array([a.name == "CA" and a.element == gemmi.Element("C") for a in atoms])
    return values, xyz_A[is_ca]


@pytest.fixture
def diagnose(placed, tmp_path):
    """Write the map with some origin words, read it by a rule, and diagnose it."""

    def diagnosed(rule, origin=(0.0, 0.0, 0.0), nstart=(0, 0, 0), axes=(1, 2, 3), ca_xyz_A=None):
        values, true_ca_xyz_A = placed
        cell = tuple(n * v for n, v in zip(SHAPE_ZYX[::-1], VOXEL_XYZ_A, strict=True))
        content = map_bytes(values, axes=axes, cell=cell, origin=origin, nstart=nstart)
        path = write(tmp_path / "x.map", content)
        density = read_density_map(path, origin=rule)
        return diagnose_origin(path, density, true_ca_xyz_A if ca_xyz_A is None else ca_xyz_A)

    return diagnosed


CASES = [
    ("auto", {"origin": AWAY_XYZ_A, "nstart": PLACE}, "nstart"),
    ("nstart", {"origin": PLACE_XYZ_A, "nstart": (8, -9, 10)}, "origin"),
    ("auto", {"origin": (-62.0, 77.0, 27.0), "nstart": (10, -10, 0)}, "sum"),
    # Sections, rows, columns are z, y, x: nstart belongs to them, but was written as x, y, z.
    ("auto", {"nstart": PLACE, "axes": (3, 2, 1)}, "nstart as x, y, z"),
]


@pytest.mark.parametrize(("rule", "words", "better"), CASES)
def test_a_tampered_header_is_found_out(diagnose, rule, words, better):
    found: OriginDiagnosis = diagnose(rule, **words)
    assert found.better == better
    used, *others = found.fits
    assert used.used
    assert not any(fit.used for fit in others)
    best = next(fit for fit in others if better in fit.conventions)
    np.testing.assert_allclose(best.origin_xyz_A, PLACE_XYZ_A, atol=1e-4)
    assert best.in_box == 1.0
    assert best.density_sd > 2.0
    assert "map and model disagree at origin (" in found.message
    assert f"with origin rule {better}, (-42, 59.5, 27) A, 100%" in found.message
    if better in ("origin", "nstart", "sum"):
        assert found.message.endswith(f"set the catalog's origin column to {better}")
        assert diagnose(better, **words).better is None
    else:
        assert found.message.endswith("write -42, 59.5, 27 into the header's ORIGIN words")


def test_a_map_that_belongs_at_zero(diagnose, placed):
    _, ca_xyz_A = placed
    found = diagnose("origin", origin=(34.0, 0.0, -27.0), ca_xyz_A=ca_xyz_A - PLACE_XYZ_A)
    assert found.better == "nstart"  # which is zero as well, and comes first
    found = diagnose("origin", (34.0, 0, -27.0), (9, 9, 9), ca_xyz_A=ca_xyz_A - PLACE_XYZ_A)
    assert found.better == "zero"
    assert found.message.endswith("set the catalog's origin column to zero")


def test_figures_of_each_origin(diagnose, placed):
    values, ca_xyz_A = placed
    half = ca_xyz_A.copy()
    half[::2, 0] += 5000.0
    half = np.concatenate((half, [[np.nan] * 3]))
    found = diagnose("auto", origin=PLACE_XYZ_A, nstart=(200, 0, 0), ca_xyz_A=half)
    assert [fit.conventions for fit in found.fits] == [
        ("origin",), ("nstart", "nstart as x, y, z"), ("sum",), ("zero",),
    ]  # fmt: skip
    at_ca = sample_trilinear(values, ((ca_xyz_A[1::2] - PLACE_XYZ_A) / VOXEL_XYZ_A)[:, ::-1])
    expected = (at_ca.mean() - values.mean(dtype=float)) / values.std(dtype=float)
    assert found.fits[0].in_box == pytest.approx(len(at_ca) / len(ca_xyz_A))
    assert found.fits[0].density_sd == pytest.approx(expected, rel=1e-6)
    assert found.fits[1].in_box == 0
    assert np.isnan(found.fits[1].density_sd)
    assert (found.better, found.message) == (None, "")


def test_a_model_of_another_map_is_nobodys_origin(diagnose, placed):
    _, ca_xyz_A = placed
    words = {"origin": AWAY_XYZ_A, "nstart": PLACE}
    assert diagnose("auto", **words, ca_xyz_A=ca_xyz_A + 300).better is None
    rng = np.random.default_rng(0)
    strewn = PLACE_XYZ_A + rng.random((200, 3)) * (98, 96, 97)
    assert diagnose("auto", **words, ca_xyz_A=strewn).better is None
    assert diagnose("auto", **words, ca_xyz_A=np.full((3, 3), np.nan)).fits == ()


@pytest.mark.parametrize(
    ("used", "other", "better"),
    [
        ((1.0, 0.4), (1.0, 1.5), True),
        ((1.0, 0.4), (1.0, 1.45), False),  # 1.5 sd at least
        ((1.0, 1.2), (1.0, 2.25), True),
        ((1.0, 1.2), (1.0, 2.15), False),  # 1 sd more
        ((1.0, 4.0), (1.0, 6.1), True),
        ((1.0, 4.0), (1.0, 5.9), False),  # 1.5 times as much
        ((0.0, np.nan), (0.5, 3.1), True),
        ((0.0, np.nan), (0.45, 9.0), False),  # half of them inside
        ((1.0, 1.0), (0.9, 5.0), True),
        ((1.0, 1.0), (0.85, 9.0), False),  # hardly fewer than now
        ((0.1, 5.0), (1.0, 1.55), True),  # the few inside do not speak for all
    ],
)
def test_what_clearly_better_means(used, other, better):
    fits = [OriginFit((), (0.0, 0.0, 0.0), *figures, used=False) for figures in (used, other)]
    assert fits[1].clearly_better_than(fits[0]) is better


def test_a_header_that_is_refused(placed, tmp_path):
    content = map_bytes(placed[0], cell=(100.0, 98.0, 99.0))
    density = read_density_map(write(tmp_path / "x.map", content))
    with pytest.raises(MapError, match="no such file"):
        diagnose_origin(tmp_path / "y.map", density, placed[1])


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.emdb_id)
def test_real_pairs_are_left_alone_and_found_again(shared_data, pair):
    path = shared_data / "pairs" / pair.map
    header = read_map_header(path)
    density = read_density_map(path)
    table = read_atomic_model(shared_data / "pairs" / pair.model).residues
    found = diagnose_origin(header, density, table.ca_xyz_A)
    assert found.better is None
    assert found.fits[0].density_sd == pytest.approx(pair.ca_sigma, rel=0.011)
    rng = np.random.default_rng(1)
    true = density.origin_xyz_A
    for _ in range(8):
        way = rng.normal(size=3)
        far = true + way / np.linalg.norm(way) * rng.uniform(20, 60)
        wrong = (float(far[0]), float(far[1]), float(far[2]))
        both = replace(header, conventions_xyz_A={"origin": true, "nstart": wrong})
        assert diagnose_origin(both, density, table.ca_xyz_A).better is None
        moved = replace(density, origin_xyz_A=wrong)
        assert diagnose_origin(both, moved, table.ca_xyz_A).better == "origin"


def test_a_map_that_the_plan_allowed_is_not_too_large_here(placed, tmp_path, monkeypatch):
    values, ca_xyz_A = placed
    path = tmp_path / "large.mrc"
    cell = tuple(np.array(SHAPE_ZYX)[::-1] * VOXEL_XYZ_A)
    path.write_bytes(map_bytes(values, cell=cell, origin=PLACE_XYZ_A))
    density = read_density_map(path)
    monkeypatch.setattr(origin_diagnosis, "MAX_VOXELS", values.size - 1)
    assert diagnose_origin(path, density, ca_xyz_A).message == ""
    monkeypatch.setattr(origin_diagnosis, "read_map_header", partial(at_most, values.size))
    assert diagnose_origin(path, density, ca_xyz_A).message == ""


def at_most(n_voxels, path, *, origin, max_voxels):
    assert max_voxels == n_voxels
    return read_map_header(path, origin=origin, max_voxels=max_voxels)
