"""A training that was stopped, killed or interrupted ends with the same weights."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest
import torch
from training_store import MICRO, made_store

from c2s_data.errors import ConfigError, StoreError
from c2s_data.store.sealed import unseal
from c2s_model.nets.checkpoint_error import CheckpointError
from c2s_model.training import checkpoint, keeping, run_folder
from c2s_model.training.checkpoint import checkpoint_path, checkpoint_steps
from c2s_model.training.loop import train
from c2s_model.training.run import Run
from c2s_model.training.run_options import RunOptions
from c2s_model.training.stopping import Wish
from c2s_model.training.train_config import make_train_config

FOLDER = Path(__file__).parent
SHAPES = ((28, 20, 9), (9, 15, 12))
OPTIONS = RunOptions(logs=False, look_steps=2)


def config(**options):
    """Everything that a step may depend on: dropout, rotations, average, schedule, two heads."""
    return make_train_config(
        "recommended",
        targets=("atom", "secondary"),
        architecture=MICRO,
        **({"batch_size": 2, "epochs": 2, "rest_share": 0.0, "seed": 5} | options),
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return made_store(tmp_path_factory.mktemp("store") / "made.zarr", SHAPES)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, store):
    """Digests of a training that nothing stopped: 3 steps in each of 2 epochs."""
    run = tmp_path_factory.mktemp("whole") / "run"
    done = train(store.url, run, config(), OPTIONS)
    assert (done.step, done.epoch, done.finished) == (6, 2, True)
    return digests(run)


def digests(run: Path) -> dict[str, str]:
    """sha256 of every file, byte for byte."""
    files = [*sorted(checkpoint_path(run / "checkpoints", 6).iterdir()), run / "best.safetensors"]
    return {one.name: digest(one) for one in [*files, run / "history.csv"]}


def digest(path: Path) -> str:
    data = path.read_bytes()
    if path.name == "state.json":
        document = unseal(data, "state.json")
        data = json.dumps([document["step"], document["state"]]).encode()
    return hashlib.sha256(data).hexdigest()


def test_stopped_at_every_step(tmp_path, store, whole):
    for step in range(1, 7):
        done = train(store.url, tmp_path, config(), RunOptions(logs=False, max_steps=step))
        assert (done.step, done.stopped) == (step, Wish.STOP_STEPS)
        again = train(store.url, tmp_path, config(), RunOptions(logs=False, max_steps=step))
        assert (again.step, again.subgrids) == (step, 0)
    done = train(store.url, tmp_path, None, OPTIONS)
    assert (done.step, done.finished) == (6, True)
    assert digests(tmp_path) == whole


def test_the_paper_goes_on_as_well(tmp_path, store):
    """NAdam, and a plateau whose best loss is still infinite."""
    paper = make_train_config("paper", architecture=MICRO, batch_size=2, epochs=2)
    for run, steps in (("whole", ()), ("parts", (1, 4))):
        for step in steps:
            train(store.url, tmp_path / run, paper, RunOptions(logs=False, max_steps=step))
        assert train(store.url, tmp_path / run, paper, OPTIONS).step == 6
    assert digests(tmp_path / "whole") == digests(tmp_path / "parts")


class Killed(BaseException):
    """Stands for kill -9: nothing may catch it."""


def test_killed_at_every_write(tmp_path, store, whole, monkeypatch):
    """One training, killed again and again, each time one write later than it came before."""
    numbers, deadline = count(), [0]

    def dying(function):
        def call(*args, **kwargs):
            if next(numbers) == deadline[0]:
                raise Killed
            return function(*args, **kwargs)

        return call

    for module, name in (
        (checkpoint, "sync"), (checkpoint, "write_network"), (checkpoint, "set_aside"),
        (keeping, "sync"), (keeping, "remove_checkpoints"), (run_folder.os, "fsync"),
        (Path, "rename"), (Path, "replace"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, dying(getattr(module, name)))
    options = RunOptions(logs=False, look_steps=2, checkpoint_steps=2)
    kills = 0
    while True:
        numbers, deadline[0] = count(), 3 + kills % 29
        try:
            train(store.url, tmp_path, config(), options)
        except Killed:
            kills += 1
            continue
        break
    assert kills >= 10
    assert digests(tmp_path) == whole
    assert not list(tmp_path.rglob("*.part"))


SCRIPT = """
import sys, torch
torch.set_num_threads(1)
from test_train_resume import config, OPTIONS
from c2s_model.training.loop import train
from c2s_model.training.run_options import RunOptions
if __name__ == "__main__":
    train(sys.argv[1], sys.argv[2], config(), RunOptions(logs=False, checkpoint_steps=1))
"""


def started(store, run: Path) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join((str(FOLDER), str(FOLDER.parent / "data")))
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, store.url, str(run)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )


def test_killed_in_mid_epoch(tmp_path, store, whole):
    run = tmp_path / "run"
    process = started(store, run)
    try:
        while not checkpoint_path(run / "checkpoints", 2).exists():
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()
    steps = checkpoint_steps(run / "checkpoints")
    assert 2 <= steps[-1] < 6
    done = train(store.url, run, config(), OPTIONS)
    assert done.subgrids == 2 * (6 - steps[-1])
    assert digests(run) == whole


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops(tmp_path, store, whole, number, monkeypatch):
    real = Run.train_on

    def interrupted(self, batch):
        if self.step == 3:
            os.kill(os.getpid(), number)
        return real(self, batch)

    monkeypatch.setattr(Run, "train_on", interrupted)
    before = signal.getsignal(number)
    done = train(store.url, tmp_path, config(), OPTIONS)
    assert (done.step, done.stopped.signal, done.finished) == (4, number, False)
    assert checkpoint_steps(tmp_path / "checkpoints")[-1] == 4
    assert signal.getsignal(number) is before
    monkeypatch.undo()
    train(store.url, tmp_path, config(), OPTIONS)
    assert digests(tmp_path) == whole


def test_time_stops_it(tmp_path, store):
    done = train(store.url, tmp_path, config(), RunOptions(logs=False, max_seconds=0))
    assert (done.stopped, done.step) == (Wish.STOP_SECONDS, 0)


def test_the_callers_random_numbers_go_on(tmp_path, store):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    train(store.url, tmp_path, config(), RunOptions(logs=False, max_steps=1))
    assert torch.equal(torch.rand(2), expected)


def test_only_the_newest_and_best_checkpoints_stay(tmp_path, store):
    options = RunOptions(logs=False, checkpoint_steps=1, keep_last=2, keep_best=1)
    done = train(store.url, tmp_path, config(best_by="loss", epochs=3), options)
    kept = checkpoint_steps(tmp_path / "checkpoints")
    assert kept == sorted({8, 9, done.best_step})
    assert done.best_step % 3 == 0


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, store):
    run = tmp_path_factory.mktemp("stopped") / "run"
    train(store.url, run, config(), RunOptions(logs=False, max_steps=2))
    return run


def contents(folder: Path) -> dict[Path, bytes]:
    return {one: one.read_bytes() for one in folder.rglob("*") if one.is_file()}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"learning_rate": 1e-3}, r"learning_rate=0.001 instead of 0.0003"),
        ({"seed": 6}, "seed=6 instead of 5"),
        ({"loss": {"gamma": 1.0}}, "loss.gamma=1.0 instead of 2.0"),
    ],
)
def test_other_options_are_refused(stopped, store, options, named):
    before = contents(stopped)
    with pytest.raises(ConfigError, match=named) as error:
        train(store.url, stopped, config(**options), OPTIONS)
    assert "choose another folder" in str(error.value)
    assert contents(stopped) == before


def test_another_target_or_variant_is_refused(stopped, store):
    before = contents(stopped)
    for other in (
        make_train_config("recommended", targets=("amino",), architecture=MICRO),
        make_train_config("recommended", "tiny", ("atom", "secondary")),
    ):
        with pytest.raises(ConfigError, match=r"other options.*(targets|variant)="):
            train(store.url, stopped, other, OPTIONS)
    assert contents(stopped) == before


def test_another_store_is_refused(stopped, tmp_path):
    other = made_store(tmp_path / "other.zarr", SHAPES, seed=1)
    before = contents(stopped)
    with pytest.raises(StoreError, match=f"fingerprint.*{other.fingerprint[:12]}"):
        train(other.url, stopped, config(), OPTIONS)
    assert contents(stopped) == before


def test_a_folder_of_other_things_is_refused(tmp_path, store):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"notes\.txt.*left as it is"):
        train(store.url, tmp_path, config(), OPTIONS)
    with pytest.raises(ConfigError, match="is a file"):
        train(store.url, tmp_path / "notes.txt", config(), OPTIONS)
    with pytest.raises(ConfigError, match="no run to go on with"):
        train(store.url, tmp_path / "new", config(), RunOptions(must_resume=True))
    assert [one.name for one in tmp_path.iterdir()] == ["notes.txt"]


def test_a_second_training_in_the_folder_is_refused(stopped, store):
    with run_folder.locked(stopped), pytest.raises(ConfigError, match="another process trains"):
        train(store.url, stopped, config(), OPTIONS)


def test_a_damaged_checkpoint_is_named(tmp_path, store):
    train(store.url, tmp_path, config(), RunOptions(logs=False, max_steps=2))
    path = checkpoint_path(tmp_path / "checkpoints", 2)
    for name in ("state.json", "network.safetensors", "optimizer.safetensors"):
        whole = (path / name).read_bytes()
        (path / name).write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        with pytest.raises(CheckpointError, match=f"{name}.*remove step-00000002 to go on"):
            train(store.url, tmp_path, config(), OPTIONS)
        (path / name).write_bytes(whole)
