"""Small committed stores whose densities show their labels, so that a network can learn them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from made_maps import made_map, made_plan
from scipy.ndimage import gaussian_filter

from c2s_data.config import make_config
from c2s_data.schema import CLASS_NAMES
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.layout import Layout
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import open_store
from c2s_data.store.writer import write_entry
from c2s_data.transforms.label import VoxelLabels
from c2s_model.nets.variants import Architecture

MICRO = Architecture(
    4, 2, (1, 2, 3, 4), width=16, hidden=16, filters=2, dropout=0.1, box_zyx=(16, 16, 16)
)
"""Smaller than any variant, for subgrids of a half of the usual side."""


def made_store(folder: Path, shapes, preset="recommended", seed=0, n=60, box=16):
    """Write maps that are, in turn, in split ``train`` and ``validation``, and open the store."""
    config = make_config(preset, box=box, core=5 * box // 8)
    plan = made_plan(config, shapes)
    objects, layout = open_objects(folder), Layout.of(config)
    begin_store(objects, plan)
    for planned in plan.entries:
        made = made_map(planned, config, seed)
        labels = {name: one for name, one in made.labels.items() if name not in CLASS_NAMES}
        labels |= labels_of_some_residues(planned.shape_zyx, layout.masks, seed, n)
        density = density_of(labels["atom"], labels["amino"], planned.shape_zyx)
        density = density.astype(config.density_dtype)
        write_entry(objects, layout, planned, replace(made, density_zyx=density, labels=labels))
    commit(objects, plan)
    return open_store(folder)


def labels_of_some_residues(shape_zyx, masks, seed, n):
    """C-alphas two voxels apart or more, each with N and C beside it; nothing to be ignored."""
    rng = np.random.default_rng(seed)
    cells = np.stack(np.meshgrid(*(np.arange(1, s - 1, 3) for s in shape_zyx), indexing="ij"), -1)
    ca = np.unique(rng.permutation(cells.reshape(-1, 3))[:n], axis=0).astype(np.int32)
    amino = rng.integers(1, 21, len(ca)).astype(np.uint8)
    beside = np.array([0, 0, 1])
    parts = {1: ca, 2: ca - beside, 3: ca + beside}
    atoms = np.concatenate(list(parts.values())).astype(np.int32)
    classes = np.repeat(list(parts), len(ca)).astype(np.uint8)
    order = np.lexsort(atoms.T[::-1])
    nothing = VoxelLabels(np.empty((0, 3), np.int32), np.empty(0, np.uint8))
    of_mask = dict.fromkeys(masks, nothing)
    return of_mask | {
        "atom": VoxelLabels(atoms[order], classes[order]),
        "ca": VoxelLabels(ca, np.ones(len(ca), np.uint8)),
        "amino": VoxelLabels(ca, amino),
        "secondary": VoxelLabels(ca, (1 + amino % 3).astype(np.uint8)),
    }


def density_of(atoms: VoxelLabels, amino: VoxelLabels, shape_zyx) -> np.ndarray:
    values = np.zeros(shape_zyx, np.float32)
    values[tuple(atoms.index_zyx.T)] = atoms.value / 4
    values[tuple(amino.index_zyx.T)] += amino.value / 40
    return np.clip(values + gaussian_filter(values, 1.0), 0, 1)
