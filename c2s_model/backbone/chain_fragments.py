"""Fragments that stand on their own: stretches of sequence placed on candidates without context.

The best local paths of every sequence (`local_paths`) are taken best first, each candidate once and
each residue as often as there are chains of that sequence; then the search repeats on what is left,
until no path, or next to none,
scores more than chance gives among all cells:

    score >= ln(residues x candidates) + margin
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from c2s_model.backbone.local_paths import Outgoing, best_piece, fill, outgoing, walk_back

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from c2s_model.backbone.bond_evidence import Steps


DEEPEST: Final = 8.0
"""Nats by which the score may fall along a path."""
MOST_ROUNDS: Final = 1000
LITTLE: Final = 0.01
"""Share of what was found by which a round must add to it, or it was the last."""


class Graph(NamedTuple):
    """Candidates as the search sees them.

    Parameters
    ----------
    xyz_A : (n, 3) float64
    emission : (21, n) float32
        Log-odds by amino acid, the last row for unknown residues.
    ratios : Steps
        What speaks for each bond.
    steps : Steps
        What speaks against each bond and, from row ``first_skip`` on, each skip.
    first_skip : int
    bend : (n, k, k) float32
        What speaks against two steps in a row.
    """

    xyz_A: NDArray[np.float64]
    emission: NDArray[np.float32]
    ratios: Steps
    steps: Steps
    first_skip: int
    bend: NDArray[np.float32]

    def bonds_out(self) -> Outgoing:
        """Return the bonds by the candidate that they leave."""
        return outgoing(*self.steps, self.bend, range(self.first_skip))

    def skips_out(self) -> Outgoing:
        """Return the skips by the candidate that they leave."""
        return outgoing(*self.steps, self.bend, range(self.first_skip, self.bend.shape[1]))

    def among(self, rows: NDArray[np.integer]) -> Graph:
        """Return the part of the graph on some candidates, which are numbered anew."""
        emission = np.ascontiguousarray(self.emission[:, rows])
        ratios, steps = self.ratios.among(rows), self.steps.among(rows)
        return Graph(self.xyz_A[rows], emission, ratios, steps, self.first_skip, self.bend[rows])


@dataclass(frozen=True, eq=False)
class Fragment:
    """Residues of one sequence on candidates.

    Parameters
    ----------
    residue : (r,) int64
        Positions in the sequence, ascending, at most one left out between two.
    state : (r,) int64
        Candidates.
    score : float
        Nats.
    """

    residue: NDArray[np.int64]
    state: NDArray[np.int64]
    score: float


def local_search(
    graph: Graph,
    codes: NDArray[np.int64],
    room: NDArray[np.int64],
    start: NDArray[np.float32],
    end: NDArray[np.float32],
    least: float,
    floor: float = -np.inf,
) -> list[Fragment]:
    """Return paths that score enough, best first, no candidate in two of them.

    Parameters
    ----------
    graph
        Free candidates.
    codes, room : (T,) int64
        Amino acids of the residues, and how many paths may hold each.
    start, end : (T, n) float32
        What it is worth to begin or end in a cell.
    least
        Score that a path must reach.
    floor
        As in `fill`.
    """
    n = len(graph.xyz_A)
    back = np.empty((len(codes), n, 2), np.uint8)
    end_score, end_residue = np.full(n, -np.inf, np.float32), np.zeros(n, np.int64)
    steps = (*graph.steps, graph.first_skip, graph.bend)
    fill(
        graph.emission, codes, room, graph.bonds_out(), graph.skips_out(),
        start, end, floor, DEEPEST, back, end_score, end_residue,
    )  # fmt: skip
    room, taken, last_seen = room.copy(), np.zeros(n, np.bool_), np.full(n, -1, np.int64)
    found = []
    for s in np.argsort(-end_score, kind="stable").tolist():
        if not end_score[s] >= least:
            break
        if taken[s]:
            continue  # A piece of its path that ends before it is found from that end.
        path = walk_back(back, *steps, end_residue[s], s)
        first, stop, score = best_piece(
            *path, graph.emission, codes, room, taken, start, end, DEEPEST, last_seen
        )
        if score >= least:
            residue, state = path[0][first:stop], path[1][first:stop]
            found.append(Fragment(residue, state, score))
            room[residue] -= 1
            taken[state] = True
    return found


def seed_fragments(
    graph: Graph,
    sequences: Sequence[NDArray[np.int64]],
    copies: Sequence[int],
    *,
    margin: float,
    apart_A: float,
    most_rounds: int = MOST_ROUNDS,
) -> list[list[Fragment]]:
    """Return the fragments of each sequence that need no context.

    Parameters
    ----------
    graph
        All candidates.
    sequences
        Amino-acid codes of each different sequence.
    copies
        Chains that have it.
    margin
        Nats above what chance gives.
    apart_A
        Candidates nearer than this to one that is used are taken for doubles of it.
    most_rounds
        Searches at most.
    """
    n = len(graph.xyz_A)
    least = np.log(max(n, 1) * max(sum(map(len, sequences)), 1)) + margin
    found: list[list[Fragment]] = [[] for _ in sequences]
    rooms = [np.full(len(codes), m, np.int64) for codes, m in zip(sequences, copies, strict=True)]
    free, tree, n_found = np.ones(n, np.bool_), cKDTree(graph.xyz_A), 0
    for _ in range(most_rounds):
        if not free.any():
            break
        rows = np.flatnonzero(free)
        part, taken = graph.among(rows), np.zeros(len(rows), np.bool_)
        drawn = []
        for number, (codes, room) in enumerate(zip(sequences, rooms, strict=True)):
            nothing = np.broadcast_to(np.float32(0), (len(codes), len(rows)))
            pieces = local_search(part, codes, room, nothing, nothing, least, floor=0.0)
            drawn += [(number, piece) for piece in pieces]
        for number, piece in sorted(drawn, key=lambda item: -item[1].score):
            # Paths of two sequences may hold the same candidates; the next round searches again.
            if not taken[piece.state].any():
                taken[piece.state] = True
                rooms[number][piece.residue] -= 1
                found[number].append(Fragment(piece.residue, rows[piece.state], piece.score))
        n_found += taken.sum()
        if taken.sum() <= LITTLE * n_found:
            break
        for doubles in tree.query_ball_point(graph.xyz_A[rows[taken]], apart_A):
            free[doubles] = False
    return found
