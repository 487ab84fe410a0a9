"""Checkpoints, the state in them, and the folder around them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from training_store import MICRO

from c2s_data.schema import CLASS_NAMES
from c2s_data.store.sealed import seal, unseal
from c2s_model.nets.checkpoint_error import CheckpointError
from c2s_model.nets.network_file import NetworkCard, read_card
from c2s_model.nets.unetr import make_network
from c2s_model.training.checkpoint import (
    Checkpoint,
    checkpoint_path,
    checkpoint_steps,
    read_checkpoint,
    remove_checkpoints,
    write_checkpoint,
)
from c2s_model.training.history import HistoryRow, read_history, write_history
from c2s_model.training.keeping import ranked, tidy
from c2s_model.training.packed_state import pack, unpack
from c2s_model.training.run_folder import find_network, read_json, write_json

CARD = NetworkCard("custom", MICRO, {"atom": CLASS_NAMES["atom"]}, "recommended", "nearest", 0.0)


def made(step: int, seed: int = 0, *, averaged: bool = True) -> Checkpoint:
    generator = torch.Generator().manual_seed(seed)
    network = make_network(MICRO, {"atom": 4}, generator).state_dict()
    average = {name: value + 1 for name, value in network.items()} if averaged else None
    state = {
        "optimizer": {
            "state": {0: {"step": torch.tensor(3.0), "mu": torch.rand(2, 3)}, 11: {}},
            "param_groups": [{"lr": 0.1 + 0.2, "betas": (0.9, 0.999), "params": [0, 11]}],
        },
        "schedule": {"best": math.inf, "worst": -math.inf},
        "random": {"cpu": [torch.arange(5, dtype=torch.uint8)]},
    }
    return Checkpoint(step, network, average, CARD, state)


def test_a_state_comes_back_as_it_was():
    state = made(1).state
    document, tensors = pack(state, "state")
    assert set(tensors) == {
        "state.optimizer.state.0.step", "state.optimizer.state.0.mu", "state.random.cpu.0",
    }  # fmt: skip
    back = unpack(json.loads(json.dumps(document, allow_nan=False)), tensors)
    assert back["schedule"] == {"best": math.inf, "worst": -math.inf}
    assert list(back["optimizer"]["state"]) == [0, 11]
    assert back["optimizer"]["param_groups"] == [
        {"lr": 0.1 + 0.2, "betas": [0.9, 0.999], "params": [0, 11]}
    ]
    assert torch.equal(back["random"]["cpu"][0], state["random"]["cpu"][0])
    assert math.isnan(unpack(*pack({"x": math.nan}))["x"])
    with pytest.raises(TypeError, match=r"s\.a\.1 is set"):
        pack({"a": [1, {2}]}, "s")


@pytest.mark.parametrize("name", ["nadam", "adamw"])
def test_an_optimizer_goes_on_from_its_packed_state(name):
    """Two steps, a state through JSON, one more step: as three steps without a stop."""
    kind = {"nadam": torch.optim.NAdam, "adamw": torch.optim.AdamW}[name]

    def begun():
        network = torch.nn.Linear(3, 2)
        with torch.no_grad():
            for place, one in enumerate(network.parameters()):
                one.copy_(torch.arange(one.numel()).reshape(one.shape) / 7 - place)
        return network, kind(network.parameters(), lr=0.1)

    def step(network, optimizer, number):
        optimizer.zero_grad()
        network(torch.tensor([[1.0, number, -2.0]])).square().sum().backward()
        optimizer.step()

    whole, parts, after = begun(), begun(), begun()
    for number in range(3):
        step(*whole, number)
    for number in range(2):
        step(*parts, number)
    document, tensors = pack(parts[1].state_dict(), "o")
    after[0].load_state_dict(parts[0].state_dict())
    after[1].load_state_dict(unpack(json.loads(json.dumps(document)), tensors))
    step(*after, 2)
    for ours, theirs in zip(after[0].parameters(), whole[0].parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    path = write_checkpoint(tmp_path, made(1234))
    assert path == tmp_path / "step-00001234"
    back, expected = read_checkpoint(path), made(1234)
    assert back.step == 1234
    assert back.network.keys() == expected.network.keys()
    assert all(torch.equal(back.network[key], one) for key, one in expected.network.items())
    assert back.average is not None
    assert all(torch.equal(back.average[key], one + 1) for key, one in expected.network.items())
    moments = back.state["optimizer"]["state"][0]
    assert (moments["step"].item(), moments["mu"].shape) == (3.0, (2, 3))
    assert back.state["random"]["cpu"][0].tolist() == [0, 1, 2, 3, 4]
    assert back.card.source == {"step": 1234, "average": False}
    assert read_card(path / "average.safetensors").source == {"step": 1234, "average": True}
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_later_one_of_the_same_step_takes_its_place(tmp_path):
    write_checkpoint(tmp_path, made(5))
    path = write_checkpoint(tmp_path, made(5, seed=1, averaged=False))
    back = read_checkpoint(path)
    assert back.average is None
    assert all(torch.equal(back.network[k], one) for k, one in made(5, seed=1).network.items())


def test_a_failed_write_leaves_the_earlier_one(tmp_path, monkeypatch):
    write_checkpoint(tmp_path, made(5))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_checkpoint(tmp_path, made(6))
    assert [one.name for one in tmp_path.iterdir()] == ["step-00000005"]
    assert checkpoint_steps(tmp_path) == [5]


def faults(path) -> Iterator[tuple[str, bytes]]:
    state = path / "state.json"
    document = unseal(state.read_bytes(), "state")
    yield "state.json", state.read_bytes().replace(b'"step":5', b'"step":6', 1)
    yield "state.json", b"{}"
    yield "state.json", seal({**document, "format": 9})
    without = {name: one for name, one in document["sha256"].items() if "optimizer" not in name}
    yield "state.json", seal({**document, "sha256": without})
    for name in ("network", "average", "optimizer", "state"):
        whole = (path / f"{name}.safetensors").read_bytes()
        yield f"{name}.safetensors", whole[:-1]
        yield f"{name}.safetensors", whole[:-1] + bytes([whole[-1] ^ 1])


def test_every_fault_is_found_and_named(tmp_path):
    path = write_checkpoint(tmp_path, made(5))
    for name, damaged in faults(path):
        whole = (path / name).read_bytes()
        (path / name).write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"step-00000005.*(remove|version)"):
            read_checkpoint(path)
        (path / name).write_bytes(whole)
        (path / name).rename(path / "elsewhere")
        with pytest.raises(CheckpointError, match=f"{name}.*remove step-00000005 to go on"):
            read_checkpoint(path)
        (path / "elsewhere").rename(path / name)
    assert read_checkpoint(path).step == 5


def test_what_is_no_checkpoint_is_not_counted(tmp_path):
    for name in ("step-00000003", "step-3", "step-0000000x", ".step-00000009.1.part", "other"):
        (tmp_path / name).mkdir()
    assert checkpoint_steps(tmp_path) == [3]
    remove_checkpoints(tmp_path, keep=[])
    assert sorted(one.name for one in tmp_path.iterdir()) == ["other", "step-0000000x", "step-3"]


def test_the_best_are_kept_and_the_very_best_is_copied(tmp_path):
    folder = tmp_path / "checkpoints"
    scores = {10: 0.2, 20: 0.5, 30: 0.5, 40: 0.1, 50: 0.3}
    best: list[tuple[float, int]] = []
    for step, score in scores.items():
        write_checkpoint(folder, made(step, averaged=step != 10))
        best = ranked([*best, (score, step)], keep=2)
        tidy(tmp_path, best, keep_last=1, newest_is_best=False)
        assert read_card(tmp_path / "best.safetensors").source["step"] == min(20, step)
        assert read_card(tmp_path / "best.safetensors").source["average"] is (step != 10)
    assert checkpoint_steps(folder) == [20, 30, 50]
    tidy(tmp_path, best, keep_last=1, newest_is_best=True)
    assert read_card(tmp_path / "best.safetensors").source["step"] == 50
    assert ranked([(-math.inf, 1), (0.0, 2)], 1) == [(0.0, 2)]


def test_find_network(tmp_path):
    with pytest.raises(CheckpointError, match="neither a network file nor the folder of a run"):
        find_network(tmp_path)
    write_json(tmp_path / "config.json", {})
    with pytest.raises(CheckpointError, match=r"no best\.safetensors yet; let it end an epoch"):
        find_network(tmp_path)
    path = write_checkpoint(tmp_path / "checkpoints", made(3))
    assert find_network(path) == path / "average.safetensors"
    assert find_network(str(path / "network.safetensors")) == path / "network.safetensors"
    tidy(tmp_path, [(0.5, 3)], 1, newest_is_best=False)
    assert find_network(tmp_path) == tmp_path / "best.safetensors"
    plain = write_checkpoint(tmp_path / "checkpoints", made(4, averaged=False))
    assert find_network(checkpoint_path(tmp_path / "checkpoints", 4)) == plain / (
        "network.safetensors"
    )


def test_documents_of_a_run(tmp_path):
    path = tmp_path / "one.json"
    write_json(path, {"a": [1.5, None]})
    assert read_json(path) == {"a": [1.5, None]}
    for damaged in (b"{", b"[]", b"[" * 100_000, b" " * (2**24 + 1), b"\xff"):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"one\.json"):
            read_json(path)
    with pytest.raises(CheckpointError, match="no such file"):
        read_json(tmp_path / "two.json")


ROWS = [
    HistoryRow(0, 3, "train", "", "loss", "", 0.1 + 0.2),
    HistoryRow(0, 3, "validation", "amino", "f1", "none or unknown", math.nan),
    HistoryRow(1, 6, "train", "secondary", "macro_f1", "", -1e-300),
]


def test_a_history_comes_back_as_it_was(tmp_path):
    path = tmp_path / "history.csv"
    assert read_history(path) == []
    write_history(path, ROWS)
    back = read_history(path)
    assert [row[:-1] for row in back] == [row[:-1] for row in ROWS]
    assert [repr(row.value) for row in back] == [repr(row.value) for row in ROWS]
    assert path.read_text().splitlines()[:2] == [
        "epoch,step,part,target,metric,class,value", "0,3,train,,loss,,0.30000000000000004",
    ]  # fmt: skip


def test_a_damaged_history_is_named(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("epoch,step\n")
    with pytest.raises(CheckpointError, match="its columns are not epoch"):
        read_history(path)
    write_history(path, ROWS[:1])
    for line in ("1,2,train,,loss,", "x,2,train,,loss,,1", "1,2,train,,loss,,one"):
        path.write_text(path.read_text().splitlines()[0] + "\n" + line + "\n")
        with pytest.raises(CheckpointError, match="line 2"):
            read_history(path)


def test_the_card_of_a_checkpoint_keeps_what_it_had(tmp_path):
    one = made(7)
    card = replace(CARD, source={"store": {"generation": 3}})
    path = write_checkpoint(tmp_path, replace(one, card=card))
    assert read_checkpoint(path).card.source["store"] == {"generation": 3}
