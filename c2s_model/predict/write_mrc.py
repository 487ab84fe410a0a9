"""A prediction as MRC maps for programs that know no Zarr: the C-alpha probability, the classes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import ConfigError
from c2s_data.schema import ATOM_CA
from c2s_data.sources.density_map import DensityMap, write_density_map
from c2s_data.store.address import local_folder
from c2s_data.store.prediction_store import StoredPrediction, open_prediction
from c2s_model.nets.network_file import NetworkCard


def check_mrc(url: str, card: NetworkCard) -> None:
    """Refuse to write MRC maps beside a prediction where they could not be, or would replace files.

    Raises
    ------
    ConfigError
        The prediction is not in a local folder, or files of these names are there and no prediction
        that they could belong to.
    """
    names = mrc_names(url, tuple(card.classes))
    folder = local_folder(url)
    if folder is not None and folder.exists():
        return
    for path in names.values():
        if path.exists():
            raise ConfigError(f"{path} exists and is left as it is; choose another place")


def mrc_names(url: str, targets: tuple[str, ...]) -> dict[str, Path]:
    """Return the files beside a prediction, ``NAME.c-alpha.mrc``, ``NAME.amino.mrc`` and so on.

    Raises
    ------
    ConfigError
        The prediction is not in a local folder.
    """
    folder = local_folder(url)
    if folder is None:
        raise ConfigError(f"{url}: MRC maps are written to local folders only; leave --mrc out")
    name = folder.name.removesuffix(".zarr")
    kinds = (*(["c-alpha"] if "atom" in targets else []), *targets)
    return {kind: folder.with_name(f"{name}.{kind}.mrc") for kind in kinds}


def write_mrc_maps(url: str) -> tuple[str, ...]:
    """Write the C-alpha probability (float32) and the likeliest class of each target (int8).

    One map is in memory at a time, 4 bytes a voxel.

    Returns
    -------
    tuple[str, ...]
        The files.
    """
    prediction = open_prediction(url)
    paths = mrc_names(prediction.url, prediction.targets)
    for kind, path in paths.items():
        values = np.empty(prediction.shape_zyx, np.float32)
        for z, slab in _slabs(prediction, "atom" if kind == "c-alpha" else kind):
            values[z] = slab[ATOM_CA] if kind == "c-alpha" else slab.argmax(axis=0)
        size = (prediction.voxel_size_A,) * 3
        what = "probability of C-alpha" if kind == "c-alpha" else f"likeliest {kind} class"
        write_density_map(
            path,
            DensityMap(values, size, prediction.origin_xyz_A),
            labels=[f"c2s-model predict: {what}"],
            dtype=np.float32 if kind == "c-alpha" else np.int8,
        )
    return tuple(map(str, paths.values()))


def _slabs(
    prediction: StoredPrediction, target: str
) -> Iterator[tuple[slice, NDArray[np.float16]]]:
    thickness = prediction.facts.core
    for z in range(0, prediction.shape_zyx[0], thickness):
        stop = min(z + thickness, prediction.shape_zyx[0])
        yield slice(z, stop), prediction.read(target, z, stop)
