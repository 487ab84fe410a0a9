"""Files as PyTorch Lightning writes them, and the published network in plain functions.

Names, shapes and arithmetic are spelled out from the layer list of the published network, apart
from what the project does, so that the two can be compared.
"""

from __future__ import annotations

import argparse
import sys
import types
from pathlib import Path

import torch
from torch.nn import functional

SEQUENCE = ("sequence_embedding", "fuse")  # what the published layers are called is not known


def published_shapes(layers, width, hidden, filters, tokens, classes, sequence_width=0):
    """Return the published name -> shape of every weight."""
    f = filters
    shapes = {
        "embed.patch_embeddings.weight": (width, 1, 16, 16, 16),
        "embed.position_embeddings.abs_pos_enc": (1, tokens, width),
    }
    for i in range(layers):
        block = f"transformer.block_list.{i}."
        shapes[block + "mhsa.to_qvk.weight"] = (3 * width, width)
        shapes[block + "mhsa.W_0.weight"] = (width, width)
        for norm in ("norm_1", "norm_2"):
            shapes |= {f"{block}{norm}.{leaf}": (width,) for leaf in ("weight", "bias")}
        shapes |= {block + "linear.0.weight": (hidden, width), block + "linear.0.bias": (hidden,)}
        shapes |= {block + "linear.3.weight": (width, hidden), block + "linear.3.bias": (width,)}
    convs = {
        "init_conv": (1, f),
        "z9_conv": (16 * f, 8 * f),
        "z6_conv": (8 * f, 4 * f),
        "z3_conv": (4 * f, 2 * f),
        "out_conv.0": (2 * f, f),
    }
    for name, (a, b) in convs.items():
        shapes |= {
            f"{name}.conv_block.0.weight": (b, a, 3, 3, 3),
            f"{name}.conv_block.0.bias": (b,),
            f"{name}.conv_block.3.weight": (b, b, 3, 3, 3),
            f"{name}.conv_block.3.bias": (b,),
            f"{name}.conv_down.0.weight": (b, a, 1, 1, 1),
            f"{name}.conv_down.0.bias": (b,),
        }
    for name, count, b in (("z3", 3, 2 * f), ("z6", 2, 4 * f), ("z9", 1, 8 * f)):
        for j in range(count):
            shapes[f"{name}_blue_conv.blocks.{j}.block.weight"] = (b if j else width, b, 2, 2, 2)
    ups = {"z12": (width, 8 * f), "z9": (8 * f, 4 * f), "z6": (4 * f, 2 * f), "z3": (2 * f, f)}
    shapes |= {f"{name}_deconv.block.weight": (*ab, 2, 2, 2) for name, ab in ups.items()}
    shapes |= {"out_conv.1.weight": (classes, f, 1, 1, 1), "out_conv.1.bias": (classes,)}
    if sequence_width:
        for name, n in zip(SEQUENCE, (sequence_width, 2 * width), strict=True):
            shapes |= {f"{name}.weight": (width, n), f"{name}.bias": (width,)}
    return {f"model.{name}": shape for name, shape in shapes.items()}


TINY = {"layers": 5, "width": 24, "hidden": 40, "filters": 3, "tokens": 8, "classes": 4}
TINY_HYPER = {
    "learning_rate": 1e-4,
    "img_shape": (32, 32, 32),
    "input_dim": 1,
    "output_dim": 4,
    "embed_dim": 24,
    "patch_size": 16,
    "num_heads": 4,
    "dropout": 0.0,
    "ext_layers": [1, 2, 4, 5],
    "norm": "instance",
    "base_filters": 3,
    "dim_linear_block": 40,
}


def random_state(seed=0, **sizes):
    """Return random weights under their published names."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator) * (0.3 if len(shape) > 1 else 0.5)
        for name, shape in published_shapes(**(TINY | sizes)).items()
    }


def published_forward(state, density, heads, extraction, sequence=None):
    """Compute the published network, one formula after the other."""
    w = {name.removeprefix("model."): value for name, value in state.items()}
    tokens = functional.conv3d(density, w["embed.patch_embeddings.weight"], stride=16)
    grid = tokens.shape[2:]
    tokens = tokens.flatten(2).transpose(1, 2)
    if sequence is not None:
        project, mix = SEQUENCE
        e = sequence @ w[f"{project}.weight"].T + w[f"{project}.bias"]
        joined = torch.cat([tokens, e[:, None].repeat(1, tokens.shape[1], 1)], dim=-1)
        tokens = joined @ w[f"{mix}.weight"].T + w[f"{mix}.bias"]
    tokens = tokens + w["embed.position_embeddings.abs_pos_enc"]
    kept = []
    for i in range(sum(name.endswith("to_qvk.weight") for name in w)):
        tokens = _block(w, f"transformer.block_list.{i}.", tokens, heads)
        if i + 1 in extraction:
            kept.append(tokens.transpose(1, 2).unflatten(2, grid))
    z3, z6, z9, z12 = kept
    for name, count in (("z3", 3), ("z6", 2), ("z9", 1)):
        z = {"z3": z3, "z6": z6, "z9": z9}[name]
        for j in range(count):
            z = _up(w, f"{name}_blue_conv.blocks.{j}.block.weight", z)
        z3, z6, z9 = (
            z if name == "z3" else z3,
            z if name == "z6" else z6,
            z if name == "z9" else z9,
        )
    y = _conv(w, "z9_conv", torch.cat([_up(w, "z12_deconv.block.weight", z12), z9], 1))
    y = _conv(w, "z6_conv", torch.cat([_up(w, "z9_deconv.block.weight", y), z6], 1))
    y = _conv(w, "z3_conv", torch.cat([_up(w, "z6_deconv.block.weight", y), z3], 1))
    z0 = _conv(w, "init_conv", density)
    y = _conv(w, "out_conv.0", torch.cat([_up(w, "z3_deconv.block.weight", y), z0], 1))
    return functional.conv3d(y, w["out_conv.1.weight"], w["out_conv.1.bias"])


def _block(w, block, tokens, heads):
    def norm(x, name):
        centered = x - x.mean(-1, keepdim=True)
        scaled = centered / (centered.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * w[f"{block}{name}.weight"] + w[f"{block}{name}.bias"]

    b, t, width = tokens.shape
    rows = (norm(tokens, "norm_1") @ w[f"{block}mhsa.to_qvk.weight"].T).view(b, t, -1, 3, heads)
    q, k, v = rows.unbind(3)  # each (b, t, d, h): the layout (d k h)
    score = torch.einsum("bidh,bjdh->bhij", q, k) * (width // heads) ** -0.5
    out = torch.einsum("bhij,bjdh->bihd", score.softmax(-1), v).reshape(b, t, width)
    tokens = tokens + out @ w[f"{block}mhsa.W_0.weight"].T
    x = norm(tokens, "norm_2") @ w[f"{block}linear.0.weight"].T + w[f"{block}linear.0.bias"]
    x = x * 0.5 * (1 + torch.erf(x / 2**0.5))
    return tokens + x @ w[f"{block}linear.3.weight"].T + w[f"{block}linear.3.bias"]


def _up(w, name, x):
    b, _, z, y, x_side = x.shape
    spread = torch.einsum("bizyx,iojkl->bozjykxl", x, w[name])
    return spread.reshape(b, -1, 2 * z, 2 * y, 2 * x_side)


def _conv(w, name, x):
    def normed(features):
        mean = features.mean((2, 3, 4), keepdim=True)
        variance = (features - mean).square().mean((2, 3, 4), keepdim=True)
        return (features - mean) / (variance + 1e-5).sqrt()

    def leaky(features):
        return torch.where(features > 0, features, 0.01 * features)

    first, second, down = (
        f"{name}.{part}" for part in ("conv_block.0", "conv_block.3", "conv_down.0")
    )
    y = functional.conv3d(x, w[f"{first}.weight"], w[f"{first}.bias"], padding=1)
    y = functional.conv3d(leaky(normed(y)), w[f"{second}.weight"], w[f"{second}.bias"], padding=1)
    return leaky(normed(y) + normed(functional.conv3d(x, w[f"{down}.weight"], w[f"{down}.bias"])))


def lightning_document(state, hyper_parameters=TINY_HYPER):
    """Return the usual entries of a Lightning checkpoint that only hold plain values."""
    document = {
        "epoch": 41,
        "global_step": 9001,
        "pytorch-lightning_version": "1.8.0",
        "state_dict": state,
        "lr_schedulers": [{"factor": 0.1, "best": 0.5}],
        "optimizer_states": [
            {
                "state": {
                    i: {"step": torch.tensor(5.0), "exp_avg": torch.zeros(value.shape)}
                    for i, value in enumerate(state.values())
                    if isinstance(value, torch.Tensor)
                },
                "param_groups": [{"lr": 1e-4, "params": list(range(len(state)))}],
            }
        ],
    }
    return document | ({"hyper_parameters": hyper_parameters} if hyper_parameters else {})


def save_with_foreign_objects(path: Path, state, hyper_parameters=TINY_HYPER) -> Path:
    """Write a checkpoint with objects of classes that exist only while it is written."""
    module = types.ModuleType("pytorch_lightning_stand_in")

    class AttributeDict(dict):
        """As Lightning keeps hyper-parameters."""

    class ModelCheckpoint:
        """As a callback's key."""

    class Loop:
        """As the progress of the loops: an object with attributes and slots."""

        __slots__ = ("deep", "ready")

        def __init__(self) -> None:
            self.ready, self.deep = 3, {"x": [AttributeDict(a=1)]}

    for made in (AttributeDict, ModelCheckpoint, Loop):
        made.__module__, made.__qualname__ = module.__name__, made.__name__
        setattr(module, made.__name__, made)
    sys.modules[module.__name__] = module
    try:
        document = lightning_document(state, None) | {
            "hyper_parameters": AttributeDict(hyper_parameters),
            "hparams_name": "model_kwargs",
            "callbacks": {
                ModelCheckpoint: {
                    "best_model_score": torch.tensor(0.25),
                    "dirpath": Path("/somewhere/else"),
                    "kept": {Path("a.ckpt"): torch.tensor(0.5)},
                }
            },
            "loops": {"fit_loop": Loop(), "args": argparse.Namespace(gpus=6, loop=Loop())},
            "kinds": {torch.float16, torch.device("cpu")},
            "sizes": torch.Size([3, 4]),
        }
        torch.save(document, path)
    finally:
        del sys.modules[module.__name__]
    return path


def saved(path: Path, state, hyper_parameters=TINY_HYPER) -> Path:
    """Write a checkpoint of plain values."""
    torch.save(lightning_document(state, hyper_parameters), path)
    return path
