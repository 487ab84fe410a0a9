"""Options of a training: presets, refusals, and the way through JSON."""

from __future__ import annotations

import json

import pytest
from training_store import MICRO

from c2s_data.errors import ConfigError
from c2s_model.nets.variants import VARIANTS
from c2s_model.training.loss import PAPER, RECOMMENDED
from c2s_model.training.run_options import RunOptions
from c2s_model.training.train_config import (
    NO_SPLIT,
    differences,
    make_train_config,
    train_config_from,
)


def test_the_paper():
    config = make_train_config("paper", "full-v1", ("atom",))
    assert (config.optimizer, config.learning_rate, config.weight_decay) == ("nadam", 1e-4, 0.0)
    assert (config.schedule, config.epochs, config.loss) == ("plateau", 100, PAPER)
    assert (config.subgrids, config.rotations, config.best_by) == ("all", False, "loss")
    assert (config.clip_norm, config.average_decay, config.ignore_mask) == (None, None, False)
    assert config.architecture == VARIANTS["full-v1"]
    assert config.architecture.dropout == 0.1
    assert config.batch_size == 48
    assert make_train_config("paper", "small", ("amino",)).batch_size == 12


def test_the_recommended():
    config = make_train_config("recommended", "small", ("secondary", "atom", "amino"))
    assert config.targets == ("atom", "amino", "secondary")
    assert config.heads == {"atom": 4, "amino": 21, "secondary": 4}
    assert (config.optimizer, config.schedule, config.loss) == ("adamw", "cosine", RECOMMENDED)
    assert (config.subgrids, config.rotations, config.ignore_mask) == ("occupied", True, True)
    assert 0 < config.rest_share < 1
    assert config.average_decay is not None
    assert config.best_by == "macro-f1"


@pytest.mark.parametrize("preset", ["paper", "recommended"])
def test_json_holds_every_option(preset):
    config = make_train_config(preset, targets=("atom",), architecture=MICRO, dropout=0.25, seed=7)
    assert config.variant == "custom"
    assert config.architecture.dropout == 0.25
    back = train_config_from(json.loads(json.dumps(config.as_json())))
    assert back == config
    assert back.as_json() == config.as_json()
    assert differences(back, config) == []


def test_differences_are_named_one_by_one():
    ours = make_train_config("paper", "small", ("atom",), loss={"gamma": 1.5}, dropout=0.0)
    theirs = make_train_config("paper", "small", ("atom",), epochs=3)
    assert differences(ours, theirs) == [
        "architecture.dropout=0.0 instead of 0.1",
        "loss.gamma=1.5 instead of 2.0",
        "epochs=100 instead of 3",
    ]


def test_single_options():
    config = make_train_config(
        "recommended", "tiny", clip_norm=0, average_decay=0.0, subgrids="all", schedule="plateau",
        validation_split=NO_SPLIT, loss={"kind": "cross-entropy"}, precision=None,
    )  # fmt: skip
    assert (config.clip_norm, config.average_decay, config.validation_split) == (None, None, None)
    assert (config.rest_share, config.warmup_share, config.precision) == (0.0, 0.0, "auto")
    assert (config.loss.kind, config.loss.class_weights) == ("cross-entropy", "balanced")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"preset": "published"}, "preset 'published' of a training; take one of paper, recom"),
        ({"variant": "huge"}, "no variant 'huge'"),
        ({"targets": ("atom", "ca")}, "atom, amino, secondary at most once"),
        ({"targets": ()}, "at least one"),
        ({"learning_rate": 0.0}, "learning_rate: Input should be greater than 0"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"batch_size": 0}, "batch_size"),
        ({"epochs": 0}, "epochs"),
        ({"momentum": 0.9}, "momentum: Extra inputs"),
        ({"rest_share": 0.1}, "rest_share is a share of what subgrids 'occupied' leaves out"),
        ({"warmup_share": 0.1}, "warmup_share belongs to the cosine"),
        ({"train_split": "validation"}, "cannot validate its own training"),
        ({"optimizer": "sgd"}, "optimizer: Input should be 'nadam' or 'adamw'"),
        ({"dropout": 1.0}, "dropout 1.0"),
        ({"loss": {"kind": "hinge"}}, "hinge"),
        ({"loss": {"gamma": -1.0}}, "gamma -1.0"),
        ({"loss": {"alpha": 1}}, "alpha"),
    ],
)
def test_nonsense_is_refused(options, named):
    with pytest.raises(ConfigError, match=named):
        make_train_config(**options)


@pytest.mark.parametrize(
    ("name", "value"),
    [("workers", -1), ("threads", 0), ("max_steps", 0), ("keep_best", 0), ("max_seconds", -1.0),
     ("checkpoint_seconds", float("nan"))],
)  # fmt: skip
def test_nonsense_of_a_run_is_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name}={value} of a training"):
        RunOptions(**{name: value})
