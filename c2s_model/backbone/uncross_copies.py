"""Equal chains that ran into each other are told apart again.

Amino acids cannot tell copies apart, so that a path may cross from one copy into another where both
come near each other. After each residue, heads (the last residue placed up to it, one a copy) and
tails (the first placed after it) are matched anew for the greatest sum of link likelihoods, and the
rests of the copies exchanged; sweeps go on until nothing changes. A link is worth

    l(i, j)                              to the next residue (`bond_evidence`)
    ln P(g) + ln f(d; g) / 4 pi d^2 rho  over a gap (`chain_links`)

and less where the ends do not lie as in the other copies: three residues on either side are
compared with the mean distances of the same residues in unbroken stretches of any copy,

    - 3 mean((d - d_ref)^2) / (2 * 3 sigma^2), down to -20,

where 3 sigma^2 is the variance of a distance between two points, and of a mean of a few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.optimize import linear_sum_assignment

from c2s_model.backbone.chain_links import log_gap, log_reach

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from c2s_model.backbone.chain_copies import Placement
    from c2s_model.backbone.chain_fragments import Graph

MAX_SWEEPS: Final = 10
NO_BOND: Final = -10.0
WORST_LINK: Final = -30.0
WORST_SHAPE: Final = -20.0
ANY_LINK: Final = 60.0
"""Added to every link, so that no matching has fewer links than another."""
SOUND_BOND: Final = -3.0
LOG_DENSITY: Final = float(np.log(0.005))
COMPARED: Final = 3
"""Residues on either side of a link whose distances are compared."""
SPAN: Final = 40
"""Longest separation of residues with a reference distance."""


def uncross(copies: Sequence[Placement], graph: Graph, n_residues: int, noise_A: float) -> None:
    """Exchange the rests of copies wherever that makes the links between residues likelier.

    Parameters
    ----------
    copies
        Candidate of each placed residue of each copy; changed in place.
    graph
        All candidates.
    n_residues
        Length of the sequence.
    noise_A
        Standard deviation of a point's position on each axis.
    """
    if len(copies) < 2:
        return
    state = np.full((len(copies), n_residues), -1, np.int64)
    for row, copy in enumerate(copies):
        state[row, list(copy)] = list(copy.values())
    for _ in range(MAX_SWEEPS):
        if not _sweep(state, graph, reference_distances(state, graph), noise_A):
            break
    for row, copy in enumerate(copies):
        copy.clear()
        placed = np.flatnonzero(state[row] >= 0).tolist()
        copy.update(zip(placed, state[row, placed].tolist(), strict=True))


def reference_distances(state: NDArray[np.int64], graph: Graph) -> NDArray[np.float64]:
    """Return the mean distance of residues t and t + k within unbroken stretches, (T, SPAN + 1).

    Parameters
    ----------
    state : (copies, T) int64
        Candidate of each residue, -1 for none. NaN in the result where no stretch holds both.
    """
    m, T = state.shape
    xyz_A = np.where(state[:, :, None] >= 0, graph.xyz_A[state], np.nan)
    bond = _bond_ratio(graph, state[:, :-1], state[:, 1:]) > SOUND_BOND
    broken = np.concatenate((np.zeros((m, 1)), np.cumsum(~bond, axis=1)), axis=1)
    total, count = np.zeros((T, SPAN + 1)), np.zeros((T, SPAN + 1))
    for k in range(1, min(SPAN + 1, T)):
        d = np.linalg.norm(xyz_A[:, k:] - xyz_A[:, :-k], axis=2)
        whole = (broken[:, k:] == broken[:, :-k]) & np.isfinite(d)
        total[:-k, k] = np.where(whole, d, 0).sum(axis=0)
        count[:-k, k] = whole.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _sweep(
    state: NDArray[np.int64], graph: Graph, reference: NDArray[np.float64], noise_A: float
) -> bool:
    m, T = state.shape
    head, changed = np.full(m, -1), False
    # The next placed residue at or after each, T where there is none.
    ahead = np.where(state >= 0, np.arange(T), T)
    ahead = np.minimum.accumulate(ahead[:, ::-1], axis=1)[:, ::-1]
    for cut in range(T - 1):
        head = np.where(state[:, cut] >= 0, cut, head)
        tail = ahead[:, cut + 1]
        if (head >= 0).sum() == 0 or (tail < T).sum() == 0:
            continue
        worth = _links(state, graph, reference, head, tail, noise_A)
        tail_of = linear_sum_assignment(-worth)[1]
        if worth[np.arange(m), tail_of].sum() > np.trace(worth) + 1e-6:
            state[:, cut + 1 :] = state[tail_of, cut + 1 :]
            ahead[:, cut + 1 :] = ahead[tail_of, cut + 1 :]
            changed = True
    return changed


def _links(
    state: NDArray[np.int64],
    graph: Graph,
    reference: NDArray[np.float64],
    head: NDArray[np.int64],
    tail: NDArray[np.int64],
    noise_A: float,
) -> NDArray[np.float64]:
    """Return the worth of following the head of each copy, a row, by the tail of each other."""
    m, T = state.shape
    rows = np.arange(m)
    exists = (head >= 0)[:, None] & (tail < T)[None, :]
    last, first = state[rows, head], state[rows, np.minimum(tail, T - 1)]
    apart = np.maximum(tail[None, :] - head[:, None], 1)
    d = np.linalg.norm(graph.xyz_A[last][:, None] - graph.xyz_A[first][None, :], axis=2)
    gap = log_gap(apart) + log_reach(apart, d, noise_A) - LOG_DENSITY
    both = np.broadcast_arrays(last[:, None], first[None, :])
    worth = np.where(apart == 1, _bond_ratio(graph, *both), np.maximum(gap, WORST_LINK))
    worth = worth + _shape(state, graph, reference, head, tail, noise_A)
    return np.where(exists, ANY_LINK + worth, 0.0)


def _shape(
    state: NDArray[np.int64],
    graph: Graph,
    reference: NDArray[np.float64],
    head: NDArray[np.int64],
    tail: NDArray[np.int64],
    noise_A: float,
) -> NDArray[np.float64]:
    """Return how much worse than in other copies the residues around each link lie, <= 0."""
    m, T = state.shape
    near = np.arange(COMPARED)
    before, after = head[:, None] - near, tail[:, None] + near  # (copies, 3) residues
    xyz_before = _positions(state, graph, before)
    xyz_after = _positions(state, graph, after)
    d = np.linalg.norm(xyz_before[:, None, :, None] - xyz_after[None, :, None, :], axis=-1)
    span = after[None, :, None, :] - before[:, None, :, None]
    known = (span >= 1) & (span <= SPAN) & (before >= 0)[:, None, :, None]
    expected = reference[np.clip(before, 0, T - 1)[:, None, :, None], np.where(known, span, 0)]
    off2 = np.where(known, (d - expected) ** 2, np.nan).reshape(m, m, -1)
    seen = np.isfinite(off2)
    mean = np.where(seen, off2, 0).sum(axis=2) / np.maximum(seen.sum(axis=2), 1)
    shape: NDArray[np.float64] = np.maximum(-mean / (2 * noise_A**2), WORST_SHAPE)
    return shape


def _positions(
    state: NDArray[np.int64], graph: Graph, residue: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return positions (copies, k, 3) of residues of each copy, NaN where there is none."""
    T = state.shape[1]
    there = np.take_along_axis(state, np.clip(residue, 0, T - 1), axis=1)
    there = np.where((residue >= 0) & (residue < T), there, -1)
    return np.where(there[:, :, None] >= 0, graph.xyz_A[there], np.nan)


def _bond_ratio(graph: Graph, i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return l(i, j) of pairs of candidates; where it was too low to be kept, `NO_BOND`."""
    is_step = (graph.ratios.source[j] == i[..., None]) & (i >= 0)[..., None] & (j >= 0)[..., None]
    ratio = np.where(is_step, graph.ratios.weight[j], NO_BOND)
    return np.asarray(ratio.max(axis=-1), np.float64)
