"""The group of one map: density and masks at 1 A, coarser densities, coordinates in A."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c2s_data.plan import PlannedEntry
from c2s_data.schema import MAP_SHARD_MAX
from c2s_data.store.documents import Document, encode_document, group_document, plain_spec
from c2s_data.store.layout import (
    Layout,
    level_shape,
    multiscale_attributes,
    n_levels,
    n_map_shards,
)
from c2s_data.store.objects import Data, Objects
from c2s_data.store.receipt import WrittenObject, put_checked
from c2s_data.store.shard import ShardEncoder, ShardSpec, encode_chunk
from c2s_data.transforms.coarsen import coarsen
from c2s_data.transforms.label import VoxelLabels


def map_documents(planned: PlannedEntry, layout: Layout) -> dict[str, Document]:
    """Return all documents of a map's group by path: the group, its levels, their arrays.

    They follow from the plan alone, so a commit can consolidate them without reading one.
    """
    group = f"maps/{planned.group}"
    attributes = {
        "entry_id": planned.entry_id,
        "emdb_id": planned.entry.emdb_id,
        "pdb_id": planned.entry.pdb_id,
        "resolution_A": planned.entry.resolution_A,
        "origin_xyz_A": list(planned.origin_xyz_A),
    }
    levels = n_levels(planned.shape_zyx)
    scales = multiscale_attributes(planned.group, levels, planned.origin_xyz_A)
    documents = {group: group_document(attributes | scales)}
    for level in range(levels):
        arrays = layout.arrays if level == 0 else ("density",)
        shape = level_shape(planned.shape_zyx, level)
        document = layout.level_group(shape, float(2**level), arrays, attributes)
        documents[f"{group}/s{level}"] = document
        for name, child in document["consolidated_metadata"]["metadata"].items():
            documents[f"{group}/s{level}/{name}"] = child
    return documents


def write_map_group(
    objects: Objects,
    layout: Layout,
    planned: PlannedEntry,
    density_zyx: NDArray[Any],
    labels: Mapping[str, VoxelLabels],
    encoder: ShardEncoder,
) -> Iterator[WrittenObject]:
    """Write one map's group and yield what was written."""
    for path, document in map_documents(planned, layout).items():
        yield put_checked(objects, f"{path}/zarr.json", encode_document(document))
    for level in range(n_levels(planned.shape_zyx)):
        if level:
            density_zyx = coarsen(density_zyx)
        group = f"maps/{planned.group}/s{level}"
        for axis, data in _coordinates(planned, level):
            yield put_checked(objects, f"{group}/{axis}/c/0", data)
        shape_zyx = level_shape(planned.shape_zyx, level)
        spec = layout.map_spec("density", shape_zyx)
        for shard in np.ndindex(*n_map_shards(shape_zyx)):
            block = tuple(slice(i * MAP_SHARD_MAX, (i + 1) * MAP_SHARD_MAX) for i in shard)
            blob = encoder.encode(density_zyx[block], spec)
            yield put_checked(objects, f"{group}/density/{spec.shard_key(*shard)}", blob)
    for name in layout.masks:
        spec = layout.map_spec(name, planned.shape_zyx)
        for shard in np.ndindex(*n_map_shards(planned.shape_zyx)):
            blob = encoder.encode_sparse(*_labels_in(labels[name], shard, spec), spec)
            key = f"maps/{planned.group}/s0/{name}/{spec.shard_key(*shard)}"
            yield put_checked(objects, key, blob)


def _labels_in(labels: VoxelLabels, shard: tuple[int, ...], spec: ShardSpec) -> VoxelLabels:
    """Return the labels of one shard of a mask, indices from the shard's first voxel."""
    index_zyx = labels.index_zyx - np.multiply(shard, MAP_SHARD_MAX).astype(np.int32)
    inside = ((index_zyx >= 0) & (index_zyx < spec.shard_shape)).all(axis=1)
    return VoxelLabels(index_zyx[inside], labels.value[inside])


def _coordinates(planned: PlannedEntry, level: int) -> Iterator[tuple[str, Data]]:
    scale = 2**level
    shape = level_shape(planned.shape_zyx, level)
    for axis, n, origin in zip("zyx", shape, reversed(planned.origin_xyz_A), strict=True):
        centres = origin + (scale - 1) / 2 + scale * np.arange(n, dtype=np.float64)
        yield axis, encode_chunk(centres, plain_spec((n,), centres.dtype))
