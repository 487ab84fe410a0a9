"""Which residue of one chain stands for which of another: by number, else by sequence.

Numbers decide where they agree: at least half of the shorter chain has its number in the other
chain, and of these residues nine in ten have the same letter. The author's numbers and those of the
sequence (mmCIF ``label_seq_id``) are tried on either side. Published programs number through all
chains from 0, or write predicted residues; then the letters are aligned globally, a gap costing the
same however long it is, and the alignment counts when it is worth ten equal residues in a row.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from c2s_model.evaluation.chains import CaChain

MIN_COMMON: Final = 0.5
MIN_AGREEMENT: Final = 0.9
MIN_SCORE: Final = 20
"""Two a pair of equal letters, -1 a pair of unlike ones; a chance alignment of two sequences of
1,000 residues has about 10."""
MIN_SCORE_OF_SHORT: Final = 1.5
"""Score a residue of the shorter sequence that is enough for a peptide."""
MAX_CELLS: Final = 2**28
"""Residues times residues that are aligned; gemmi needs a byte for each."""
_RUN: Final = re.compile(r"(\d+)([MID])")
_MASK: Final = "-"

Pairs = NDArray[np.int64]
"""(n, 2) rows of target and query."""


class Alignment(NamedTuple):
    """Aligned rows and their score, 2 for an equal pair of letters and -1 for an unlike one."""

    pairs: Pairs
    score: int


def pairs_by_number(target: CaChain, query: CaChain) -> Pairs | None:
    """Return the rows of equal numbers, None where the numbers of both do not correspond."""
    one, two = _codes(target.letters), _codes(query.letters)
    best: tuple[int, Pairs] | None = None
    for numbers in target.numberings:
        for others in query.numberings:
            _, rows, columns = np.intersect1d(
                numbers, others, assume_unique=True, return_indices=True
            )
            known = (one[rows] != ord("X")) & (two[columns] != ord("X"))
            equal = int((one[rows] == two[columns])[known].sum())
            if len(rows) < MIN_COMMON * min(len(one), len(two)):
                continue
            if equal and equal >= MIN_AGREEMENT * known.sum() and (best is None or equal > best[0]):
                order = np.argsort(rows)
                best = equal, np.stack([rows[order], columns[order]], axis=1)
    return None if best is None else best[1]


def align(target: str, query: str) -> Alignment | None:
    """Align two sequences; None where they are not worth it, or too long.

    Residues of the query that are masked (``-``) pair with nothing.
    """
    if len(target) * len(query) > MAX_CELLS:
        return None
    found = gemmi.align_string_sequences(list(query), list(target), [], _scoring())
    pairs = _aligned(found.cigar_str())
    one, two = _codes(target)[pairs[:, 0]], _codes(query)[pairs[:, 1]]
    pairs = pairs[two != ord(_MASK)]
    equal = int(((one == two) & (one != ord("X"))).sum())
    score = 2 * equal - (len(pairs) - equal)
    n_free = len(query) - query.count(_MASK)
    enough = min(MIN_SCORE, MIN_SCORE_OF_SHORT * min(len(target), n_free))
    return Alignment(pairs, score) if pairs.size and score >= enough else None


def masked(sequence: str, rows: NDArray[np.int64]) -> str:
    """Return a sequence without some of its residues, the others in their place."""
    codes = _codes(sequence).copy()
    codes[rows] = ord(_MASK)
    return codes.tobytes().decode("ascii")


def _scoring() -> gemmi.AlignmentScoring:
    scoring = gemmi.AlignmentScoring()
    scoring.match, scoring.mismatch = 2, -1
    scoring.gapo, scoring.gape = -10, 0
    return scoring


def _aligned(cigar: str) -> Pairs:
    """Turn runs of M (both), I and D (query or target only) into rows of target and query."""
    runs, query, target = [np.empty((0, 2), np.int64)], 0, 0
    for count, kind in _RUN.findall(cigar):
        length = int(count)
        if kind == "M":
            steps = np.arange(length)
            runs.append(np.stack([target + steps, query + steps], axis=1))
        query += length * (kind != "D")
        target += length * (kind != "I")
    return np.concatenate(runs)


def _codes(letters: str) -> NDArray[np.uint8]:
    return np.frombuffer(letters.encode("ascii"), np.uint8)
