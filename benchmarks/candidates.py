"""C-alpha candidates from a million voxels, against scipy's k-d tree.

    python benchmarks/candidates.py [--voxels 1000000] [--repeats 5] [--json]

Three kinds of lists: peaks (Gaussians at C-alpha distances, as a good network gives them), a solid
block (a network that says C-alpha everywhere), and scattered single voxels, which hardly merge: no
prediction looks like that, but nothing is slower, so that it has no goal.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from c2s_model.backbone.candidates import CandidateVoxels, cluster_leader, suppress_non_maxima

GOAL_S = 1.0
SPACING = 4


def peaks(n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Gaussians of 0.8 A about jittered lattice points 4 A apart: about ten voxels above 0.2."""
    reach = np.arange(-2, 3)
    around = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), -1).reshape(-1, 3)
    side = int(np.ceil((n / 9) ** (1 / 3)))
    centers = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    centers = SPACING * centers + 3 + rng.normal(scale=0.3, size=centers.shape)
    index = np.rint(centers).astype(np.int64)[:, None] + around
    p = rng.uniform(0.6, 1, (len(centers), 1)) * np.exp(
        -((index - centers[:, None]) ** 2).sum(axis=2) / (2 * 0.8**2)
    )
    index, p = index.reshape(-1, 3), p.reshape(-1)
    best = np.lexsort((-p, *index.T[::-1]))
    index, p = index[best], p[best]
    first = np.concatenate(([True], (np.diff(index, axis=0) != 0).any(axis=1)))
    keep = np.flatnonzero(first & (p > 0.2))[:n]
    return index[keep], p[keep]


def block(n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    side = int(np.ceil(n ** (1 / 3)))
    index = np.stack(np.unravel_index(np.arange(n), (side,) * 3), axis=1)
    return index, rng.uniform(0.4, 1, n)


def scattered(n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    side = int(np.ceil((64 * n) ** (1 / 3)))
    flat = np.unique(rng.integers(0, side**3, n + n // 32))
    flat = np.sort(rng.permutation(flat)[:n])
    return np.stack(np.unravel_index(flat, (side,) * 3), axis=1), rng.uniform(0.4, 1, len(flat))


def voxels_of(
    index_zyx: NDArray[np.int64], p: NDArray[np.float64], rng: np.random.Generator
) -> CandidateVoxels:
    amino = rng.random((len(p), 20), np.float32)
    return CandidateVoxels(
        index_zyx.astype(np.int32),
        p.astype(np.float32),
        amino / amino.sum(axis=1, keepdims=True),
        rng.random((len(p), 3), np.float32),
        (10.0, -20.0, 30.0),
    )


def leader_by_tree(voxels: CandidateVoxels) -> int:
    """The published clusters, their members looked up in a k-d tree; returns their number."""
    xyz = voxels.index_zyx[:, ::-1].astype(np.float64)
    order = np.lexsort(xyz.T[::-1])
    tree = cKDTree(xyz)
    left = np.ones(len(xyz), bool)
    found = 0
    for seed in order.tolist():
        if left[seed]:
            left[tree.query_ball_point(xyz[seed], 2.0)] = False
            found += 1
    return found


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def run(n: int = 1_000_000, repeats: int = 5) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    rows = []
    for make in (peaks, block, scattered):
        voxels = voxels_of(*make(n, rng), rng)
        actions: dict[str, Callable[[], Any]] = {
            "leader (paper)": lambda v=voxels: cluster_leader(v),
            "suppression (recommended)": lambda v=voxels: suppress_non_maxima(
                v, decode_offset_voxel=0.5
            ),
        }
        tree_s = seconds(lambda v=voxels: leader_by_tree(v))
        for name, action in actions.items():
            n_candidates = len(action())  # compiled or loaded before it is timed
            times = sorted(seconds(action) for _ in range(repeats))
            paper = name.startswith("leader")
            rows.append(
                {
                    "voxels": len(voxels),
                    "kind": make.__name__,
                    "way": name,
                    "candidates": n_candidates,
                    "seconds": statistics.median(times),
                    "spread": (times[0], times[-1]),
                    "tree_s": tree_s if paper else None,
                    "met": None if make is scattered else statistics.median(times) <= GOAL_S,
                }
            )
    return rows


def show(row: dict[str, Any]) -> str:
    low, high = row["spread"]
    text = (
        f"{row['kind']:<10} {row['voxels']:>9,} voxels  {row['way']:<26} "
        f"{row['candidates']:>8,} candidates  {row['seconds']:.2f} s ({low:.2f}-{high:.2f})"
    )
    if row["tree_s"]:
        text += f"  k-d tree {row['tree_s']:.1f} s"
    if row["met"] is None:
        return text
    return f"{text}  goal <= {GOAL_S:g} s: {'met' if row['met'] else 'MISSED'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--voxels", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    rows = run(options.voxels, options.repeats)
    print(json.dumps(rows, indent=1) if options.json else "\n".join(map(show, rows)))


if __name__ == "__main__":
    main()
