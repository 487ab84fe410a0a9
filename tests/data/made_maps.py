"""Small finished maps made by hand, for tests of the store that need no real input."""

from __future__ import annotations

import numpy as np

from c2s_data.config import BuildConfig, make_config
from c2s_data.plan import Plan, PlannedEntry, plan_of, rows_per_shard, with_rows
from c2s_data.schema import CLASS_NAMES
from c2s_data.sources.catalog import CatalogEntry
from c2s_data.store.catalog_table import FACTS
from c2s_data.store.layout import Layout
from c2s_data.store.receipt import InputFile
from c2s_data.store.writer import LabeledMap
from c2s_data.transforms.label import VoxelLabels
from c2s_data.transforms.windows import n_windows

SHAPES_ZYX = ((41, 33, 52), (37, 64, 23))
ORIGIN_XYZ_A = (-11.5, 7.25, 103.0)


def made_plan(config: BuildConfig | None = None, shapes=SHAPES_ZYX) -> Plan:
    """Return a plan of maps that exist nowhere but in `made_map`."""
    config = config or make_config("recommended")
    entries, first = [], 0
    for index, shape_zyx in enumerate(shapes):
        split = ("train", "validation")[index % 2]
        entry = CatalogEntry(f"MADE-{index}", "none.map", "none.cif", 2.5 + index, split=split)
        planned = PlannedEntry(
            map_index=index,
            entry=entry,
            source_shape_zyx=shape_zyx,
            voxel_size_zyx_A=(1.0, 1.0, 1.0),
            origin_xyz_A=ORIGIN_XYZ_A,
            shape_zyx=shape_zyx,
            n_subgrids=n_windows(shape_zyx, config.core),
        )
        entries.append(with_rows(planned, first, config))
        first += entries[-1].n_shards * rows_per_shard(config.box)
    return plan_of(config, entries, first)


def made_map(planned: PlannedEntry, config: BuildConfig, seed: int = 0) -> LabeledMap:
    """Return noise with labels at random voxels, different for every entry and seed."""
    rng = np.random.default_rng([seed, planned.map_index])
    shape = planned.shape_zyx
    density = rng.random(shape, np.float32).astype(config.density_dtype)
    labels = {}
    for name in Layout.of(config).masks:
        count, classes = 60 if name == "atom" else 20, len(CLASS_NAMES[name]) - 1
        flat = np.sort(rng.choice(np.prod(shape), count, replace=False))
        # C-alphas only in the low half, so that some windows stay empty.
        index = np.stack(np.unravel_index(flat, shape), axis=1).astype(np.int32)
        if name == "ca":
            index[:, 2] //= 2
        values = rng.integers(1, classes + 1, count).astype(np.uint8)
        order = np.lexsort(index.T[::-1])
        labels[name] = VoxelLabels(index[order], values[order])
    facts = dict.fromkeys(FACTS)
    facts |= {"percentile_value": 0.25, "notes": ["made by hand"], "excluded_atoms": {"ion": 2},
              "label_counts": {"atom": [20, 20, 20]}, "n_ca": 20}  # fmt: skip
    return LabeledMap(
        density_zyx=density,
        labels=labels,
        residues={"chain": np.array(["A", "BB"]), "ca_x_A": np.array([1.5, np.nan])},
        sequences=">Chain A\nGAS\n",
        statistics={"raw_histogram": np.arange(5)},
        facts=facts,
        inputs=(InputFile("map", "none.map", 7, "0" * 64),),
    )
