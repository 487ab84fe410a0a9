"""Voxels of a prediction, selected slab by slab, against whole arrays."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from made_prediction import simulated, write_protein
from scipy.spatial import cKDTree

from c2s_data.errors import ConfigError
from c2s_data.sources.atomic_model import read_atomic_model
from c2s_model.backbone import candidate_voxels
from c2s_model.backbone.candidate_voxels import (
    PAPER,
    CandidateOptions,
    predicted_points,
    read_candidate_voxels,
)
from c2s_model.backbone.simulated_prediction import Imperfections, SimulatedPrediction

SHAPE_ZYX = (13, 9, 11)
ORIGIN_XYZ_A = (-40.5, 12.0, 7.25)


def random_prediction(seed=0, *, targets=("atom", "amino", "secondary")) -> SimulatedPrediction:
    rng = np.random.default_rng(seed)
    classes = {"atom": 4, "amino": 21, "secondary": 4}
    values = {}
    for target in targets:
        drawn = rng.dirichlet(np.full(classes[target], 0.3), SHAPE_ZYX)
        values[target] = np.moveaxis(drawn, -1, 0).astype(np.float16)
    return SimulatedPrediction(values, ORIGIN_XYZ_A, 0.5, "formula1")


def plain_selection(prediction, threshold, *, labeled_only):
    atom, amino = (prediction.values[name].astype(np.float32) for name in ("atom", "amino"))
    keep = atom[1] > np.float32(threshold)
    if labeled_only:
        keep &= (atom.argmax(axis=0) != 0) & (amino.argmax(axis=0) != 0)
    return keep


@pytest.mark.parametrize("slab_bytes", [1, 4 * 29 * 9 * 11 * 5, 2**27])
@pytest.mark.parametrize("options", [PAPER, CandidateOptions(threshold=0.25)])
def test_slabs_select_what_the_whole_arrays_do(monkeypatch, slab_bytes, options) -> None:
    monkeypatch.setattr(candidate_voxels, "SLAB_BYTES", slab_bytes)
    prediction = random_prediction()
    voxels, n_voxels, c_voxels = read_candidate_voxels(prediction, options)
    keep = plain_selection(prediction, options.threshold, labeled_only=options.labeled_only)
    index = np.argwhere(keep)
    assert 30 < len(index) < keep.size
    np.testing.assert_array_equal(voxels.index_zyx, index)
    atom, amino, secondary = (v.astype(np.float32) for v in prediction.values.values())
    np.testing.assert_array_equal(voxels.p_ca, atom[1][keep])
    np.testing.assert_allclose(
        voxels.amino, (amino[1:, keep] + amino[0, keep] / 20).T, rtol=0, atol=1e-7
    )
    np.testing.assert_allclose(voxels.amino.sum(axis=1), 1, atol=2e-2)
    np.testing.assert_array_equal(voxels.secondary, secondary[1:, keep].T)
    for found, kind in ((n_voxels, 2), (c_voxels, 3)):
        over = atom[kind] > np.float32(options.atom_threshold)
        np.testing.assert_array_equal(found.index_zyx, np.argwhere(over))
        np.testing.assert_array_equal(found.values[0], atom[kind][over])


def test_the_published_rule_needs_both_classes() -> None:
    atom, amino = np.zeros((4, 1, 1, 4), np.float16), np.zeros((21, 1, 1, 4), np.float16)
    atom[:, 0, 0] = np.array(
        [(0.5, 0.45, 0.05, 0), (0.2, 0.45, 0.35, 0), (0, 0.45, 0.55, 0), (0.2, 0.8, 0, 0)]
    ).T
    amino[0], amino[7] = 0.4, 0.6
    amino[0, 0, 0, 3], amino[7, 0, 0, 3] = 0.6, 0.4
    prediction = SimulatedPrediction({"atom": atom, "amino": amino}, (0, 0, 0), 0.5, "formula1")
    found = read_candidate_voxels(prediction, PAPER)[0]
    # likeliest "none"; taken; taken although N is likelier; amino acid likeliest "none"
    assert found.index_zyx[:, 2].tolist() == [1, 2]
    assert found.amino[0, 6] == pytest.approx(0.6 + 0.4 / 20, abs=1e-3)
    assert found.secondary is None
    points = predicted_points(prediction, PAPER)
    assert points.decode_offset_voxel == 0
    assert points.candidates.xyz_A.tolist() == [[1.5, 0, 0]]
    auto = predicted_points(prediction, dataclasses.replace(PAPER, decode_offset="auto"))
    assert auto.candidates.xyz_A.tolist() == [[2.0, 0.5, 0.5]]


def test_atoms_of_a_good_prediction_are_found(tmp_path) -> None:
    model = read_atomic_model(write_protein(tmp_path)[0])
    perfect = Imperfections(noise_A=0, missed=0, invented=0, right=1)
    for rule, offset in (("nearest", 0.0), ("formula1", 0.5)):
        prediction = simulated(model, imperfections=perfect, label_rule=rule)
        points = predicted_points(prediction)
        assert points.decode_offset_voxel == offset
        assert len(points.candidates) == len(model.residues)
        for found, truth in (
            (points.candidates.xyz_A, model.residues.ca_xyz_A),
            (points.n_points.xyz_A, model.residues.n_xyz_A),
            (points.c_points.xyz_A, model.residues.c_xyz_A),
        ):
            distance_A, _ = cKDTree(found).query(truth)
            assert np.median(distance_A) < 0.2
            assert (distance_A < 1).mean() > 0.9
        _, row = cKDTree(model.residues.ca_xyz_A).query(points.candidates.xyz_A)
        right = points.candidates.amino.argmax(axis=1) == model.residues.amino_class[row] - 1
        assert right.mean() > 0.98
    no_offset = predicted_points(prediction, CandidateOptions(decode_offset=0.0)).candidates
    error_A = (no_offset.xyz_A - model.residues.ca_xyz_A[row]).mean(axis=0)
    np.testing.assert_allclose(error_A, -0.5, atol=0.1)


def test_what_cannot_be_read_is_said() -> None:
    with pytest.raises(ConfigError, match="not amino"):
        predicted_points(random_prediction(targets=("atom",)))
    wrong = random_prediction()
    wrong.values["amino"] = wrong.values["amino"][:20]
    with pytest.raises(ConfigError, match=r"shape \(20, 13, 9, 11\), not \(21, 13, 9, 11\)"):
        predicted_points(wrong)
    for change in ({"threshold": 1.0}, {"radius_A": -1.0}, {"method": "best"}):
        with pytest.raises(ConfigError):
            CandidateOptions(**change)
    with pytest.raises(ConfigError, match="decode offset"):
        CandidateOptions(decode_offset=3.0)


def test_a_flood_of_voxels_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(candidate_voxels, "MAX_VOXELS", 100)
    with pytest.raises(ConfigError, match="raise them"):
        predicted_points(random_prediction(), CandidateOptions(threshold=0.0))
