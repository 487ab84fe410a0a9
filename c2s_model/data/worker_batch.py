"""How a batch gets from a worker of a DataLoader to the process that trains.

torch passes each tensor through fresh shared memory of its own: its pages are zeroed and mapped
one by one, and the receiver connects to the worker, proves who it is, and is handed a file
descriptor. That takes several times as long as reading the batch. Here large tensors are copied to
shared memory that both processes have mapped already, and small ones travel inside the message.

Memory is used again when nobody holds a tensor on it any more. A tensor made by ``from_numpy``, and
every view of it, holds the array and thereby what the array was made of: a `_Lease`, which says in
the memory itself that it is free when it goes (docs/decisions/0016-batches-from-workers.md).
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import get_worker_info

MEMORIES_KEPT: Final = 16
"""Batches of a worker that may be under way or in use; torch passes what is beyond."""
SMALL_NBYTES: Final = 2**16
"""What is smaller is sent by value."""
_LINE: Final = 64
"""Bytes that a tensor begins at a multiple of. The first line says whether the memory is in use."""
_FREE, _IN_USE = 0, 1
Name = tuple[int, int]
"""Process that made a memory, and its number there."""


class WorkerBatch(dict[str, torch.Tensor]):
    """A batch in a worker; it arrives as an ordinary dict."""


def for_consumer(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a batch as it should leave this process: as it is where nobody else gets it."""
    return batch if get_worker_info() is None else WorkerBatch(batch)


class _Part(NamedTuple):
    """A tensor in a memory: its first byte, its dtype as numpy writes it, its shape."""

    start: int
    dtype: str
    shape: tuple[int, ...]


class _Taken(NamedTuple):
    """Memory for a batch; what the receiver does not know yet, and what it may forget."""

    name: Name
    memory: torch.Tensor
    is_new: bool
    given_up: tuple[Name, ...] = ()


class _Memories:
    """Shared memory of one worker that its batches are copied to, again and again."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._kept: dict[Name, torch.Tensor] = {}
        self._given_up: list[Name] = []
        self._largest = 0

    def take(self, nbytes: int) -> _Taken | None:
        """Take memory that is free; None where too much is in use."""
        with self._lock:
            for name, memory in self._kept.items():
                if memory[0] == _FREE and len(memory) >= nbytes:
                    memory[0] = _IN_USE
                    return _Taken(name, memory, is_new=False)
            # What is free and too small is given up, so that batches that grow take no more.
            small = [name for name, memory in self._kept.items() if memory[0] == _FREE]
            for name in small:
                del self._kept[name]
            self._given_up += small
            if len(self._kept) >= MEMORIES_KEPT:
                return None
            # A short last batch gets as much as the others, and its memory serves them too.
            self._largest = max(self._largest, nbytes)
            memory = torch.zeros(self._largest, dtype=torch.uint8)
            name = self.pid, next(self._numbers)
            self._kept[name] = memory.share_memory_()  # type: ignore[no-untyped-call]
            memory[0] = _IN_USE
            taken = _Taken(name, memory, is_new=True, given_up=tuple(self._given_up))
            self._given_up.clear()
            return taken


class _Lease:
    """What an array on shared memory is made of; with it goes the use of the memory."""

    def __init__(self, memory: torch.Tensor) -> None:
        self._memory, self._pid = memory, os.getpid()
        self.__array_interface__ = {
            "version": 3,
            "data": (memory.data_ptr(), False),
            "shape": (len(memory),),
            "typestr": "|u1",
        }

    def __del__(self, process: Callable[[], int] = os.getpid, free: int = _FREE) -> None:
        # Names of the module may be gone at the end of the process, hence the arguments.
        if process() == self._pid:  # not in a fork of the process that uses it
            self._memory[0] = free


_made: list[_Memories] = []
_mapped: dict[Name, torch.Tensor] = {}


def _reduce(batch: WorkerBatch) -> tuple[Any, ...]:
    """Say how a batch is sent; called when it is put into a queue of another process."""
    small = {name: values for name, values in batch.items() if _is_small(values)}
    large = {name: values for name, values in batch.items() if name not in small}
    by_value = {name: values.numpy() for name, values in small.items()}
    parts, nbytes = _laid_out(large)
    found = _memories().take(nbytes) if parts else None
    if found is None:
        return _arrived, (list(batch), by_value, large)
    for key, part in parts.items():
        values = large[key]
        target = found.memory[part.start : part.start + values.nbytes].view(values.dtype)
        target.view(values.shape).copy_(values)
    known = found if found.is_new else found.name
    return _arrived_in_memory, (list(batch), by_value, parts, known)


def _memories() -> _Memories:
    if not _made or _made[0].pid != os.getpid():  # those before a fork are of the other process
        _made[:] = [_Memories()]
    return _made[0]


def _laid_out(large: dict[str, torch.Tensor]) -> tuple[dict[str, _Part], int]:
    """Return where tensors lie one after another, and the bytes of all; none for unusual ones."""
    parts, end = {}, _LINE
    for name, values in large.items():
        if values.device.type != "cpu" or values.dtype not in _DTYPES:
            return {}, 0
        parts[name] = _Part(end, _DTYPES[values.dtype], tuple(values.shape))
        end += -(-values.nbytes // _LINE) * _LINE
    return parts, end


def _is_small(values: torch.Tensor) -> bool:
    return values.device.type == "cpu" and values.dtype in _DTYPES and values.nbytes < SMALL_NBYTES


def _arrived(
    order: list[str], small: dict[str, NDArray[Any]], large: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    found = large | {name: torch.from_numpy(values) for name, values in small.items()}
    return {name: found[name] for name in order}


def _arrived_in_memory(
    order: list[str],
    small: dict[str, NDArray[Any]],
    parts: dict[str, _Part],
    found: _Taken | Name,
) -> dict[str, torch.Tensor]:
    if isinstance(found, _Taken):
        _forget_workers_that_ended()
        for name in found.given_up:
            _mapped.pop(name, None)
        _mapped[found.name] = found.memory
        found = found.name
    values = np.asarray(_Lease(_mapped[found]))
    large = {}
    for key, part in parts.items():
        dtype = np.dtype(part.dtype)
        nbytes = int(np.prod(part.shape)) * dtype.itemsize
        array = values[part.start : part.start + nbytes].view(dtype).reshape(part.shape)
        large[key] = torch.from_numpy(array)
    return _arrived(order, small, large)


def _forget_workers_that_ended() -> None:
    """Unmap their memory; what of it is in use is held by its lease."""
    names = list(_mapped)  # other threads may add to it
    for pid in {pid for pid, _ in names}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            for name in names:
                if name[0] == pid:
                    _mapped.pop(name, None)
        except PermissionError:  # somebody's who has the number of a worker that ended
            continue


_DTYPES: Final = {
    torch.float16: "f2", torch.float32: "f4", torch.float64: "f8", torch.bool: "?",
    torch.uint8: "u1", torch.int8: "i1", torch.int16: "i2", torch.int32: "i4", torch.int64: "i8",
}  # fmt: skip
ForkingPickler.register(WorkerBatch, _reduce)
