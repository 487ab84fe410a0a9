"""Small networks and densities to predict, and predictions made by plain loops."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from made_maps import made_map, made_plan

from c2s_data.config import make_config
from c2s_data.schema import CLASS_NAMES
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.layout import Layout
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import Store, open_store
from c2s_data.store.writer import write_entry
from c2s_model.nets.network_file import NetworkCard, write_network
from c2s_model.nets.unetr import Unetr, make_network
from c2s_model.nets.variants import Architecture
from c2s_model.predict.prepared_density import PreparedDensity

MICRO = Architecture(4, 2, (1, 2, 3, 4), width=16, hidden=16, filters=2)
WITH_SEQUENCE = Architecture(
    4, 2, (1, 2, 3, 4), width=16, hidden=16, filters=2, sequence_width=5
)  # fmt: skip
ORIGIN_XYZ_A = (-11.5, 7.25, 103.0)
BOX, CORE, MARGIN = 32, 20, 6


def card(
    targets: tuple[str, ...] = ("atom",),
    preset: str = "recommended",
    architecture: Architecture = MICRO,
    **source: object,
) -> NetworkCard:
    config = make_config(preset)
    return NetworkCard(
        variant="custom",
        architecture=architecture,
        classes={target: CLASS_NAMES[target] for target in targets},
        preset=preset,
        label_rule=config.label_rule,
        decode_offset_voxel=config.decode_offset_voxel,
        source=source,
    )


def network(of: NetworkCard, seed: int = 0) -> Unetr:
    """A network whose probabilities differ from voxel to voxel by several percent."""
    made = make_network(of.architecture, of.heads, torch.Generator().manual_seed(seed)).eval()
    with torch.no_grad():
        for head in made.heads.values():
            head.weight.mul_(4)
    return made


def network_file(path: Path, of: NetworkCard, seed: int = 0) -> Path:
    write_network(path, network(of, seed).state_dict(), of)
    return path


def density(shape_zyx, seed: int = 0, interest=None) -> PreparedDensity:
    values = np.random.default_rng(seed).random(shape_zyx, np.float32).astype(np.float16)
    source = {"file": "made.map", "sha256": "ab" * 32}
    return PreparedDensity(values, ORIGIN_XYZ_A, interest, source, f"{shape_zyx} {seed}")


def store_of_maps(folder: Path, shapes, preset: str = "paper") -> Store:
    """A committed store of noise, in turns of the splits train and validation."""
    config = make_config(preset)
    plan, objects = made_plan(config, shapes), open_objects(folder)
    begin_store(objects, plan)
    for planned in plan.entries:
        write_entry(objects, Layout.of(config), planned, made_map(planned, config))
    commit(objects, plan)
    return open_store(folder)


def window(values_zyx: np.ndarray, corner_zyx) -> np.ndarray:
    """Cut a subgrid; outside of the map there is 0."""
    padded = np.pad(values_zyx.astype(np.float32), 64)
    return padded[tuple(slice(c + 64, c + 64 + BOX) for c in corner_zyx)]


def probabilities_of(
    made: Unetr, cut: np.ndarray, sequence: np.ndarray | None = None
) -> np.ndarray:
    """(classes of all targets, 32, 32, 32) of one subgrid, softmax by its definition."""
    rows = None if sequence is None else torch.from_numpy(sequence)[None]
    with torch.no_grad():
        logits = made(torch.from_numpy(np.ascontiguousarray(cut))[None, None], rows)
    found = []
    for of in logits.values():
        powers = np.exp(of[0].double().numpy() - of.max().item())
        found.append(powers / powers.sum(axis=0))
    return np.concatenate(found)


def plain_prediction(
    values_zyx: np.ndarray,
    of_window: Callable[[np.ndarray], np.ndarray],
    *,
    step: int = CORE,
    first: int = 0,
) -> np.ndarray:
    """One window at a time, its core copied into place; the mean where several reach."""
    padded = tuple(n + 128 for n in values_zyx.shape)
    total, count = 0, np.zeros(padded, int)
    inner = slice(MARGIN, MARGIN + CORE)
    ranges = [range(first, n, step) for n in values_zyx.shape]
    for start in itertools.product(*ranges):
        found = of_window(window(values_zyx, [n - MARGIN for n in start]))
        if not count.any():
            total = np.zeros((len(found), *padded))
        here = tuple(slice(n + 64, n + 64 + CORE) for n in start)
        total[:, *here] += found[:, inner, inner, inner]
        count[here] += 1
    middle = tuple(slice(64, 64 + n) for n in values_zyx.shape)
    return total[:, *middle] / count[middle]
