"""Related proteins without another program: shared words, then local alignment.

Five residues make a word, in an alphabet of eleven groups of similar amino acids and with two gaps
in it, so that substitutions and a shifted pattern break fewer of them. Sequences that share at
least two words in a narrow band of diagonals are aligned, the best first. Where there are so few
sequences that all pairs can be aligned, all are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numba import njit

from c2s_data.transforms.local_alignment import (
    BLOSUM62,
    LETTERS,
    align_local,
    best_score,
    encode,
    lowest_score,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ALL_PAIRS_CELLS: Final = 4_000_000_000
"""Cells of alignment matrices that are filled at most to compare every pair; about ten seconds."""
_GROUPS: Final = ("KREDQN", "C", "G", "H", "ILV", "M", "F", "Y", "W", "P", "STA")
_WORD: Final = np.array([0, 1, 3, 4, 6])
_WORD_SPAN: Final = 7
_N_WORDS: Final = 11**5
_BAND: Final = 32
_MAX_SHARING: Final = 3_000
_MAX_HITS: Final = 400_000
_LINKED: Final = 8
"""Sequences that share most words with a new one, which it is aligned with."""
_INDEXED_BELOW: Final = 0.8
"""A sequence more alike than this to one in the index brings nothing new to find."""

Pairs = tuple["NDArray[np.int64]", "NDArray[np.float64]", "NDArray[np.float64]"]
"""Indices (n, 2), identity (n,) and coverage of the shorter (n,)."""


def search_pairs(
    queries: Sequence[str],
    targets: Sequence[str],
    *,
    min_identity: float,
    min_coverage: float,
    min_bits: float,
    max_targets: int = 20,
) -> Pairs:
    """Find the targets that each query is related to.

    Parameters
    ----------
    queries, targets
        Sequences in one-letter code.
    min_identity, min_coverage, min_bits
        A pair counts from these on; see `c2s_data.transforms.local_alignment.align_local`.
    max_targets
        Targets to align a query with, the ones sharing most words, unless all pairs are few
        enough (`ALL_PAIRS_CELLS`).

    Returns
    -------
    Pairs
        (query, target), by query and then by target.
    """
    codes_q, offsets_q = encode(queries)
    codes_t, offsets_t = encode(targets)
    every_pair = len(codes_q) * len(codes_t) <= ALL_PAIRS_CELLS
    limit = len(targets) if every_pair else min(max_targets, len(targets))
    pairs, values = _search(
        codes_q, offsets_q, codes_t, offsets_t, _word_groups(), BLOSUM62,
        every_pair, max(limit, 1), lowest_score(min_bits), min_identity, min_coverage,
    )  # fmt: skip
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return pairs[order], values[order, 0], values[order, 1]


def link_sequences(
    sequences: Sequence[str], *, min_identity: float, min_coverage: float, min_bits: float
) -> Pairs:
    """Find pairs of related sequences that join all that are related, directly or through others.

    Pairs within what is joined already are left out. Longer sequences come first; one that is much
    alike to an earlier one is not looked for later (`_INDEXED_BELOW`).

    Returns
    -------
    Pairs
        In the order in which they were found, which depends on nothing but the sequences.
    """
    codes, offsets = encode(sequences)
    lengths = np.diff(offsets)
    order = np.lexsort((np.array(sequences, object), -lengths))
    every_pair = len(codes) * len(codes) / 2 <= ALL_PAIRS_CELLS
    pairs, values = _link(
        codes, offsets, order, _word_groups(), BLOSUM62,
        every_pair, lowest_score(min_bits), min_identity, min_coverage,
    )  # fmt: skip
    return pairs, values[:, 0], values[:, 1]


def _word_groups() -> NDArray[np.int64]:
    """Return the group of each code, -1 for unknown residues."""
    groups = np.full(21, -1, np.int64)
    for number, letters in enumerate(_GROUPS):
        groups[[LETTERS.index(letter) for letter in letters]] = number
    return groups


@njit(cache=True, nogil=True)
def _word_at(codes: NDArray[np.uint8], position: int, groups: NDArray[np.int64]) -> int:
    word = 0
    for step in _WORD:
        group = groups[codes[position + step]]
        if group < 0:
            return -1
        word = word * 11 + group
    return word


@njit(cache=True, nogil=True)
def _add_to_index(
    number: int,
    codes: NDArray[np.uint8],
    groups: NDArray[np.int64],
    newest: NDArray[np.int64],
    earlier: NDArray[np.int64],
    places: NDArray[np.int64],
    used: int,
) -> int:
    """Append every word of a sequence to the chain of its equals; return the places used."""
    for position in range(len(codes) - _WORD_SPAN + 1):
        word = _word_at(codes, position, groups)
        if word >= 0:
            earlier[used] = newest[word]
            places[used, 0], places[used, 1] = number, position
            newest[word] = used
            used += 1
    return used


@njit(cache=True, nogil=True)
def _sharing(
    codes: NDArray[np.uint8],
    groups: NDArray[np.int64],
    newest: NDArray[np.int64],
    earlier: NDArray[np.int64],
    places: NDArray[np.int64],
    hits: NDArray[np.int64],
    limit: int,
) -> NDArray[np.int64]:
    """Return the indexed sequences that share words in a band with a query, most words first."""
    n_hits = 0
    for position in range(len(codes) - _WORD_SPAN + 1):
        word = _word_at(codes, position, groups)
        place = newest[word] if word >= 0 else -1
        n_same = 0
        while place >= 0 and n_same < _MAX_SHARING and n_hits < _MAX_HITS - 1:
            band = (places[place, 1] - position + (1 << 20)) // _BAND
            # Two overlapping rows of bands, so that none is cut at its edge.
            shifted = (places[place, 1] - position + (1 << 20) + _BAND // 2) // _BAND
            hits[n_hits] = (places[place, 0] << 24) + 2 * band
            hits[n_hits + 1] = (places[place, 0] << 24) + 2 * shifted + 1
            n_hits += 2
            n_same += 1
            place = earlier[place]
    found = np.sort(hits[:n_hits])
    ranked = np.empty(n_hits, np.int64)
    n_ranked, start = 0, 0
    while start < n_hits:
        number, most = found[start] >> 24, 0
        while start < n_hits and found[start] >> 24 == number:
            end = start
            while end < n_hits and found[end] == found[start]:
                end += 1
            most, start = max(most, end - start), end
        if most >= 2:
            ranked[n_ranked] = -(most << 32) + number
            n_ranked += 1
    best = np.sort(ranked[:n_ranked])[:limit]
    return best & 0xFFFFFFFF


@njit(cache=True, nogil=True)
def _grown(rows: NDArray[Any], n_rows: int) -> NDArray[Any]:
    if n_rows < len(rows):
        return rows
    larger = np.empty((2 * len(rows), rows.shape[1]), rows.dtype)
    larger[:n_rows] = rows
    return larger


@njit(cache=True, nogil=True)
def _search(
    codes_q: NDArray[np.uint8],
    offsets_q: NDArray[np.int64],
    codes_t: NDArray[np.uint8],
    offsets_t: NDArray[np.int64],
    groups: NDArray[np.int64],
    scores: NDArray[np.int32],
    every_pair: bool,
    limit: int,
    min_score: int,
    min_identity: float,
    min_coverage: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    n_targets = len(offsets_t) - 1
    newest = np.full(_N_WORDS, -1, np.int64)
    earlier, places = np.empty(len(codes_t), np.int64), np.empty((len(codes_t), 2), np.int64)
    used = 0
    for number in range(0 if every_pair else n_targets):
        target = codes_t[offsets_t[number] : offsets_t[number + 1]]
        used = _add_to_index(number, target, groups, newest, earlier, places, used)
    hits, everyone = np.empty(_MAX_HITS, np.int64), np.arange(n_targets)
    pairs, values, n_pairs = np.empty((16, 2), np.int64), np.empty((16, 2), np.float64), 0
    for q in range(len(offsets_q) - 1):
        query = codes_q[offsets_q[q] : offsets_q[q + 1]]
        near = everyone
        if not every_pair:
            near = _sharing(query, groups, newest, earlier, places, hits, limit)
        for t in near:
            target = codes_t[offsets_t[t] : offsets_t[t + 1]]
            if best_score(query, target, scores) < min_score:
                continue
            _, identity, coverage = align_local(query, target, scores)
            if identity >= min_identity and coverage >= min_coverage:
                pairs, values = _grown(pairs, n_pairs), _grown(values, n_pairs)
                pairs[n_pairs, 0], pairs[n_pairs, 1] = q, t
                values[n_pairs, 0], values[n_pairs, 1] = identity, coverage
                n_pairs += 1
    return pairs[:n_pairs], values[:n_pairs]


@njit(cache=True, nogil=True)
def _root(parent: NDArray[np.int64], item: int) -> int:
    while parent[item] != item:
        parent[item] = parent[parent[item]]
        item = parent[item]
    return item


@njit(cache=True, nogil=True)
def _link(
    codes: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    order: NDArray[np.int64],
    groups: NDArray[np.int64],
    scores: NDArray[np.int32],
    every_pair: bool,
    min_score: int,
    min_identity: float,
    min_coverage: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    newest = np.full(_N_WORDS, -1, np.int64)
    earlier, places = np.empty(len(codes), np.int64), np.empty((len(codes), 2), np.int64)
    hits, parent, used = np.empty(_MAX_HITS, np.int64), np.arange(len(order)), 0
    pairs, values, n_pairs = np.empty((16, 2), np.int64), np.empty((16, 2), np.float64), 0
    for rank in range(len(order)):
        q = order[rank]
        query = codes[offsets[q] : offsets[q + 1]]
        near = order[:rank]
        if not every_pair:
            near = _sharing(query, groups, newest, earlier, places, hits, _LINKED)
        most_alike = 0.0
        for t in near:
            if _root(parent, q) == _root(parent, t):
                continue
            target = codes[offsets[t] : offsets[t + 1]]
            if best_score(query, target, scores) < min_score:
                continue
            _, identity, coverage = align_local(query, target, scores)
            if identity >= min_identity and coverage >= min_coverage:
                parent[_root(parent, q)] = _root(parent, t)
                pairs, values = _grown(pairs, n_pairs), _grown(values, n_pairs)
                pairs[n_pairs, 0], pairs[n_pairs, 1] = q, t
                values[n_pairs, 0], values[n_pairs, 1] = identity, coverage
                n_pairs += 1
                if len(query) >= 0.9 * len(target):
                    most_alike = max(most_alike, identity)
        if most_alike < _INDEXED_BELOW and not every_pair:
            used = _add_to_index(q, query, groups, newest, earlier, places, used)
    return pairs[:n_pairs], values[:n_pairs]
