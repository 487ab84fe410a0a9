"""P2 to P4: the grid at 1 A against the source's (paper, "Resampling validation")."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import MapError, StoreError
from c2s_data.sources.density_map import read_map_header
from c2s_data.store.documents import plain_spec
from c2s_data.store.objects import Objects, open_objects
from c2s_data.store.shard import decode_chunk
from c2s_data.validation.checks import Finding
from c2s_data.validation.subject import Subject

_ORIGIN_TOLERANCE_A: Final = 1e-9


def grid(subject: Subject) -> Iterator[Finding]:
    """P2 to P4: voxel size, shape and origin of the stored grid against the source's."""
    coordinates = _coordinates(subject)
    yield _voxel_size(subject, coordinates)
    row = subject.row
    source, voxel_A = row["source_shape_zyx"], row["source_voxel_size_zyx_A"]
    expected = tuple(int(n * size) for n, size in zip(source, voxel_A, strict=True))
    shape = subject.entry.shape_zyx
    if expected == shape:
        yield subject.found("P3", "pass", f"{subject.entry_id}: {shape} voxels z, y, x")
    else:
        message = (
            f"{subject.entry_id}: the grid has {shape} voxels (z, y, x), {tuple(source)} voxels of "
            f"{tuple(voxel_A)} A make {expected}; build the entry anew"
        )
        yield subject.found("P3", "fail", message)
    yield _origin(subject, {axis: float(values[0]) for axis, values in coordinates.items()})


def _coordinates(subject: Subject) -> dict[str, NDArray[np.float64]]:
    objects = open_objects(subject.store.url)
    found = {}
    for axis, n in zip("zyx", subject.entry.shape_zyx, strict=True):
        key = f"maps/{subject.entry.group}/s0/{axis}/c/0"
        found[axis] = np.empty(n, np.float64)
        spec = plain_spec((n,), found[axis].dtype)
        decode_chunk(objects.get(key), spec, found[axis], f"{objects.url}/{key}")
    return found


def _voxel_size(subject: Subject, coordinates: Mapping[str, NDArray[np.float64]]) -> Finding:
    """Compare with 1 A what the coordinates, the level's attribute and OME-Zarr's scale say."""
    said = _said_voxel_sizes(open_objects(subject.store.url), f"maps/{subject.entry.group}")
    for axis, values in coordinates.items():
        steps = np.diff(values) - 1
        # A coordinate is the origin plus a whole number, rounded once.
        exact = np.abs(steps) <= 2 * np.spacing(np.abs(values).max())
        said[f"coordinate {axis}"] = 1.0 if exact.all() else float(1 + steps[~exact][0])
    wrong = {name: size for name, size in said.items() if size != 1.0}
    worst = max((abs(size - 1) for size in wrong.values()), default=0.0)
    if not wrong:
        message = f"{subject.entry_id}: 1 A on all axes"
        return subject.found("P2", "pass", message, voxel_size_A=1.0)
    told = ", ".join(f"{name} {size:g} A" for name, size in wrong.items())
    message = f"{subject.entry_id}: the voxel size is not 1 A: {told}; `c2s-data repair` mends it"
    return subject.found("P2", "fail", message, worst, voxel_size_A=1 + worst)


def _said_voxel_sizes(objects: Objects, group: str) -> dict[str, float]:
    try:
        level = json.loads(objects.get(f"{group}/s0/zarr.json"))["attributes"]["voxel_size_A"]
        ome = json.loads(objects.get(f"{group}/zarr.json"))["attributes"]["ome"]
        scale = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]
        said = {"attribute": float(level)}
        said |= {f"OME-Zarr {axis}": float(n) for axis, n in zip("zyx", scale, strict=True)}
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise StoreError(
            f"{objects.url}/{group}: a document of the map is damaged ({error!r}); `c2s-data "
            "repair` writes it anew"
        ) from error
    return said


def _origin(subject: Subject, first_A: Mapping[str, float]) -> Finding:
    stored = tuple(first_A[axis] for axis in "xyz")
    said = {"the catalog": subject.entry.origin_xyz_A}
    source, note = subject.source_map, "; the source map is not at hand to compare"
    if source is not None:
        assert subject.planned is not None
        rule = subject.planned.entry.origin or subject.config.origin
        try:
            said["the source map"] = read_map_header(source, origin=rule).origin_xyz_A
            note = ""
        except MapError as error:
            note = f"; the source map cannot be read to compare: {error}"
    off = {
        name: max(abs(a - b) for a, b in zip(stored, origin, strict=True))
        for name, origin in said.items()
    }
    worst = max(off.values())
    if worst <= _ORIGIN_TOLERANCE_A:
        x, y, z = stored
        message = f"{subject.entry_id}: origin ({x:g}, {y:g}, {z:g}) A (x, y, z){note}"
        return subject.found("P4", "pass", message, difference_A=worst)
    told = ", ".join(f"{name} says {said[name]}" for name in off if off[name] > _ORIGIN_TOLERANCE_A)
    message = (
        f"{subject.entry_id}: the stored coordinates begin at {stored} A (x, y, z), but {told}; "
        "run `c2s-data verify`"
    )
    return subject.found("P4", "fail", message, worst, difference_A=worst)
