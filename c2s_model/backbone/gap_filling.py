"""Placing what is left between residues that stand already.

In a gap of a chain, between placed residues a and b (one of them may be missing at the ends of a
chain), a local path over the free candidates may begin in a cell worth

    start_t(s) = max(w(a, s) if t = a + 1,  link(t - a, |x_s - x_a|),  -ln(residues x candidates))

and end, toward b, in one worth the same with an extra for meeting b where it stands. The best gap
is filled first, and gaps that changed are searched again, until none scores the margin.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from c2s_model.backbone.chain_fragments import Fragment, local_search
from c2s_model.backbone.chain_links import STRETCHED_A, log_gap, log_reach

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from c2s_model.backbone.chain_copies import Placement
    from c2s_model.backbone.chain_fragments import Graph

MEETING_VOLUME_A3: Final = 3000.0
"""Room in which the end of a path would lie by chance: what meeting the next residue counts."""


@dataclass(frozen=True)
class FillOptions:
    """How gaps are filled.

    Parameters
    ----------
    margin
        Nats that a path must be worth.
    apart_A
        Candidates nearer than this to one that is used are taken for doubles of it.
    candidate_density
        Candidates per cubic A.
    reach_A
        Candidates farther from both ends of a gap than this are not looked at.
    """

    margin: float = 0.0
    apart_A: float = 2.0
    candidate_density: float = 0.01
    reach_A: float = 60.0


class Gap(NamedTuple):
    """Unplaced residues of a chain after residue ``before`` and up to residue ``after``.

    ``before`` is -1 and ``after`` the length of the sequence where nothing stands beyond.
    """

    chain: int
    before: int
    after: int


def fill_gaps(
    graph: Graph,
    sequences: Sequence[NDArray[np.int64]],
    placed: Sequence[Placement],
    noise_A: float,
    options: FillOptions,
) -> None:
    """Add to what is placed, chain by chain.

    Parameters
    ----------
    graph
        All candidates.
    sequences
        Amino-acid codes of each chain.
    placed
        Candidate of each placed residue of each chain; is added to.
    noise_A
        Standard deviation of a point's position on each axis.
    """
    tree = cKDTree(graph.xyz_A)
    free = np.ones(len(graph.xyz_A), np.bool_)
    for placement in placed:
        _take(free, tree, graph.xyz_A, list(placement.values()), options)
    open_gaps = [gap for chain in range(len(placed)) for gap in _gaps(chain, sequences, placed)]
    while open_gaps:
        offers = [
            (offer, gap)
            for gap in open_gaps
            if (offer := _best_offer(graph, sequences, placed, gap, free, noise_A, options))
        ]
        open_gaps = []
        for offer, gap in sorted(offers, key=lambda item: -item[0].score):
            if free[offer.state].all():
                placed[gap.chain].update(
                    zip(offer.residue.tolist(), offer.state.tolist(), strict=True)
                )
                _take(free, tree, graph.xyz_A, offer.state.tolist(), options)
                open_gaps += [
                    new
                    for new in _gaps(gap.chain, sequences, placed)
                    if gap.before <= new.before and new.after <= gap.after
                ]
            else:
                open_gaps.append(gap)


def _take(
    free: NDArray[np.bool_],
    tree: cKDTree,
    xyz_A: NDArray[np.float64],
    states: list[int],
    options: FillOptions,
) -> None:
    for doubles in tree.query_ball_point(xyz_A[states].reshape(-1, 3), options.apart_A):
        free[doubles] = False


def _gaps(
    chain: int, sequences: Sequence[NDArray[np.int64]], placed: Sequence[Placement]
) -> list[Gap]:
    stops = [-1, *sorted(placed[chain]), len(sequences[chain])]
    return [
        Gap(chain, before, after)
        for before, after in itertools.pairwise(stops)
        if after > before + 1
    ]


def _best_offer(
    graph: Graph,
    sequences: Sequence[NDArray[np.int64]],
    placed: Sequence[Placement],
    gap: Gap,
    free: NDArray[np.bool_],
    noise_A: float,
    options: FillOptions,
) -> Fragment | None:
    codes = sequences[gap.chain][gap.before + 1 : gap.after]
    left, right = (placed[gap.chain].get(residue) for residue in (gap.before, gap.after))
    near = free.copy()
    for anchor in (left, right):
        if anchor is not None:
            reach_A = min(options.reach_A, STRETCHED_A * len(codes) + 3 * noise_A)
            near &= np.linalg.norm(graph.xyz_A - graph.xyz_A[anchor], axis=1) <= reach_A
    rows = np.flatnonzero(near)
    if not len(rows):
        return None
    part = graph.among(rows)
    n_cells = max(sum(map(len, sequences)), 1) * len(graph.xyz_A)
    start = np.full((len(codes), len(rows)), -np.log(n_cells))
    end = np.zeros((len(codes), len(rows)))
    t = np.arange(len(codes))[:, None]
    if left is not None:
        apart = t + 1
        reach = log_reach(apart, _distance_A(graph, left, rows), noise_A)
        link = log_gap(apart) + reach - np.log(options.candidate_density)
        link[0] = _step_into(graph, left, rows)
        start = np.where(np.isneginf(reach), -np.inf, np.maximum(start, np.minimum(link, 0)))
    if right is not None:
        apart = len(codes) - t
        reach = log_reach(apart, _distance_A(graph, right, rows), noise_A)
        meeting = reach + np.log(MEETING_VOLUME_A3)
        meeting[-1] += _step_out(graph, right, rows)
        end = np.where(np.isneginf(reach), -np.inf, np.maximum(meeting, 0) + log_gap(apart))
    room = np.ones(len(codes), np.int64)
    found = local_search(
        part, codes, room, start.astype(np.float32), end.astype(np.float32), options.margin
    )
    if not found:
        return None
    best = found[0]
    return Fragment(best.residue + gap.before + 1, rows[best.state], best.score)


def _distance_A(graph: Graph, state: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(graph.xyz_A[rows] - graph.xyz_A[state], axis=1))


def _step_into(graph: Graph, source: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the weight of the bond from one candidate to each of some, -inf without."""
    bonds = slice(0, graph.first_skip)
    weight = graph.steps.weight[rows, bonds]
    found = np.where(graph.steps.source[rows, bonds] == source, weight, -np.inf)
    best: NDArray[np.float64] = found.max(axis=1)
    return best


def _step_out(graph: Graph, target: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the weight of the bond from each of some candidates to one, -inf without."""
    bonds = slice(0, graph.first_skip)
    weight = np.full(len(graph.xyz_A) + 1, -np.inf)  # -1, no bond, names the last
    weight[graph.steps.source[target, bonds]] = graph.steps.weight[target, bonds]
    return weight[rows]
