"""Shape and codecs of a sharded Zarr v3 array, as this package writes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, get_args

import numpy as np

from c2s_data.store.array_metadata import read_encoding

Compressor = Literal["lz4", "zstd", "none"]

CLEVEL: Final[Mapping[str, int]] = {"lz4": 9, "zstd": 1}
"""Measured on noisy float16 density: lz4 level 9 is 7 % smaller than 5 and decodes as fast; zstd
above 1 encodes three times slower for 10 %. Bit shuffle is larger (54 against 48 KiB), so bytes."""
CRC_NBYTES: Final = 4


@dataclass(frozen=True)
class ShardSpec:
    """Shape and codecs of one sharded array.

    Parameters
    ----------
    shard_shape, chunk_shape
        Voxels (or rows) of a shard and of an inner chunk; every side of the shard is a multiple.
    dtype
        Element type; stored little-endian.
    compressor
        ``lz4`` (fast to decode), ``zstd`` (a third smaller) or ``none`` (the values themselves,
        followed by their checksum).

    Raises
    ------
    ValueError
        The shapes do not fit each other, or the dtype is no plain number.
    """

    shard_shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    compressor: Compressor = "lz4"

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", np.dtype(self.dtype).newbyteorder("<"))
        pairs = list(zip(self.shard_shape, self.chunk_shape, strict=False))
        if len(self.shard_shape) != len(self.chunk_shape) or any(
            chunk < 1 or shard < 1 or shard % chunk for shard, chunk in pairs
        ):
            raise ValueError(
                f"shard {self.shard_shape} is no multiple of chunk {self.chunk_shape}; "
                "round every side of the shard up to whole chunks"
            )
        if self.dtype.kind not in "iuf" or self.compressor not in get_args(Compressor):
            raise ValueError(f"no shard of {self.dtype} with {self.compressor}: use numbers, lz4")

    @cached_property
    def grid_shape(self) -> tuple[int, ...]:
        """Chunks along each axis of a shard."""
        return tuple(s // c for s, c in zip(self.shard_shape, self.chunk_shape, strict=True))

    @cached_property
    def n_chunks(self) -> int:
        """Chunks in a shard."""
        return math.prod(self.grid_shape)

    @cached_property
    def chunk_nbytes(self) -> int:
        """Bytes of one decoded chunk."""
        return math.prod(self.chunk_shape) * self.dtype.itemsize

    @property
    def is_plain(self) -> bool:
        """Whether chunks are not compressed: each takes its `chunk_nbytes` and a checksum."""
        return self.compressor == "none"

    @cached_property
    def index_nbytes(self) -> int:
        """Bytes of the index at the end of a shard, checksum included."""
        return 16 * self.n_chunks + CRC_NBYTES

    def shard_key(self, *coordinates: int) -> str:
        """Path of a shard below its array: ``c/3/0/0/0``; coordinates left out are 0."""
        padding = (0,) * (len(self.shard_shape) - len(coordinates))
        return "/".join(("c", *map(str, (*coordinates, *padding))))

    def zarr_codecs(self) -> dict[str, Any]:
        """Keyword arguments for ``zarr.create_array`` that declare exactly this encoding."""
        return {
            "chunks": self.chunk_shape,
            "shards": self.shard_shape,
            "dtype": self.dtype,
            "fill_value": 0,
            "filters": None,
            "serializer": {"name": "bytes", "configuration": {"endian": "little"}},
            "compressors": (*self._blosc(), {"name": "crc32c"}),
            "config": {"write_empty_chunks": True},
        }

    def _blosc(self) -> list[dict[str, Any]]:
        if self.is_plain:
            return []
        options = {
            "cname": self.compressor,
            "clevel": CLEVEL[self.compressor],
            "shuffle": "shuffle",
            "typesize": self.dtype.itemsize,
            "blocksize": 0,
        }
        return [{"name": "blosc", "configuration": options}]

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> ShardSpec:
        """Read the spec out of an array's parsed ``zarr.json``, before any chunk is read.

        Raises
        ------
        StoreError
            The array is not a Zarr v3 array with exactly the codecs, one of the types and sizes
            within the bounds of this package.
        """
        return cls(**read_encoding(metadata))
