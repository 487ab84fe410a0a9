"""The chain comparison of the paper's Table 4, as phenix.chain_comparison (cctbx) defines it.

The query's C-alphas are taken in file order. Each takes the nearest C-alpha of the target, without
superposition. Where that one is taken already, it is thought moved by 8 A along x, y and z, and the
then nearest is tried, once. A query C-alpha that finds a free one within 3 A makes a pair, all
others are far. So the numbers depend on the order of the atoms and on who is the target;
`c2s_model.evaluation.one_to_one` does neither. HETATM records are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from c2s_model.evaluation.chains import CaChain
from c2s_model.evaluation.unique_part import unique_part

MAX_PAIR_A: Final = 3.0
_MOVED_A: Final = 8.0
_GAP_A: Final = 7.6
"""Neighbours in the query's file that lie farther apart than this begin a new fragment."""
_NEIGHBOURS: Final = 8


class Directions(NamedTuple):
    """Pairs of stretches that run with the target's order, against it, and all others."""

    forward: int
    reverse: int
    unaligned: int
    forward_fragments: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """Pairs of one query and one target.

    Parameters
    ----------
    n_target, n_query : int
        C-alphas on either side.
    pairs : (n, 2) int64
        Rows of target and query, by query row.
    distance_A : (n,) float64
    same_name : (n,) bool
        Whether both residues have the same name.
    directions : Directions
    input_fragments : int
        Stretches of the query without a step above 7.6 A.
    """

    n_target: int
    n_query: int
    pairs: NDArray[np.int64]
    distance_A: NDArray[np.float64]
    same_name: NDArray[np.bool_]
    directions: Directions
    input_fragments: int

    @property
    def rmsd(self) -> float | None:
        """Root mean square distance of the pairs in angstrom; None without any."""
        return float(np.sqrt(np.mean(self.distance_A**2))) if len(self.pairs) else None

    @property
    def found_percent(self) -> float:
        """Pairs per 100 residues of the target: Table 4's matching."""
        return 100.0 * len(self.pairs) / max(1, self.n_target)

    @property
    def sequence_match_percent(self) -> float:
        """Pairs of the same residue name per 100 pairs; 0 without any."""
        return 100.0 * int(self.same_name.sum()) / max(1, len(self.pairs))

    @property
    def far(self) -> int:
        """C-alphas of the query without a pair."""
        return self.n_query - len(self.pairs)

    def as_json(self) -> dict[str, object]:
        """Return the numbers under their names in reports."""
        share = self.found_percent / 100
        return {
            "pairs": len(self.pairs),
            "rmsd": self.rmsd,
            "found_percent": self.found_percent,
            "sequence_match_percent": self.sequence_match_percent,
            "far": self.far,
            "n_target": self.n_target,
            "n_query": self.n_query,
            "sequence_score": share * self.sequence_match_percent / 100,
            "ca_score": share / max(0.1, self.rmsd or 0.0),
            **self.directions._asdict(),
            "mean_length": len(self.pairs) / max(1, self.directions.forward_fragments),
            "input_fragments": self.input_fragments,
        }


@dataclass(frozen=True, eq=False)
class ChainComparison:
    """Comparison with the whole target and with its unique part.

    Parameters
    ----------
    whole, unique : Comparison
    unique_chains : tuple of str
        Chains of the target's unique part.
    """

    whole: Comparison
    unique: Comparison
    unique_chains: tuple[str, ...]

    @property
    def mode(self) -> Literal["whole", "unique"]:
        """Which one finds more per cent."""
        return "unique" if self.unique.found_percent > self.whole.found_percent else "whole"

    @property
    def better(self) -> Comparison:
        """The one of `mode`."""
        return self.unique if self.mode == "unique" else self.whole


def compare_chains(target: Sequence[CaChain], query: Sequence[CaChain]) -> ChainComparison:
    """Compare a model with the known one; whole target, and one of each kind of its chains."""
    chains = [chain for chain in map(_without_hetero, target) if len(chain.xyz)]
    built = [chain for chain in map(_without_hetero, query) if len(chain.xyz)]
    query_xyz_A, query_names = _joined(built)
    whole = compare(*_joined(chains), query_xyz_A, query_names)
    kept = unique_part(
        [chain.letters for chain in chains],
        [chain.xyz for chain in chains],
        query_xyz_A,
    )
    unique = whole
    if len(kept) < len(chains):
        unique = compare(*_joined([chains[k] for k in kept]), query_xyz_A, query_names)
    return ChainComparison(whole, unique, tuple(chains[k].name for k in kept))


def compare(
    target_xyz_A: NDArray[np.float64],
    target_names: NDArray[np.str_],
    query_xyz_A: NDArray[np.float64],
    query_names: NDArray[np.str_],
) -> Comparison:
    """Compare C-alphas (n, 3) and (m, 3) with their residue names, both in file order."""
    pairs, distance_A = _greedy_pairs(target_xyz_A, query_xyz_A)
    steps_A = np.linalg.norm(np.diff(query_xyz_A, axis=0), axis=1)
    return Comparison(
        len(target_xyz_A),
        len(query_xyz_A),
        pairs,
        distance_A,
        target_names[pairs[:, 0]] == query_names[pairs[:, 1]],
        _directions(pairs),
        int((steps_A > _GAP_A).sum()) + 1 if len(query_xyz_A) else 0,
    )


def _greedy_pairs(
    target: NDArray[np.float64], query: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return rows of target and query, and their distances, in the order of the query."""
    pairs: list[tuple[int, int]] = []
    found_A: list[float] = []
    if len(target) and len(query):
        near, near_A = _nearest(target, query)
        used = np.zeros(len(target), np.bool_)
        for i in range(len(query)):
            j, apart_A = int(near[i, 0]), float(near_A[i, 0])
            if used[j]:
                moved_A = float(np.linalg.norm(query[i] - (target[j] + _MOVED_A)))
                if near.shape[1] == 1 or moved_A < near_A[i, 1]:
                    continue  # the moved one is nearest again
                j, apart_A = int(near[i, 1]), float(near_A[i, 1])
            if not used[j] and apart_A <= MAX_PAIR_A:
                used[j] = True
                pairs.append((j, i))
                found_A.append(apart_A)
    return np.array(pairs, np.int64).reshape(-1, 2), np.array(found_A)


def _nearest(
    target: NDArray[np.float64], query: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the two nearest of the target; of equal distances the first in the file goes first.

    Positions on a grid have many equal distances, which a k-d tree returns in any order.
    """
    _, rows = cKDTree(target).query(query, k=np.arange(1, min(_NEIGHBOURS, len(target)) + 1))
    rows = np.sort(rows, axis=1)
    apart_A = np.sqrt(((target[rows] - query[:, None]) ** 2).sum(axis=2))
    first = np.argsort(apart_A, axis=1, kind="stable")[:, :2]
    return np.take_along_axis(rows, first, 1), np.take_along_axis(apart_A, first, 1)


def _directions(pairs: NDArray[np.int64]) -> Directions:
    """Count pairs by the run they belong to.

    A run begins with a pair whose successor is its neighbour in both models, and goes on as long as
    each pair is the neighbour of the one before.
    """
    step = np.diff(pairs, axis=0, append=[[-9, -9]])
    along = np.where(step[:, 1] == 1, step[:, 0], 0)  # of the target, to the next pair
    along[np.abs(along) != 1] = 0
    counts = {1: 0, -1: 0, 0: 0}
    fragments, last_forward, in_run = 0, -2, False
    for k, (_, i) in enumerate(pairs.tolist()):
        kind = int(along[k - 1]) if in_run else int(along[k])
        counts[kind] += 1
        in_run = kind != 0
        if kind == 1:
            fragments += i != last_forward + 1
            last_forward = i
    return Directions(counts[1], counts[-1], counts[0], fragments)


class _Plain(NamedTuple):
    name: str
    letters: str
    names: NDArray[np.str_]
    xyz: NDArray[np.float64]


def _without_hetero(chain: CaChain) -> _Plain:
    kept = np.flatnonzero(~chain.is_hetero)
    letters = "".join(chain.letters[row] for row in kept.tolist())
    return _Plain(chain.name, letters, chain.residue_name[kept], chain.xyz_A[kept])


def _joined(chains: Sequence[_Plain]) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    if not chains:
        return np.empty((0, 3)), np.empty(0, np.str_)
    return np.concatenate([c.xyz for c in chains]), np.concatenate([c.names for c in chains])
