"""The 1024-byte header of an MRC2014/CCP4 map: words in, a checked `MapHeader` out.

Format: Cheng et al. 2015, J. Struct. Biol. 192, 146 (MRC2014); the signed-byte flags are IMOD's.
Nothing here opens a file or allocates by what the header says, so a hostile header costs nothing.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, NoReturn, get_args

import numpy as np

from c2s_data.errors import MapError, MapReason
from c2s_data.sources.density_map_origin import (
    MAX_ORIGIN_A,
    Index3,
    OriginRule,
    OriginSource,
    OriginWords,
    Triple,
    choose_origin,
    origin_conventions,
)

__all__ = [
    "MAX_ORIGIN_A",
    "MAX_VOXELS",
    "Index3",
    "MapHeader",
    "OriginRule",
    "Triple",
    "parse_header",
]

ByteOrder = Literal["<", ">"]

HEADER_BYTES = 1024
MAX_VOXELS = 1024**3
MAX_EXTENDED_HEADER_BYTES = 64 * 2**20
MIN_VOXEL_A, MAX_VOXEL_A = 0.01, 1000.0
RIGHT_ANGLE_TOLERANCE = 0.01  # degrees: 0.09 A across a box of 500 A

_LAYOUT = "3ii3i3i3f3f3i12x2i56x2i36x3f"
_STAMPS: dict[bytes, ByteOrder] = {b"DA": "<", b"DD": "<", b"\x11\x11": ">"}
_IMOD_STAMP, _IMOD_SIGNED, _IMOD_PACKED = 1146047817, 1, 16
_DTYPES = {0: np.int8, 1: np.int16, 2: np.float32, 6: np.uint16, 12: np.float16}
_COMPLEX_MODES = (3, 4)
_FIRST_STACK_GROUP, _LAST_SPACE_GROUP = 401, 230


class _Words(NamedTuple):
    """The words as stored: `n` and `nstart` of columns, rows, sections, all else of x, y, z."""

    n: Index3
    mode: int
    nstart: Index3
    m: Index3
    cell_A: Triple
    angles: Triple
    axes: Index3
    ispg: int
    nsymbt: int
    imod_stamp: int
    imod_flags: int
    origin_A: Triple


@dataclass(frozen=True)
class MapHeader:
    """What a map file says about itself, checked and turned into (z, y, x).

    Attributes
    ----------
    shape_zyx
        Voxels along z, y, x.
    voxel_size_zyx_A
        Cell length over sampling of the cell, per axis, in A.
    origin_xyz_A
        Position of the center of voxel (0, 0, 0), x, y, z in A.
    origin_from
        Which words gave the origin.
    mode
        MRC mode: 0, 1, 2, 6 or 12.
    source_dtype
        Type of the stored values, in native byte order.
    byte_order
        "<" or ">", of the file.
    axis_order
        mapc, mapr, maps: the axis (1 x, 2 y, 3 z) along columns, rows, sections.
    data_offset
        Bytes before the first value, extended header included.
    leniencies
        Names of the faults that were overlooked: "machine-stamp", "map-word", "cell-angles",
        "space-group".
    conventions_xyz_A
        Where each convention that programs follow puts voxel (0, 0, 0); see `origin_conventions`.
    """

    shape_zyx: Index3
    voxel_size_zyx_A: Triple
    origin_xyz_A: Triple
    origin_from: OriginSource
    mode: int
    source_dtype: np.dtype[np.generic]
    byte_order: ByteOrder
    axis_order: Index3
    data_offset: int
    leniencies: tuple[str, ...] = ()
    conventions_xyz_A: dict[str, Triple] = field(default_factory=dict, compare=False)

    @property
    def stored_dtype(self) -> np.dtype[np.generic]:
        """Type of the stored values in the file's byte order."""
        return self.source_dtype.newbyteorder(self.byte_order)

    @property
    def zyx_of_stored(self) -> Index3:
        """For sections, rows, columns: which axis of a (z, y, x) array each one is."""
        column, row, section = self.axis_order
        return (3 - section, 3 - row, 3 - column)

    @property
    def stored_shape(self) -> Index3:
        """Sections, rows, columns: the C-order shape of the data block."""
        section, row, column = self.zyx_of_stored
        return (self.shape_zyx[section], self.shape_zyx[row], self.shape_zyx[column])

    @property
    def n_voxels(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape_zyx)

    @property
    def declared_bytes(self) -> int:
        """Length that the uncompressed file must have."""
        return self.data_offset + self.n_voxels * self.source_dtype.itemsize

    @property
    def float32_bytes(self) -> int:
        """Bytes of the array that `read_density_map` returns."""
        return 4 * self.n_voxels


def parse_header(
    raw: bytes,
    name: str,
    *,
    origin: OriginRule = "auto",
    max_voxels: int = MAX_VOXELS,
) -> MapHeader:
    """Check the header of a map and turn it into (z, y, x) and A.

    Parameters
    ----------
    raw
        The first 1024 bytes of the uncompressed file.
    name
        The file's name: stands in messages, and its extension counts under origin "extension".
    origin
        "auto": the ORIGIN words unless all three are zero, else nstart times voxel size, nstart
        permuted along with the axes. "origin" and "nstart" take one of them, "sum" adds both,
        "zero" takes neither. "extension" follows ChimeraX: ORIGIN is ignored in .map and .ccp4,
        elsewhere used where non-zero and valid.
    max_voxels
        Refuse larger maps.

    Returns
    -------
    MapHeader

    Raises
    ------
    MapError
        With the reason: TRUNCATED, NOT_MRC, BAD_MODE, COMPLEX_MODE, BAD_AXES, BAD_DIMENSIONS,
        TOO_LARGE, BAD_EXTENDED_HEADER, VOLUME_STACK, BAD_CELL, BAD_ANGLES or BAD_ORIGIN.
    ValueError
        If `origin` is no known rule.
    """
    if origin not in get_args(OriginRule):
        raise ValueError(f"origin rule {origin!r} is not one of {get_args(OriginRule)}")
    words, byte_order, leniencies = _unpack(raw, name)
    dtype = _check_mode(words, name)
    if sorted(words.axes) != [1, 2, 3]:
        _refuse(MapReason.BAD_AXES, name, f"axis codes {words.axes} are no order of 1, 2, 3")
    _check_dimensions(words, name, max_voxels)
    leniencies += _check_space_group(words, name) + _check_angles(words, name)
    voxel_xyz_A = _voxel_size(words, name)
    placing = OriginWords(words.origin_A, words.nstart, words.axes)
    origin_xyz_A, origin_from = choose_origin(placing, voxel_xyz_A, origin, name)
    x, y, z = (words.axes.index(code) for code in (1, 2, 3))
    return MapHeader(
        shape_zyx=(words.n[z], words.n[y], words.n[x]),
        voxel_size_zyx_A=(voxel_xyz_A[2], voxel_xyz_A[1], voxel_xyz_A[0]),
        origin_xyz_A=origin_xyz_A,
        origin_from=origin_from,
        mode=words.mode,
        source_dtype=dtype,
        byte_order=byte_order,
        axis_order=words.axes,
        data_offset=HEADER_BYTES + words.nsymbt,
        leniencies=leniencies,
        conventions_xyz_A=origin_conventions(placing, voxel_xyz_A),
    )


def _refuse(reason: MapReason, name: str, message: str) -> NoReturn:
    raise MapError(reason, f"{name}: {message}")


def _unpack(raw: bytes, name: str) -> tuple[_Words, ByteOrder, tuple[str, ...]]:
    if len(raw) < HEADER_BYTES:
        _refuse(
            MapReason.TRUNCATED,
            name,
            f"{len(raw)} bytes where the header alone has {HEADER_BYTES}; fetch the file again",
        )
    if raw[208:211] != b"MAP":
        _refuse(
            MapReason.NOT_MRC,
            name,
            "no 'MAP ' at byte 208, so this is no MRC2014/CCP4 map; convert it to one",
        )
    stamped = _STAMPS.get(raw[212:214])
    scores = {order: _score(_words(raw, order)) for order in get_args(ByteOrder)}
    byte_order: ByteOrder = stamped or "<"
    if scores["<"] != scores[">"]:
        byte_order = "<" if scores["<"] > scores[">"] else ">"
    faults = {"machine-stamp": byte_order != stamped, "map-word": raw[211:212] != b" "}
    leniencies = tuple(name for name, present in faults.items() if present)
    return _words(raw, byte_order), byte_order, leniencies


def _words(raw: bytes, byte_order: ByteOrder) -> _Words:
    w = struct.unpack_from(byte_order + _LAYOUT, raw)
    return _Words(
        n=w[0:3],
        mode=w[3],
        nstart=w[4:7],
        m=w[7:10],
        cell_A=w[10:13],
        angles=w[13:16],
        axes=w[16:19],
        ispg=w[19],
        nsymbt=w[20],
        imod_stamp=w[21],
        imod_flags=w[22],
        origin_A=w[23:26],
    )


def _score(words: _Words) -> int:
    """How many of ten words are small, as they are in one byte order only.

    A majority, not a proof: one wrong word must not turn the order around.
    """
    return sum(abs(word) < 2**16 for word in (*words.n, words.mode, *words.m, *words.axes))


def _check_mode(words: _Words, name: str) -> np.dtype[np.generic]:
    if words.mode in _COMPLEX_MODES:
        _refuse(
            MapReason.COMPLEX_MODE,
            name,
            f"mode {words.mode} holds a complex transform; give the real-space map",
        )
    imod = words.imod_stamp == _IMOD_STAMP
    packed = words.mode == 0 and imod and words.imod_flags & _IMOD_PACKED
    if words.mode not in _DTYPES or packed:
        fact = "mode 0 packed to 4 bits" if packed else f"mode {words.mode}"
        _refuse(MapReason.BAD_MODE, name, f"{fact} is not one of 0, 1, 2, 6, 12; convert to mode 2")
    if words.mode == 0 and imod and not words.imod_flags & _IMOD_SIGNED:
        return np.dtype(np.uint8)
    return np.dtype(_DTYPES[words.mode])


def _check_dimensions(words: _Words, name: str, max_voxels: int) -> None:
    if min(words.n) < 2:
        _refuse(
            MapReason.BAD_DIMENSIONS,
            name,
            f"{words.n} columns, rows, sections: a volume has at least 2 of each",
        )
    if math.prod(words.n) > max_voxels:
        _refuse(
            MapReason.TOO_LARGE,
            name,
            f"{words.n} are {math.prod(words.n):,} voxels, above the limit of {max_voxels:,}; "
            "crop the map or raise max_voxels",
        )
    if not 0 <= words.nsymbt <= MAX_EXTENDED_HEADER_BYTES:
        _refuse(
            MapReason.BAD_EXTENDED_HEADER,
            name,
            f"extended header of {words.nsymbt} bytes, outside 0..{MAX_EXTENDED_HEADER_BYTES}",
        )


def _check_space_group(words: _Words, name: str) -> tuple[str, ...]:
    if words.ispg >= _FIRST_STACK_GROUP:
        sections = words.n[2]
        per_volume = words.m[words.axes[2] - 1]
        if sections != per_volume:
            _refuse(
                MapReason.VOLUME_STACK,
                name,
                f"space group {words.ispg} marks a stack: {sections} sections, {per_volume} in "
                "one volume; write one volume to a file of its own",
            )
    elif not 0 <= words.ispg <= _LAST_SPACE_GROUP:
        return ("space-group",)
    return ()


def _check_angles(words: _Words, name: str) -> tuple[str, ...]:
    if not any(words.angles):  # never filled in by some older programs
        return ("cell-angles",)
    if not all(abs(angle - 90.0) <= RIGHT_ANGLE_TOLERANCE for angle in words.angles):
        _refuse(
            MapReason.BAD_ANGLES,
            name,
            f"cell angles {words.angles} are not 90 degrees; resample onto an orthogonal grid",
        )
    return ()


def _voxel_size(words: _Words, name: str) -> Triple:
    if min(words.m) <= 0:
        _refuse(
            MapReason.BAD_CELL,
            name,
            f"the cell is sampled {words.m} times, so there is no voxel size; correct mx, my, mz",
        )
    x, y, z = (length / count for length, count in zip(words.cell_A, words.m, strict=True))
    if not all(MIN_VOXEL_A <= size <= MAX_VOXEL_A for size in (x, y, z)):
        _refuse(
            MapReason.BAD_CELL,
            name,
            f"cell {words.cell_A} A over {words.m} gives voxels of {x:g}, {y:g}, {z:g} A, outside "
            f"{MIN_VOXEL_A:g}..{MAX_VOXEL_A:g}; correct the cell in the header",
        )
    return (x, y, z)
