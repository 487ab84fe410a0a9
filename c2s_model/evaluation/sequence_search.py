"""Where in one long chain the sequences of a target lie: the best one first, cut out, and again.

The published program writes all chains one after another. What is found is a stretch of the query
with an alignment to each sequence of the target that is alike; copies of one chain are found one by
one, and which of them is which is not decided here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from c2s_model.evaluation.correspondence import Alignment, Pairs, align, masked

MAX_SPREAD: Final = 1.5


def find_sequences(sequences: Sequence[str], query: str) -> list[dict[int, Pairs]]:
    """Return stretches of a query that do not overlap, at most one for each sequence.

    Parameters
    ----------
    sequences
        Letters of the chains of the target; copies have equal ones.
    query
        Letters of one chain.

    Returns
    -------
    list of dict
        For each stretch, by the place of the sequence, (n, 2) rows of sequence and query.
    """
    aligned = lru_cache(maxsize=None)(align)  # copies are aligned once
    scores: dict[str, float] = dict.fromkeys(sequences, float("inf"))
    found = []
    letters = query
    for _ in sequences:
        hit = _best(scores, letters)
        if hit is None:
            break
        first, last = _densest(hit.pairs)
        options = {
            number: alike
            for number, sequence in enumerate(sequences)
            if (alike := aligned(sequence, letters[first : last + 1])) is not None
        }
        if options:
            start = np.array([0, first])
            found.append({number: alike.pairs + start for number, alike in options.items()})
            rows = max(options.values(), key=lambda alike: alike.score).pairs[:, 1]
            first, last = first + int(rows[0]), first + int(rows[-1])
        letters = masked(letters, np.arange(first, last + 1))
    return found


def _best(scores: dict[str, float], query: str) -> Alignment | None:
    """Return the best alignment of any sequence.

    Scores of earlier rounds are bounds, because masking takes residues away: only a sequence that
    may be the best is aligned again. Those that fit nowhere any more leave the table.
    """
    while scores:
        sequence = max(scores, key=scores.__getitem__)
        hit = align(sequence, query)
        if hit is None:
            del scores[sequence]
            continue
        scores[sequence] = hit.score
        if hit.score >= max(scores.values()):
            return hit
    return None


def _densest(pairs: Pairs) -> tuple[int, int]:
    """Return the first and last row of the query around most of an alignment's pairs.

    A gap costs the same however long it is, so among copies of one sequence an alignment may go
    from one to the next; half more rows than the target has hold one copy and its missing loops.
    """
    rows = pairs[:, 1]
    length = int(MAX_SPREAD * (pairs[-1, 0] - pairs[0, 0] + 1))
    inside = np.searchsorted(rows, rows + length) - np.arange(len(rows))
    first = int(np.argmax(inside))
    return int(rows[first]), int(rows[first + inside[first] - 1])
