"""C-alpha candidates from a million voxels, against scipy's k-d tree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.candidates import GOAL_S, block, leader_by_tree, peaks, scattered, voxels_of
from benchmarks.suite.rows import Row, faster, figure, within
from benchmarks.suite.size import Size
from benchmarks.suite.turns import in_turns, timed
from c2s_model.backbone.candidates import cluster_leader, suppress_non_maxima


def rows(size: Size, folder: Path) -> Iterator[Row]:
    """Yield both ways on peaks, a solid block and single voxels; the last has no goal."""
    n = size.pick(30_000, 1_000_000, 1_000_000)
    for make in (peaks, block, scattered):
        rng = np.random.default_rng(0)
        voxels = voxels_of(*make(n, rng), rng)
        measures = {
            "leader clustering (paper)": timed(lambda v=voxels: cluster_leader(v)),
            "suppression (recommended)": timed(
                lambda v=voxels: suppress_non_maxima(v, decode_offset_voxel=0.5)
            ),
        }
        seconds = in_turns(measures, size.few)
        for way, own in seconds.items():
            name = f"{make.__name__}, {len(voxels):,} voxels: {way}"
            yield figure(name, "s", own) if make is scattered else within(name, "s", own, GOAL_S)
        if make is scattered and size.name != "full":
            continue  # half a minute of the tree for what no prediction looks like
        tree = in_turns({"tree": timed(lambda v=voxels: leader_by_tree(v))}, 1, warm=0)["tree"]
        way = "leader clustering (paper)"
        yield faster(f"{make.__name__}, {len(voxels):,} voxels: {way}", seconds[way], tree,
                     "scipy's k-d tree")  # fmt: skip
