"""The folder of a run, and the network in it that others take.

::

    RUN/
      config.json           options of the training, and the store it began with
      checkpoints/          step-00001234/ ..., see `c2s_model.training.checkpoint`
      best.safetensors      the network of the best checkpoint so far
      history.csv           what every epoch came to
      logs/                 TensorBoard

In a bucket it has the same files; there a checkpoint is whole once it has its ``state.json``.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from c2s_data.errors import ConfigError
from c2s_model.nets.checkpoint_error import CheckpointError

CONFIG: Final = "config.json"
CHECKPOINTS: Final = "checkpoints"
BEST: Final = "best.safetensors"
HISTORY: Final = "history.csv"
LOGS: Final = "logs"
NETWORK: Final = "network.safetensors"
AVERAGE: Final = "average.safetensors"
STATE: Final = "state.json"
_LOCK: Final = ".lock"
_MAX_JSON_BYTES: Final = 2**24


def write_beside(path: Path, data: bytes) -> None:
    """Write a file beside its place and rename it: it is there whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON document whole, in the place of the one of that name."""
    write_beside(path, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of bounded size.

    Raises
    ------
    CheckpointError
        It is not there, too large or damaged.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_JSON_BYTES + 1)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such file; copy the run again") from error
    if len(data) > _MAX_JSON_BYTES:
        raise CheckpointError(f"{path}: larger than {_MAX_JSON_BYTES:,} bytes; not of a run")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); copy the run again") from error
    if not isinstance(document, dict):
        raise CheckpointError(f"{path}: not a JSON object; copy the run again")
    return document


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run's folder against a second training; the lock ends with the process, however.

    Raises
    ------
    ConfigError
        Another process has it.
    """
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"{folder}: another process trains in this folder; wait for it or stop it, or "
                "choose another folder"
            ) from error
        yield
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed left beside files of a run; only under its lock."""
    for left in folder.glob(".*.part"):
        left.unlink()


def vouching(name: str) -> str | None:
    """Return the file that makes the checkpoint whole that a file of a run belongs to."""
    top, _, rest = name.partition("/")
    step, is_inside, _ = rest.partition("/")
    return f"{top}/{step}/{STATE}" if top == CHECKPOINTS and is_inside else None


def beginning(names: Sequence[str]) -> list[str]:
    """Return what a process needs to go on with a run whose folder is another's to keep."""
    whole = [name.removesuffix(STATE) for name in names if vouching(name) == name]
    newest = max(whole, key=lambda name: (len(name), name), default="no checkpoint")
    return [name for name in names if name in (CONFIG, HISTORY) or name.startswith(newest)]


def files_of_run(names: Sequence[str]) -> Sequence[str]:
    """Return all files of a run; of another folder one, by which it is refused."""
    return names if CONFIG in names else names[:1]


def check_place(folder: Path) -> bool:
    """Return whether a folder holds a run already; refuse one that holds anything else.

    Raises
    ------
    ConfigError
        A file, or a folder with other things in it.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file and is left as it is; choose a folder for the run")
    if (folder / CONFIG).is_file():
        return True
    # Names with a dot are what a process left that was killed as it began.
    strange = sorted(one.name for one in folder.glob("*") if not one.name.startswith("."))
    if strange:
        raise ConfigError(
            f"{folder} holds {strange[0]!r} and no run ({CONFIG}); it is left as it is, choose "
            "another folder"
        )
    return False


def find_network(path: Path | str) -> Path:
    """Return the network file that a path stands for.

    Parameters
    ----------
    path
        A network file; the folder of a run, for its best network so far; or the folder of one
        checkpoint, for its averaged weights if it has any.

    Raises
    ------
    CheckpointError
        No network is there.
    """
    path = Path(path)
    if path.is_file():
        return path
    for name in (BEST, AVERAGE, NETWORK):
        if (path / name).is_file():
            return path / name
    if (path / CONFIG).is_file():
        raise CheckpointError(
            f"{path}: the run has no {BEST} yet; let it end an epoch, or give one of its "
            f"{CHECKPOINTS}/step-*"
        )
    raise CheckpointError(
        f"{path}: neither a network file nor the folder of a run; give a *.safetensors of "
        "`c2s-model train` or `c2s-model convert`"
    )
