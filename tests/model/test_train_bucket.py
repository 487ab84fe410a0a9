"""A training whose folder is in a bucket: killed at any request, it ends with the same weights."""

from __future__ import annotations

import hashlib
import json
from itertools import count
from pathlib import Path

import pytest
from training_store import MICRO, made_store

from c2s_data import kept_folder
from c2s_data.copying import copy
from c2s_data.errors import ConfigError, LeaseError, StoreError
from c2s_data.store.lease import hold
from c2s_data.store.objects import RemoteObjects, open_objects
from c2s_data.store.sealed import unseal
from c2s_model.training.loop import train
from c2s_model.training.run_folder import beginning
from c2s_model.training.run_options import RunOptions
from c2s_model.training.train_config import make_train_config

OPTIONS = RunOptions(logs=False, look_steps=2, checkpoint_steps=1, keep_last=1, keep_best=1)


class KilledError(BaseException):
    """What no part of the package catches."""


class Lines:
    """What a training says."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def advance(self, *place: object) -> None:
        pass


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    shapes = ((28, 20, 9), (9, 15, 12))
    return made_store(tmp_path_factory.mktemp("store") / "made.zarr", shapes)


def config():
    options = {"batch_size": 2, "epochs": 2, "rest_share": 0.0, "seed": 5}
    return make_train_config("recommended", targets=("atom",), architecture=MICRO, **options)


def digests(run: Path) -> dict[str, str]:
    """sha256 of every file, without what tells versions and times of a checkpoint's own files."""
    found = {}
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        if path.is_file() and not name.startswith((".", "_c2s")):
            data = path.read_bytes()
            if path.name == "state.json":
                document = unseal(data, name)
                data = json.dumps([document["step"], document["state"]]).encode()
            found[name] = hashlib.sha256(data).hexdigest()
    return found


def brought(url: str, folder: Path) -> Path:
    copy(open_objects(url), open_objects(folder))
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory, store):
    run = tmp_path_factory.mktemp("whole") / "run"
    assert train(store.url, run, config(), OPTIONS).finished
    return digests(run)


def test_a_bucket_has_what_a_folder_has(tmp_path, store, whole):
    url = f"memory://{tmp_path.name}/run"
    done = train(store.url, url, config(), OPTIONS)
    assert (done.run, done.network) == (url, f"{url}/best.safetensors")
    assert done.finished
    assert digests(brought(url, tmp_path / "back")) == whole


def test_killed_at_any_request(tmp_path, store, whole, monkeypatch):
    real = {name: getattr(RemoteObjects, name) for name in ("put", "delete")}
    monkeypatch.setattr(kept_folder, "_send_what_is_there", lambda kept: "")
    last = 0
    for number in count(0, 7):
        url, made = f"memory://{tmp_path.name}/run-{number}", count()
        killed = killing(real, made, number)
        try:
            train(store.url, url, config(), OPTIONS)
        except KilledError:
            pass
        else:
            last = number
            break
        finally:
            killed.undo()
        done = train(store.url, url, config(), OPTIONS)
        assert done.finished
        assert done.subgrids <= 2 * 2 * 3 - (number > 20), "it went on, and did not begin anew"
        assert digests(brought(url, tmp_path / str(number))) == whole, number
    assert last > 30, "there were so many requests to be killed at"


def killing(real, made, number) -> pytest.MonkeyPatch:
    context = pytest.MonkeyPatch()
    for name, function in real.items():

        def counted(self, key, *given, _function=function, **named):
            if not key.startswith("_c2s/leases/") and next(made) >= number:
                raise KilledError
            return _function(self, key, *given, **named)

        context.setattr(RemoteObjects, name, counted)
    return context


def test_an_outage_ends_no_training(tmp_path, store, whole, monkeypatch):
    real, made, url = RemoteObjects.put, count(), f"memory://{tmp_path.name}/run"

    def failing(self, key, data, *, durable=True):
        if not key.startswith("_c2s/") and next(made) in range(5, 8):
            raise StoreError(f"{self.url}: object {key!r} cannot be written: HTTP 503")
        real(self, key, data, durable=durable)

    monkeypatch.setattr(RemoteObjects, "put", failing)
    lines = Lines()
    assert train(store.url, url, config(), OPTIONS, lines).finished
    assert any("HTTP 503; the training goes on" in line for line in lines.said)
    assert digests(brought(url, tmp_path / "back")) == whole


def test_places_that_are_refused(tmp_path, store):
    url = f"memory://{tmp_path.name}/other"
    for name in ("a/b", "zarr.json"):
        open_objects(url).put(name, b"1")
    with pytest.raises(ConfigError, match="holds 'a' and no run") as told:
        train(store.url, url, config(), OPTIONS)
    assert url in str(told.value)
    held = f"memory://{tmp_path.name}/held"
    with (
        hold(open_objects(held), "c2s-model train"),
        pytest.raises(LeaseError, match="c2s-model train"),
    ):
        train(store.url, held, config(), OPTIONS)
    with pytest.raises(ConfigError, match="no run to go on with"):
        train(store.url, held, None, RunOptions(must_resume=True))


def test_another_process_needs_little() -> None:
    steps = [f"checkpoints/step-{number}" for number in ("99999999", "100000000", "00000005")]
    names = [f"{step}/{name}" for step in steps for name in ("network.safetensors", "state.json")]
    assert beginning(["config.json", "history.csv", "best.safetensors", "logs/x", *names]) == [
        "config.json",
        "history.csv",
        *names[2:4],
    ]
    assert beginning(["config.json", "logs/x"]) == ["config.json"]
