"""C-alpha voxels of a prediction against those of a store's mask (paper, Figures 6 to 12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import ConfigError
from c2s_data.schema import ATOM_CA
from c2s_data.store.prediction_store import StoredPrediction
from c2s_data.store.reader import Store
from c2s_model.evaluation.voxel_curve import F1Curve, ThresholdCounts

_SAME_PLACE_A = 1e-3


@dataclass(frozen=True, eq=False)
class VoxelScores:
    """A prediction's C-alphas, voxel by voxel.

    Parameters
    ----------
    curve
        Counts at every threshold, over all voxels of the map.
    true_xyz_A : (t, 3) float64
        Centers of the voxels that the mask calls C-alpha.
    found_xyz_A : (f, 3) float64
        Centers of the voxels at or above the threshold of the highest F1.
    is_hit : (f,) bool
        Which of these the mask calls C-alpha.
    """

    curve: F1Curve
    true_xyz_A: NDArray[np.float64]
    found_xyz_A: NDArray[np.float64]
    is_hit: NDArray[np.bool_]


def score_voxels(prediction: StoredPrediction, store: Store, entry_id: str) -> VoxelScores:
    """Compare a prediction with the mask ``ca`` of the map it was made of.

    The probabilities are read twice, a slab at a time: to find the best threshold, and what
    reaches it.

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
    truth = store.read_map(entry_id, "ca") == 1
    counts = ThresholdCounts()
    for z in _slabs(prediction):
        counts.add(_probability(prediction, z), truth[z])
    curve = counts.curve()
    at, _ = curve.best
    reaches = np.concatenate([_probability(prediction, z) >= at for z in _slabs(prediction)])
    found_zyx = np.argwhere(reaches)
    place = _Grid(np.asarray(entry.origin_xyz_A, np.float64), prediction.voxel_size_A)
    return VoxelScores(
        curve,
        place.centers_xyz_A(np.argwhere(truth)),
        place.centers_xyz_A(found_zyx),
        truth[tuple(found_zyx.T)],
    )


@dataclass(frozen=True)
class _Grid:
    origin_xyz_A: NDArray[np.float64]
    voxel_size_A: float

    def centers_xyz_A(self, index_zyx: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(self.origin_xyz_A + index_zyx[:, ::-1] * self.voxel_size_A)


def as_document(scores: VoxelScores, entry_id: str, prediction: StoredPrediction) -> dict[str, Any]:
    """Return what is written and printed as JSON."""
    return {
        "entry": entry_id,
        "prediction": prediction.url,
        "n_found": len(scores.found_xyz_A),
        "n_hit_at_best": int(scores.is_hit.sum()),
        **scores.curve.as_json(),
    }


def _probability(prediction: StoredPrediction, z: slice) -> NDArray[np.float64]:
    """In float64, as thresholds are compared everywhere."""
    return np.asarray(prediction.read("atom", z.start, z.stop)[ATOM_CA], np.float64)


def _slabs(prediction: StoredPrediction) -> list[slice]:
    thickness, n_planes = prediction.facts.core, prediction.shape_zyx[0]
    return [slice(z, min(z + thickness, n_planes)) for z in range(0, n_planes, thickness)]
