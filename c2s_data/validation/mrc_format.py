"""The paper's eleven checks of MRC2014 compliance, each a function of its own.

Format: Cheng et al. 2015, J. Struct. Biol. 192, 146. The paper ran `mrcfile.validate`; these are
written from its list ("Validation of MRC files") and stand beside that function as a second
opinion. Where they differ, they are stricter: the paper says that dimensions must be positive,
and mrcfile accepts zeros.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

HEADER_BYTES: Final = 1024
_LITTLE: Final = (b"\x44\x44\x00\x00", b"\x44\x41\x00\x00")
_BIG: Final = b"\x11\x11\x00\x00"
_DTYPES: Final = {0: "i1", 1: "i2", 2: "f4", 4: "c8", 6: "u2", 12: "f2"}
_WORDS: Final = "3ii3i3i3f3f3i3f2i8x4si84x3f4s4sfi"
_VERSIONS: Final = (20140, 20141)
_EXTENDED_TYPES: Final = (b"CCP4", b"MRCO", b"SERI", b"AGAR", b"FEI1", b"FEI2", b"HDF5")
_VOLUME_STACKS: Final = range(401, 631)
_N_LABELS, _LABEL_LENGTH = 10, 80
_TOLERANCE: Final = 0.01
_BLOCK_VALUES: Final = 2**22


@dataclass(frozen=True)
class MrcFile:
    """A file and the words of its header, unchecked.

    ``n``, ``m`` and ``cell_A`` go x, y, z; ``axes`` are mapc, mapr, maps; ``statistics`` are dmin,
    dmax, dmean, rms.
    """

    path: Path
    nbytes: int
    byte_order: str
    n: tuple[int, int, int]
    mode: int
    m: tuple[int, int, int]
    cell_A: tuple[float, float, float]
    axes: tuple[int, int, int]
    statistics: tuple[float, float, float, float]
    ispg: int
    nsymbt: int
    exttyp: bytes
    nversion: int
    origin_xyz_A: tuple[float, float, float]
    map_id: bytes
    machine_stamp: bytes
    nlabl: int
    labels: tuple[bytes, ...]

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """Type of the values as stored, None for a mode that is not supported."""
        code = _DTYPES.get(self.mode)
        return np.dtype(f"{self.byte_order}{code}") if code else None

    @property
    def expected_nbytes(self) -> int | None:
        """Length that header and mode lead to, None where they cannot be used."""
        if self.dtype is None or min(self.n) < 1 or self.nsymbt < 0:
            return None
        return HEADER_BYTES + self.nsymbt + math.prod(self.n) * self.dtype.itemsize

    def values(self) -> NDArray[Any] | None:
        """Return the data (sections, rows, columns) as a map of the file, or None."""
        if self.dtype is None or self.expected_nbytes != self.nbytes:
            return None
        offset = HEADER_BYTES + self.nsymbt
        return np.memmap(self.path, self.dtype, "r", offset, self.n[::-1])


def read_mrc_file(path: Path) -> MrcFile:
    """Read the header of a file; only a missing or shorter one is refused.

    Raises
    ------
    ValueError
        If the file is shorter than a header.
    OSError
        If it cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(HEADER_BYTES)
    if len(head) < HEADER_BYTES:
        raise ValueError(f"{path}: {len(head)} bytes are no MRC header of {HEADER_BYTES}")
    stamp = head[212:216]
    order = ">" if stamp == _BIG else "<"
    words: tuple[Any, ...] = struct.unpack(f"{order}{_WORDS}", head[:224])
    labels = tuple(
        head[224 + i * _LABEL_LENGTH : 224 + (i + 1) * _LABEL_LENGTH] for i in range(_N_LABELS)
    )
    return MrcFile(
        path=path,
        nbytes=path.stat().st_size,
        byte_order=order,
        n=words[0:3],
        mode=words[3],
        m=words[7:10],
        cell_A=words[10:13],
        axes=words[16:19],
        statistics=(*words[19:22], words[31]),
        ispg=words[22],
        nsymbt=words[23],
        exttyp=words[24],
        nversion=words[25],
        origin_xyz_A=words[26:29],
        map_id=words[29],
        machine_stamp=stamp,
        nlabl=words[32],
        labels=labels,
    )


def format_id(file: MrcFile) -> str | None:
    """M1, MRC format ID string: the field `map` holds "MAP "."""
    return None if file.map_id == b"MAP " else f"map is {file.map_id!r}, not b'MAP '"


def machine_stamp(file: MrcFile) -> str | None:
    """M2, Machine stamp: 44 44 00 00, 44 41 00 00 or 11 11 00 00."""
    known = file.machine_stamp in (*_LITTLE, _BIG)
    return None if known else f"machine stamp is {file.machine_stamp.hex(' ')}"


def mode(file: MrcFile) -> str | None:
    """M3, MRC mode: 0, 1, 2, 4, 6 or 12."""
    return None if file.mode in _DTYPES else f"mode is {file.mode}"


def dimensions(file: MrcFile) -> str | None:
    """M4, Map and cell dimensions: nx to nz, mx to mz and the cell's lengths are positive."""
    said = {"n": file.n, "m": file.m, "cella": file.cell_A}
    wrong = [
        f"{name}{axis} is {value:g}"
        for name, values in said.items()
        for axis, value in zip("xyz", values, strict=True)
        if not (value > 0 and math.isfinite(value))
    ]
    return ", ".join(wrong) or None


def axis_mapping(file: MrcFile) -> str | None:
    """M5, Axis mapping: mapc, mapr and maps are 1, 2 and 3 in any order."""
    return None if sorted(file.axes) == [1, 2, 3] else f"mapc, mapr, maps are {file.axes}"


def volume_stack(file: MrcFile) -> str | None:
    """M6, Volume stack dimensions: nz is a multiple of mz in space groups 401 to 630."""
    if file.ispg not in _VOLUME_STACKS or (file.m[2] > 0 and file.n[2] % file.m[2] == 0):
        return None
    return f"space group {file.ispg}, but nz {file.n[2]} is no multiple of mz {file.m[2]}"


def header_labels(file: MrcFile) -> str | None:
    """M7, Header labels: nlabl counts the labels in use, which come first."""
    used = [bool(label.strip(b"\0 \t\r\n")) for label in file.labels]
    if sum(used) != file.nlabl:
        return f"nlabl is {file.nlabl}, {sum(used)} labels hold text"
    return None if all(used[: sum(used)]) else "an empty label stands before one with text"


def format_version(file: MrcFile) -> str | None:
    """M8, MRC format version: nversion is 20140 or 20141."""
    return None if file.nversion in _VERSIONS else f"nversion is {file.nversion}"


def extended_header(file: MrcFile) -> str | None:
    """M9, Extended header type: exttyp names it where there is one."""
    if not file.nsymbt or file.exttyp in _EXTENDED_TYPES:
        return None
    return f"{file.nsymbt} bytes of extended header of type {file.exttyp!r}"


def data_statistics(file: MrcFile) -> str | None:
    """M10, Data statistics: correct, or marked as undetermined.

    dmin and dmax must be those of the data, dmean and rms within 1 %. Undetermined are dmin and
    dmax with dmax < dmin, dmean below both, and a negative rms. Complex values have none of these.
    """
    values = file.values()
    if values is None or values.dtype.kind == "c":
        return None
    low, high, mean, rms = file.statistics
    found_low, found_high, found_mean, found_rms = _measure(values)
    wrong = []
    if not high < low:
        pairs = (("dmin", low, found_low), ("dmax", high, found_high))
        wrong += [f"{name} is {a:g}, not {b:g}" for name, a, b in pairs if a != b]
    if not mean < min(low, high) and not _close(mean, found_mean):
        wrong.append(f"dmean is {mean:g}, not {found_mean:g}")
    if not rms < 0 and not _close(rms, found_rms):
        wrong.append(f"rms is {rms:g}, not {found_rms:g}")
    return ", ".join(wrong) or None


def file_size(file: MrcFile) -> str | None:
    """M11, File size: header, extended header and data, nothing else."""
    expected = file.expected_nbytes
    if expected in (None, file.nbytes):
        return None
    return f"the file has {file.nbytes:,} bytes, its header asks for {expected:,}"


MRC_CHECKS: Final[dict[str, Callable[[MrcFile], str | None]]] = {
    "M1": format_id,
    "M2": machine_stamp,
    "M3": mode,
    "M4": dimensions,
    "M5": axis_mapping,
    "M6": volume_stack,
    "M7": header_labels,
    "M8": format_version,
    "M9": extended_header,
    "M10": data_statistics,
    "M11": file_size,
}
"""The eleven checks by the paper's number: each returns what is wrong, or None."""


def _close(said: float, found: float) -> bool:
    return abs(said - found) <= _TOLERANCE * abs(found) + 1e-8


def _measure(values: NDArray[Any]) -> tuple[float, float, float, float]:
    """Return smallest, largest, mean and standard deviation in one pass of bounded memory.

    Deviations are taken from the mean of the first block, so that large offsets do not cancel.
    """
    flat = values.reshape(-1)
    near = float(flat[:_BLOCK_VALUES].mean(dtype=np.float64))
    low, high, total, squares = math.inf, -math.inf, 0.0, 0.0
    for first in range(0, flat.size, _BLOCK_VALUES):
        block = flat[first : first + _BLOCK_VALUES]
        low, high = min(low, float(block.min())), max(high, float(block.max()))
        deviation = block - near if block.dtype.itemsize > 2 else block.astype(np.float32) - near
        total += float(deviation.sum(dtype=np.float64))
        squares += float(np.einsum("i,i->", deviation, deviation, dtype=np.float64))
    mean = total / flat.size
    return low, high, near + mean, math.sqrt(max(0.0, squares / flat.size - mean**2))
