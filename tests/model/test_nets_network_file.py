"""A network in one file: read back exactly, and nothing that contradicts itself is accepted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, safe_open, save_file

from c2s_data.schema import CLASS_NAMES
from c2s_model.nets import network_file
from c2s_model.nets.checkpoint_error import CheckpointError
from c2s_model.nets.network_file import NetworkCard, load_network, read_card, write_network
from c2s_model.nets.unetr import Unetr, make_network
from c2s_model.nets.variants import TARGETS, VARIANTS, Architecture, classes_of

MINI = Architecture(
    5, 2, (1, 2, 4, 5), width=16, hidden=24, filters=2, dropout=0.25, sequence_width=6,
    box_zyx=(16, 32, 16),
)  # fmt: skip


def card(architecture: Architecture = MINI, variant: str = "custom") -> NetworkCard:
    return NetworkCard(
        variant=variant,
        architecture=architecture,
        classes={target: CLASS_NAMES[target] for target in TARGETS},
        preset="recommended",
        label_rule="nearest",
        decode_offset_voxel=0.0,
        source={"step": 7},
    )


def network(architecture: Architecture = MINI) -> Unetr:
    return make_network(architecture, classes_of(TARGETS), torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "a.safetensors"
    write_network(path, network().state_dict(), card())
    return path


def with_card(path: Path, to: Path, **changes: object) -> Path:
    """Copy a file with another document in it; None removes an entry."""
    with safe_open(path, "pt") as stream:
        document = json.loads(stream.metadata()["c2s_network"]) | changes
    document = {name: value for name, value in document.items() if value is not None}
    save_file(load_file(path), to, metadata={"c2s_network": json.dumps(document)})
    return to


def test_a_network_comes_back_as_it_was(written: Path) -> None:
    loaded = load_network(written, variant="custom", targets=TARGETS, preset="recommended")
    assert loaded.card == card()
    assert loaded.card.heads == {"atom": 4, "amino": 21, "secondary": 4}
    assert not loaded.network.training
    before, after = network().state_dict(), loaded.network.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(weight.requires_grad for weight in loaded.network.parameters())
    inputs = torch.rand(1, 1, 16, 32, 16), torch.randn(1, 6)
    with torch.no_grad():
        assert torch.equal(loaded.network(*inputs)["amino"], network().eval()(*inputs)["amino"])


@pytest.mark.parametrize(
    ("wanted", "fact"),
    [
        ({"variant": "small"}, "variant is custom"),
        ({"targets": ["atom"]}, "targets is"),
        ({"preset": "released"}, "preset is recommended"),
    ],
)
def test_what_the_caller_relies_on_is_checked(written: Path, wanted: dict, fact: str) -> None:
    with pytest.raises(CheckpointError, match=fact):
        load_network(written, **wanted)


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"format": 2}, "format 2"),
        ({"format": None}, "damaged"),
        ({"variant": "small"}, "variant 'small'"),
        ({"classes": {"atom": ["none", "N", "C-alpha", "C"]}}, "misread"),
        ({"classes": {"atoms": ["none", "C-alpha"]}}, "misread"),
        ({"classes": {}}, "predicts nothing"),
        ({"classes": 3}, "damaged"),
        ({"preset": None}, "damaged"),
        ({"preset": 5}, "damaged"),
        ({"decode_offset_voxel": "0.5"}, "damaged"),
        ({"more": 1}, "damaged"),
        ({"architecture": {}}, "damaged"),
    ],
)
def test_statements_that_cannot_be_are_refused(
    written: Path, tmp_path: Path, changes: dict, fact: str
) -> None:
    with pytest.raises(CheckpointError, match=fact):
        load_network(with_card(written, tmp_path / "b.safetensors", **changes))


@pytest.mark.parametrize(
    ("size", "value"),
    [("layers", 4.0), ("layers", 10**9), ("width", "16"), ("extraction", [1, 2, 3]),
     ("box_zyx", [16, 32, 17]), ("dropout", "much"), ("filters", True)],
)  # fmt: skip
def test_sizes_that_cannot_be_are_refused(
    written: Path, tmp_path: Path, size: str, value: object
) -> None:
    with safe_open(written, "pt") as stream:
        sizes = json.loads(stream.metadata()["c2s_network"])["architecture"]
    path = with_card(written, tmp_path / "b.safetensors", architecture=sizes | {size: value})
    with pytest.raises(CheckpointError, match="damaged"):
        load_network(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda weights: weights.pop("heads.atom.bias"),
        lambda weights: weights.update(more=torch.zeros(1)),
        lambda weights: weights.update({"heads.atom.bias": torch.zeros(5)}),
    ],
)
def test_other_weights_are_refused(written: Path, tmp_path: Path, change) -> None:
    weights = load_file(written)
    change(weights)
    write_network(tmp_path / "b.safetensors", weights, card())
    with pytest.raises(CheckpointError, match="1 weights are missing, unknown or of another"):
        load_network(tmp_path / "b.safetensors")


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(FileNotFoundError):
        read_card(path)
    for data in (b"", b"PK\x03\x04", b"\xff" * 64):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match="not a safetensors file"):
            read_card(path)
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="does not say"):
        read_card(path)


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"before")

    def broken(weights: object, beside: Path, **_: object) -> None:
        beside.write_bytes(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(network_file, "save_file", broken)
    with pytest.raises(OSError, match="no space"):
        write_network(path, {}, card())
    assert [one.name for one in tmp_path.iterdir()] == ["a.safetensors"]
    assert path.read_bytes() == b"before"


def test_a_variant_keeps_its_name_with_other_heads(tmp_path: Path) -> None:
    sizes = replace(VARIANTS["tiny"], attention_heads=4)
    write_network(tmp_path / "a.safetensors", network(sizes).state_dict(), card(sizes, "tiny"))
    loaded = load_network(tmp_path / "a.safetensors", variant="tiny")
    assert loaded.network.transformer.blocks[0].attention.heads == 4
