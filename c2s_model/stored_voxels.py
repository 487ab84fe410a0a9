"""The C-alpha voxels of a stored prediction against the mask of the map that it was made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import ConfigError
from c2s_data.schema import ATOM_CA
from c2s_data.store.prediction_store import StoredPrediction
from c2s_data.store.reader import Store
from c2s_model.evaluation.voxel_scores import VoxelScores, score_voxels

_SAME_PLACE_A: Final = 1e-3


def score_prediction(prediction: StoredPrediction, store: Store, entry_id: str) -> VoxelScores:
    """Compare a prediction with the mask ``ca`` of a store, reading it a slab at a time.

    Raises
    ------
    ConfigError
        The prediction has no C-alphas, or lies on another grid than the map.
    StoreError
        There is no such entry.
    """
    entry = store.entry(entry_id)
    if "atom" not in prediction.targets:
        raise ConfigError(
            f"{prediction.url} predicts {', '.join(prediction.targets)} and no atoms; predict with "
            "a network of target atom"
        )
    shift_A = np.abs(np.subtract(prediction.origin_xyz_A, entry.origin_xyz_A)).max()
    if prediction.shape_zyx != tuple(entry.shape_zyx) or shift_A > _SAME_PLACE_A:
        raise ConfigError(
            f"{prediction.url} has {prediction.shape_zyx} voxels at {prediction.origin_xyz_A} A, "
            f"{entry_id} of {store.url} {tuple(entry.shape_zyx)} at {entry.origin_xyz_A} A: they "
            "are not of one map, or not resampled alike"
        )
    is_ca_zyx = store.read_map(entry_id, "ca") == 1

    def probability() -> Iterator[tuple[slice, NDArray[np.float64]]]:
        thickness, n_planes = prediction.facts.core, prediction.shape_zyx[0]
        for start in range(0, n_planes, thickness):
            stop = min(start + thickness, n_planes)
            values = prediction.read("atom", start, stop)[ATOM_CA]
            yield slice(start, stop), np.asarray(values, np.float64)

    return score_voxels(probability, is_ca_zyx, entry.origin_xyz_A, prediction.voxel_size_A)


def as_document(scores: VoxelScores, entry_id: str, prediction: StoredPrediction) -> dict[str, Any]:
    """Return what is written and printed as JSON."""
    return {
        "entry": entry_id,
        "prediction": prediction.url,
        "n_found": len(scores.found_xyz_A),
        "n_hit_at_best": int(scores.is_hit.sum()),
        **scores.curve.as_json(),
    }
