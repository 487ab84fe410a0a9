"""C-alpha voxels of a prediction against a store's mask, in numbers and as a picture."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))

from records_store import build, write_inputs

from c2s_data.config import make_config
from c2s_data.errors import ConfigError, StoreError
from c2s_data.schema import ATOM_CA, CLASS_NAMES
from c2s_data.store.prediction_facts import PredictionFacts
from c2s_data.store.prediction_store import PredictionWriter, open_prediction
from c2s_data.store.reader import Store
from c2s_model.cli import app
from c2s_model.evaluation.voxel_pictures import voxel_figure
from c2s_model.stored_voxels import score_prediction

ENTRY = "EMD-22898"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("voxels")
    config = make_config("recommended", quality=False, gate="off")
    return build(write_inputs(folder / "in"), folder / "v.zarr", config)


def facts_of(store: Store) -> PredictionFacts:
    entry = store.entry(ENTRY)
    return PredictionFacts(
        shape_zyx=tuple(entry.shape_zyx),
        origin_xyz_A=tuple(entry.origin_xyz_A),
        classes={"atom": CLASS_NAMES["atom"]},
        preset="recommended",
        label_rule="nearest",
        decode_offset_voxel=0.0,
        core=20,
        options={},
        sources={},
        identity="12" * 32,
    )


def write(url: Path, facts: PredictionFacts, probability: np.ndarray) -> str:
    values = np.zeros((facts.n_classes, *facts.shape_zyx), np.float16)
    values[ATOM_CA] = probability
    writer = PredictionWriter(str(url), facts)
    for column in facts.columns():
        for block in facts.blocks(column):
            writer.put(block, values[:, block.z, block.y, block.x])
    writer.finish()
    return str(url)


@pytest.fixture(scope="module")
def probability(store: Store) -> np.ndarray:
    """Three quarters of the C-alphas at 0.8, and 11 voxels that are none at 0.9."""
    truth = store.read_map(ENTRY, "ca") == 1
    found = np.zeros(truth.shape, np.float16)
    places = np.argwhere(truth)
    kept = places[np.arange(len(places)) % 4 != 0]
    found[tuple(kept.T)] = 0.8
    empty = np.argwhere(~truth)
    found[tuple(empty[:: len(empty) // 10].T)] = 0.9
    return found


def test_scores_are_those_of_a_count_over_the_whole_map(store, probability, tmp_path):
    url = write(tmp_path / "p.zarr", facts_of(store), probability)
    scores = score_prediction(open_prediction(url), store, ENTRY)
    truth = store.read_map(ENTRY, "ca") == 1
    hit, false = (probability[truth] > 0).sum(), (probability[~truth] > 0).sum()
    assert 10 <= false <= 11
    at, best = scores.curve.best
    assert best == pytest.approx(2 * hit / (hit + false + truth.sum()))
    assert 0 < at <= 0.8
    assert (len(scores.true_xyz_A), scores.is_hit.sum()) == (truth.sum(), hit)
    assert len(scores.found_xyz_A) == hit + false
    origin_xyz_A = np.array(store.entry(ENTRY).origin_xyz_A)
    expected = np.argwhere(probability > 0)[:, ::-1] + origin_xyz_A
    np.testing.assert_allclose(scores.found_xyz_A, expected)


def test_the_picture_shows_true_found_and_false(store, probability, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    url = write(tmp_path / "p.zarr", facts_of(store), probability)
    scores = score_prediction(open_prediction(url), store, ENTRY)
    curve, true, found = voxel_figure(scores, ENTRY).get_axes()
    f1 = next(line for line in curve.lines if line.get_label() == "F1")
    np.testing.assert_allclose(f1.get_ydata(), scores.curve.f1)
    along = int(np.argmin(np.ptp(scores.true_xyz_A, axis=0)))
    across = [axis for axis in range(3) if axis != along]
    np.testing.assert_allclose(true.collections[0].get_offsets(), scores.true_xyz_A[:, across])
    _, false, hits = found.collections
    np.testing.assert_allclose(hits.get_offsets(), scores.found_xyz_A[scores.is_hit][:, across])
    assert len(false.get_offsets()) == (~scores.is_hit).sum()
    assert true.get_xlim() == found.get_xlim()


def test_the_command_writes_and_never_replaces(store, probability, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    url = write(tmp_path / "p.zarr", facts_of(store), probability)
    words = ["voxels", url, store.url, ENTRY, "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "out/voxels.json").read_text())
    assert document == json.loads(done.stdout)
    assert document["n_hit_at_best"] == max(document["n_hit"][1:])
    assert (tmp_path / "out/voxels.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match=r"voxels\.json, voxels\.png of an earlier run"):
        CliRunner().invoke(app, words, catch_exceptions=False)


def test_another_map_or_target_is_refused(store, probability, tmp_path):
    facts = facts_of(store)
    moved = replace(facts, origin_xyz_A=tuple(np.add(facts.origin_xyz_A, (0, 0, 1))))
    url = write(tmp_path / "moved.zarr", moved, probability)
    with pytest.raises(ConfigError, match="not of one map, or not resampled alike"):
        score_prediction(open_prediction(url), store, ENTRY)
    with pytest.raises(StoreError, match="EMD-1"):
        score_prediction(open_prediction(url), store, "EMD-1")
    helix = replace(facts, classes={"secondary": CLASS_NAMES["secondary"]})
    url = write(tmp_path / "helix.zarr", helix, probability)
    with pytest.raises(ConfigError, match="network of target atom"):
        score_prediction(open_prediction(url), store, ENTRY)
