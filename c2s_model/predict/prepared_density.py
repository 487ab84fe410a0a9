"""A map as the network's training saw maps: resampled to 1 A, scaled, clipped to [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from c2s_data.config import BuildConfig, make_config
from c2s_data.errors import ConfigError, MapError, MapReason
from c2s_data.sources.density_map import (
    MAX_VOXELS,
    OriginRule,
    read_density_map,
    read_map_header,
)
from c2s_data.store.reader import Store
from c2s_data.stored_density import resample, scale
from c2s_data.transforms.resample import resample_trilinear, resampled_shape
from c2s_model.nets.checkpoint_error import CheckpointError
from c2s_model.nets.network_file import NetworkCard

_IN_MASK: Final = 0.5
_SAME_PLACE_A: Final = 0.01
# What decides the values of a stored density; `positions` moves them by less than float16 shows.
_DENSITY_OPTIONS: Final = ("scale", "percentile", "resampling", "antialias", "integer_maps")


@dataclass(frozen=True, eq=False)
class PreparedDensity:
    """A map that a network can take.

    Parameters
    ----------
    values_zyx
        float16 or float32 in [0, 1], (z, y, x), voxels of 1 A.
    origin_xyz_A
        Position of voxel (0, 0, 0).
    interest_zyx
        bool (z, y, x): where protein may be; None for everywhere.
    source
        Where it comes from, as a prediction records it.
    digest
        What tells it from every other density, sha256 (hex) or a store's lineage and group.
    notes
        What a reader should know of it.
    """

    values_zyx: NDArray[np.float16] | NDArray[np.float32]
    origin_xyz_A: tuple[float, float, float]
    interest_zyx: NDArray[np.bool_] | None
    source: Mapping[str, Any]
    digest: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Interest:
    """Where protein may be: above a contour level in the units of the raw map, or in a mask.

    Parameters
    ----------
    contour_level
        Voxels of the resampled map at least so dense; None for no contour.
    mask
        MRC file on the grid of the raw map or of the resampled one; voxels above 0.5, resampled
        trilinearly. None for no mask.

    Raises
    ------
    ConfigError
        Both are given.
    """

    contour_level: float | None = None
    mask: str | None = None

    def __post_init__(self) -> None:
        if self.contour_level is not None and self.mask is not None:
            raise ConfigError("a contour and a mask were given; one of them says where protein is")


def build_config_of(card: NetworkCard) -> BuildConfig:
    """Return how the maps that a network learned from were made: as recorded, else by its preset.

    Raises
    ------
    CheckpointError
        As `recorded_build`.
    """
    return recorded_build(card) or make_config(card.preset)


def recorded_build(card: NetworkCard) -> BuildConfig | None:
    """Return the options of the store that a network learned from, if its file holds them.

    They are its source's ``build_config``, or the ``config`` of its ``store``.

    Raises
    ------
    CheckpointError
        They are not options of this version, or of another preset than the network says.
    """
    store = card.source.get("store")
    of_store = store.get("config") if isinstance(store, Mapping) else None
    recorded = card.source.get("build_config") or of_store
    if recorded is None:
        return None
    try:
        config = BuildConfig.model_validate(recorded)
    except ValidationError as error:
        raise CheckpointError(
            f"the network records options of a build that this version does not know ({error}); "
            "use the version that trained it, or train it again"
        ) from error
    if config.preset != card.preset:
        raise CheckpointError(
            f"the network says preset {card.preset!r}, the build it records {config.preset!r}; "
            "train or convert it again"
        )
    return config


def prepare_raw_map(
    path: str,
    config: BuildConfig,
    interest: Interest | None = None,
    *,
    origin: OriginRule = "auto",
    max_voxels: int = MAX_VOXELS,
) -> PreparedDensity:
    """Read a map and make of it what a build with these options would store.

    Parameters
    ----------
    path
        MRC2014/CCP4 file, plain or gzipped.
    config
        From `build_config_of`.
    interest
        Where protein may be; None for everywhere.
    origin
        Which header words place the map. The configuration's rule is not asked: it says where the
        labels of the training were put, this one where the user's map lies.
    max_voxels
        Larger maps are refused from their headers.

    Returns
    -------
    PreparedDensity
        At its peak the float32 map as read and the resampled one live together.

    Raises
    ------
    MapError
        The map or the mask is refused.
    ConfigError
        The mask lies on another grid, or there is no such rule for the origin.
    """
    if origin not in get_args(OriginRule):
        raise ConfigError(f"origin {origin!r}; take one of {', '.join(get_args(OriginRule))}")
    # A network may have learned from finished maps; a raw one is then made as its preset says.
    config = config.model_copy(update={"density": "raw"})
    density = read_density_map(
        path,
        origin=origin,
        max_voxels=max_voxels,
        non_finite=config.non_finite,
        sha256=True,
    )
    _check_thickness(path, density.values_zyx.shape, density.voxel_size_zyx_A)
    notes, origin_xyz_A = density.notes, density.origin_xyz_A
    source = {"file": path, "sha256": density.file_sha256, "bytes": density.file_bytes}
    resampled_zyx = resample(density, path, config)
    digest = str(density.file_sha256)
    del density  # The raw map and the normalized one need not live together.
    of_interest = _interest(resampled_zyx, resampled_zyx.shape, origin_xyz_A, interest)
    values_zyx, facts = scale(resampled_zyx, path, config)
    return PreparedDensity(
        values_zyx,
        origin_xyz_A,
        of_interest,
        source | {"percentile_value": facts["percentile_value"], "origin": origin},
        digest,
        notes,
    )


def prepare_stored_map(
    store: Store, entry_id: str, config: BuildConfig, interest: Interest | None = None
) -> PreparedDensity:
    """Read a map of a store, if it was made as the network's maps were.

    A contour above the level that clipping put at 1 counts every clipped voxel: more is predicted
    than asked for, never less.

    Raises
    ------
    ConfigError
        The store's density was made in another way.
    StoreError
        The store has no such entry, or it is damaged.
    """
    check_store_density(store, config)
    entry = store.entry(entry_id)
    values_zyx = store.read_map(entry_id, "density")
    percentile_value = float(entry.facts["percentile_value"])
    of_interest = _interest(
        values_zyx, entry.shape_zyx, entry.origin_xyz_A, interest, percentile_value
    )
    lineage = str(store.attrs["lineage"])
    source = {
        "store": store.url,
        "entry_id": entry_id,
        "group": entry.group,
        "lineage": lineage,
        "generation": store.generation,
        "percentile_value": percentile_value,
    }
    return PreparedDensity(
        values_zyx, entry.origin_xyz_A, of_interest, source, f"{lineage}/{entry.group}"
    )


def check_store_density(store: Store, config: BuildConfig) -> None:
    """Refuse a store whose densities differ from those that a network learned from.

    Raises
    ------
    ConfigError
        Names what differs.
    """
    has = store.attrs["config"]
    wanted = config.model_dump()
    differs = [name for name in _DENSITY_OPTIONS if has.get(name) != wanted[name]]
    if differs:
        what = ", ".join(f"{name} {has.get(name)} instead of {wanted[name]}" for name in differs)
        raise ConfigError(
            f"{store.url}: its maps were made with preset {store.attrs['preset']}, the network "
            f"learned from maps of preset {config.preset} ({what}). Scales of other presets differ "
            "by a third and stored maps are clipped, so that they cannot be scaled anew: give the "
            f"raw map instead, or a store built with preset {config.preset}"
        )


def _interest(
    values_zyx: NDArray[Any],
    shape_zyx: tuple[int, ...],
    origin_xyz_A: tuple[float, float, float],
    interest: Interest | None,
    divisor: float | None = None,
) -> NDArray[np.bool_] | None:
    """Return where the contour is reached, by values that were divided and clipped, or the mask."""
    if interest is None or (interest.contour_level is None and interest.mask is None):
        return None
    if interest.mask is not None:
        found = _mask_on_grid(interest.mask, shape_zyx, origin_xyz_A)
        what = f"{interest.mask}: the mask has no voxel above {_IN_MASK} in the map"
    else:
        assert interest.contour_level is not None
        level = interest.contour_level
        if divisor is not None:
            # Clipped at 1, and rounded as the values are: a voxel on the level stays in.
            level = float(np.asarray(min(level / divisor, 1.0), values_zyx.dtype))
        found = np.empty(shape_zyx, np.bool_)
        for plane, inside in zip(values_zyx, found, strict=True):
            np.greater_equal(plane, np.float64(level), out=inside)
        what = f"no voxel of the map reaches the contour {interest.contour_level:g}"
    if not found.any():
        raise ConfigError(f"{what}: nothing would be predicted; correct it")
    return found


def _mask_on_grid(
    path: str, shape_zyx: tuple[int, ...], origin_xyz_A: tuple[float, float, float]
) -> NDArray[np.bool_]:
    header = read_map_header(path)
    _check_thickness(path, header.shape_zyx, header.voxel_size_zyx_A)
    here = resampled_shape(header.shape_zyx, header.voxel_size_zyx_A)
    shift = np.subtract(header.origin_xyz_A, origin_xyz_A)
    if here != tuple(shape_zyx) or np.abs(shift).max() > _SAME_PLACE_A:
        raise ConfigError(
            f"{path}: the mask has {here} voxels of 1 A (z, y, x) from {header.origin_xyz_A} A, "
            f"the map {tuple(shape_zyx)} from {origin_xyz_A} A; give a mask on the map's grid"
        )
    mask = read_density_map(path)
    inside: NDArray[np.bool_] = (
        resample_trilinear(mask.values_zyx, mask.voxel_size_zyx_A) > _IN_MASK
    )
    return inside


def _check_thickness(
    path: str, shape_zyx: tuple[int, ...], voxel_size_zyx_A: tuple[float, float, float]
) -> None:
    nz, ny, nx = shape_zyx
    try:
        resampled_shape((nz, ny, nx), voxel_size_zyx_A)
    except ValueError as error:
        raise MapError(MapReason.BAD_CELL, f"{path}: {error}") from error
