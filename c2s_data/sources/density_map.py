"""Density maps: MRC2014/CCP4 files, plain or gzipped, become float32 arrays in (z, y, x).

The reader is bounded: a file is refused from its header and its length before the array is
allocated, and beside the array only blocks of a few MiB are held. Every refusal is a `MapError`
with a reason code.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, NoReturn, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from c2s_data.errors import MapError, MapReason
from c2s_data.sources.density_map_file import Readable, expect_end, open_map, read_exactly, skip
from c2s_data.sources.density_map_header import (
    MAX_VOXELS,
    Index3,
    MapHeader,
    OriginRule,
    Triple,
)
from c2s_data.sources.density_map_writer import write_mrc
from c2s_data.transforms.moments import moments
from c2s_data.transforms.paging import Allocate, release, slabs

__all__ = [
    "MAX_VOXELS",
    "DensityMap",
    "MapHeader",
    "NonFinite",
    "OriginRule",
    "read_density_map",
    "read_map_header",
    "write_density_map",
]

NonFinite = Literal["refuse", "zero"]
MAX_DENSITY = 1e37  # differences of larger values overflow float32 when a map is resampled

_MIN_BLOCK_BYTES = 4 * 2**20
_BLOCKS_IN_MAP = 64  # beyond 256 MiB a block is this share of the map


@dataclass(frozen=True, eq=False)
class DensityMap:
    """A density map in memory.

    Attributes
    ----------
    values_zyx
        float32 (z, y, x), C-contiguous.
    voxel_size_zyx_A
        Per axis, z, y, x, in A.
    origin_xyz_A
        Position of the center of voxel (0, 0, 0), x, y, z in A.
    source_dtype
        Type of the values in the file, in native byte order.
    leniencies
        Names of header faults that were overlooked; see `MapHeader`.
    n_zeroed
        Voxels that were not finite in the file (or beyond 1e37) and are 0 here.
    file_bytes, file_sha256
        Length and digest of the file as stored, where the map was read from one; the digest only
        where it was asked for.

    Raises
    ------
    ValueError
        If the array is not float32, three-dimensional and C-contiguous.
    """

    values_zyx: NDArray[np.float32]
    voxel_size_zyx_A: Triple
    origin_xyz_A: Triple
    source_dtype: np.dtype[np.generic] = field(default_factory=lambda: np.dtype(np.float32))
    leniencies: tuple[str, ...] = ()
    n_zeroed: int = 0
    file_bytes: int | None = None
    file_sha256: str | None = None

    def __post_init__(self) -> None:
        values = self.values_zyx
        if values.dtype != np.float32 or values.ndim != 3 or not values.flags.c_contiguous:
            raise ValueError(
                f"density of type {values.dtype} and shape {values.shape} must be a C-contiguous "
                "float32 (z, y, x) array; use np.ascontiguousarray(values, np.float32)"
            )

    @property
    def grid(self) -> tuple[NDArray[np.float32], Triple, Triple]:
        """The values with their voxel size (z, y, x) and origin (x, y, z) in A."""
        return self.values_zyx, self.voxel_size_zyx_A, self.origin_xyz_A

    @cached_property
    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation of the values, measured once: several steps ask."""
        return moments(self.values_zyx)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader of a report should know of the file."""
        notes = [f"header faults of the map overlooked: {', '.join(self.leniencies)}"]
        zeroed = f"{self.n_zeroed:,} of {self.values_zyx.size:,} voxels were not finite, set to 0"
        return tuple(notes * bool(self.leniencies) + [zeroed] * bool(self.n_zeroed))


def read_map_header(
    path: str | os.PathLike[str], *, origin: OriginRule = "auto", max_voxels: int = MAX_VOXELS
) -> MapHeader:
    """Read and check the header of a map; of a .gz file only its first bytes are inflated.

    Parameters
    ----------
    path
        MRC2014/CCP4 file; gzip is recognized by content, whatever the name.
    origin, max_voxels
        As for `parse_header`.

    Returns
    -------
    MapHeader

    Raises
    ------
    MapError
        NOT_FOUND, UNREADABLE, BAD_GZIP, TRUNCATED or TOO_LONG (the file's length contradicts the
        header), or a reason that `parse_header` gives.
    """
    with open_map(path, origin, max_voxels) as file:
        return file.header


def read_density_map(
    path: str | os.PathLike[str],
    *,
    origin: OriginRule = "auto",
    max_voxels: int = MAX_VOXELS,
    non_finite: NonFinite = "refuse",
    sha256: bool = False,
    allocate: Allocate = np.empty,
) -> DensityMap:
    """Read a map into float32 (z, y, x), whatever its mode, byte order and axis order.

    Parameters
    ----------
    path
        MRC2014/CCP4 file, modes 0, 1, 2, 6 and 12; gzip is recognized by content. Bytes of mode 0
        are signed unless IMOD's stamp says unsigned.
    origin, max_voxels
        As for `parse_header`.
    non_finite
        "refuse": a voxel that is nan, infinite or beyond 1e37 is an error. "zero": it becomes 0
        and is counted.
    sha256
        Also digest the stored bytes while they are read.
    allocate
        Gives the array.

    Returns
    -------
    DensityMap
        Peak memory is the array and three blocks of at most max(4 MiB, array / 64).

    Raises
    ------
    MapError
        As `read_map_header`, and NOT_FINITE, CONSTANT or NOT_POSITIVE for the values.
    ValueError
        If `origin` or `non_finite` is no known rule.
    """
    if non_finite not in get_args(NonFinite):
        raise ValueError(f"rule for non-finite voxels {non_finite!r}: use refuse or zero")
    with open_map(path, origin, max_voxels) as file:
        file.confirm_length()
        digest = hashlib.sha256() if sha256 else None
        with file.stream(digest) as stream:
            values = allocate(file.header.shape_zyx, np.float32)
            n_zeroed = _read_values(stream, file.header, file.name, non_finite, values)
    return DensityMap(
        values_zyx=values,
        voxel_size_zyx_A=file.header.voxel_size_zyx_A,
        origin_xyz_A=file.header.origin_xyz_A,
        source_dtype=file.header.source_dtype,
        leniencies=file.header.leniencies,
        n_zeroed=n_zeroed,
        file_bytes=file.stored_bytes,
        file_sha256=digest.hexdigest() if digest else None,
    )


def write_density_map(
    path: str | os.PathLike[str],
    density: DensityMap,
    *,
    labels: Sequence[str] = (),
    dtype: DTypeLike | None = None,
) -> None:
    """Write a map that `mrcfile.validate` accepts: beside first, then renamed.

    Parameters
    ----------
    path
        A name that ends in .gz is compressed; the bytes hold no time stamp.
    density
        The origin goes to the ORIGIN words; nstart is 0 and the cell is the whole box.
    labels
        At most ten, of at most 80 ASCII characters.
    dtype
        float32 (default, mode 2), float16 (12), int8 or uint8 up to 127 (0), int16 (1), uint16 (6).

    Raises
    ------
    ValueError
        If the values do not fit the type exactly (float16: within its range), or voxel size,
        origin or labels cannot stand in a header.
    """
    write_mrc(
        Path(path),
        density.values_zyx,
        density.voxel_size_zyx_A,
        density.origin_xyz_A,
        labels=labels,
        dtype=np.dtype(np.float32 if dtype is None else dtype),
    )


def _read_values(
    stream: Readable,
    header: MapHeader,
    name: str,
    non_finite: NonFinite,
    values: NDArray[np.float32],
) -> int:
    """Read, check and place the data block by block, straight into the array where it can."""
    skip(stream, header.data_offset, name)
    in_file_order = values.transpose(header.zyx_of_stored)
    direct = header.stored_dtype == np.float32 and in_file_order.flags.c_contiguous
    blocks = list(_blocks(header.stored_shape))
    largest = max((in_file_order[block].size for block in blocks), default=0)
    scratch = np.empty(0 if direct else largest, header.stored_dtype)
    low, high, n_zeroed = math.inf, -math.inf, 0
    for block in blocks:
        target = in_file_order[block]
        stored = target if direct else scratch[: target.size].reshape(target.shape)
        read_exactly(stream, stored.reshape(-1).view(np.uint8).data, name)
        with np.errstate(invalid="ignore"):  # a signalling nan is found below, without a warning
            density = stored.astype(np.float32, copy=False)
            block_low, block_high = float(density.min()), float(density.max())
        if not (block_low >= -MAX_DENSITY and block_high <= MAX_DENSITY):  # false for nan too
            if non_finite == "refuse":
                _refuse_non_finite(name)
            bad = ~(np.abs(density) <= MAX_DENSITY)
            density[bad] = 0.0
            n_zeroed += int(bad.sum())
            block_low, block_high = float(density.min()), float(density.max())
        low, high = min(low, block_low), max(high, block_high)
        if not direct:
            _place(density, target, header.zyx_of_stored.index(0), values)
        release(values)
    expect_end(stream, name)
    _check_range(low, high, name)
    return n_zeroed


def _place(
    density: NDArray[np.float32],
    target: NDArray[np.float32],
    z_axis: int,
    values: NDArray[np.float32],
) -> None:
    """Copy a block to its place in the array, plane by plane where that lies in a file."""
    for some in slabs(target.shape[z_axis], values):
        planes = (slice(None),) * z_axis + (some,)
        target[planes] = density[planes]


def _blocks(stored_shape: Index3) -> Iterator[tuple[slice, slice]]:
    """Cut sections, or the rows of one section, so that no block is large beside the map."""
    sections, rows, columns = stored_shape
    limit = max(_MIN_BLOCK_BYTES, 4 * math.prod(stored_shape) // _BLOCKS_IN_MAP)
    n_sections = max(1, limit // (4 * rows * columns))
    n_rows = max(1, limit // (4 * columns)) if n_sections == 1 else rows
    for section in range(0, sections, n_sections):
        for row in range(0, rows, n_rows):
            yield slice(section, section + n_sections), slice(row, row + n_rows)


def _refuse_non_finite(name: str) -> NoReturn:
    message = f"{name}: the map holds nan, infinite values or such beyond {MAX_DENSITY:g}; "
    remedy = "repair it, or set them to 0 with the option non_finite zero"
    raise MapError(MapReason.NOT_FINITE, message + remedy)


def _check_range(low: float, high: float, name: str) -> None:
    if low == high:
        message = f"{name}: every voxel is {low:g}; this is no density map"
        raise MapError(MapReason.CONSTANT, message)
    if high <= 0:
        message = f"{name}: no voxel is above 0 (largest {high:g}); is the contrast inverted?"
        raise MapError(MapReason.NOT_POSITIVE, message)
