"""Best local paths through residues and candidates: Smith and Waterman's recursion on a graph.

With e_t(s) the log-odds of candidate s showing the amino acid of residue t, and b(q, u, s) what
speaks against three candidates in a row (`bond_evidence`),

    V_t(s) = e_t(s) + max(start_t(s),
                          max over bonds u -> s of V_{t-1}(u) + w(u, s) + b(q, u, s),
                          max over skips u -> s of V_{t-2}(u) + w(u, s) + b(q, u, s))

where q is the predecessor of u on its path. Each cell keeps its two best paths, so that u can offer
the second where the first would bend back on itself. A path that has fallen too far below its peak
is dropped: what follows must stand on its own. The path that ends best at s is the arg-max over t
of V_t(s) + end_t(s). It may still come back to a candidate later; `best_piece` keeps the best
stretch that does not. Cost: living cells x steps; memory: two bytes a cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

BEGIN: Final = 255
"""The path begins here. Else the low bits are the row of the step, `SECOND` the path it takes."""
SECOND: Final = 64
MAX_STEPS: Final = 32


class Outgoing(NamedTuple):
    """Steps by the candidate that they leave: entries start[u] to start[u + 1], best first.

    Parameters
    ----------
    start : (n + 1,) int64
    target, row : (m,) int32
        Where the step leads, and which of the steps into that candidate it is.
    weight : (m,) float32
    bend : (m * k,) float32
        What each step costs after each of the k steps into u: for every u one run of its steps
        after the other, because the search asks for all steps after the one by which it came.
    """

    start: NDArray[np.int64]
    target: NDArray[np.int32]
    row: NDArray[np.int32]
    weight: NDArray[np.float32]
    bend: NDArray[np.float32]


def outgoing(
    source: NDArray[np.int32],
    weight: NDArray[np.float32],
    bend: NDArray[np.float32],
    rows: range,
) -> Outgoing:
    """Return some rows of the steps into each candidate, (n, k), by where they come from.

    Parameters
    ----------
    source, weight : (n, k)
        Steps into each candidate, -1 and -inf for none.
    bend : (n, k, k) float32
        What step row, then the row of the step before it, cost together.
    rows
        The rows wanted.
    """
    n = len(source)
    target, column = np.nonzero(source[:, rows.start : rows.stop] >= 0)
    row = column + rows.start
    leaves, worth = source[target, row], weight[target, row]
    order = np.lexsort((-worth, leaves))
    start = np.searchsorted(leaves[order], np.arange(n + 1))
    target, row = target[order], row[order]
    runs = _in_runs(bend[target, row], start)
    return Outgoing(start, target.astype(np.int32), row.astype(np.int32), worth[order], runs)


@njit(cache=True, nogil=True)
def _in_runs(bend: NDArray[np.float32], start: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return (m, k) costs of steps with the steps of each candidate in runs, one a column."""
    k = bend.shape[1]
    runs = np.empty(bend.size, np.float32)
    for u in range(len(start) - 1):
        first, stop = start[u], start[u + 1]
        for came in range(k):
            at = first * k + came * (stop - first)
            for step in range(first, stop):
                runs[at + step - first] = bend[step, came]
    return runs


@njit(cache=True, nogil=True)
def fill(
    emission: NDArray[np.float32],
    codes: NDArray[np.int64],
    room: NDArray[np.int64],
    bonds: Outgoing,
    skips: Outgoing,
    start: NDArray[np.float32],
    end: NDArray[np.float32],
    floor: float,
    deepest: float,
    back: NDArray[np.uint8],
    end_score: NDArray[np.float32],
    end_residue: NDArray[np.int64],
) -> None:
    """Fill the table.

    Parameters
    ----------
    emission : (21, n) float32
        Log-odds by amino acid; the last row, reached by code -1, is for unknown residues.
    codes, room : (T,) int64
        Amino acids, and how many more paths may hold the residue.
    bonds, skips
        Steps to the next residue and over one.
    start, end : (T, n) float32
        What it is worth to begin or end in a cell.
    floor
        Paths worth no more are dropped: nothing is lost with 0 where they may begin for 0 anywhere.
    deepest
        Paths that fell by more than this below the best value along them are dropped.
    back : (T, n, 2) uint8
        Receives how the two best paths came to each cell.
    end_score, end_residue : (n,)
        Receive the best end at each candidate; scores are -inf on entry.
    """
    T, n = back.shape[:2]
    value = np.full((3, n, 2), -np.inf, np.float32)
    peak = np.full((3, n, 2), -np.inf, np.float32)
    alive = np.empty((3, n), np.int32)
    n_alive = np.zeros(3, np.int64)
    most = emission.max()
    for t in range(T):
        now, highest, living = value[t % 3], peak[t % 3], alive[t % 3]
        n_alive[t % 3] = 0
        now[:], highest[:] = -np.inf, -np.inf
        if room[t] <= 0:
            continue
        now[:, 0] = start[t]
        back[t] = BEGIN
        for far in range(1, 3):
            if t < far:
                continue
            steps = bonds if far == 1 else skips
            then = (t - far) % 3
            _push(
                alive[then, : n_alive[then]], value[then], peak[then], back[t - far], steps,
                floor, deepest + most, now, highest, back[t],
            )  # fmt: skip
        shown = emission[codes[t]]
        kept = 0
        for s in range(n):
            for rank in range(2):
                now[s, rank] += shown[s]
                highest[s, rank] = max(highest[s, rank], now[s, rank])
                if now[s, rank] < highest[s, rank] - deepest:
                    now[s, rank] = -np.inf
            if now[s, 0] < now[s, 1]:
                for table in (now, highest):
                    table[s, 0], table[s, 1] = table[s, 1], table[s, 0]
                back[t, s, 0], back[t, s, 1] = back[t, s, 1], back[t, s, 0]
            if not now[s, 0] > floor:
                continue
            living[kept] = s
            kept += 1
            if now[s, 0] + end[t, s] > end_score[s]:
                end_score[s] = now[s, 0] + end[t, s]
                end_residue[s] = t
        n_alive[t % 3] = kept


@njit(cache=True, nogil=True)
def _push(
    living: NDArray[np.int32],
    value: NDArray[np.float32],
    peak: NDArray[np.float32],
    came_by: NDArray[np.uint8],
    steps: Outgoing,
    floor: float,
    hopeless: float,
    now: NDArray[np.float32],
    highest: NDArray[np.float32],
    back: NDArray[np.uint8],
) -> None:
    """Offer the two paths that end at each living candidate to the candidates that follow."""
    k = len(steps.bend) // max(len(steps.row), 1)
    after = np.zeros(2, np.int64)  # where the run of bends after the step into u begins, -1: none
    for u in living:
        fallen = peak[u, 0] - value[u, 0]
        n_paths = 1
        if value[u, 1] > floor:
            n_paths = 2
            fallen = min(fallen, peak[u, 1] - value[u, 1])
        first, stop = steps.start[u], steps.start[u + 1]
        for rank in range(n_paths):
            came = came_by[u, rank]
            run = first * k + (came & (MAX_STEPS - 1)) * (stop - first)
            after[rank] = run if came != BEGIN else -1
        least = max(floor - value[u, 0], fallen - hopeless)
        for step in range(first, stop):
            weight = steps.weight[step]
            if weight <= least:
                break
            s = np.uint32(steps.target[step])  # unsigned: numba asks of no index whether it is < 0
            best, choice, top = now[s, 1], -1, np.float32(0)
            for rank in range(n_paths):
                offer = value[u, rank] + weight
                if offer <= best:
                    break
                if after[rank] >= 0:
                    offer += steps.bend[after[rank] + step - first]
                if offer > best:
                    best, choice, top = offer, steps.row[step] + SECOND * rank, peak[u, rank]
            if choice < 0:
                continue
            if best > now[s, 0]:
                now[s, 1], highest[s, 1], back[s, 1] = now[s, 0], highest[s, 0], back[s, 0]
                now[s, 0], highest[s, 0], back[s, 0] = best, top, choice
            else:
                now[s, 1], highest[s, 1], back[s, 1] = best, top, choice


@njit(cache=True, nogil=True)
def walk_back(
    back: NDArray[np.uint8],
    source: NDArray[np.int32],
    weight: NDArray[np.float32],
    first_skip: int,
    bend: NDArray[np.float32],
    t: int,
    s: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return residues, candidates and the weight of the step into each, from the first on."""
    residue, state = np.empty(t + 1, np.int64), np.empty(t + 1, np.int64)
    cost = np.zeros(t + 1)
    at, rank = t + 1, 0
    while True:
        at -= 1
        residue[at], state[at] = t, s
        way = int(back[t, s, rank])
        if way == BEGIN:
            return residue[at:], state[at:], cost[at:]
        k, rank = way & (MAX_STEPS - 1), way // SECOND
        u, t = int(source[s, k]), t - (1 if k < first_skip else 2)
        cost[at] = weight[s, k]
        came = int(back[t, u, rank])
        if came != BEGIN:
            cost[at] += bend[s, k, came & (MAX_STEPS - 1)]
        s = u


@njit(cache=True, nogil=True)
def best_piece(
    residue: NDArray[np.int64],
    state: NDArray[np.int64],
    cost: NDArray[np.float64],
    emission: NDArray[np.float32],
    codes: NDArray[np.int64],
    room: NDArray[np.int64],
    taken: NDArray[np.bool_],
    start: NDArray[np.float32],
    end: NDArray[np.float32],
    deepest: float,
    last_seen: NDArray[np.int64],
) -> tuple[int, int, float]:
    """Return the best stretch [first, stop) of a path that visits no candidate twice.

    Every residue of it has room left and no candidate is taken; its score includes the start and
    end of its own ends. Nowhere along it does the score fall by more than ``deepest``: what lies
    beyond must stand on its own. ``last_seen`` (n,) is scratch: -1 on entry and on return. A path
    without such a stretch gives (0, 0, -inf).
    """
    m = len(residue)
    # Score of a stretch = upto[stop] - opened[first] + end: opened takes the step into it away.
    upto, opened = np.zeros(m + 1), np.zeros(m)
    best, best_first, best_stop, low, first = -np.inf, 0, 0, 0, 0
    peak = -np.inf
    for i in range(m):
        t, s = residue[i], state[i]
        opened[i] = upto[i] + cost[i] - start[t, s]
        upto[i + 1] = upto[i] + cost[i] + emission[codes[t], s]
        if room[t] <= 0 or taken[s] or upto[i + 1] < peak - deepest:
            low, peak = i + 1, -np.inf
            continue
        peak = max(peak, upto[i + 1])
        low = max(low, last_seen[s] + 1)
        last_seen[s] = i
        if first < low:
            first = low
            for begin in range(low + 1, i):
                if opened[begin] < opened[first]:
                    first = begin
        if opened[i] < opened[first]:
            first = i
        score = upto[i + 1] - opened[first] + end[t, s]
        if score > best:
            best, best_first, best_stop = score, first, i + 1
    for s in state:
        last_seen[s] = -1
    return best_first, best_stop, best
