"""A map predicted in batches and blocks equals plain loops over windows."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from prediction_cases import (
    ORIGIN_XYZ_A,
    WITH_SEQUENCE,
    card,
    density,
    network,
    plain_prediction,
    probabilities_of,
)

from c2s_data.errors import ConfigError, NotCommittedError
from c2s_data.store import prediction_facts
from c2s_data.store.prediction_store import PredictionFacts, open_prediction
from c2s_model.nets.checkpoint_error import CheckpointError
from c2s_model.predict import blocks
from c2s_model.predict.blocks import Predictor, predicted_blocks
from c2s_model.predict.predict_map import PredictOptions, grid_of, predict_map
from c2s_model.predict.probabilities import core_probabilities, make_compute

MULTI = ("atom", "amino", "secondary")


def in_float32(made, of, dense, *, overlap=1, rotations=1, batch_size=3, sequence=None):
    """The whole prediction before it is rounded to float16."""
    grid = grid_of(of, dense.values_zyx.shape, overlap)
    facts = PredictionFacts(
        grid.shape_zyx, ORIGIN_XYZ_A, of.classes, of.preset, of.label_rule, 0.0, grid.core, {}, {},
        "",
    )  # fmt: skip
    embedding = None if sequence is None else torch.from_numpy(sequence)
    predictor = Predictor(
        made, make_compute("cpu", "float32", batch_size), grid, rotations, embedding
    )
    out = np.full((facts.n_classes, *grid.shape_zyx), np.nan, np.float32)
    made_blocks = predicted_blocks(
        predictor, dense.values_zyx, facts, grid.needed(dense.interest_zyx), dtype=np.float32
    )
    for block, values in made_blocks:
        assert np.isnan(out[:, block.z, block.y, block.x]).all()  # each block once
        out[:, block.z, block.y, block.x] = values
    return out


@pytest.mark.parametrize("shape", [(13, 20, 41), (32, 45, 7), (20, 31, 33)])
def test_prediction_equals_a_loop_over_windows(shape, tmp_path):
    of = card(MULTI)
    made, dense = network(of), density(shape)
    expected = plain_prediction(dense.values_zyx, lambda cut: probabilities_of(made, cut))
    assert np.ptp(expected[1]) > 0.02  # it shows which voxel it was made from
    for batch_size in (1, 3, 8):
        found = in_float32(made, of, dense, batch_size=batch_size)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    predicted = predict_map(made, of, dense, str(tmp_path / "a.zarr"))
    assert predicted.windows == np.prod(-(-np.array(shape) // 20))
    stored = open_prediction(predicted.url)
    assert (stored.shape_zyx, stored.origin_xyz_A, stored.targets) == (shape, ORIGIN_XYZ_A, MULTI)
    together = np.concatenate([stored.read(target) for target in MULTI])
    np.testing.assert_allclose(together, found, rtol=0, atol=5e-4)  # float16 near 1
    np.testing.assert_allclose(together[:4].sum(axis=0), 1, atol=2e-3)


@pytest.mark.parametrize(("overlap", "shape"), [(1, (21, 43, 61)), (2, (5, 12, 43))])
def test_tiles_of_a_large_map_are_put_together(overlap, shape, monkeypatch):
    of, dense = card(), density(shape)
    made = network(of)
    whole = in_float32(made, of, dense, overlap=overlap)
    monkeypatch.setattr(prediction_facts, "TILE_VOXELS", 40)
    found = in_float32(made, of, dense, overlap=overlap, batch_size=5)
    np.testing.assert_allclose(found, whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("overlap", "shape"), [(2, (21, 14, 5)), (4, (2, 3, 6))])
def test_overlap_averages_all_cores_that_cover_a_voxel(overlap, shape):
    of, dense = card(), density(shape)
    made, step = network(of), 20 // overlap
    expected = plain_prediction(
        dense.values_zyx,
        lambda cut: probabilities_of(made, cut),
        step=step,
        first=-step * (overlap - 1),
    )
    found = in_float32(made, of, dense, overlap=overlap)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert np.abs(found - in_float32(made, of, dense)).max() > 1e-3


def all_turns(cube):
    """Each of the 24 proper rotations of a cube with the way back, from quarter turns alone."""
    found = {}
    for a, b, c in itertools.product(range(4), repeat=3):
        turns = [((1, 2), a), ((0, 2), b), ((0, 1), c)]
        key = np.arange(27).reshape(3, 3, 3)
        turned = cube
        for axes, times in turns:
            key, turned = np.rot90(key, times, axes), np.rot90(turned, times, axes)
        found[key.tobytes()] = (turned, turns)
    return list(found.values())


def turned_back(values, turns):
    for (first, second), times in reversed(turns):
        values = np.rot90(values, -times, (first + 1, second + 1))
    return values


def test_rotations_average_all_turned_copies():
    of, dense = card(("secondary",)), density((21, 5, 12))
    made = network(of)

    def mean_of_turns(cut):
        turns = all_turns(cut)
        assert len(turns) == 24
        return sum(turned_back(probabilities_of(made, c), t) for c, t in turns) / 24

    expected = plain_prediction(dense.values_zyx, mean_of_turns)
    found = in_float32(made, of, dense, rotations=24)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert np.abs(found - in_float32(made, of, dense)).max() > 1e-3


def test_rotations_need_labels_that_turn(tmp_path):
    for preset in ("paper", "released"):
        of = card(preset=preset)
        with pytest.raises(ConfigError, match="half a voxel low on each axis"):
            predict_map(
                network(of),
                of,
                density((9, 7, 5)),
                str(tmp_path / "a"),
                PredictOptions(rotations=24),
            )
    of = card()
    with pytest.raises(ConfigError, match="12 rotations; take 1"):
        predict_map(
            network(of), of, density((9, 7, 5)), str(tmp_path / "a"), PredictOptions(rotations=12)
        )
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("overlap", [1, 2])
def test_subgrids_without_interest_are_background(overlap, tmp_path):
    shape = (25, 44, 61)
    interest = np.zeros(shape, np.bool_)
    interest[21, 39, 40] = True  # the core that begins at 20, 20, 40
    interest[3, 41, 19] = True  # the one at 0, 40, 0
    of, dense = card(("atom", "secondary")), density(shape, interest=interest)
    made = network(of)
    options = PredictOptions(overlap=overlap, batch_size=4)
    done = predict_map(made, of, dense, str(tmp_path / "a.zarr"), options)
    stored = open_prediction(done.url)
    found = np.concatenate([stored.read(target) for target in stored.targets])
    everywhere = in_float32(made, of, replace(dense, interest_zyx=None), overlap=overlap)
    if overlap == 1:
        assert (done.windows, done.skipped) == (2 * 3 * 4, 22)
        kept = np.zeros(shape, np.bool_)
        kept[20:, 20:40, 40:60] = kept[:20, 40:, :20] = True
        np.testing.assert_allclose(found[:, kept], everywhere[:, kept], atol=5e-4)
    else:
        # Eight cores hold each of the two voxels; farther than a core from both none does.
        assert (done.windows, done.skipped) == (4 * 6 * 8, 4 * 6 * 8 - 16)
        kept = np.zeros(shape, np.bool_)
        kept[10:, 20:50, 30:60] = kept[:20, 30:, :30] = True
    background = np.array([1, 0, 0, 0, 1, 0, 0, 0])
    assert (found[:, ~kept] == background[:, None]).all()
    assert (found[0, kept] < 1).all()
    assert stored.facts.options["skipped"] == done.skipped


def test_mean_over_the_cores_that_were_predicted():
    """A voxel that one predicted core reaches shows that core, undiluted by skipped ones."""
    interest = np.zeros((20, 20, 40), np.bool_)
    interest[0, 0, 0] = True
    of, dense = card(), density((20, 20, 40), interest=interest)
    made = network(of)
    found = in_float32(made, of, dense, overlap=2)
    cut = np.zeros((32, 32, 32), np.float32)
    cut[6:26, 6:26, 6:] = dense.values_zyx[:, :, :26]
    core = probabilities_of(made, cut)[:, 6:26, 6:26, 6:26]
    np.testing.assert_allclose(found[:, 15, 15, 15], core[:, 15, 15, 15], atol=1e-5)


@pytest.mark.parametrize("overlap", [1, 2])
def test_few_blocks_are_open_at_once(overlap, monkeypatch):
    """A batch may reach through many layers of a tall map; their blocks never live together."""
    live, most = set(), []

    class Counted(blocks.Slab):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            live.add(id(self))
            most.append(len(live))

        def finish(self):
            live.discard(id(self))
            return super().finish()

    monkeypatch.setattr(blocks, "Slab", Counted)
    of = card()
    in_float32(network(of), of, density((130, 9, 5)), overlap=overlap, batch_size=64)
    assert (len(most), max(most), live) == (7, overlap, set())


def test_a_sequence_decides_too(tmp_path):
    of, dense = card(architecture=WITH_SEQUENCE), density((21, 9, 14))
    made = network(of)
    sequence = np.linspace(-3, 4, 5, dtype=np.float32)
    expected = plain_prediction(dense.values_zyx, lambda c: probabilities_of(made, c, sequence))
    found = in_float32(made, of, dense, sequence=sequence)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert np.abs(found - in_float32(made, of, dense, sequence=-sequence)).max() > 1e-4
    out = str(tmp_path / "a.zarr")
    with pytest.raises(ConfigError, match=r"needs an embedding.*5 numbers: give --sequence-emb"):
        predict_map(made, of, dense, out)
    with pytest.raises(ConfigError, match="takes 5 float32 numbers"):
        predict_map(made, of, dense, out, sequence=np.zeros(6, np.float32))
    with pytest.raises(ConfigError, match="takes none"):
        predict_map(network(card()), card(), dense, out, sequence=sequence)
    with pytest.raises(ConfigError, match="not finite"):
        predict_map(made, of, dense, out, sequence=sequence * np.inf)


def test_values_that_are_not_finite_are_refused(tmp_path):
    of = card(("atom", "amino"))
    made = network(of)
    with torch.no_grad():
        made.heads["amino"].bias[3] = float("nan")
    with pytest.raises(CheckpointError, match="not finite"):
        predict_map(made, of, density((9, 7, 5)), str(tmp_path / "a.zarr"))
    with pytest.raises(NotCommittedError, match="not finished"):
        open_prediction(str(tmp_path / "a.zarr"))


class StoppedError(Exception):
    pass


def test_an_interrupted_prediction_goes_on(tmp_path):
    of, dense, out = card(), density((45, 21, 9)), str(tmp_path / "a.zarr")
    made, options = network(of), PredictOptions(batch_size=2, overlap=2)
    whole = predict_map(made, of, dense, str(tmp_path / "whole.zarr"), options)

    def stop(done: int, total: int) -> None:
        if done >= 24:
            raise StoppedError

    with pytest.raises(StoppedError):
        predict_map(made, of, dense, out, options, on_windows=stop)
    counts = []
    with pytest.raises(ConfigError, match=r"not finished, of made\.map \(other sources: network\)"):
        predict_map(network(of, seed=1), of, dense, out, options)
    done = predict_map(
        made, of, dense, out, options, on_windows=lambda done, total: counts.append((done, total))
    )
    assert not done.was_finished
    assert counts[0] == (0, counts[0][1])
    assert 0 < counts[0][1] < whole.windows
    assert counts[-1] == (counts[0][1],) * 2
    first, second = (open_prediction(one).read("atom") for one in (whole.url, out))
    np.testing.assert_allclose(first, second, atol=5e-4)
    again = predict_map(made, of, dense, out, options)
    assert again.was_finished
    with pytest.raises(
        ConfigError, match=r"a finished prediction of made\.map \(other options: .*overlap"
    ):
        predict_map(made, of, dense, out)


_KILLED = """
import sys, time
sys.path[:0] = sys.argv[3:]
from pathlib import Path
from prediction_cases import card, density, network
from c2s_model.predict.predict_map import PredictOptions, predict_map

def slowly(done, total):
    print(done, flush=True)
    time.sleep(0.2 * (done > 6))

options = PredictOptions(batch_size=1)
dense = density((85, 24, 9))
predict_map(network(card()), card(), dense, sys.argv[1], options, on_windows=slowly)
"""


def test_a_killed_prediction_is_visibly_unfinished(tmp_path):
    out = tmp_path / "a.zarr"
    command = [sys.executable, "-c", _KILLED, str(out), "", *sys.path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 7:
            pass
        deadline = time.monotonic() + 60
        while not list(out.rglob("atom/c/0/*/*/0")) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    written = {path: path.stat().st_mtime_ns for path in out.rglob("atom/c/0/*/*/0")}
    assert 0 < len(written) < 5
    assert not list(out.rglob("zarr.json"))  # no Zarr program can take it for a prediction
    with pytest.raises(NotCommittedError, match="goes on from here"):
        open_prediction(str(out))
    done = predict_map(
        network(card()), card(), density((85, 24, 9)), str(out), PredictOptions(batch_size=1)
    )
    assert {path: path.stat().st_mtime_ns for path in written} == written
    found = open_prediction(done.url).read("atom")
    expected = in_float32(network(card()), card(), density((85, 24, 9)))
    np.testing.assert_allclose(found, expected, atol=5e-4)


def test_what_cannot_be_computed_is_refused():
    of = card()
    with pytest.raises(ConfigError, match=r"overlap 3 with a core of 20.*1, 2, 4, 5, 10, 20"):
        grid_of(of, (9, 7, 5), 3)
    with pytest.raises(ConfigError, match="device 'cuda:99' cannot be used"):
        make_compute("cuda:99")
    with pytest.raises(ConfigError, match="device 'abacus'"):
        make_compute("abacus")
    with pytest.raises(ConfigError, match="precision 'int8'"):
        make_compute("cpu", "int8")  # type: ignore[arg-type]
    flat = replace(of, architecture=replace(of.architecture, box_zyx=(32, 32, 16)))
    with pytest.raises(ConfigError, match="cubic box"):
        grid_of(flat, (9, 7, 5))


def test_lower_precision_stays_near():
    of, cut = card(), torch.rand(2, 32, 32, 32, generator=torch.Generator().manual_seed(3))
    made = network(of)
    exact, rough = (
        core_probabilities(made, cut, core=20, compute=make_compute("cpu", name))
        for name in ("float32", "bf16")
    )
    assert (exact.dtype, rough.dtype) == (torch.float32, torch.float32)
    assert 0 < (exact - rough).abs().mean() < 0.01
