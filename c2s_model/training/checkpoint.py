"""A checkpoint: everything a training needs to go on as if it had never stopped.

::

    checkpoints/step-00001234/
      network.safetensors     the weights, a network file like any other
      average.safetensors     their running average, if there is one; a network file as well
      optimizer.safetensors   moments of the optimizer
      state.safetensors       random states of every process, counts of the epoch under way
      state.json              all numbers and words of the state, and the digests of the files above

The folder is written beside its place and renamed, so whatever is called ``step-...`` is whole.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from safetensors.torch import load_file, save_file
from torch import Tensor

from c2s_data.errors import StoreError
from c2s_data.store.sealed import seal, unseal
from c2s_model.nets.checkpoint_error import CheckpointError
from c2s_model.nets.network_file import NetworkCard, load_network, write_network
from c2s_model.training.packed_state import pack, unpack
from c2s_model.training.run_folder import AVERAGE, NETWORK, STATE

FORMAT: Final = 1
_OPTIMIZER: Final = "optimizer.safetensors"
_OTHERS: Final = "state.safetensors"
_NAME: Final = re.compile(r"step-(\d{8,15})")
_MAX_STATE_BYTES: Final = 2**26

Weights = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint holds.

    Parameters
    ----------
    step
        Optimizer steps done.
    network
        Weights by name.
    average
        Their running average, or None.
    card
        What the weights mean.
    state
        Everything else, by name: plain values and tensors, nested.
    """

    step: int
    network: Weights
    average: Weights | None
    card: NetworkCard
    state: Mapping[str, Any]


def checkpoint_steps(folder: Path) -> list[int]:
    """Return the steps of which a folder has whole checkpoints, rising."""
    found = (_NAME.fullmatch(one.name) for one in folder.glob("step-*"))
    return sorted(int(match[1]) for match in found if match)


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies."""
    return folder / f"step-{step:08d}"


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint whole, in the place of one of that step, and return its folder.

    Raises
    ------
    OSError
        It cannot be written.
    """
    path = checkpoint_path(folder, checkpoint.step)
    beside = folder / f".{path.name}.{os.getpid()}.part"
    beside.mkdir(parents=True)
    try:
        _write_files(beside, checkpoint)
        sync(beside)
        if path.exists():  # Written before the end of the epoch, which takes no step.
            set_aside(path)
        beside.rename(path)
        sync(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return path


def _write_files(folder: Path, checkpoint: Checkpoint) -> None:
    source = {**checkpoint.card.source, "step": checkpoint.step, "average": False}
    card = replace(checkpoint.card, source=source)
    write_network(folder / NETWORK, checkpoint.network, card)
    if checkpoint.average is not None:
        averaged = replace(card, source={**card.source, "average": True})
        write_network(folder / AVERAGE, checkpoint.average, averaged)
    document, tensors = pack(checkpoint.state, "state")
    moments = {name: one for name, one in tensors.items() if name.startswith("state.optimizer.")}
    others = {name: one for name, one in tensors.items() if name not in moments}
    for name, table in ((_OPTIMIZER, moments), (_OTHERS, others)):
        save_file(table, folder / name)
        sync(folder / name)
    sealed = seal(
        {
            "format": FORMAT,
            "step": checkpoint.step,
            "sha256": {one.name: _sha256(one) for one in sorted(folder.iterdir())},
            "state": document,
        }
    )
    (folder / STATE).write_bytes(sealed)
    sync(folder / STATE)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint back, every byte of it checked.

    Raises
    ------
    CheckpointError
        Something in it is missing or has changed; the file is named.
    """
    document = _read_state(path)
    digests = document["sha256"]
    for name in (NETWORK, _OPTIMIZER, _OTHERS, *({AVERAGE} & digests.keys())):
        if not (path / name).is_file() or _sha256(path / name) != digests.get(name):
            raise CheckpointError(f"{path / name} is missing or has changed; {_remedy(path)}")
    network, card = load_network(path / NETWORK)
    average = load_network(path / AVERAGE).network.state_dict() if AVERAGE in digests else None
    tensors = load_file(path / _OPTIMIZER) | load_file(path / _OTHERS)
    state = unpack(document["state"], tensors)
    return Checkpoint(document["step"], network.state_dict(), average, card, state)


def _read_state(path: Path) -> dict[str, Any]:
    try:
        with (path / STATE).open("rb") as stream:
            data = stream.read(_MAX_STATE_BYTES + 1)
        document = unseal(data[:_MAX_STATE_BYTES], str(path / STATE))
    except (FileNotFoundError, StoreError) as error:
        raise CheckpointError(f"{error}; {_remedy(path)}") from error
    if document["format"] != FORMAT:
        raise CheckpointError(
            f"{path}: format {document['format']!r} of a checkpoint, this version reads {FORMAT}; "
            "go on with the version that wrote it"
        )
    return document


def _remedy(path: Path) -> str:
    return f"copy the run again, or remove {path.name} to go on from the checkpoint before it"


def remove_checkpoints(folder: Path, keep: Collection[int]) -> None:
    """Remove the checkpoints of all other steps, and what processes that were killed left."""
    for step in checkpoint_steps(folder):
        if step not in keep:
            set_aside(checkpoint_path(folder, step))
    for left in folder.glob(".step-*"):
        shutil.rmtree(left)


def set_aside(path: Path) -> None:
    """Give a checkpoint a name to be removed by: half removed, it must not look like one."""
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    shutil.rmtree(old, ignore_errors=True)
    path.rename(old)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Bring a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
