"""Made protein families with planted relatives, and plain programs that say how alike two are."""

from __future__ import annotations

import numpy as np

from c2s_data.transforms.local_alignment import BLOSUM62, LETTERS

# Robinson and Robinson's frequencies, rounded, in the order of LETTERS.
FREQUENCIES = np.array(
    [0.078, 0.051, 0.045, 0.054, 0.019, 0.043, 0.063, 0.074, 0.022, 0.051,
     0.090, 0.057, 0.022, 0.039, 0.052, 0.071, 0.058, 0.013, 0.032, 0.064]
)  # fmt: skip
FREQUENCIES /= FREQUENCIES.sum()


def made_protein(rng: np.random.Generator, length: int) -> str:
    return "".join(rng.choice(list(LETTERS), length, p=FREQUENCIES))


def relative(rng: np.random.Generator, sequence: str, identity: float, gap: int = 0) -> str:
    """A sequence with exactly this share of its residues kept, and one stretch of them lost."""
    letters = list(sequence)
    n_changed = round((1 - identity) * len(letters))
    for place in rng.choice(len(letters), n_changed, replace=False):
        letters[place] = rng.choice([x for x in LETTERS if x != letters[place]])
    at = len(letters) // 2
    return "".join(letters[:at] + letters[at + gap :])


def plain_alignment(query: str, target: str) -> tuple[int, float, float]:
    """Score, identity and coverage of the shorter by Smith and Waterman's recursion, cell by cell.

    Written from the definition with three full tables and a recursive walk back.
    """
    n, m, low = len(query), len(target), -(10**6)
    H = np.zeros((n + 1, m + 1), int)
    E, F = np.full((n + 1, m + 1), low), np.full((n + 1, m + 1), low)
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            E[i, j] = max(H[i, j - 1] - 11, E[i, j - 1] - 1)
            F[i, j] = max(H[i - 1, j] - 11, F[i - 1, j] - 1)
            pair = BLOSUM62[LETTERS.index(query[i - 1]), LETTERS.index(target[j - 1])]
            H[i, j] = max(0, H[i - 1, j - 1] + pair, E[i, j], F[i, j])
    i, j = np.unravel_index(np.argmax(H), H.shape)
    end_i, end_j, same, columns, state = i, j, 0, 0, "H"
    while state != "H" or H[i, j] > 0:
        if state == "H":
            pair = BLOSUM62[LETTERS.index(query[i - 1]), LETTERS.index(target[j - 1])]
            if H[i, j] == H[i - 1, j - 1] + pair:
                same, columns = same + (query[i - 1] == target[j - 1]), columns + 1
                i, j = i - 1, j - 1
            else:
                state = "F" if H[i, j] == F[i, j] else "E"
        elif state == "F":
            state = "F" if F[i, j] == F[i - 1, j] - 1 and F[i, j] != H[i - 1, j] - 11 else "H"
            i, columns = i - 1, columns + 1
        else:
            state = "E" if E[i, j] == E[i, j - 1] - 1 and E[i, j] != H[i, j - 1] - 11 else "H"
            j, columns = j - 1, columns + 1
    covered = (end_i - i) / n if n <= m else (end_j - j) / m
    return int(H.max()), same / max(columns, 1), covered


def global_identity(first: str, second: str) -> float:
    """Identical columns over all columns of Needleman and Wunsch's alignment (1, -1, gap -1)."""
    n, m = len(first), len(second)
    score = np.zeros((n + 1, m + 1), int)
    score[:, 0], score[0] = -np.arange(n + 1), -np.arange(m + 1)
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            pair = 1 if first[i - 1] == second[j - 1] else -1
            score[i, j] = max(score[i - 1, j - 1] + pair, score[i - 1, j] - 1, score[i, j - 1] - 1)
    same = columns = 0
    i, j = n, m
    while i or j:
        pair = 1 if i and j and first[i - 1] == second[j - 1] else -1
        columns += 1
        if i and j and score[i, j] == score[i - 1, j - 1] + pair:
            same, i, j = same + (pair == 1), i - 1, j - 1
        elif i and score[i, j] == score[i - 1, j] - 1:
            i -= 1
        else:
            j -= 1
    return same / columns
