"""A released checkpoint becomes one safe file."""

from __future__ import annotations

from pathlib import Path

from c2s_data.errors import ConfigError
from c2s_data.schema import CLASS_NAMES
from c2s_model.nets.network_file import NetworkCard, write_network
from c2s_model.nets.published import PublishedCheckpoint, load_published

# The checkpoints record no preprocessing. Their programs label by formula 1, subtracting in
# float32, which puts an atom on average half a voxel above the voxel that carries its label.
_PRESET = "released"
_LABEL_RULE = "formula1-float32"
_DECODE_OFFSET_VOXEL = 0.5


def convert(
    checkpoint: Path,
    out: Path,
    *,
    attention_heads: int | None = None,
    target: str | None = None,
) -> tuple[PublishedCheckpoint, NetworkCard]:
    """Read a released checkpoint and write it as a network file.

    Parameters
    ----------
    checkpoint
        The Lightning file.
    out
        A new file, ``*.safetensors``.
    attention_heads, target
        As for `load_published`.

    Raises
    ------
    c2s_data.errors.ConfigError
        ``out`` exists or is named otherwise; an option that does not fit.
    CheckpointError
        The checkpoint is refused.
    """
    if out.suffix != ".safetensors":
        raise ConfigError(f"{out}: name the network file *.safetensors, which is what it is")
    if out.exists():
        raise ConfigError(f"{out} exists and is left as it is; remove it or choose another name")
    read = load_published(checkpoint, attention_heads=attention_heads, target=target)
    card = NetworkCard(
        variant=read.variant,
        architecture=read.architecture,
        classes={read.target: CLASS_NAMES[read.target]},
        preset=_PRESET,
        label_rule=_LABEL_RULE,
        decode_offset_voxel=_DECODE_OFFSET_VOXEL,
        source={
            "file": checkpoint.name,
            "sha256": read.sha256,
            "attention_heads_from": read.heads_from,
            "hyper_parameters": {k: str(v) for k, v in read.hyper_parameters.items()},
            "notes": list(read.notes),
        },
    )
    write_network(out, read.weights, card)
    return read, card
