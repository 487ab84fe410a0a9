"""Several predictions of one map as one: atoms by one network, amino acids by another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from c2s_data.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from c2s_model.backbone.candidate_voxels import Prediction

_SAME_PLACE_A = 1e-3


class JoinedPrediction:
    """Predictions of one grid, each of other targets; offers what `Prediction` asks for.

    Parameters
    ----------
    parts
        At least one; of a target that several have, the first counts.

    Raises
    ------
    ConfigError
        Their grids or their decode offsets differ.
    """

    def __init__(self, parts: Sequence[Prediction]) -> None:
        first, *others = parts
        for other in others:
            moved_A = np.abs(np.subtract(first.origin_xyz_A, other.origin_xyz_A)).max()
            if first.shape_zyx != other.shape_zyx or moved_A > _SAME_PLACE_A:
                raise ConfigError(
                    f"predictions of {first.shape_zyx} voxels at {first.origin_xyz_A} A and of "
                    f"{other.shape_zyx} at {other.origin_xyz_A} are not of one map; predict both "
                    "from the same file"
                )
            if first.decode_offset_voxel != other.decode_offset_voxel:
                raise ConfigError(
                    f"networks with decode offsets {first.decode_offset_voxel} and "
                    f"{other.decode_offset_voxel} learned from labels of different rules; take "
                    "networks of one preset"
                )
        self._parts = tuple(parts)
        self._of_target = {name: one for one in reversed(parts) for name in one.targets}

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Voxels of the grid."""
        return self._parts[0].shape_zyx

    @property
    def origin_xyz_A(self) -> tuple[float, float, float]:
        """Position of voxel 0, 0, 0."""
        return self._parts[0].origin_xyz_A

    @property
    def voxel_size_A(self) -> float:
        """One size for all axes."""
        return self._parts[0].voxel_size_A

    @property
    def decode_offset_voxel(self) -> float:
        """What the labels need added to an index."""
        return self._parts[0].decode_offset_voxel

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of all that is predicted."""
        return tuple(self._of_target)

    @property
    def sources(self) -> dict[str, Any]:
        """Where each part comes from."""
        return {str(number): dict(one.sources) for number, one in enumerate(self._parts)}

    def read(self, target: str, z_start: int, z_stop: int) -> NDArray[np.floating[Any]]:
        """Return probabilities (C, z, y, x) of some slices."""
        return self._of_target[target].read(target, z_start, z_stop)
