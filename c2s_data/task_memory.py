"""What building one map takes of memory, from the sizes in its header alone.

The plan keeps maps out that no worker could build, and chooses for which of them the volumes lie in
temporary files. ``benchmarks/memory.py`` compares this with what the tasks take.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from c2s_data.schema import MAP_CHUNK, MAP_SHARD_MAX
from c2s_data.transforms.label_window import SLAB_PLANES
from c2s_data.transforms.map_model_fit import TILE, fit_memory_bytes
from c2s_data.transforms.paging import SLAB_BYTES
from c2s_data.transforms.resample_spline import spline_memory_bytes, spline_planes_bytes

if TYPE_CHECKING:
    from c2s_data.config import BuildConfig

    Shape = tuple[int, int, int]

# Interpreter, libraries and compiled code of one worker, measured with benchmarks/memory.py.
_BASE: Final = 300_000_000
_BYTES_PER_ATOM: Final = 200
_BYTES_PER_LABELED_VOXEL: Final = 13  # nearest atom, its distance, and whether there is one


def predicted_memory(
    source_shape_zyx: Shape, shape_zyx: Shape, config: BuildConfig, shard_rows: int, n_atoms: int
) -> int:
    """Return the peak memory in bytes of the task that builds one map, all of it in memory.

    The float32 map as read and the resampled one live together, then the resampled and the stored
    density with the buffers of one shard; the masks add one byte a voxel each while the map group
    is written.
    """
    source, target = math.prod(source_shape_zyx), math.prod(shape_zyx)
    item = _item(config)
    if not _is_resampled(source_shape_zyx, shape_zyx, config):
        reading = 4 * source
    elif config.resampling == "spline3":
        reading = spline_memory_bytes(source_shape_zyx, shape_zyx)
    else:
        reading = 4 * (source + target)
    if config.quality:
        fit = fit_memory_bytes(source_shape_zyx) + _BYTES_PER_ATOM * n_atoms
        reading = max(reading, 4 * source + fit)
    shard = shard_rows * config.box**3 * item
    writing = item * target + max(2 * shard, (item + 1) * target) + shard
    converting = (4 + item) * target
    return _BASE + _label_lists(target, config) + max(reading, converting, writing)


def predicted_paged_memory(
    source_shape_zyx: Shape, shape_zyx: Shape, config: BuildConfig, shard_rows: int, n_atoms: int
) -> int:
    """Return the peak memory in bytes of the task that builds one map from temporary files.

    No volume is in memory but the coarser levels of the density; each step has its buffers and what
    it touches of the files before it gives that back.
    """
    source, target = math.prod(source_shape_zyx), math.prod(shape_zyx)
    item = _item(config)
    steps = [4 * source // 16]  # three blocks of the file and what they touch
    if _is_resampled(source_shape_zyx, shape_zyx, config):
        steps.append(SLAB_BYTES + spline_planes_bytes(source_shape_zyx, shape_zyx))
    if config.quality:
        tile = [min(n, TILE) for n in source_shape_zyx]
        touched = 4 * tile[0] * tile[1] * source_shape_zyx[2]
        steps.append(touched + fit_memory_bytes(source_shape_zyx) + _BYTES_PER_ATOM * n_atoms)
    if "ignore" in config.extra_masks:
        steps.append(_BYTES_PER_LABELED_VOXEL * SLAB_PLANES * math.prod(shape_zyx[1:]))
    z, y, x = (min(n, MAP_SHARD_MAX) for n in shape_zyx)
    shard = item * max(z * y * x, shard_rows * config.box**3)
    layer = item * MAP_CHUNK * y * shape_zyx[2]
    # The buffer of a shard, and what is sent of it to object storage; then that of a coarser level.
    steps.append(shard + max(shard + layer, 2 * item * target // 8))
    whole_mask = target if config.masks == "files" else 0
    return _BASE + _label_lists(target, config) + max(*steps, whole_mask)


def scratch_bytes(source_shape_zyx: Shape, shape_zyx: Shape, config: BuildConfig) -> int:
    """Return the bytes that the temporary files of one map take at most at a time."""
    source, target = 4 * math.prod(source_shape_zyx), 4 * math.prod(shape_zyx)
    resampling = source + target if _is_resampled(source_shape_zyx, shape_zyx, config) else source
    scaling = target + (_item(config) * target // 4 if _item(config) == 2 else 0)
    return max(resampling, scaling)


def _item(config: BuildConfig) -> int:
    return 2 if config.density_dtype == "float16" else 4


def _is_resampled(source_shape_zyx: Shape, shape_zyx: Shape, config: BuildConfig) -> bool:
    return config.density == "raw" and source_shape_zyx != shape_zyx


def _label_lists(target: int, config: BuildConfig) -> int:
    return 2 * target if config.masks == "files" else 0  # 5 % of the voxels in lists
