"""Which entries must stay together, and the split that each such component goes to.

An entry holds several proteins and a protein lies in many entries, so entries that share related
proteins form components of a graph. Whole components go to one split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from c2s_data.sources.catalog import CatalogEntry
from c2s_data.splitting.assignment import (
    SPLITS,
    TEST,
    TRAIN,
    Assignment,
    Shares,
    age_key,
    keyed_position,
)
from c2s_data.splitting.proteins import Proteins

_BLOCK: Final = 1_000


@dataclass(frozen=True)
class ForcedMove:
    """An entry that an earlier split had elsewhere, and why it cannot stay there."""

    entry_id: str
    was: str
    now: str
    reason: str


def cluster_labels(n_sequences: int, links: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the groups of sequences that links (n, 2) join, (n_sequences,)."""
    ones = np.ones(len(links), np.int8)
    graph = sparse.coo_array((ones, (links[:, 0], links[:, 1])), shape=(n_sequences, n_sequences))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def join_any(proteins: Proteins, cluster: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the components of entries, (n_entries,): one shared cluster joins two entries."""
    n = proteins.n_entries
    n_clusters = int(cluster.max(initial=-1)) + 1
    columns = n + cluster[proteins.sequence]
    ones = np.ones(len(columns), np.int8)
    size = n + n_clusters
    graph = sparse.coo_array((ones, (proteins.entry, columns)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1][:n], np.int64)


def join_shared(
    proteins: Proteins, cluster: NDArray[np.int64], min_share: float
) -> NDArray[np.int64]:
    """Number the components of entries that share enough, (n_entries,).

    Two entries are joined when the residues of the smaller one whose cluster the larger one has
    too are at least ``min_share`` of its protein residues; of equally large ones either counts.
    """
    n = proteins.n_entries
    n_clusters = int(cluster.max(initial=-1)) + 1
    of_row = cluster[proteins.sequence]
    shape = (n, n_clusters)
    held = sparse.csr_array((proteins.residues, (proteins.entry, of_row)), shape=shape)
    held.sum_duplicates()
    # Entries of equal clusters share everything; one of them stands for all.
    first, twin = _first_of_equal(held)
    size = np.asarray(held.sum(axis=1), np.int64)
    distinct = held[first]
    has = (distinct > 0).astype(np.int64).T.tocsr()
    pairs = [np.column_stack((np.arange(n), twin))]
    for start in range(0, len(first), _BLOCK):
        rows = first[start : start + _BLOCK]
        shared = (held[rows] @ has).tocoo()
        small, large = rows[shared.coords[0]], first[shared.coords[1]]
        joins = (size[small] <= size[large]) & (shared.data >= min_share * size[small])
        pairs.append(np.column_stack((small[joins], large[joins])))
    return cluster_labels(n, np.concatenate(pairs))


def assign_components(
    entries: Sequence[CatalogEntry],
    component: NDArray[np.int64],
    shares: Shares,
    seed: int,
    *,
    held_out: frozenset[str] = frozenset(),
    previous: Mapping[str, str] | None = None,
) -> tuple[list[Assignment], list[ForcedMove]]:
    """Give every component a split.

    A component is named after its oldest entry (`c2s_data.splitting.assignment.age_key`), and a
    keyed hash of that name alone decides. So entries that are added later move no other one,
    unless they join components that were apart. (One that holds more than half of all entries can
    only be trained on, whatever its hash: the one rule that looks at sizes.) A component with a
    held-out entry is test. With a ``previous`` split, a component stays where most of its entries
    were (on a tie test, then validation), and only those without any entry of it go by their hash.

    Parameters
    ----------
    entries, component
        The catalog, and the component (n,) of each entry.
    shares, seed
        How many go where, and the key of the hash.
    held_out
        entry_ids.
    previous
        Split by entry_id.

    Returns
    -------
    made : list of Assignment
        In the order of the catalog.
    moved : list of ForcedMove
        Entries of ``previous`` that are elsewhere now.
    """
    previous = previous or {}
    members: dict[int, list[CatalogEntry]] = {}
    for entry, label in zip(entries, component.tolist(), strict=True):
        members.setdefault(label, []).append(entry)
    of_label, n = {}, len(entries)
    for label, found in members.items():
        name = min(found, key=age_key).entry_id
        of_label[label] = (name, *_split_of(name, found, n, shares, seed, held_out, previous))
    made, moved = [], []
    for entry, label in zip(entries, component.tolist(), strict=True):
        name, split, reason = of_label[label]
        if entry.entry_id in held_out:
            reason = "held-out list"
        was = previous.get(entry.entry_id, split)
        if was != split:
            moved.append(ForcedMove(entry.entry_id, was, split, reason))
        made.append(Assignment(entry.entry_id, split, reason, name))
    return made, moved


def _split_of(
    name: str,
    members: Sequence[CatalogEntry],
    n_entries: int,
    shares: Shares,
    seed: int,
    held_out: frozenset[str],
    previous: Mapping[str, str],
) -> tuple[str, str]:
    kept = [entry.entry_id for entry in members if entry.entry_id in held_out]
    if kept:
        return TEST, f"shares a protein with held-out {kept[0]}"
    votes = Counter(previous[e.entry_id] for e in members if e.entry_id in previous)
    if votes:
        split = max(votes, key=lambda word: (votes[word], SPLITS.index(word)))
        return split, "as before" if len(votes) == 1 else "as most of its component before"
    if 2 * len(members) > n_entries:
        return TRAIN, "component of more than half of the entries"
    return shares.split_at(keyed_position(seed, name)), "hash of the component"


def _first_of_equal(
    held: sparse.csr_array,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first row of each kind of row that has anything, and for each row its first."""
    held.sort_indices()
    seen: dict[tuple[bytes, bytes], int] = {}
    twin = np.arange(held.shape[0])
    for row in range(held.shape[0]):
        part = slice(held.indptr[row], held.indptr[row + 1])
        key = (held.indices[part].tobytes(), held.data[part].tobytes())
        if key[0]:
            twin[row] = seen.setdefault(key, row)
    return np.array(list(seen.values()), np.int64), twin
