"""A file of torch.save: a zip archive of one pickle and the bytes of its tensors, read bounded."""

from __future__ import annotations

import zipfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import torch
from torch import Tensor

from c2s_model.nets.checkpoint_error import CheckpointError
from c2s_model.nets.inert_pickle import Storage, StoredTensor

_MAX_RECORDS: Final = 100_000
_MAX_PICKLE_BYTES: Final = 16 * 2**20
"""Descriptions of some thousand tensors take less than 1 MB."""
_ENCRYPTED: Final = 0x1


class TorchArchive:
    """The records of a file that torch.save wrote; a context manager.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    CheckpointError
        Not such a file, or one whose records could unfold beyond the size of the file.
    OSError
        The file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _check_kind(path)
        try:
            self._zip = zipfile.ZipFile(path)
            self._records = {info.filename: info for info in self._zip.infolist()}
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise self._refused(f"a damaged zip archive ({error})") from error
        try:
            self._check_records()
            self._root = self._find_root()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._zip.close()

    @property
    def pickle(self) -> bytes:
        """The pickle that describes everything."""
        return self._read(f"{self._root}/data.pkl")

    def tensor(self, stored: StoredTensor, shape: tuple[int, ...]) -> Tensor:
        """Read a tensor.

        Parameters
        ----------
        stored
            What the pickle says of it.
        shape
            What it must be; so its size is bounded by what the caller expects.

        Returns
        -------
        torch.Tensor
            On the CPU, contiguous, with memory of its own.
        """
        storage, offset, stride = self._checked(stored, shape)
        dtype = getattr(torch, storage.dtype)
        data = self._read(f"{self._root}/data/{storage.key}")
        if len(data) != storage.n_values * dtype.itemsize:
            raise self._refused(
                f"storage {storage.key!r} holds {len(data)} bytes, not {storage.n_values} "
                f"values of {storage.dtype}"
            )
        flat = torch.frombuffer(bytearray(data), dtype=dtype)
        return flat.as_strided(shape, stride, offset).clone(memory_format=torch.contiguous_format)

    def _checked(
        self, stored: StoredTensor, shape: tuple[int, ...]
    ) -> tuple[Storage, int, tuple[int, ...]]:
        storage, offset, stride = stored.storage, stored.offset, stored.stride
        fits = (
            isinstance(storage, Storage)
            and stored.shape == shape
            and isinstance(stride, tuple)
            and len(stride) == len(shape)
            and all(type(step) is int and step > 0 for step in stride)
            and type(offset) is int
            and offset >= 0
            and _last_value(offset, shape, stride) < storage.n_values
        )
        if not fits:
            raise self._refused("a tensor that lies outside of its storage")
        return storage, offset, stride

    def _read(self, name: str) -> bytes:
        if name not in self._records:
            raise self._refused(f"it has no record {name!r}")
        try:
            return self._zip.read(self._records[name])
        except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
            raise self._refused(f"record {name!r} is damaged ({error})") from error

    def _check_records(self) -> None:
        infos = self._zip.infolist()
        if len(infos) > _MAX_RECORDS or len(infos) != len(self._records):
            raise self._refused(f"{len(infos)} records, some of them twice or too many")
        for info in infos:
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & _ENCRYPTED:
                raise self._refused(f"record {info.filename!r} is compressed or encrypted")
            if info.compress_size != info.file_size:
                raise self._refused(f"record {info.filename!r} states two sizes")
        if sum(info.file_size for info in infos) > self.path.stat().st_size:
            raise self._refused("its records overlap")

    def _find_root(self) -> str:
        roots = {name.split("/", 1)[0] for name in self._records}
        root = next(iter(roots)) if len(roots) == 1 else ""
        pickle = self._records.get(f"{root}/data.pkl")
        if pickle is None:
            raise self._refused("no single folder with a data.pkl in it")
        if f"{root}/constants.pkl" in self._records:
            raise self._refused("a TorchScript program, not a file of weights")
        if pickle.file_size > _MAX_PICKLE_BYTES:
            raise self._refused(f"its data.pkl has {pickle.file_size:,} bytes")
        order = self._records.get(f"{root}/byteorder")
        if order is not None and (order.file_size > 8 or self._zip.read(order) != b"little"):
            raise self._refused("its numbers are not little-endian")
        return root

    def _refused(self, fact: str) -> CheckpointError:
        return CheckpointError(
            f"{self.path}: not a checkpoint as torch.save writes it: {fact}; fetch it again"
        )


def _check_kind(path: Path) -> None:
    with path.open("rb") as stream:
        start = stream.read(512)
    if start.startswith(b"PK\x03\x04"):
        return
    if start[257:262] == b"ustar":
        kind = "a tar archive, as torch wrote before version 0.4"
    elif start.startswith(b"\x80"):
        kind = "a bare pickle, as torch wrote before version 1.6"
    else:
        kind = "no zip archive"
    raise CheckpointError(
        f"{path}: {kind}, which cannot be read without executing it or is no checkpoint; where it "
        "is from a source you trust, load and save it with torch 1.6 or later, then come back"
    )


def _last_value(offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    return offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
