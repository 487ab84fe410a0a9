"""A training learns, says what it came to, and refuses what it cannot do."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional
from training_store import MICRO, made_store

from c2s_data.errors import ConfigError
from c2s_data.store.reader import open_store
from c2s_model.data import SubgridDataset
from c2s_model.data.rotations import rotate_back_zyx
from c2s_model.nets.network_file import load_network
from c2s_model.training import begin
from c2s_model.training.checkpoint import checkpoint_steps
from c2s_model.training.distributed import Ranks
from c2s_model.training.examples import ExampleMaker, rotation_numbers
from c2s_model.training.history import read_history
from c2s_model.training.inputs import check_store, make_dataset, store_facts
from c2s_model.training.logs import Lines
from c2s_model.training.loop import train
from c2s_model.training.loss import Losses, SegmentationLoss
from c2s_model.training.run_folder import find_network
from c2s_model.training.run_options import RunOptions
from c2s_model.training.step import Stepped
from c2s_model.training.step_records import DivergedError, StepRecords
from c2s_model.training.train_config import NO_SPLIT, make_train_config

SILENT = RunOptions(logs=False)
ALONE = Ranks(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return made_store(tmp_path_factory.mktemp("store") / "made.zarr", ((19, 10, 18), (9, 15, 6)))


def config(preset="recommended", targets=("atom",), **options):
    options = {"architecture": MICRO, "batch_size": 2, "epochs": 1} | options
    return make_train_config(preset, targets=targets, **options)


def f1_by_hand(predicted, truth, n_classes):
    """Macro F1 of plain loops over sets of voxels."""
    found = []
    for number in range(n_classes):
        here = set(np.flatnonzero(truth == number)), set(np.flatnonzero(predicted == number))
        if any(here):
            found.append(2 * len(here[0] & here[1]) / (len(here[0]) + len(here[1])))
    return sum(found) / len(found)


def test_one_subgrid_is_learned_by_heart(tmp_path):
    store = made_store(tmp_path / "one.zarr", ((9, 10, 8), (9, 6, 6)))
    sizes = replace(MICRO, filters=8, dropout=0.0)
    chosen = config(
        architecture=sizes, batch_size=1, epochs=36, learning_rate=1e-2, weight_decay=0.0,
        rotations=False, average_decay=0.0, validation_split=NO_SPLIT, schedule="plateau",
    )  # fmt: skip
    done = train(store.url, tmp_path / "run", chosen, SILENT)
    assert (done.step, done.finished, done.best_step) == (36, True, None)
    network, card = load_network(find_network(tmp_path / "run"), targets=["atom"])
    assert card.source["step"] == 36
    (batch,) = SubgridDataset(store.url, split="train", batch_size=1)
    with torch.no_grad():
        predicted = network(batch["density"].float())["atom"].argmax(1)
    assert f1_by_hand(predicted.flatten().numpy(), batch["atom"].flatten().numpy(), 4) > 0.99


@pytest.fixture(scope="module")
def validated(tmp_path_factory, store):
    run = tmp_path_factory.mktemp("validated") / "run"
    told: list[str] = []
    done = train(store.url, run, config(targets=("atom", "amino")), SILENT, Lines(told.append))
    return done, told


def test_the_scores_of_the_best_network_are_those_in_the_history(validated, store):
    """Prediction, cross-entropy and F1 taken again, without anything of the training."""
    done, _ = validated
    network, _ = load_network(done.network)
    logits, truths = {"atom": [], "amino": []}, {"atom": [], "amino": []}
    for batch in SubgridDataset(store.url, split="validation", targets=("atom", "amino")):
        with torch.no_grad():
            found = network(batch["density"].float())
        for target, values in found.items():
            logits[target].append(values)
            truths[target].append(batch[target].long())
    total = 0.0
    for target, classes in (("atom", 4), ("amino", 21)):
        values, truth = torch.cat(logits[target]), torch.cat(truths[target])
        loss = functional.cross_entropy(values, truth).item()
        total += loss
        assert done.validation[target, "loss"] == pytest.approx(loss, rel=1e-5)
        f1 = f1_by_hand(values.argmax(1).flatten().numpy(), truth.flatten().numpy(), classes)
        assert done.validation[target, "macro_f1"] == pytest.approx(f1, rel=1e-6, abs=1e-9)
    assert done.validation["", "loss"] == pytest.approx(total, rel=1e-5)
    means = [done.validation[target, "macro_f1_foreground"] for target in ("atom", "amino")]
    assert done.best_score == pytest.approx(sum(means) / 2)


def test_the_history_has_every_number_once(validated):
    done, told = validated
    rows = read_history(done.run / "history.csv")
    keys = [row[:-1] for row in rows]
    assert len(set(keys)) == len(keys)
    assert {(row.epoch, row.step) for row in rows} == {(0, done.step)}
    for part in ("train", "validation"):
        of_part = [row for row in rows if row.part == part]
        per_class = {(row.target, row.of_class) for row in of_part if row.metric == "f1"}
        assert len(per_class) == 4 + 21
        assert ("atom", "C-alpha") in per_class
        metrics = {row.metric for row in of_part if row.target == "atom" and not row.of_class}
        assert {"loss", "macro_f1", "weighted_f1", "macro_f1_foreground"} <= metrics
        assert {"batch_mean_macro_f1", "batch_mean_weighted_precision"} <= metrics
    assert any(line.startswith("epoch 1 of 1: train loss") for line in told)


def test_the_card_says_what_predict_needs(validated, store):
    done, _ = validated
    _, card = load_network(done.network, variant="custom", preset="recommended")
    assert (card.label_rule, card.decode_offset_voxel) == ("nearest", 0.0)
    assert card.source["store"] == store_facts(store)
    assert card.source["store"]["fingerprint"] == store.fingerprint
    assert card.source["training"]["targets"] == ["atom", "amino"]
    assert card.source["average"] is True


def test_the_paper_trains_on_all_subgrids(tmp_path, store):
    done = train(store.url, tmp_path, config("paper", batch_size=2), SILENT)
    (n,) = (entry.n_subgrids for entry in store.entries if entry.split == "train")
    assert done.subgrids == n // 2 * 2
    assert done.best_score == -done.validation["", "loss"]
    assert not list(tmp_path.rglob("average.safetensors"))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision(tmp_path, precision):
    # At half the side, torch 2.13 on a CPU gives bf16 gradients of its memory's former content.
    store = made_store(tmp_path / "store.zarr", ((19, 20, 38), (17, 20, 12)), box=32)
    sizes = replace(MICRO, box_zyx=(32, 32, 32))
    chosen = config(precision=precision, architecture=sizes)
    done = train(store.url, tmp_path / "run", chosen, SILENT)
    assert done.finished
    assert math.isfinite(done.validation["", "loss"])
    weights = load_network(done.network).network.state_dict().values()
    assert all(one.dtype == torch.float32 and one.isfinite().all() for one in weights)


def test_rotations_depend_on_seed_epoch_and_row_alone():
    rows = torch.arange(4000)
    numbers = rotation_numbers(3, 1, rows)
    assert rotation_numbers(3, 1, rows.flip(0)) == numbers[::-1]
    assert min(np.bincount(numbers, minlength=24)) > 120  # 167 on average
    assert rotation_numbers(3, 2, rows) != numbers
    assert rotation_numbers(4, 1, rows) != numbers


def test_density_labels_and_ignore_mask_turn_together(store):
    dataset = SubgridDataset(store.url, targets=("atom", "ignore"), batch_size=9, seed=2)
    batch = next(iter(dataset))
    batch["ignore"] = (batch["atom"] == 2).to(torch.uint8)  # any mask that can be told
    example = ExampleMaker(("atom",), torch.device("cpu"), rotation_seed=11).of(batch)
    numbers = rotation_numbers(11, 0, batch["row"])
    assert len(set(numbers)) > 3
    assert example.ignore is not None
    for place, number in enumerate(numbers):
        for turned, straight in (
            (example.density[place], batch["density"][place]),
            (example.targets["atom"][place], batch["atom"][place]),
            (example.ignore[place], batch["ignore"][place] != 0),
        ):
            assert torch.equal(rotate_back_zyx(turned, number), straight)


class BrokenLoss(SegmentationLoss):
    """Nan at the fifth step."""

    calls = 0

    def __call__(self, logits, targets, ignore=None):
        losses = super().__call__(logits, targets, ignore)
        BrokenLoss.calls += 1
        broken = losses.total * math.nan if BrokenLoss.calls >= 5 else losses.total
        return Losses(broken, losses.of_target)


def test_nan_stops_and_keeps_the_last_checkpoint(tmp_path, store, monkeypatch):
    monkeypatch.setattr(begin, "SegmentationLoss", BrokenLoss)
    chosen = config(epochs=9, rest_share=0.0, schedule="plateau")
    options = RunOptions(logs=False, checkpoint_steps=3, look_steps=100)
    with pytest.raises(DivergedError) as error:
        train(store.url, tmp_path, chosen, options)
    told = str(error.value)
    assert "step 5: loss nan" in told
    assert "learning rate 0.0003" in told
    steps = checkpoint_steps(tmp_path / "checkpoints")
    assert max(steps) in (3, 4)
    assert f"checkpoint of step {max(steps)} is kept" in told
    assert "smaller --learning-rate" in told


def test_an_infinite_gradient_is_no_number_either():
    losses = Losses(torch.tensor(1.0), {"atom": torch.tensor(1.0)})
    for checks in (True, False):
        records = StepRecords(("atom",), ALONE, checks_gradient=checks)
        records.add(Stepped(losses, {}, torch.tensor(2.0)))
        records.add(Stepped(losses, {}, torch.tensor(math.inf)))
        if checks:
            with pytest.raises(DivergedError, match="step 12: loss 1, gradient inf"):
                records.look(12, 0.1)
        else:
            means = records.look(12, 0.1)
            assert means is not None
            assert (means.steps, means.of["loss"]) == (2, 1.0)


def refused(tmp_path, store, chosen, options=SILENT):
    with pytest.raises(ConfigError) as error:
        train(store, tmp_path / "run", chosen, options)
    assert not (tmp_path / "run").exists()
    return str(error.value)


def test_a_store_without_the_mask_is_refused(tmp_path, store):
    arrays = {name: one for name, one in store._arrays.items() if name != "secondary"}
    lacking = replace(store, _arrays=arrays)
    told = refused(tmp_path, lacking, config(targets=("atom", "secondary")))
    assert "no mask 'secondary'; train for another --target" in told


def test_labels_of_formula_1_are_not_turned(tmp_path):
    paper = made_store(tmp_path / "paper.zarr", ((9, 10, 8), (9, 6, 6)), preset="paper")
    told = refused(tmp_path, paper.url, config())
    assert "labels follow 'formula1'" in told
    assert "--no-rotations" in told
    notes = check_store(paper, config(rotations=False))
    assert len(notes) == 2
    assert "built with preset paper (labels formula1, scale positive)" in notes[0]
    assert "no mask 'ignore'" in notes[1]
    assert check_store(paper, config("paper")) == []


def test_an_empty_split_is_refused(tmp_path, store):
    told = refused(tmp_path, store.url, config(validation_split="test"))
    assert "no subgrids in split 'test'; it has ['train', 'validation']" in told
    assert "c2s-data split" in told
    told = refused(tmp_path, store.url, config(train_split="training"))
    assert "'training'" in told


def test_a_split_without_a_whole_batch_is_refused(tmp_path, store):
    told = refused(tmp_path, store.url, config(batch_size=48))
    assert "make no batch of 48 for each of 1 readers" in told
    assert "--batch-size" in told


def test_another_box_is_refused(tmp_path, store):
    sizes = replace(MICRO, box_zyx=(32, 32, 32))
    assert "the network takes (32, 32, 32)" in refused(
        tmp_path, store.url, config(architecture=sizes)
    )


def test_a_network_with_a_sequence_needs_embeddings(tmp_path, store):
    sizes = replace(MICRO, sequence_width=7)
    assert "c2s-model embed" in refused(tmp_path, store.url, config(architecture=sizes))


class Embeddings:
    def __init__(self, store, needed):
        self.width, self.model, self.needed = 7, "made up", sorted(needed)

    def of(self, map_index):
        return torch.arange(7.0) + map_index[:, None]


def test_a_network_with_a_sequence(tmp_path, store, monkeypatch):
    monkeypatch.setattr("c2s_model.training.inputs.SequenceFeatures", Embeddings)
    sizes = replace(MICRO, sequence_width=7)
    done = train(store.url, tmp_path / "run", config(architecture=sizes), SILENT)
    assert done.finished
    wide = config(architecture=replace(MICRO, sequence_width=9))
    with pytest.raises(ConfigError, match=r"made up\) have 7 numbers, the network takes 9"):
        train(store.url, tmp_path / "other", wide, SILENT)


def test_workers_change_nothing_but_the_order_of_batches(tmp_path, store):
    options = RunOptions(logs=False, workers=1)
    done = train(store.url, tmp_path / "run", config(rest_share=0.0), options)
    again = train(store.url, tmp_path / "alone", config(rest_share=0.0), SILENT)
    ours, theirs = (load_network(one.network).network.state_dict() for one in (done, again))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_tensorboard_is_optional(tmp_path, store, monkeypatch):
    told: list[str] = []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    train(store.url, tmp_path, config(), RunOptions(max_steps=1), Lines(told.append))
    assert any("pip install tensorboard" in line for line in told)
    assert not (tmp_path / "logs").exists()


def test_curves_for_tensorboard(tmp_path, store):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    done = train(store.url, tmp_path, config(), RunOptions(look_steps=1))
    events = accumulator.EventAccumulator(str(tmp_path / "logs"))
    events.Reload()
    steps = [event.step for event in events.Scalars("step/loss")]
    assert steps == list(range(1, done.step + 1))
    (event,) = events.Scalars("validation/atom/macro_f1")
    assert event.value == pytest.approx(done.validation["atom", "macro_f1"])


def test_a_run_keeps_its_generation(tmp_path, store):
    assert open_store(store.url).generation == 1
    told = []
    with pytest.raises(Exception, match="generation 2"):
        train(store.url, tmp_path / "run", config(), RunOptions(generation=2), Lines(told.append))
    assert not (tmp_path / "run").exists()


def test_windows_take_the_place_of_subgrids_in_training_alone(tmp_path, store, monkeypatch):
    seen = []
    monkeypatch.setattr(
        begin, "ExampleMaker", lambda *a, **k: seen.append(ExampleMaker(*a, **k)) or seen[-1]
    )
    chosen = config(windows=2, subgrids="all", batch_size=3)
    done = train(store.url, tmp_path, chosen, SILENT)
    (n,) = (entry.n_subgrids for entry in store.entries if entry.split == "train")
    assert done.subgrids == 2 * n // 3 * 3
    assert math.isfinite(done.validation["", "loss"])
    assert [one.rotation_seed for one in seen] == [None, None]  # turned where they are cut
    ranks, options = Ranks(0, 1, torch.device("cpu")), SILENT
    training = make_dataset(store, chosen, "train", ranks, options)
    assert training.options.rotate
    assert training.options.per_subgrid == 2
    assert type(make_dataset(store, chosen, "validation", ranks, options)) is SubgridDataset
