"""Which chain of a prediction stands for which of the target, and then residue by residue.

Chains that correspond (`c2s_model.evaluation.correspondence`) can pair; copies of one sequence can
pair in any way. That pairing is taken which has the most residues within 3 A of their own in the
map frame, then the highest sum of TM terms. The sum over all residues is a sum over pairs of
chains, and each pair's part does not depend on the other pairs, so the assignment problem
(Hungarian method) has its optimum: no permutation of symmetric copies is better.

A query chain whose numbers fit nowhere is cut into the stretches in which the sequences of the
target are found (`c2s_model.evaluation.sequence_search`). Where more chains are left, each may take
residues of a target chain that have none yet, if at least half of them lie within 3 A: some
programs write every fragment as a chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from c2s_model.evaluation.chains import CaChain
from c2s_model.evaluation.correspondence import Pairs, pairs_by_number
from c2s_model.evaluation.sequence_search import find_sequences
from c2s_model.evaluation.tm_score import tm_d0_A

NEAR_A: Final = 3.0
MIN_NEAR: Final = 0.5
Method = Literal["number", "alignment"]


class MappedChain(NamedTuple):
    """A pair of chains: their places in target and query, by what, and the rows of both."""

    target: int
    query: int
    method: Method
    pairs: Pairs


@dataclass(frozen=True, eq=False)
class ChainMapping:
    """What stands for what.

    Parameters
    ----------
    chains : tuple of MappedChain
        By target chain.
    pairs : (n, 2) int64
        Rows of all C-alphas of target and query, one chain after another, by target row.
    """

    chains: tuple[MappedChain, ...]
    pairs: Pairs

    @property
    def method(self) -> Literal["number", "alignment", "none"]:
        """``number`` when every pair of chains was mapped by number, ``none`` without any."""
        methods = {mapped.method for mapped in self.chains}
        if not methods:
            return "none"
        return "number" if methods == {"number"} else "alignment"


class _Stretch(NamedTuple):
    """Part of a query chain, and its pairs with each target chain that it may stand for."""

    query: int
    method: Method
    options: dict[int, Pairs]


def map_chains(target: Sequence[CaChain], query: Sequence[CaChain]) -> ChainMapping:
    """Map a prediction to its target in the frame of the map."""
    stretches = [s for k, chain in enumerate(query) for s in _stretches(target, chain, k)]
    d0_A = tm_d0_A(sum(map(len, target)))
    taken = [np.zeros(len(chain), np.bool_) for chain in target]
    chosen: list[MappedChain] = []
    while stretches:
        found = _assigned(target, query, stretches, taken, d0_A)
        for place, number, pairs in found:
            stretch = stretches[place]
            chosen.append(MappedChain(number, stretch.query, stretch.method, pairs))
            taken[number][pairs[:, 0]] = True
        if not found:
            break
        gone = {place for place, _, _ in found}
        stretches = [stretch for k, stretch in enumerate(stretches) if k not in gone]
    chosen.sort(key=lambda mapped: (mapped.target, int(mapped.pairs[0, 0])))
    return ChainMapping(tuple(chosen), _all_rows(target, query, chosen))


def _assigned(
    target: Sequence[CaChain],
    query: Sequence[CaChain],
    stretches: Sequence[_Stretch],
    taken: Sequence[NDArray[np.bool_]],
    d0_A: float,
) -> list[tuple[int, int, Pairs]]:
    """Return the best pairing of stretches and target chains, on residues that are free."""
    n_residues = sum(map(len, target))
    worth = np.zeros((len(stretches), len(target)))
    free: dict[tuple[int, int], Pairs] = {}
    for place, stretch in enumerate(stretches):
        for number, pairs in stretch.options.items():
            left = pairs[~taken[number][pairs[:, 0]]]
            if not len(left):
                continue
            rows, columns = left.T
            gap_A = target[number].xyz_A[rows] - query[stretch.query].xyz_A[columns]
            apart_A = np.linalg.norm(gap_A, axis=1)
            n_near = int((apart_A <= NEAR_A).sum())
            if taken[number].any() and n_near < MIN_NEAR * len(left):
                continue
            terms = float((1 / (1 + (apart_A / d0_A) ** 2)).sum())
            worth[place, number] = n_near + terms / (n_residues + 1)
            free[place, number] = left
    best = zip(*linear_sum_assignment(worth, maximize=True), strict=True)
    return [(int(p), int(n), free[int(p), int(n)]) for p, n in best if (int(p), int(n)) in free]


def _stretches(target: Sequence[CaChain], chain: CaChain, query: int) -> list[_Stretch]:
    by_number = {
        number: pairs
        for number, known in enumerate(target)
        if (pairs := pairs_by_number(known, chain)) is not None
    }
    if by_number:
        return [_Stretch(query, "number", by_number)]
    found = find_sequences([known.letters for known in target], chain.letters)
    return [_Stretch(query, "alignment", options) for options in found]


def _all_rows(
    target: Sequence[CaChain], query: Sequence[CaChain], chosen: Sequence[MappedChain]
) -> Pairs:
    first_target = np.cumsum([0, *map(len, target)])
    first_query = np.cumsum([0, *map(len, query)])
    joined = np.empty((0, 2), np.int64)
    for mapped in chosen:
        offset = np.array([first_target[mapped.target], first_query[mapped.query]])
        joined = np.concatenate([joined, mapped.pairs + offset])
    return joined[np.argsort(joined[:, 0], kind="stable")]
