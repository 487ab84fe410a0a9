"""Tracing without a sequence: candidates become fragments by the evidence for their bonds alone.

The best bond first, each is taken whose ends have fewer than two so far and that closes no ring.
The direction of a fragment is the one that its bonds speak for together.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from c2s_model.backbone.bond_evidence import BondOptions, bond_steps
from c2s_model.backbone.chain_trace import ChainTrace, TraceResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from c2s_model.backbone.candidates import AtomPoints, Candidates

LEAST_EVIDENCE: Final = -3.0
"""Nats, below which two candidates stay apart. Of the bonds of 7KJR and 6GYN, simulated with 0.3 A
noise, 10 % missed and 10 % invented, 69 and 78 % are then made, and of those made 2 and 1 % are
wrong (at 0: 41 and 42 %, below 1 %)."""
NOISE_A: Final = 0.4
MIN_LENGTH: Final = 4
"""Shorter fragments are left out: four C-alphas are the least that has a shape."""


def trace_free(
    candidates: Candidates,
    *,
    n_points: AtomPoints | None = None,
    c_points: AtomPoints | None = None,
    noise_A: float = NOISE_A,
    min_length: int = MIN_LENGTH,
) -> TraceResult:
    """Trace fragments, each as a chain of its own, the longest first.

    Parameters
    ----------
    candidates
        C-alphas.
    n_points, c_points
        Predicted atoms; without them the direction of a fragment is arbitrary, and a note says so.
    noise_A
        Standard deviation of a point's position on each axis.
    min_length
        Least residues of a fragment.

    Returns
    -------
    TraceResult
        ``residue`` counts from 0 along each fragment.
    """
    paths = bond_paths(candidates.xyz_A, n_points, c_points, noise_A)
    kept = sorted((p for p in paths if len(p) >= min_length), key=lambda p: (-len(p), p[0]))
    notes = []
    left = len(candidates) - sum(map(len, kept))
    if left:
        notes.append(f"{left} candidates lie in no fragment of {min_length} residues or more")
    if not any(points is not None and len(points) for points in (n_points, c_points)):
        notes.append("no N or C was predicted, so the direction of every fragment is arbitrary")
    return TraceResult(tuple(_trace(candidates, path) for path in kept), tuple(notes))


def bond_paths(
    xyz_A: NDArray[np.float64],
    n_points: AtomPoints | None,
    c_points: AtomPoints | None,
    noise_A: float,
) -> list[list[int]]:
    """Return every candidate in exactly one path, in the direction of the chain."""
    n = len(xyz_A)
    if n < 2:
        return [[row] for row in range(n)]
    options = BondOptions()
    steps = bond_steps(xyz_A, n_points, c_points, noise_A, options)
    to, rank = np.nonzero((steps.source >= 0) & (steps.weight > LEAST_EVIDENCE))
    evidence = {
        (int(steps.source[b, k]), int(b)): float(steps.weight[b, k])
        for b, k in zip(to, rank, strict=True)
    }
    pairs = {(min(edge), max(edge)) for edge in evidence}
    nothing = options.least
    strength = {
        (a, b): max(evidence.get((a, b), nothing), evidence.get((b, a), nothing)) for a, b in pairs
    }
    neighbors = _best_bonds(n, sorted(strength, key=lambda pair: (-strength[pair], pair)))
    return [_directed(path, evidence, nothing) for path in _walk(neighbors)]


def _best_bonds(n: int, pairs: list[tuple[int, int]]) -> list[list[int]]:
    """Return the neighbors of each candidate, at most two, no ring."""
    root = list(range(n))

    def find(one: int) -> int:
        while root[one] != one:
            root[one] = root[root[one]]
            one = root[one]
        return one

    neighbors: list[list[int]] = [[] for _ in range(n)]
    for a, b in pairs:
        if len(neighbors[a]) < 2 and len(neighbors[b]) < 2 and find(a) != find(b):
            neighbors[a].append(b)
            neighbors[b].append(a)
            root[find(a)] = find(b)
    return neighbors


def _walk(neighbors: list[list[int]]) -> list[list[int]]:
    paths, seen = [], [False] * len(neighbors)
    for start, bonds in enumerate(neighbors):
        if seen[start] or len(bonds) == 2:
            continue
        path, before = [start], -1
        while True:
            onward = [one for one in neighbors[path[-1]] if one != before]
            if not onward:
                break
            before = path[-1]
            path.append(onward[0])
        for one in path:
            seen[one] = True
        paths.append(path)
    return paths


def _directed(path: list[int], evidence: dict[tuple[int, int], float], nothing: float) -> list[int]:
    forward = sum(
        evidence.get((a, b), nothing) - evidence.get((b, a), nothing) for a, b in pairwise(path)
    )
    return path if forward >= 0 else path[::-1]


def _trace(candidates: Candidates, path: list[int]) -> ChainTrace:
    rows = np.array(path, np.int32)
    return ChainTrace(
        np.arange(len(rows), dtype=np.int32),
        rows,
        np.zeros(len(rows), np.int32),
        candidates.xyz_A[rows],
    )
