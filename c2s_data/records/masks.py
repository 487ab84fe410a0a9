"""Read the masks that lie beside a normalized map, with every check that needs no model."""

from __future__ import annotations

import math
import os
from collections.abc import Container, Iterator
from typing import Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import MapError, MapReason
from c2s_data.schema import CLASS_NAMES, IGNORE
from c2s_data.sources.density_map_file import expect_end, open_map, read_exactly, skip
from c2s_data.sources.density_map_header import Index3, MapHeader, Triple
from c2s_data.sources.mask_files import mask_files

_BLOCK_BYTES: Final = 4 * 2**20
_TOLERANCE_A: Final = 0.01
_MAY_IGNORE: Final = ("amino",)
"""Masks in which 255, for a loss to leave out, is a value."""


def read_record_masks(
    map_path: str | os.PathLike[str],
    shape_zyx: Index3,
    origin_xyz_A: Triple,
    names: Container[str] = CLASS_NAMES,
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Read the masks that exist beside a map, one after another, for they are large.

    Parameters
    ----------
    map_path
        The normalized map; `c2s_data.sources.mask_files.mask_files` says which files are its masks.
    shape_zyx, origin_xyz_A
        Grid of the map, voxels of 1 A. A mask whose header states no origin (zeros) is taken to lie
        where the map does, since published programs go by array indices.
    names
        Which to read, of `c2s_data.schema.CLASS_NAMES`.

    Yields
    ------
    tuple
        Name and (z, y, x) uint8; nothing for a file that is missing.

    Raises
    ------
    MapError
        TOO_LARGE or BAD_DIMENSIONS, BAD_CELL or BAD_ORIGIN if the grid is another one, NOT_A_MASK
        for a value that is no class, or as `c2s_data.sources.density_map.read_map_header`.
    """
    for name, path in mask_files(map_path).items():
        if name in names:
            yield name, read_mask(path, name, shape_zyx, origin_xyz_A)


def read_mask(
    path: str | os.PathLike[str], mask: str, shape_zyx: Index3, origin_xyz_A: Triple
) -> NDArray[np.uint8]:
    """Read one mask, (z, y, x) uint8; see `read_record_masks`.

    Beside the array only blocks of a few MiB are held.
    """
    known = np.zeros(256, np.bool_)
    known[: len(CLASS_NAMES[mask])] = True
    known[IGNORE] = mask in _MAY_IGNORE
    with open_map(path, "auto", max_voxels=math.prod(shape_zyx)) as file:
        _check_grid(file.header, file.name, shape_zyx, origin_xyz_A)
        file.confirm_length()
        values_zyx = np.empty(shape_zyx, np.uint8)
        in_file_order = values_zyx.transpose(file.header.zyx_of_stored)
        with file.stream() as stream:
            skip(stream, file.header.data_offset, file.name)
            for rows in _blocks(in_file_order, file.header.stored_dtype.itemsize):
                stored = np.empty(rows.shape, file.header.stored_dtype)
                read_exactly(stream, stored.reshape(-1).view(np.uint8).data, file.name)
                rows[...] = _as_classes(stored, known, file.name, mask)
            expect_end(stream, file.name)
    return values_zyx


def _check_grid(header: MapHeader, name: str, shape_zyx: Index3, origin_xyz_A: Triple) -> None:
    if header.shape_zyx != tuple(shape_zyx):
        _refuse(MapReason.BAD_DIMENSIONS, name, "shape", header.shape_zyx, tuple(shape_zyx))
    if not np.allclose(header.voxel_size_zyx_A, 1.0, rtol=0, atol=_TOLERANCE_A / max(shape_zyx)):
        _refuse(MapReason.BAD_CELL, name, "voxel size", header.voxel_size_zyx_A, (1.0, 1.0, 1.0))
    stated = header.origin_xyz_A
    if any(stated) and not np.allclose(stated, origin_xyz_A, rtol=0, atol=_TOLERANCE_A):
        _refuse(MapReason.BAD_ORIGIN, name, "origin", stated, tuple(origin_xyz_A))


def _refuse(reason: MapReason, name: str, what: str, found: object, expected: object) -> NoReturn:
    raise MapError(
        reason,
        f"{name}: the mask has {what} {found}, its map {expected}; remove the mask, and it is made "
        "from the model",
    )


def _blocks(in_file_order: NDArray[np.uint8], itemsize: int) -> list[NDArray[np.uint8]]:
    """Cut an array, as views, into runs of sections, or of rows of one section."""
    sections, rows, columns = in_file_order.shape
    n_sections = _BLOCK_BYTES // (rows * columns * itemsize)
    if n_sections:
        firsts = range(0, sections, n_sections)
        return [in_file_order[first : first + n_sections] for first in firsts]
    n_rows = max(1, _BLOCK_BYTES // (columns * itemsize))
    return [
        in_file_order[section, first : first + n_rows]
        for section in range(sections)
        for first in range(0, rows, n_rows)
    ]


def _as_classes(
    stored: NDArray[np.generic], known: NDArray[np.bool_], name: str, mask: str
) -> NDArray[np.uint8]:
    with np.errstate(invalid="ignore", over="ignore"):  # what does not fit is refused below
        classes = stored.astype(np.uint8)
    right = (classes == stored) & known[classes]
    if not right.all():
        value = float(stored[~right].flat[0])
        raise MapError(
            MapReason.NOT_A_MASK,
            f"{name}: {value:g} is no class of the {mask} mask "
            f"(0 to {np.flatnonzero(known[:IGNORE])[-1]}{', 255' * bool(known[IGNORE])}); remove "
            "the mask, and it is made from the model",
        )
    return classes
