"""Numerics of voxels on one thread: resampling, normalizing, labeling, cutting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import gemmi
import numpy as np

from benchmarks import resample as numerics
from benchmarks.build import assembly, on_one_core
from benchmarks.resample import memcpy_moving
from benchmarks.suite.rows import Goal, Row, at_least, at_most, faster, of_limit
from benchmarks.suite.size import Size
from benchmarks.suite.turns import in_turns, timed
from c2s_data.transforms.label import label_voxels
from c2s_data.transforms.normalize import normalize
from c2s_data.transforms.percentile import percentile_of


@dataclass(frozen=True)
class Work:
    """One thing to do, how others do it, and the bytes that it must read and write at least."""

    name: str
    ours: Callable[[], object]
    n_bytes: int
    peers: dict[str, Callable[[], object]] = field(default_factory=dict)
    limit_goal: Goal | None = None
    peer_goals: dict[str, Goal] = field(default_factory=dict)


def rows(size: Size, folder: Path) -> Iterator[Row]:
    """Yield each work against a memcpy of its bytes and against its peers."""
    on_one_core()
    for task in numerics.tasks():
        yield from rows_of(
            Work(
                task.name, task.ours, task.n_bytes, task.peers,
                at_most(task.limit_goal) if task.limit_goal else None,
                {name: at_least(bound) for name, bound in (task.peer_goal or {}).items()},
            ),
            size.repeats,
        )  # fmt: skip
    yield from rows_of(normalizing(size.pick(96, 400, 400)), size.repeats)
    yield from rows_of(labeling(), size.repeats)


def rows_of(work: Work, repeats: int) -> Iterator[Row]:
    """Measure one work, its limit and its peers in turns."""
    actions = {"limit": memcpy_moving(work.n_bytes), "ours": work.ours, **work.peers}
    seconds = in_turns({name: timed(action) for name, action in actions.items()}, repeats)
    yield of_limit(work.name, seconds["ours"], seconds["limit"], "memcpy of the same bytes",
                   goal=work.limit_goal)  # fmt: skip
    for peer in work.peers:
        yield faster(work.name, seconds["ours"], seconds[peer], peer,
                     goal=work.peer_goals.get(peer))  # fmt: skip


def normalizing(side: int) -> Work:
    """Return what every map goes through: the percentile, division, clipping and rounding."""
    values = np.random.default_rng(0).standard_normal((side,) * 3, dtype=np.float32)
    out = np.empty_like(values)

    def ours() -> None:
        normalize(values, percentile_of(values, "positive"), out=out)

    def plain() -> np.ndarray:
        divisor = np.float32(np.percentile(values[values > 0], 95))
        return np.clip(values / divisor, 0, 1)

    return Work(
        f"exact percentile, normalize and clip, {side}³",
        ours,
        2 * values.nbytes,
        {"numpy": plain},
        peer_goals={"numpy": at_least(3)},
    )


def labeling() -> Work:
    """Return labeling of a made protein, against a loop over its atoms."""
    protein = assembly(110.0)
    atoms = [(atom, residue) for chain in protein[0] for residue in chain for atom in residue
             if atom.name in ("CA", "N", "C")]  # fmt: skip
    xyz_A = np.array([atom.pos.tolist() for atom, _ in atoms])
    kind = np.array([{"CA": 1, "N": 2, "C": 3}[atom.name] for atom, _ in atoms], np.uint8)
    origin = tuple(xyz_A.min(axis=0) - 10)
    shape = tuple(int(n) for n in np.ptp(xyz_A, axis=0)[::-1] + 20)

    ones = np.ones(len(kind), np.uint8)

    def ours() -> list[np.ndarray]:
        found = label_voxels(
            xyz_A, kind, ones, ones, shape_zyx=shape, origin_xyz_A=origin,
            voxel_size_zyx_A=(1.0,) * 3, rule="formula1", collision="last-wins",
        )  # fmt: skip
        return [
            mask.to_dense(shape) for mask in (found.atom, found.ca, found.amino, found.secondary)
        ]

    written = 4 * int(np.prod(shape))
    return Work(
        f"label {len(atoms)} atoms, four masks in full",
        ours,
        written,
        {"a loop over the atoms for each of four masks": loop_of(atoms, origin, shape)},
    )


def loop_of(
    atoms: list[tuple[gemmi.Atom, gemmi.Residue]], origin: tuple[float, ...], shape: tuple[int, ...]
) -> Callable[[], object]:
    """Return the published way: one pass over the atoms a mask, formula 1 for each."""

    def label() -> list[np.ndarray]:
        masks = []
        for only_ca in (False, True, True, True):
            mask = np.zeros(shape, np.uint8)
            for atom, _ in atoms:
                if only_ca and atom.name != "CA":
                    continue
                i = int(np.ceil(np.floor(atom.pos.z - origin[2]) / 1.0))
                j = int(np.ceil(np.floor(atom.pos.y - origin[1]) / 1.0))
                k = int(np.ceil(np.floor(atom.pos.x - origin[0]) / 1.0))
                mask[i, j, k] = 1
            masks.append(mask)
        return masks

    return label
