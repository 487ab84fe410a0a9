"""MRC2014 files written through mrcfile, reproducible to the byte and never half-written."""

from __future__ import annotations

import math
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from numpy.typing import NDArray
from zlib_ng import gzip_ng

from c2s_data.sources.density_map_header import Triple

_FILE_DTYPES: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(np.float32): np.dtype(np.float32),
    np.dtype(np.float16): np.dtype(np.float16),
    np.dtype(np.int8): np.dtype(np.int8),
    np.dtype(np.uint8): np.dtype(np.int8),  # mode 0 is signed; mrcfile would widen uint8 to mode 6
    np.dtype(np.int16): np.dtype(np.int16),
    np.dtype(np.uint16): np.dtype(np.uint16),
}
_MAX_LABELS, _LABEL_LENGTH = 10, 80
_COMPRESS_LEVEL = 6
_COPY_BYTES = 2**20


def write_mrc(
    path: Path,
    values_zyx: NDArray[np.float32],
    voxel_size_zyx_A: Triple,
    origin_xyz_A: Triple,
    *,
    labels: Sequence[str],
    dtype: np.dtype[np.generic],
) -> None:
    """Write a volume; see `c2s_data.sources.density_map.write_density_map`."""
    stored = _to_file_dtype(values_zyx, dtype)
    _check_geometry(voxel_size_zyx_A, origin_xyz_A)
    encoded = _encode_labels(labels)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    packed = beside.with_suffix(".gz.part")
    try:
        _write_plain(beside, stored, voxel_size_zyx_A, origin_xyz_A, encoded)
        if path.suffix.lower() == ".gz":
            _compress(beside, packed)
            packed.replace(path)
        else:
            beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
        packed.unlink(missing_ok=True)


def _to_file_dtype(
    values_zyx: NDArray[np.float32], dtype: np.dtype[np.generic]
) -> NDArray[np.generic]:
    if dtype not in _FILE_DTYPES:
        names = ", ".join(str(known) for known in _FILE_DTYPES)
        raise ValueError(f"an MRC map cannot hold {dtype}; use one of {names}")
    if not np.isfinite(values_zyx).all():
        raise ValueError("the map holds nan or infinite values; mend them before writing")
    target = _FILE_DTYPES[dtype]
    if target == values_zyx.dtype:
        return values_zyx
    with np.errstate(over="ignore", invalid="ignore"):
        stored = values_zyx.astype(target)
    fits = np.isfinite(stored) if target.kind == "f" else stored == values_zyx
    if not fits.all():
        raise ValueError(
            f"values from {values_zyx.min():g} to {values_zyx.max():g} do not fit {dtype} "
            f"(stored as {target}); write float32"
        )
    return stored


def _check_geometry(voxel_size_zyx_A: Triple, origin_xyz_A: Triple) -> None:
    if not all(math.isfinite(size) and size > 0 for size in voxel_size_zyx_A):
        raise ValueError(f"voxel size {voxel_size_zyx_A} A must be positive on each axis")
    if not all(math.isfinite(value) for value in origin_xyz_A):
        raise ValueError(f"origin {origin_xyz_A} A must be finite")


def _encode_labels(labels: Sequence[str]) -> list[bytes]:
    fits = all(label.isascii() and len(label) <= _LABEL_LENGTH for label in labels)
    if len(labels) > _MAX_LABELS or not fits:
        raise ValueError(
            f"labels {list(labels)!r} must be at most {_MAX_LABELS} of at most {_LABEL_LENGTH} "
            "ASCII characters; shorten them"
        )
    return [label.encode("ascii") for label in labels]


def _write_plain(
    path: Path,
    stored_zyx: NDArray[np.generic],
    voxel_size_zyx_A: Triple,
    origin_xyz_A: Triple,
    labels: list[bytes],
) -> None:
    with mrcfile.new(path) as mrc:
        mrc.set_data(stored_zyx)
        mrc.set_volume()
        mrc.voxel_size = voxel_size_zyx_A[::-1]
        for axis, value in zip("xyz", origin_xyz_A, strict=True):
            mrc.header.origin[axis] = value
        mrc.header.label[:] = b""  # mrcfile's own label holds the time
        mrc.header.label[: len(labels)] = labels
        mrc.header.nlabl = len(labels)


def _compress(source: Path, target: Path) -> None:
    with source.open("rb") as plain, target.open("wb") as file:
        packed = gzip_ng.GzipNGFile(  # type: ignore[no-untyped-call]
            filename="", mode="wb", compresslevel=_COMPRESS_LEVEL, fileobj=file, mtime=0
        )
        with packed:
            shutil.copyfileobj(plain, packed, _COPY_BYTES)
