"""What must hold of a damaged map or model, whether it is read or refused.

Every check says again, from the bytes alone, what the code under test should have found.
"""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np
from header_mutants import Mutant
from mrc_files import MODE_DTYPES, OFFSETS

from c2s_data.errors import MapError, MapReason, ModelError, ModelReason
from c2s_data.sources.atomic_model import AtomicModel, read_atomic_model
from c2s_data.sources.density_map import MapHeader, read_density_map, read_map_header
from c2s_data.sources.density_map_header import parse_header

MAX_BYTES = 64 * 2**20
SOUND_STAMPS = {"<": (b"DA", b"DD"), ">": (b"\x11\x11",)}
LENIENCIES = {"machine-stamp", "map-word", "cell-angles", "space-group"}
IN_THE_HEADER = {
    *(MapReason.TRUNCATED, MapReason.NOT_MRC, MapReason.BAD_MODE, MapReason.COMPLEX_MODE),
    *(MapReason.BAD_DIMENSIONS, MapReason.TOO_LARGE, MapReason.BAD_CELL, MapReason.BAD_ANGLES),
    *(MapReason.BAD_AXES, MapReason.BAD_EXTENDED_HEADER, MapReason.BAD_ORIGIN),
    MapReason.VOLUME_STACK,
}
IN_THE_DATA = {
    MapReason.TRUNCATED,
    MapReason.TOO_LONG,
    MapReason.BAD_GZIP,
    MapReason.NOT_FINITE,
    MapReason.CONSTANT,
    MapReason.NOT_POSITIVE,
}


def words_of(raw: bytes, byte_order: str) -> dict:
    """Every word by name, read here and not by the code under test."""
    return {
        name: struct.unpack_from(byte_order + layout, raw, offset)
        for name, (offset, layout) in OFFSETS.items()
    }


def check_accepted(raw: bytes, header: MapHeader) -> None:
    """Say again from the words what an accepted header must be, and what was overlooked."""
    words = words_of(raw, header.byte_order)
    n, m, cell, axes = words["n"], words["m"], words["cell"], words["axes"]
    (mode,), (ispg,), (nsymbt,), angles = (words[k] for k in ("mode", "ispg", "nsymbt", "angles"))
    assert sorted(axes) == [1, 2, 3]
    assert header.shape_zyx == tuple(n[axes.index(code)] for code in (3, 2, 1))
    assert header.stored_shape == n[::-1]
    assert min(n) >= 2
    assert math.prod(n) <= 1024**3
    assert header.mode == mode
    assert header.source_dtype.itemsize == int(MODE_DTYPES[mode][1])
    assert 0 <= nsymbt <= 64 * 2**20
    assert header.data_offset == 1024 + nsymbt
    assert min(m) > 0
    assert header.voxel_size_zyx_A == tuple(cell[axis] / m[axis] for axis in (2, 1, 0))
    assert all(0.01 <= size <= 1000 for size in header.voxel_size_zyx_A)
    assert all(abs(value) <= 1e6 for value in header.origin_xyz_A)
    assert not any(angles) or all(abs(angle - 90) <= 0.01 for angle in angles)
    assert ispg < 401 or n[2] == m[axes[2] - 1]
    expected = {
        "machine-stamp": words["stamp"][0][:2] not in SOUND_STAMPS[header.byte_order],
        "map-word": words["map_word"][0] != b"MAP ",
        "cell-angles": not any(angles),
        "space-group": not (0 <= ispg <= 230 or ispg >= 401),
    }
    assert set(header.leniencies) == {name for name, present in expected.items() if present}


def header_outcome(made: Mutant) -> MapHeader | MapReason:
    try:
        return parse_header(made.raw, "x.map")
    except MapError as error:
        return _reason(error, "x.map: ")


def check_file(path: Path, content: bytes) -> bool:
    """Check that header and full read agree; return whether the file is a map."""
    header, density = _outcome(read_map_header, path), _outcome(read_density_map, path)
    if isinstance(header, MapReason):
        assert density == header
        return False
    if isinstance(density, MapReason):
        assert density in IN_THE_DATA
        return False
    plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    stored = np.frombuffer(plain, header.stored_dtype, offset=header.data_offset)
    expected = stored.reshape(header.stored_shape).transpose(np.argsort(header.zyx_of_stored))
    np.testing.assert_array_equal(density.values_zyx, expected.astype(np.float32))
    assert density.values_zyx.shape == header.shape_zyx
    assert (density.voxel_size_zyx_A, density.origin_xyz_A, density.leniencies) == (
        header.voxel_size_zyx_A,
        header.origin_xyz_A,
        header.leniencies,
    )
    return True


def _outcome(read, path: Path):
    try:
        return read(path)
    except MapError as error:
        return _reason(error, str(path))


def _reason(error: MapError | ModelError, place: str):
    assert place in str(error)
    return error.reason


def model_outcome(path: Path) -> ModelReason | None:
    """Read a model; every coordinate that comes out is finite, or absent as a whole."""
    try:
        model = read_atomic_model(path)
    except ModelError as error:
        return _reason(error, str(path))
    check_model(model)
    return None


def check_model(model: AtomicModel) -> None:
    table = model.residues
    assert len(table) > 0
    for xyz_A in (table.n_xyz_A, table.ca_xyz_A, table.c_xyz_A, table.o_xyz_A):
        assert xyz_A.shape == (len(table), 3)
        finite = np.isfinite(xyz_A)
        assert (finite.all(axis=1) | np.isnan(xyz_A).all(axis=1)).all()
    assert (np.abs(table.backbone_atoms().xyz_A) <= 1e6).all()
    assert (np.abs(model.named.xyz_A) <= 1e6).all()
    assert table.amino_class.max() <= 20
    assert set(np.unique(table.record_secondary)) <= {1, 2, 3}
    assert max(map(len, (*table.chain, *table.residue_name, *table.label_asym_id))) <= 64
    rows = model.named.residue_index
    assert ((rows >= -1) & (rows < len(table))).all()
