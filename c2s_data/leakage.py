"""Leakage: how much of one split has a relative in another, at several identities.

The published splits look at resolution or ids only, so that the same protein lies in train and in
validation. What that amounts to is measured here, for a split of any making. What counts as a
relative says `c2s_data.sequence_clusters`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.sequence_clusters import CONDENSE_ABOVE, MIN_IDENTITY, Engine
from c2s_data.splitting.assignment import SPLITS
from c2s_data.splitting.proteins import Proteins

THRESHOLDS: Final = (MIN_IDENTITY, 0.5, 0.9, 1.0)


@dataclass(frozen=True, eq=False)
class Leakage:
    """What of each split has a relative in each other one.

    Parameters
    ----------
    entries, residues : (4, 3, 3) int64
        By identity (`THRESHOLDS`), split A and split B (`SPLITS`): entries of A with at least one
        protein that has a relative of that identity in B, and the residues of these proteins.
    total_entries, total_residues : (3,) int64
        Of each split, proteins only.
    n_pairs : int
        Pairs of different proteins, one in each of two splits, and of equal ones, found related.
    engine : str
        The program that searched.
    condensed : bool
        Whether proteins at least 90 % alike were searched as one.
    """

    entries: NDArray[np.int64]
    residues: NDArray[np.int64]
    total_entries: NDArray[np.int64]
    total_residues: NDArray[np.int64]
    n_pairs: int
    engine: str
    condensed: bool = False


def split_numbers(splits: Sequence[str | None]) -> NDArray[np.int64]:
    """Return the position of each word in `SPLITS`, -1 for None, (n,)."""
    return np.array([SPLITS.index(word) if word else -1 for word in splits], np.int64)


def crossing_links(
    proteins: Proteins,
    split: NDArray[np.int64],
    engine: Engine,
    representative: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Find related proteins of different splits, each pair searched from its smaller side.

    Parameters
    ----------
    proteins
        Proteins of a catalog.
    split : (n_entries,) int64
        As `split_numbers` returns it.
    engine
        What searches.
    representative : (n_sequences,) int64, optional
        As `Engine.representatives` returns it: only these are searched.

    Returns
    -------
    (n, 2) int64
        Positions in ``proteins.sequences``; both the same for a protein that two splits hold,
        whose further relatives are not looked for. Nothing is found only where nothing crosses.
    """
    sides = sorted(_sides(proteins, split, representative), key=len)
    found = []
    for small, large in ((np.union1d(sides[0], sides[1]), sides[2]), (sides[0], sides[1])):
        both = np.intersect1d(small, large)
        found += [np.column_stack((both, both)), _search(proteins, small, large, both, engine)[0]]
    return np.concatenate(found)


def measure_leakage(
    proteins: Proteins,
    split: NDArray[np.int64],
    engine: Engine,
    representative: NDArray[np.int64] | None = None,
) -> Leakage:
    """Measure the leakage of a split; arguments as for `crossing_links`."""
    n = len(SPLITS)
    found = no_leakage(proteins, split, engine, representative)
    sides = list(_sides(proteins, split, representative))
    pairs = [np.empty((0, 2), np.int64)]
    for a in range(n):
        others = [b for b in range(n) if b != a]
        union = np.union1d(sides[others[0]], sides[others[1]])
        everywhere = np.intersect1d(np.intersect1d(sides[a], sides[others[0]]), sides[others[1]])
        links, identity = _search(proteins, sides[a], union, everywhere, engine)
        both = np.intersect1d(sides[a], union)
        pairs += [np.sort(links, axis=1), np.column_stack((both, both))]
        for b in others:
            best = np.zeros(len(proteins.sequences))
            there = np.isin(links[:, 1], sides[b])
            np.maximum.at(best, links[there, 0], identity[there])
            best[np.intersect1d(both, sides[b])] = 1.0
            if representative is not None:
                best = best[representative]
            for t, threshold in enumerate(THRESHOLDS):
                rows = (split[proteins.entry] == a) & (best[proteins.sequence] >= threshold)
                found.entries[t, a, b] = len(np.unique(proteins.entry[rows]))
                found.residues[t, a, b] = proteins.residues[rows].sum()
    return replace(found, n_pairs=len(np.unique(np.concatenate(pairs), axis=0)))


def no_leakage(
    proteins: Proteins,
    split: NDArray[np.int64],
    engine: Engine,
    representative: NDArray[np.int64] | None = None,
) -> Leakage:
    """Return the leakage of a split in which `crossing_links` found nothing."""
    n = len(SPLITS)
    zeros = np.zeros((len(THRESHOLDS), n, n), np.int64)
    of_row = split[proteins.entry]
    return Leakage(
        entries=zeros,
        residues=zeros.copy(),
        total_entries=np.array([len(np.unique(proteins.entry[of_row == a])) for a in range(n)]),
        total_residues=np.array([proteins.residues[of_row == a].sum() for a in range(n)]),
        n_pairs=0,
        engine=engine.name,
        condensed=representative is not None,
    )


def representatives(proteins: Proteins, engine: Engine) -> NDArray[np.int64] | None:
    """Return what to search in place of many sequences, None where they are few enough."""
    if len(proteins.sequences) <= CONDENSE_ABOVE:
        return None
    chosen = engine.representatives(proteins.sequences)
    return None if (chosen == np.arange(len(chosen))).all() else chosen


def _sides(
    proteins: Proteins, split: NDArray[np.int64], representative: NDArray[np.int64] | None
) -> Iterator[NDArray[np.int64]]:
    """Yield the different proteins of each split."""
    for number in range(len(SPLITS)):
        side = np.unique(proteins.sequence[split[proteins.entry] == number])
        yield side if representative is None else np.unique(representative[side])


def _search(
    proteins: Proteins,
    queries: NDArray[np.int64],
    targets: NDArray[np.int64],
    known: NDArray[np.int64],
    engine: Engine,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Search all queries but some, of which all is known: they are in every split concerned."""
    asked = np.setdiff1d(queries, known)
    found = engine.search(
        [proteins.sequences[i] for i in asked], [proteins.sequences[i] for i in targets]
    )
    return np.column_stack((asked[found.query], targets[found.target])), found.identity
