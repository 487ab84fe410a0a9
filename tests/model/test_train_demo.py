"""The small training: what it adds to the product, piece by piece, and once as a whole."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from c2s_data.schema import CLASS_NAMES
from c2s_data.sources.density_map import DensityMap
from c2s_model.evaluation.voxel_curve import f1_curve

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.train_demo import data, report, run, scores, settings, simulated, solvent  # noqa: E402

VOXEL_A = 0.9


def masked_map(*, center=0.3, sd=0.2, width_A=1.1, soft=False):
    """Smoothed noise around a bright ball, kept inside of a sphere; (map, the noise)."""
    shape = (52, 60, 56)
    noise = gaussian_filter(
        np.random.default_rng(4).standard_normal(shape), width_A / VOXEL_A, mode="wrap"
    )
    noise = center + sd * (noise - noise.mean()) / noise.std()
    z, y, x = np.indices(shape)
    r_A = VOXEL_A * np.sqrt((z - 26) ** 2 + (y - 29) ** 2 + (x - 27) ** 2)
    values = noise + 5 * np.exp(-((r_A / 8) ** 2))
    inside = np.clip((21 - r_A) / 0.9, 0, 1) if soft else r_A < 20
    return DensityMap(
        (values * inside).astype(np.float32), (VOXEL_A,) * 3, (4.0, -7.0, 100.0)
    ), noise


@pytest.mark.parametrize("soft", [False, True])
def test_the_noise_of_a_masked_map_is_measured_inside_of_its_mask(soft):
    density, _ = masked_map(soft=soft)
    found = solvent.measure_solvent(density)
    assert found.center == pytest.approx(0.3, abs=0.05)
    assert found.sd == pytest.approx(0.2, rel=0.15)
    assert found.smoothing_A == pytest.approx(1.1, rel=0.15)
    assert found.masked_share == pytest.approx(np.mean(density.values_zyx == 0))


def test_noise_stands_where_the_mask_was_and_nothing_else_changes():
    density, _ = masked_map()
    found = solvent.measure_solvent(density)
    made = solvent.refilled(density, found, np.random.default_rng(0))
    outside = density.values_zyx == 0
    np.testing.assert_array_equal(made.values_zyx[~outside], density.values_zyx[~outside])
    assert made.origin_xyz_A == density.origin_xyz_A
    noise = made.values_zyx[outside]
    assert noise.mean() == pytest.approx(found.center, abs=0.02)
    assert noise.std() == pytest.approx(found.sd, rel=0.05)
    pairs = outside[1:] & outside[:-1]
    neighbors = np.corrcoef(made.values_zyx[1:][pairs], made.values_zyx[:-1][pairs])[0, 1]
    assert neighbors == pytest.approx(np.exp(-(VOXEL_A**2) / (4 * found.smoothing_A**2)), abs=0.04)


def test_a_map_without_mask_is_not_refilled_and_a_mask_too_thin_is_refused():
    density, noise = masked_map()
    full = replace(density, values_zyx=noise.astype(np.float32))
    assert solvent.measure_solvent(full) is None
    speck = np.zeros((9, 8, 7), np.float32)
    speck[4, 4, 4] = 1
    with pytest.raises(ValueError, match="noise is unknown"):
        solvent.measure_solvent(DensityMap(speck, (1.0,) * 3, (0.0, 0.0, 0.0)))


def test_waves_longer_than_the_resolution_pass_and_shorter_ones_do_not():
    voxel = (0.75, 1.0, 0.8)
    z, _, x = np.indices((64, 30, 60))
    # Wave lengths 4.8 A along z (0.75 x 64 / 10) and 2.4 A along x (0.8 x 60 / 20).
    long = np.sin(2 * np.pi * 10 * z / 64)
    short = np.cos(2 * np.pi * 20 * x / 60)
    values = (1.5 + long + short).astype(np.float32)
    passed = simulated.without_detail_beyond(values, voxel, 3.0)
    np.testing.assert_allclose(passed, 1.5 + long, atol=1e-5)
    np.testing.assert_allclose(
        simulated.without_detail_beyond(values, voxel, 2.0), values, atol=1e-5
    )


def test_a_copy_that_begins_later_keeps_every_voxel_in_its_place():
    values = np.arange(7 * 8 * 9, dtype=np.float32).reshape(7, 8, 9)
    density = DensityMap(values, (1.5, 0.5, 2.0), (10.0, 20.0, 30.0))
    assert data.beginning_later(density, 0).values_zyx.shape == values.shape
    for n in (1, 2, 3):
        made = data.beginning_later(density, n)
        z, y, x = (k * n % 4 for k in (1, 2, 3))
        assert made.values_zyx[0, 0, 0] == values[z, y, x]
        assert made.origin_xyz_A == (10 + 2.0 * x, 20 + 0.5 * y, 30 + 1.5 * z)


TRUTH = scores.Truth(
    np.array([[0.0, 0, 0], [3.8, 0, 0], [7.6, 0, 0], [11.4, 0, 0]]),
    np.array([[0.0, 0, 0], [3.8, 0, 0], [7.6, 0, 0], [11.4, 0, 0], [1.4, 0.5, 0.0]]),
)


def points(*rows):
    table = np.array(rows, float).reshape(-1, 4)
    return scores.Points(table[:, :3], table[:, 3].astype(np.float32))


def test_points_are_scored_above_a_level_and_near_the_model():
    some = points((0.5, 0, 0, 0.9), (3.8, 1.5, 0, 0.8), (50, 0, 0, 0.7), (7.6, 2.5, 0, 0.6))
    found = scores.score_points(TRUTH, some, 0.7)
    assert (found.n_points, found.precision, found.recall) == (
        3,
        pytest.approx((1 / 3, 2 / 3, 2 / 3)),
        (0.25, 0.5, 0.5),
    )
    assert found.f1 == pytest.approx((2 / 7, 4 / 7, 4 / 7))
    near = scores.of_population(TRUTH, some, "near")
    assert near.xyz_A.tolist() == some.xyz_A[[0, 1, 3]].tolist()
    assert scores.score_points(TRUTH, near, 0.0).f1 == pytest.approx((2 / 7, 4 / 7, 6 / 7))
    assert scores.of_population(TRUTH, points(), "near").xyz_A.shape == (0, 3)


def made_scores(network, peaks, entry_id="EMD-4413", kind="unmasked"):
    p = np.random.default_rng(0).random((5, 6, 7))
    curve = f1_curve(p, p > 0.9)
    confusion = np.array([[100, 3, 2, 1], [4, 5, 0, 0], [6, 0, 7, 0], [8, 0, 0, 9]])
    return scores.MapScores(
        entry_id, kind, 2.3, 4, (5, 6, 7), dict.fromkeys(scores.METHODS, curve), confusion,
        0.7, 0.6, {"network": network, "density peaks": peaks}, TRUTH,
    )  # fmt: skip


GOOD = points(
    (0, 0, 0, 0.9), (3.8, 0, 0, 0.8), (7.6, 0, 0, 0.5), (11.4, 0, 0, 0.3), (40, 0, 0, 0.2)
)
POOR = points((0, 0, 0, 0.9), (30, 0, 0, 0.85), (40, 0, 0, 0.8), (50, 0, 0, 0.5))


def test_levels_are_those_with_the_highest_mean_f1():
    levels = scores.choose_levels([made_scores(GOOD, POOR)])
    assert levels["network"] == pytest.approx(0.22)  # the lowest that leaves the false one out
    assert levels["density peaks"] == pytest.approx(0.86)
    both = scores.choose_levels([made_scores(GOOD, POOR), made_scores(POOR, POOR)])
    # Means of the two: 0.625 there, 0.4 at 0.86, where the second alone is best.
    assert both == {"network": pytest.approx(0.22), "density peaks": pytest.approx(0.86)}


def test_the_report_says_what_was_measured_even_where_the_network_loses(tmp_path):
    won, lost = made_scores(GOOD, POOR), made_scores(POOR, GOOD, "EMD-0093", "masked, as deposited")
    for one in (won, lost):
        scores.add_point_scores(one, {"network": 0.22, "density peaks": 0.22})
    steps = {
        "data": {
            "split": {"EMD-4413": ["test", "held-out list"], "SIM-0001": ["train", "hash"]},
            "solvents": {},
            "engine": "built-in alignment",
            "leakage": 0,
            "seconds": 60.0,
        },
        "precision": {"precision": "bf16", "seconds": 1.0},
        "training": {"step": 12, "subgrids": 96, "seconds": 30.0, "validation": {}},
        "scores": {
            "levels": {"network": 0.22, "density peaks": 0.22},
            "chosen_on": ["SIM-0003", "EMD-6272-refilled"],
            "seconds": 5.0,
        },
    }
    path = tmp_path / "train-demo.md"
    report.write_report(path, [won, lost], steps, settings.FULL, quick=False)
    text = " ".join(path.read_text().split())
    assert (
        "EMD-4413 (unmasked, 2.3 Å): the network's C-alphas reach F1 1.00 at 2 Å, above the" in text
    )
    assert "EMD-0093 (masked, as deposited, 2.3 Å): the network's C-alphas reach F1 0.25" in text
    assert "below the density peaks' 1.00" in text
    assert f"| {CLASS_NAMES['atom'][1]} | 4 | 5 | 0 | 0 |" in text
    assert "macro F1 0.700, without background 0.600" in text
    assert "SIM-0003 and EMD-6272-refilled" in text
    for name in ("f1", "slabs"):
        picture = tmp_path / "images" / f"train-demo-{name}.png"
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert f"(images/{picture.name})" in text


def test_a_map_that_is_not_held_out_is_called_so():
    split = {"EMD-1": "test", "EMD-1-refilled": "test", "EMD-2": "test", "SIM-1": "train"}
    assert run.kind_of("EMD-1", split) == "masked, as deposited"
    assert run.kind_of("EMD-1-refilled", split) == "masked, refilled with noise"
    assert run.kind_of("EMD-2", split) == "unmasked"
    assert run.kind_of("SIM-1", split) == "simulated, in train"


def test_what_is_never_used_is_in_no_list_and_what_is_held_out_is_not_trained_on():
    parts = {pair.emdb_id: pair.part for pair in data.REAL_PAIRS}
    assert not {"EMD-2867", "EMD-1044"} & parts.keys()
    assert parts["EMD-4413"] == parts["EMD-0093"] == "held-out"
    assert parts["EMD-5185"] == "related"
    assert all(1 <= pair.resolution_A <= 4 for pair in data.REAL_PAIRS)


def test_the_whole_of_it_runs_and_goes_on_where_it_was(tmp_path, monkeypatch):
    demonstration = run.Demonstration(tmp_path / "out", None, settings.QUICK)
    measured = demonstration.run()
    assert len(measured) == 1
    assert measured[0].n_ca == len(measured[0].truth.ca_xyz_A) >= 180
    assert measured[0].confusion.sum() <= np.prod(measured[0].shape_zyx)
    assert measured[0].chosen["density peaks", "all"].f1[1] > 0.3  # density alone sees the chain
    assert (tmp_path / "out/run/best.safetensors").is_file()

    def again(*_: object, **__: object) -> None:
        raise AssertionError("done already")

    monkeypatch.setattr(run, "prepare", again)
    monkeypatch.setattr(run, "train", again)
    after = run.Demonstration(tmp_path / "out", None, settings.QUICK).run()
    np.testing.assert_array_equal(after[0].confusion, measured[0].confusion)
    with pytest.raises(SystemExit, match="other settings"):
        run.Demonstration(tmp_path / "out", None, settings.FULL)
