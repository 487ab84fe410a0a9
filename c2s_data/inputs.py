"""The files that an entry is built from, checked against the plan as they are read."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from c2s_data.errors import MapError, MapReason, ModelError, ModelReason
from c2s_data.plan import PlannedEntry, SideFile
from c2s_data.sources.density_map import DensityMap
from c2s_data.sources.file_digest import digest_of_ends, digest_of_file
from c2s_data.sources.input_file import input_bytes
from c2s_data.store.receipt import InputFile


def checked_inputs(planned: PlannedEntry, density: DensityMap) -> tuple[InputFile, ...]:
    """Return what was read, after checking that it is what was planned.

    Raises
    ------
    MapError, ModelError
        CHANGED, with the file.
    """
    assert density.file_bytes is not None
    assert density.file_sha256 is not None
    read = (density.values_zyx.shape, density.voxel_size_zyx_A, density.origin_xyz_A)
    expected = (planned.source_shape_zyx, planned.voxel_size_zyx_A, planned.origin_xyz_A)
    same_size = read == expected and density.file_bytes == planned.map_bytes
    if not same_size or digest_of_ends(planned.entry.map) != planned.map_ends_sha256:
        raise MapError(
            MapReason.CHANGED,
            f"{planned.entry.map}: the file is not the one that was planned (shape, voxel size, "
            f"origin {read}, planned {expected}); restore it, or plan again",
        )
    digest = digest_of_file(planned.entry.model)
    if digest != planned.model_sha256:
        _refuse_changed(planned.entry.model)
    return (
        InputFile("map", Path(planned.entry.map).name, density.file_bytes, density.file_sha256),
        InputFile("model", Path(planned.entry.model).name, planned.model_bytes, digest),
        *(_checked_side_file(file) for file in planned.side_files),
    )


def _checked_side_file(planned: SideFile) -> InputFile:
    digest = digest_of_ends if planned.role == "mask" else digest_of_file
    try:
        same = (
            input_bytes(planned.path) == planned.nbytes and digest(planned.path) == planned.sha256
        )
        whole = digest_of_file(planned.path)
    except OSError:
        _refuse_changed(planned.path)
    if not same:
        _refuse_changed(planned.path)
    return InputFile(planned.role, Path(planned.path).name, planned.nbytes, whole)


def _refuse_changed(path: str) -> NoReturn:
    raise ModelError(
        ModelReason.CHANGED,
        f"{path}: the file is not the one that was planned; restore it, or plan again",
    )
