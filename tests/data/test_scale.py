"""The scale of one map in a tight box and with ten times the volume of solvent noise."""

from __future__ import annotations

import numpy as np
import pytest

from c2s_data.config import make_config
from c2s_data.sources.density_map import DensityMap
from c2s_data.sources.procedural import procedural_protein
from c2s_data.sources.simulate import simulated_map
from c2s_data.transforms.percentile import percentile_of
from c2s_data.transforms.resample import resample_trilinear


@pytest.fixture(scope="module")
def boxes() -> tuple[DensityMap, DensityMap]:
    structure = procedural_protein(7, 120)
    tight, wide = (
        simulated_map(
            structure,
            np.random.default_rng(0),
            voxel_size_zyx_A=(1.05, 0.97, 1.01),
            volume_ratio=ratio,
        )
        for ratio in (1.0, 10.0)
    )
    assert wide.values_zyx.size >= 9 * tight.values_zyx.size
    return tight, wide


def change(boxes: tuple[DensityMap, DensityMap], preset: str) -> float:
    config = make_config(preset)
    tight, wide = (
        percentile_of(
            resample_trilinear(box.values_zyx, box.voxel_size_zyx_A, positions=config.positions),
            config.scale,
            config.percentile,
        )
        for box in boxes
    )
    return wide / tight - 1


def test_recommended_scale_does_not_depend_on_the_box(
    boxes: tuple[DensityMap, DensityMap],
) -> None:
    assert abs(change(boxes, "recommended")) <= 0.05


@pytest.mark.parametrize("preset", ["paper", "released"])
def test_published_scales_do(boxes: tuple[DensityMap, DensityMap], preset: str) -> None:
    # What docs/beware.md warns of: solvent noise more than halves the value that becomes 1.
    assert change(boxes, preset) < -0.5
