"""Which of several equal chains each fragment belongs to.

Fragments of one sequence are linked into trains: of all pairs that may follow each other, the
likeliest link first (`chain_links`), each fragment with one predecessor and one successor. Trains
then fill the copies by descending score, each the copy with room for its residues, within reach of
what is there already, whose nearest neighbors along the chain lie best. What fits into no copy is
left out, and its candidates are free again. A single chain goes through the same steps without the
links, which drops fragments out of reach of better ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from c2s_model.backbone.chain_fragments import Fragment
from c2s_model.backbone.chain_links import log_gap, log_reach

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Placement = dict[int, int]
"""Candidate of each placed residue of a chain."""


def assign_to_copies(
    fragments: Sequence[Fragment],
    n_copies: int,
    xyz_A: NDArray[np.float64],
    noise_A: float,
) -> list[Placement]:
    """Distribute fragments of one sequence over its chains.

    Parameters
    ----------
    fragments
        In any order.
    n_copies
        Number of chains with the sequence.
    xyz_A : (n, 3) float64
        Positions of the candidates.
    noise_A
        Standard deviation of a point's position on each axis.
    """
    trains = [[number] for number in range(len(fragments))]
    if n_copies > 1 and len(fragments) > 1:
        trains = _trains(fragments, xyz_A, noise_A)
    pieces = [_joined([fragments[number] for number in train]) for train in trains]
    copies: list[Placement] = [{} for _ in range(n_copies)]
    for piece in sorted(pieces, key=lambda piece: -piece.score):
        fits = [_fit(copy, piece, xyz_A, noise_A) for copy in copies]
        best = int(np.argmax(fits))
        if fits[best] > -np.inf:
            copies[best].update(zip(piece.residue.tolist(), piece.state.tolist(), strict=True))
    return copies


def _trains(
    fragments: Sequence[Fragment], xyz_A: NDArray[np.float64], noise_A: float
) -> list[list[int]]:
    first = np.array([piece.residue[0] for piece in fragments])
    last = np.array([piece.residue[-1] for piece in fragments])
    head = xyz_A[[piece.state[0] for piece in fragments]]
    tail = xyz_A[[piece.state[-1] for piece in fragments]]
    a, b = np.nonzero(first[None, :] > last[:, None])
    g, d = first[b] - last[a], np.linalg.norm(head[b] - tail[a], axis=1)
    worth = log_gap(g) + log_reach(g, d, noise_A)
    successor: dict[int, int] = {}
    predecessor: dict[int, int] = {}
    for link in np.argsort(-worth, kind="stable").tolist():
        before, after = int(a[link]), int(b[link])
        if worth[link] == -np.inf:
            break
        if before not in successor and after not in predecessor:
            successor[before], predecessor[after] = after, before
    trains = []
    for number in range(len(fragments)):
        if number not in predecessor:
            train = [number]
            while train[-1] in successor:
                train.append(successor[train[-1]])
            trains.append(train)
    return trains


def _joined(pieces: Sequence[Fragment]) -> Fragment:
    residue = np.concatenate([piece.residue for piece in pieces])
    state = np.concatenate([piece.state for piece in pieces])
    return Fragment(residue, state, sum(piece.score for piece in pieces))


def _fit(copy: Placement, piece: Fragment, xyz_A: NDArray[np.float64], noise_A: float) -> float:
    """Return how well a piece stands among what a copy holds, -inf where it cannot."""
    if not copy:
        return 0.0
    placed = np.array(sorted(copy))
    after = np.searchsorted(placed, piece.residue)
    worth = 0.0
    if (placed[np.minimum(after, len(placed) - 1)] == piece.residue).any():
        return -np.inf
    for side, taken in ((after - 1, after > 0), (after, after < len(placed))):
        neighbor = placed[side[taken]]
        apart = np.abs(piece.residue[taken] - neighbor)
        there = xyz_A[[copy[int(residue)] for residue in neighbor]]
        d = np.linalg.norm(xyz_A[piece.state[taken]] - there, axis=1)
        if not len(d):
            continue
        reach = log_reach(apart, d, noise_A)
        if np.isneginf(reach).any():
            return -np.inf
        worth += float(reach[np.argmin(apart)])
    return worth
