"""Voxel numerics against their peers and against the memory limit, in one run, on one thread.

    python benchmarks/resample.py [--repeats 7] [--json]

Every round times all forms one after another, so that a busy moment of the machine hits all of
them; a ratio is the median of the rounds' own ratios. The limit of a row is the time of a memcpy
that reads and writes as many bytes as the task must read and write at least.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np
from scipy.ndimage import affine_transform

from c2s_data.transforms.normalize import (
    normalize,
    normalize_to_float16,
    percentile_of,
    to_float16,
)
from c2s_data.transforms.resample import resample_trilinear, resampled_shape
from c2s_data.transforms.subgrid import extract, window_corners

SIDE, VOXEL_A = 300, 0.727
BOX, CORE = 32, 20
RESAMPLE = "resample 300^3 at 0.727 A to 218^3"


@dataclass(frozen=True)
class Task:
    """One thing to do, how others do it, and how many bytes it cannot avoid to move."""

    name: str
    ours: Callable[[], object]
    n_bytes: int
    peers: dict[str, Callable[[], object]]
    limit_goal: float | None = None
    peer_goal: dict[str, float] | None = None


def tasks() -> Iterator[Task]:
    rng = np.random.default_rng(0)
    source = rng.standard_normal((SIDE,) * 3, dtype=np.float32)
    voxel = (VOXEL_A,) * 3
    shape = resampled_shape(source.shape, voxel)
    out = np.empty(shape, np.float32)
    peers: dict[str, Callable[[], object]] = {
        "scipy affine_transform": lambda: affine_transform(
            source, np.full(3, 1 / VOXEL_A), output_shape=shape, order=1, output=np.float32
        )
    }
    peers |= torch_grid_sample(source, shape)
    peers["gemmi interpolate_values"] = gemmi_interpolation(source, shape)
    moved = source.nbytes + out.nbytes
    yield Task(
        f"{RESAMPLE}, into a reused array",
        lambda: resample_trilinear(source, voxel, out=out),
        moved,
        peers,
        2.5,
        {"scipy affine_transform": 20.0},
    )
    yield Task(
        f"{RESAMPLE}, into a new array", lambda: resample_trilinear(source, voxel), moved, {}
    )
    yield from voxel_tasks(rng.standard_normal(shape, dtype=np.float32))


def voxel_tasks(values: np.ndarray) -> Iterator[Task]:
    size = values.nbytes
    divisor = percentile_of(values, "positive")
    single = np.empty_like(values)
    half = np.empty(values.shape, np.float16)
    normalized = normalize(values, divisor)[0]
    yield Task(
        "95th percentile of the positive values, 218^3",
        lambda: percentile_of(values, "positive"),
        size,
        {"numpy percentile": lambda: np.percentile(values[values > 0], 95)},
    )
    yield Task(
        "divide and clip, 218^3",
        lambda: normalize(values, divisor, out=single),
        2 * size,
        {"numpy": lambda: np.clip(values / np.float32(divisor), 0, 1)},
    )
    yield Task(
        "round to float16, 218^3",
        lambda: to_float16(normalized, out=half),
        size * 3 // 2,
        {"numpy astype": lambda: normalized.astype(np.float16)},
    )
    yield Task(
        "divide, clip and round to float16, 218^3",
        lambda: normalize_to_float16(values, divisor, out=half),
        size * 3 // 2,
        {
            "own two steps": lambda: to_float16(
                normalize(values, divisor, out=single)[0], out=half
            ),
            "numpy": lambda: np.clip(values / np.float32(divisor), 0, 1).astype(np.float16),
        },
    )
    density = to_float16(normalized)
    corners = window_corners(values.shape, BOX, CORE)
    subgrids = np.empty((len(corners), BOX, BOX, BOX), np.float16)
    yield Task(
        f"cut {len(corners)} subgrids of float16",
        lambda: extract(density, corners, BOX, out=subgrids),
        density.nbytes + subgrids.nbytes,
        {"numpy slices of a padded map": lambda: cut_with_numpy(density, corners, subgrids)},
    )


def cut_with_numpy(density: np.ndarray, corners: np.ndarray, out: np.ndarray) -> None:
    margin = (BOX - CORE) // 2
    padded = np.pad(density, (margin, BOX))
    for subgrid, (z, y, x) in zip(out, (corners + margin).tolist(), strict=True):
        subgrid[...] = padded[z : z + BOX, y : y + BOX, x : x + BOX]


def torch_grid_sample(
    source: np.ndarray, shape: tuple[int, ...]
) -> dict[str, Callable[[], object]]:
    """Torch on one thread, with the sample grid made beforehand; nothing where torch is absent."""
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(1)
    axes = [
        torch.arange(m, dtype=torch.float32) / VOXEL_A * 2 / (n - 1) - 1
        for n, m in zip(source.shape, shape, strict=True)
    ]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], dim=-1)[None]
    volume = torch.from_numpy(source)[None, None]
    sample = torch.nn.functional.grid_sample
    return {"torch grid_sample": lambda: sample(volume, grid, align_corners=True)}


def gemmi_interpolation(source: np.ndarray, shape: tuple[int, ...]) -> Callable[[], object]:
    """Return gemmi's trilinear interpolation; its grid is periodic, which no voxel here meets."""
    grid = gemmi.FloatGrid(source)
    grid.set_unit_cell(gemmi.UnitCell(*(n * VOXEL_A for n in source.shape), 90, 90, 90))
    grid.spacegroup = gemmi.SpaceGroup("P1")
    out = np.empty(shape, np.float32)
    return lambda: grid.interpolate_values(out, gemmi.Transform(), 1)


def memcpy_moving(n_bytes: int) -> Callable[[], object]:
    source = np.ones(n_bytes // 2, np.uint8)
    target = np.ones_like(source)
    return lambda: np.copyto(target, source)


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(task: Task, repeats: int) -> Iterator[dict[str, Any]]:
    actions = {"memcpy": memcpy_moving(task.n_bytes), "ours": task.ours, **task.peers}
    for action in actions.values():
        action()
    rounds = [{name: seconds(action) for name, action in actions.items()} for _ in range(repeats)]
    own = sorted(1e3 * each["ours"] for each in rounds)
    common = {
        "name": task.name,
        "value": statistics.median(own),
        "unit": "ms",
        "spread": (own[0], own[-1]),
    }
    limit = 1e3 * statistics.median(each["memcpy"] for each in rounds)
    ratio = statistics.median(each["ours"] / each["memcpy"] for each in rounds)
    yield {
        **common,
        "peer": None,
        "peer_ms": None,
        "limit": limit,
        "ratio": ratio,
        "goal": task.limit_goal and f"<= {task.limit_goal:g} x limit",
        "met": None if task.limit_goal is None else ratio <= task.limit_goal,
    }
    for peer in task.peers:
        ratio = statistics.median(each[peer] / each["ours"] for each in rounds)
        goal = (task.peer_goal or {}).get(peer)
        yield {
            **common,
            "peer": peer,
            "peer_ms": 1e3 * statistics.median(each[peer] for each in rounds),
            "limit": limit,
            "ratio": ratio,
            "goal": goal and f">= {goal:g} x peer",
            "met": None if goal is None else ratio >= goal,
        }


def run(repeats: int = 7) -> list[dict[str, Any]]:
    """Measure everything; one row per comparison with the limit or a peer.

    ``ratio`` is time / limit where ``peer`` is None, and peer's time / ours where it is named.
    """
    return [row for task in tasks() for row in measure(task, repeats)]


def show(row: dict[str, Any]) -> str:
    low, high = row["spread"]
    against = f"{row['peer']} {row['peer_ms']:.1f} ms" if row["peer"] else "memcpy limit"
    if not row["peer"]:
        against += f" {row['limit']:.1f} ms"
    verdict = (
        "" if row["met"] is None else f"  goal {row['goal']}: {'met' if row['met'] else 'MISSED'}"
    )
    return (
        f"{row['name']:<52} {row['value']:7.1f} {row['unit']} ({low:.1f}-{high:.1f})  "
        f"{row['ratio']:6.2f} x {against}{verdict}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    rows = run(options.repeats)
    print(json.dumps(rows, indent=2) if options.json else "\n".join(map(show, rows)))


if __name__ == "__main__":
    main()
