"""The unique part of a structure: one of each kind of chain, or the smallest stoichiometry.

phenix.chain_comparison reports the better of the whole target and its unique part, but how it
chooses the latter is not public. Here two chains are of one kind when x * s / l >= 0.99, where x is
their identity (equal residues of a global alignment over the length s of the shorter) and l the
length of the longer; that is, equal residues over the longer length. The numbers of chains of each
kind are divided by the smallest number if it divides them all, else every chain is kept. Of each
kind those stay whose centroids are nearest to the query's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import gemmi
import numpy as np
from numpy.typing import NDArray

MIN_SIMILARITY: Final = 0.99


def unique_part(
    sequences: Sequence[str],
    points_A: Sequence[NDArray[np.float64]],
    query_xyz_A: NDArray[np.float64],
) -> list[int]:
    """Return the numbers of the chains that are kept, ascending.

    Parameters
    ----------
    sequences, points_A
        Letters and C-alphas (r, 3) of each chain.
    query_xyz_A
        (m, 3) C-alphas of the query.
    """
    kinds = chain_kinds(sequences)
    smallest = min(map(len, kinds), default=1)
    if smallest == 1 or any(len(kind) % smallest for kind in kinds) or not len(query_xyz_A):
        return list(range(len(sequences)))
    centre_A = query_xyz_A.mean(axis=0)
    kept = []
    for kind in kinds:
        apart_A = [float(np.linalg.norm(points_A[k].mean(axis=0) - centre_A)) for k in kind]
        order = np.argsort(apart_A, kind="stable")
        kept += [kind[k] for k in order[: len(kind) // smallest].tolist()]
    return sorted(kept)


def chain_kinds(sequences: Sequence[str]) -> list[list[int]]:
    """Return the chains of each kind; a chain is of the first kind whose first chain it equals."""
    kinds: list[list[int]] = []
    for number, sequence in enumerate(sequences):
        for kind in kinds:
            if similarity(sequences[kind[0]], sequence) >= MIN_SIMILARITY:
                kind.append(number)
                break
        else:
            kinds.append([number])
    return kinds


def similarity(one: str, two: str) -> float:
    """Return equal residues of the global alignment over the length of the longer sequence."""
    shorter, longer = sorted((one, two), key=len)
    if shorter == longer:
        return 1.0
    if len(shorter) < MIN_SIMILARITY * len(longer):
        return len(shorter) / len(longer)  # an upper bound, and already too small
    found = gemmi.align_string_sequences(list(shorter), list(longer), [], gemmi.AlignmentScoring())
    return int(found.match_count) / len(longer)
