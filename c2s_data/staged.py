"""Copies on this machine's disk of small inputs that lie in a bucket.

Maps and stores are read where they are. A network, a table or a folder of weights goes to a
library that wants a file, so the command line brings it here first and removes it when it ends.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

from c2s_data.errors import StoreError

_PIECE_BYTES: Final = 2**23
_OF_A_RUN: Final = ("best.safetensors", "average.safetensors", "network.safetensors")
_BESIDE_A_NETWORK: Final = ("config.json", "calibration.json")


def staged_input(address: str) -> Path:
    """Return a local path of an input: a path as it is, a file or folder of a bucket as a copy.

    Raises
    ------
    StoreError
        There is nothing of this name, the service refuses, or a name in a folder leads out of it.
    """
    if "://" not in address:
        return Path(address)
    from c2s_data.sources.input_file import is_input, is_url, local_path  # noqa: PLC0415 - slow
    from c2s_data.store.address import checked_key  # noqa: PLC0415
    from c2s_data.store.objects import open_objects  # noqa: PLC0415

    if not is_url(address):
        return local_path(address)
    address = address.rstrip("/")
    target = _new_place(address)
    if is_input(address):
        _copy(address, target)
        return target
    for name, _ in open_objects(address).walk():
        _copy(f"{address}/{checked_key(name, address)}", target / name)
    if not target.exists():
        raise StoreError(f"{address}: there is no such file or folder; correct the address")
    return target


def staged_network(address: str) -> Path:
    """Return a local path of a network: of a run in a bucket only the network itself is copied."""
    if "://" not in address or address.endswith(".safetensors"):
        return staged_input(address)
    from c2s_data.sources.input_file import is_input  # noqa: PLC0415 - slow

    networks = [name for name in _OF_A_RUN if is_input(f"{address.rstrip('/')}/{name}")][:1]
    target = staged_files(address, (*networks, *_BESIDE_A_NETWORK))
    if not target.exists():
        raise StoreError(f"{address}: neither a network file nor a run; correct the address")
    return target


def staged_files(address: str, names: Iterable[str]) -> Path:
    """Return a local path of a folder: itself, or of one in a bucket a copy of these files.

    There is none where none of them is there.
    """
    from c2s_data.sources.input_file import is_input, is_url, local_path  # noqa: PLC0415 - slow

    if not is_url(address):
        return local_path(address)
    address = address.rstrip("/")
    target = _new_place(address)
    for name in names:
        if is_input(f"{address}/{name}"):
            _copy(f"{address}/{name}", target / name)
    return target


def _copy(address: str, target: Path) -> None:
    from c2s_data.sources.input_file import open_input  # noqa: PLC0415

    target.parent.mkdir(parents=True, exist_ok=True)
    with open_input(address) as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy, _PIECE_BYTES)


def _new_place(address: str) -> Path:
    """Return a path that is free; its last name is the input's, for what goes by names."""
    folder = Path(tempfile.mkdtemp(dir=_folder()))
    return folder / address.rpartition("/")[2]


@cache
def _folder() -> str:
    folder = tempfile.mkdtemp(prefix="c2s-inputs-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
