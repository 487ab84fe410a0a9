"""Released checkpoints: read strictly, and computed as the published layers compute."""

from __future__ import annotations

import importlib
import pickle
import sys
import types
from pathlib import Path

import pytest
import torch
from published_files import (
    SEQUENCE,
    TINY_HYPER,
    lightning_document,
    published_forward,
    random_state,
    save_with_foreign_objects,
    saved,
)

from c2s_data.errors import ConfigError
from c2s_model.nets.checkpoint_error import CheckpointError
from c2s_model.nets.published import PublishedCheckpoint, load_published
from c2s_model.nets.published_layout import own_qkv
from c2s_model.nets.unetr import shapes_only

STATE = random_state(0)
DENSITY = torch.rand(1, 1, 32, 32, 32, generator=torch.Generator().manual_seed(2))


def logits(read: PublishedCheckpoint, *inputs: torch.Tensor) -> torch.Tensor:
    heads = {read.target: read.weights[f"heads.{read.target}.weight"].shape[0]}
    network = shapes_only(read.architecture, heads)
    network.load_state_dict(read.weights, assign=True)
    with torch.no_grad():
        return network.eval()(*inputs)[read.target]


def test_a_plain_checkpoint_gives_the_published_predictions(tmp_path: Path) -> None:
    read = load_published(saved(tmp_path / "a.ckpt", STATE), target="atom")
    assert read.architecture.extraction == (1, 2, 4, 5)
    assert (read.architecture.attention_heads, read.heads_from) == (4, "hyper_parameters")
    assert (read.variant, read.inert_globals) == ("custom", ())
    assert read.hyper_parameters == TINY_HYPER
    assert "optimizer_states" in read.ignored
    assert "state_dict" not in read.ignored
    expected = published_forward(STATE, DENSITY, 4, (1, 2, 4, 5))
    torch.testing.assert_close(logits(read, DENSITY), expected, rtol=0, atol=1e-5)


def test_lightnings_own_objects_are_left_inert(tmp_path: Path) -> None:
    path = save_with_foreign_objects(tmp_path / "a.ckpt", STATE)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    read, plain = (
        load_published(path, target="atom"),
        load_published(saved(tmp_path / "b.ckpt", STATE), target="atom"),
    )
    assert set(read.inert_globals) >= {
        "argparse.Namespace",
        "pathlib.PosixPath",
        "pytorch_lightning_stand_in.AttributeDict",
        "pytorch_lightning_stand_in.Loop",
        "pytorch_lightning_stand_in.ModelCheckpoint",
        "torch.device",
    }
    assert "pytorch_lightning_stand_in" not in sys.modules
    assert read.hyper_parameters == plain.hyper_parameters
    assert {"callbacks", "loops", "kinds"} <= set(read.ignored)
    assert all(torch.equal(weight, plain.weights[name]) for name, weight in read.weights.items())


def test_the_state_of_a_namespace_counts_as_hyper_parameters(tmp_path: Path) -> None:
    import argparse

    document = lightning_document(STATE, None)
    document["hyper_parameters"] = argparse.Namespace(**TINY_HYPER)
    torch.save(document, tmp_path / "a.ckpt")
    read = load_published(tmp_path / "a.ckpt", target="atom")
    assert (read.hyper_parameters, read.inert_globals) == (TINY_HYPER, ("argparse.Namespace",))


def test_a_sequence_network_is_known_by_the_shapes_of_its_layers(tmp_path: Path) -> None:
    state = random_state(1, sequence_width=10, classes=21)
    hyper_parameters = TINY_HYPER | {"output_dim": 21}
    read = load_published(saved(tmp_path / "a.ckpt", state, hyper_parameters))
    assert (read.target, read.architecture.sequence_width) == ("amino", 10)
    sequence = torch.randn(1, 10)
    expected = published_forward(state, DENSITY, 4, (1, 2, 4, 5), sequence)
    torch.testing.assert_close(logits(read, DENSITY, sequence), expected, rtol=0, atol=1e-5)


def test_each_row_of_the_joint_projection_finds_its_place() -> None:
    heads, features = 3, 2
    rows = [(d, k, h) for d in range(features) for k in range(3) for h in range(heads)]
    published = torch.tensor([[100.0 * k + 10 * h + d] * 6 for d, k, h in rows])
    expected = [100.0 * k + 10 * h + d for k in range(3) for h in range(heads) for d in range(2)]
    assert own_qkv(published, heads)[:, 0].tolist() == expected


@pytest.mark.parametrize(
    ("layers", "change", "option", "heads", "source", "extraction"),
    [
        (4, None, None, 6, "variant", (1, 2, 3, 4)),
        (12, None, None, 12, "variant", (3, 6, 9, 12)),
        (24, None, None, 12, "variant", (3, 6, 12, 24)),
        (12, {"num_heads": 6}, None, 6, "hyper_parameters", (3, 6, 9, 12)),
        (12, {"num_heads": 6}, 12, 12, "option", (3, 6, 9, 12)),
        (5, {"ext_layers": [1, 2, 3, 5]}, None, 12, "default", (1, 2, 3, 5)),
        (
            5,
            {"ext_layers": (5, 3, 2, 1), "num_heads": 8},
            None,
            8,
            "hyper_parameters",
            (1, 2, 3, 5),
        ),
    ],
)
def test_what_weights_do_not_show_has_a_rule(
    tmp_path: Path, layers, change, option, heads, source, extraction
) -> None:
    path = saved(tmp_path / "a.ckpt", random_state(layers=layers), change)
    read = load_published(path, attention_heads=option, target="secondary")
    assert (read.architecture.attention_heads, read.heads_from) == (heads, source)
    assert read.architecture.extraction == extraction
    said = " ".join(read.notes)
    assert ("does not say how many" in said) == (source in ("variant", "default"))
    assert ("published programs predict with 12" in said) == (layers == 12 and heads == 6)


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"embed_dim": 768}, "embed_dim is 768"),
        ({"norm": "batch"}, "norm is 'batch'"),
        ({"input_dim": 2}, "input_dim"),
        ({"img_shape": (32, 32, 64)}, "positions"),
        ({"num_heads": 7}, "attention heads"),
        ({"ext_layers": [1, 2, 3]}, "four"),
        ({"ext_layers": [1, 2, 3, 9]}, "extraction"),
        ({"ext_layers": None}, "ext_layers"),
    ],
)
def test_hyper_parameters_that_contradict_the_weights_are_refused(
    tmp_path: Path, change: dict, fact: str
) -> None:
    with pytest.raises(CheckpointError, match=fact):
        load_published(saved(tmp_path / "a.ckpt", STATE, TINY_HYPER | change), target="atom")


@pytest.mark.parametrize(
    ("name", "value", "fact"),
    [
        ("model.z6_conv.conv_block.0.bias", None, "missing model.z6_conv.conv_block.0.bias"),
        ("model.extra.weight", torch.zeros(3), "not known model.extra.weight"),
        ("loss_fn.weight", torch.zeros(4), "not known loss_fn.weight"),
        ("model.z6_conv.conv_block.0.bias", torch.zeros(13), "of another shape"),
        ("model.z6_conv.conv_block.0.bias", "text", "no tensor"),
        ("model.z6_conv.conv_block.0.bias", torch.full((12,), torch.nan), "finite"),
        ("model.z6_conv.conv_block.0.bias", torch.zeros(12, dtype=torch.int64), "floating"),
        ("model.embed.patch_embeddings.weight", None, "patch_embeddings"),
        ("model.transformer.block_list.2.norm_1.bias", None, "norm_1"),
    ],
)
@pytest.mark.parametrize("foreign", [False, True])
def test_every_weight_is_used_once_and_none_is_missing(
    tmp_path: Path, name: str, value: object, fact: str, foreign: bool
) -> None:
    state = {key: kept for key, kept in STATE.items() if key != name}
    if value is not None:
        state[name] = value
    write = save_with_foreign_objects if foreign else saved
    with pytest.raises(CheckpointError, match=fact):
        load_published(write(tmp_path / "a.ckpt", state), target="atom")


def test_the_target_is_asked_for_where_the_classes_leave_it_open(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.ckpt", STATE)
    with pytest.raises(ConfigError, match="atom and secondary"):
        load_published(path)
    with pytest.raises(ConfigError, match="not amino"):
        load_published(path, target="amino")
    assert load_published(path, target="secondary").target == "secondary"
    strange = saved(tmp_path / "b.ckpt", random_state(classes=5), TINY_HYPER | {"output_dim": 5})
    with pytest.raises(CheckpointError, match="5 classes"):
        load_published(strange, target="atom")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    state = {name: weight.to(dtype) for name, weight in STATE.items()}
    for write in (saved, save_with_foreign_objects):
        read = load_published(write(tmp_path / "a.ckpt", state), target="atom")
        weight = read.weights["decoder.up_3.weight"]
        assert weight.dtype == torch.float32
        assert torch.equal(weight, state["model.z12_deconv.block.weight"].float())


def test_views_of_a_shared_storage_are_read_right(tmp_path: Path) -> None:
    both = torch.arange(60.0).reshape(5, 12)
    names = ("model.init_conv.conv_block.0.bias", "model.init_conv.conv_down.0.bias")
    state = STATE | {names[0]: both[1:4, 2], names[1]: both[0, 3:12:4]}
    for write in (saved, save_with_foreign_objects):
        weights = load_published(write(tmp_path / "a.ckpt", state), target="atom").weights
        assert weights["decoder.input_0.convolutions.0.bias"].tolist() == [14.0, 26.0, 38.0]
        assert weights["decoder.input_0.shortcut.0.bias"].tolist() == [3.0, 7.0, 11.0]


@pytest.fixture(scope="module")
def published_layers():
    """The package with the published layers; skips where it is not installed."""
    pytest.importorskip("einops", reason="einops, which self-attention-cv needs, is not installed")
    if importlib.util.find_spec("self_attention_cv") is None:
        pytest.skip("self-attention-cv 1.2.3 (the published layers) is not installed")
    with pytest.MonkeyPatch.context() as patch:
        if importlib.util.find_spec("torchvision") is None:  # for one layer that is not used here
            models = types.ModuleType("torchvision.models")
            models.resnet50 = None
            patch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
            patch.setitem(sys.modules, "torchvision.models", models)
        yield importlib.import_module("self_attention_cv.UnetTr.UnetTr")


class WithSequence(torch.nn.Module):
    """The published network with the sequence joined before the positions."""

    def __init__(self, unetr: torch.nn.Module) -> None:
        super().__init__()
        self.unetr = unetr
        project, mix = torch.nn.Linear(1280, 768), torch.nn.Linear(1536, 768)
        for name, layer in zip(SEQUENCE, (project, mix), strict=True):
            setattr(unetr, name, layer)

    def forward(self, density: torch.Tensor, sequence: torch.Tensor) -> torch.Tensor:
        project, mix = (getattr(self.unetr, name) for name in SEQUENCE)

        def join(_, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            e = project(sequence)[:, None].repeat(1, 8, 1)
            return (mix(torch.cat([inputs[0], e], dim=-1)),)

        hook = self.unetr.embed.position_embeddings.register_forward_pre_hook(join)
        try:
            return self.unetr(density)
        finally:
            hook.remove()


@pytest.mark.parametrize(
    ("variant", "classes", "layers", "heads", "extraction"),
    [
        ("small", 4, 4, 6, [1, 2, 3, 4]),
        ("small", 21, 4, 6, [1, 2, 3, 4]),
        ("full-v1", 4, 12, 12, [3, 6, 9, 12]),
        ("full-v1", 21, 12, 12, [3, 6, 9, 12]),
        ("full-v2-seq", 21, 24, 12, [3, 6, 12, 24]),
    ],
)
def test_a_converted_network_computes_what_the_published_layers_compute(
    published_layers, tmp_path: Path, variant, classes, layers, heads, extraction
) -> None:
    options = {
        "img_shape": (32, 32, 32),
        "input_dim": 1,
        "output_dim": classes,
        "num_heads": heads,
        "dropout": 0.1,
        "ext_layers": extraction,
    }
    torch.manual_seed(classes)
    theirs = published_layers.UNETR(**options)
    theirs.transformer = published_layers.TransformerEncoder(
        768, heads, layers, 0.1, extraction, 3072
    )
    inputs = [torch.rand(1, 1, 32, 32, 32)]
    whole = theirs
    if variant == "full-v2-seq":
        whole = WithSequence(theirs)
        inputs.append(torch.randn(1, 1280))
    with torch.no_grad():
        expected = whole.eval()(*inputs)
    state = {f"model.{name}": weight for name, weight in theirs.state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": options}, tmp_path / "a.ckpt")
    read = load_published(tmp_path / "a.ckpt", target="amino" if classes == 21 else "atom")
    assert (read.variant, read.notes) == (variant, ())
    assert expected.std() > 0.05
    torch.testing.assert_close(logits(read, *inputs), expected, rtol=0, atol=1e-5)
