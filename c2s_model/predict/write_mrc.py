"""A prediction as MRC maps for programs that know no Zarr: the C-alpha probability, the classes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import ConfigError
from c2s_data.outputs import output_file
from c2s_data.schema import ATOM_CA
from c2s_data.sources.density_map import DensityMap, write_density_map
from c2s_data.sources.input_file import is_input
from c2s_data.store.address import local_folder
from c2s_data.store.objects import open_objects
from c2s_data.store.prediction_store import StoredPrediction, open_prediction
from c2s_model.nets.network_file import NetworkCard


def check_mrc(url: str, card: NetworkCard) -> None:
    """Refuse to write MRC maps beside a prediction where they could not be, or would replace files.

    Raises
    ------
    ConfigError
        Files of these names are there and no prediction that they could belong to.
    """
    if any(open_objects(url).names("")):
        return
    for path in mrc_names(url, tuple(card.classes)).values():
        if is_input(path):
            raise ConfigError(f"{path} exists and is left as it is; choose another place")


def mrc_names(url: str, targets: tuple[str, ...]) -> dict[str, str]:
    """Return paths or URLs beside a prediction, ``NAME.c-alpha.mrc``, ``NAME.amino.mrc``, ..."""
    name = str(local_folder(url) or url).rstrip("/").removesuffix(".zarr")
    kinds = (*(["c-alpha"] if "atom" in targets else []), *targets)
    return {kind: f"{name}.{kind}.mrc" for kind in kinds}


def write_mrc_maps(url: str) -> tuple[str, ...]:
    """Write the C-alpha probability (float32) and the likeliest class of each target (int8).

    One map is in memory at a time, 4 bytes a voxel.

    Returns
    -------
    tuple[str, ...]
        The files, paths or URLs.
    """
    prediction = open_prediction(url)
    paths = mrc_names(prediction.url, prediction.targets)
    for kind, path in paths.items():
        values = np.empty(prediction.shape_zyx, np.float32)
        for z, slab in _slabs(prediction, "atom" if kind == "c-alpha" else kind):
            values[z] = slab[ATOM_CA] if kind == "c-alpha" else slab.argmax(axis=0)
        size = (prediction.voxel_size_A,) * 3
        what = "probability of C-alpha" if kind == "c-alpha" else f"likeliest {kind} class"
        with output_file(path, brings=False) as file:
            write_density_map(
                file.path,
                DensityMap(values, size, prediction.origin_xyz_A),
                labels=[f"c2s-model predict: {what}"],
                dtype=np.float32 if kind == "c-alpha" else np.int8,
            )
    return tuple(paths.values())


def _slabs(
    prediction: StoredPrediction, target: str
) -> Iterator[tuple[slice, NDArray[np.float16]]]:
    thickness = prediction.facts.core
    for z in range(0, prediction.shape_zyx[0], thickness):
        stop = min(z + thickness, prediction.shape_zyx[0])
        yield slice(z, stop), prediction.read(target, z, stop)
