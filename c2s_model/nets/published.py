"""Checkpoints that the paper's authors released, read without executing anything in them.

They are files of PyTorch Lightning, and `load_published` turns one into weights for `Unetr`.
Strict: each tensor of the file's
``state_dict`` is used exactly once and each of ours is filled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from c2s_data.errors import ConfigError
from c2s_model.nets.checkpoint_error import CheckpointError
from c2s_model.nets.inert_pickle import Inert, StoredTensor, read_inert
from c2s_model.nets.published_layout import QKV, own_qkv, published_name
from c2s_model.nets.published_sizes import PlainValue, Shapes, infer_sizes, sequence_names
from c2s_model.nets.torch_archive import TorchArchive
from c2s_model.nets.unetr import shapes_only
from c2s_model.nets.variants import TARGETS, Architecture, classes_of, nearest_variant

_USED: Final = ("state_dict", "hyper_parameters")


@dataclass(frozen=True)
class PublishedCheckpoint:
    """What a released checkpoint holds.

    Parameters
    ----------
    weights
        For `Unetr` with the one head ``target``: float32, contiguous, on the CPU.
    architecture
        Sizes, from the shapes of the weights and the file's hyper-parameters.
    variant
        The variant of these sizes, whatever its number of heads; "custom" where there is none.
    target
        What it predicts.
    heads_from
        Where the number of attention heads comes from: option | hyper_parameters | variant |
        default.
    hyper_parameters
        Those of the file that are plain values.
    inert_globals
        Names in the file outside of those that rebuild tensors. ``torch.load(weights_only=True)``
        refuses most of them; here placeholders stood for them.
    ignored
        Entries of the file that were not used.
    notes
        What whoever uses it should know.
    sha256
        Of the file, hex.
    """

    weights: dict[str, Tensor]
    architecture: Architecture
    variant: str
    target: str
    heads_from: str
    hyper_parameters: dict[str, PlainValue]
    inert_globals: tuple[str, ...]
    ignored: tuple[str, ...]
    notes: tuple[str, ...]
    sha256: str


def load_published(
    path: Path | str, *, attention_heads: int | None = None, target: str | None = None
) -> PublishedCheckpoint:
    """Read a released checkpoint without executing anything in it.

    Parameters
    ----------
    path
        The Lightning file (.ckpt).
    attention_heads
        Heads of each attention. By default those of the file's hyper-parameters, else those of
        the variant with as many layers (small 6, full 12; the paper's Table 3), else 12.
    target
        What it predicts; needed for 4 classes, which atom and secondary both have.

    Returns
    -------
    PublishedCheckpoint
        Weights and what is known of them.

    Raises
    ------
    CheckpointError
        Not such a file, or weights that do not fit together.
    c2s_data.errors.ConfigError
        An option that does not fit the file.
    OSError
        The file cannot be read.
    """
    path = Path(path)
    with TorchArchive(path) as archive:
        document, inert_globals = read_inert(archive.pickle, str(path))
        state, hyper_parameters, ignored = _split(document, path)
        shapes = {key: _shape(value, key, path) for key, value in state.items()}
        sizes = infer_sizes(shapes, hyper_parameters, attention_heads, str(path))
        chosen = _target(sizes.classes, target, path)
        names = _names(sizes.architecture, chosen, shapes, path)
        # Without other names torch's own reader has nothing to refuse.
        values = state if inert_globals else _load_with_torch(path)
        weights = {
            own: _weight(own, values[theirs], shapes[theirs], sizes.architecture, archive)
            for own, theirs in names.items()
        }
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return PublishedCheckpoint(
        weights=weights,
        architecture=sizes.architecture,
        variant=nearest_variant(sizes.architecture),
        target=chosen,
        heads_from=sizes.heads_from,
        hyper_parameters=hyper_parameters,
        inert_globals=inert_globals,
        ignored=ignored,
        notes=sizes.notes,
        sha256=sha256,
    )


def _split(
    document: object, path: Path
) -> tuple[dict[str, Any], dict[str, PlainValue], tuple[str, ...]]:
    """Return the weights, the plain hyper-parameters, and the names of what is left aside."""
    state = document.get("state_dict") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(state, dict) or not state:
        raise CheckpointError(
            f"{path}: it has no state_dict, so it is no Lightning checkpoint; take the .ckpt file "
            "that was released, or that ModelCheckpoint wrote"
        )
    given = document.get("hyper_parameters")
    if isinstance(given, Inert):  # a mapping or a namespace of a class that is not known here
        given = given.entries or given.state
    plain = {
        key: value
        for key, value in (given.items() if isinstance(given, dict) else ())
        if isinstance(key, str) and _is_plain(value)
    }
    ignored = sorted(str(key) for key in document if key not in _USED)
    return state, plain, tuple(ignored)


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(one is None or isinstance(one, bool | int | float | str) for one in value)
    return value is None or isinstance(value, bool | int | float | str)


def _shape(value: object, key: object, path: Path) -> tuple[int, ...]:
    shape = value.shape if isinstance(value, StoredTensor) else None
    if (
        not isinstance(key, str)
        or not isinstance(shape, tuple)
        or not all(type(side) is int and side > 0 for side in shape)
    ):
        raise CheckpointError(
            f"{path}: entry {str(key)[:80]!r} of its state_dict is no tensor; fetch the file again"
        )
    return shape


def _target(classes: int, wanted: str | None, path: Path) -> str:
    fitting = [target for target in TARGETS if classes_of([target])[target] == classes]
    if not fitting:
        raise CheckpointError(
            f"{path}: it predicts {classes} classes, which no target has "
            f"({classes_of(TARGETS)}); it is another network"
        )
    if wanted is None and len(fitting) > 1:
        raise ConfigError(
            f"{path}: its {classes} classes fit {' and '.join(fitting)}; say which with the "
            "option target"
        )
    if wanted is not None and wanted not in fitting:
        raise ConfigError(
            f"{path}: it predicts {classes} classes, so its target is {' or '.join(fitting)}, "
            f"not {wanted}"
        )
    return wanted or fitting[0]


def _names(architecture: Architecture, target: str, shapes: Shapes, path: Path) -> dict[str, str]:
    """Return our key -> the file's key, each used once, or raise with what does not fit."""
    own_shapes = {
        key: tuple(value.shape)
        for key, value in shapes_only(architecture, classes_of([target])).state_dict().items()
    }
    sequence = sequence_names(shapes, architecture) if architecture.sequence_width else {}
    names = {own: published_name(own) or sequence.get(own, "") for own in own_shapes}
    missing = sorted(f"{theirs or own}" for own, theirs in names.items() if theirs not in shapes)
    surplus = sorted(shapes.keys() - set(names.values()))
    wrong = [
        f"{theirs} {shapes[theirs]}, not {own_shapes[own]}"
        for own, theirs in names.items()
        if theirs in shapes and shapes[theirs] != own_shapes[own]
    ]
    if missing or surplus or wrong:
        raise CheckpointError(
            f"{path}: not the weights of a published network: missing {_few(missing)}, not known "
            f"{_few(surplus)}, of another shape {_few(wrong)}; it may be of another program"
        )
    return names


def _few(names: list[str]) -> str:
    shown = ", ".join(name[:120] for name in names[:3]) or "none"
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _load_with_torch(path: Path) -> Mapping[str, Any]:
    try:
        document = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, ValueError, TypeError, EOFError, LookupError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: torch cannot read it ({str(error)[:200]}); fetch it again"
        ) from error
    state: Mapping[str, Any] = document["state_dict"]
    return state


def _weight(
    own: str,
    value: Tensor | StoredTensor,
    shape: tuple[int, ...],
    architecture: Architecture,
    archive: TorchArchive,
) -> Tensor:
    """Return one weight as ours: float32, contiguous, its own memory."""
    read = archive.tensor(value, shape) if isinstance(value, StoredTensor) else value.detach()
    if not read.is_floating_point() or not bool(read.isfinite().all()):
        raise CheckpointError(
            f"{archive.path}: the weight {published_name(own) or own} is not of finite floating "
            "numbers; the training diverged or the file is damaged"
        )
    if own.endswith(QKV):
        read = own_qkv(read, architecture.attention_heads)
    return read.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
