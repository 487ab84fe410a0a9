"""The customized Viterbi search over the full matrix, compiled, with a bitset per survivor."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def dense_viterbi(
    log_t_to_from: NDArray[np.float64],
    log_e: NDArray[np.float64],
    log_pi: NDArray[np.float64],
    codes: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return state and fragment of each residue.

    ``log_t_to_from`` is the transition matrix transposed: predecessors of a state lie in a row.
    """
    n, length = len(log_pi), len(codes)
    one = np.uint64(1)
    is_free = np.ones(n, np.bool_)
    path, number = np.full(length, -1), np.full(length, -1)
    bits = np.zeros((n, (n + 63) // 64), np.uint64)
    longer = np.zeros_like(bits)
    back = np.zeros((length, n), np.int32)
    at = count = 0
    while at < length and is_free.any():
        states = np.flatnonzero(is_free)
        value = np.full(n, -np.inf)
        bits[:] = 0
        for s in states:
            value[s] = log_pi[s] + log_e[s, codes[at]]
            bits[s, s >> 6] |= one << np.uint64(s & 63)
        t = at + 1
        stuck = False
        while t < length and not stuck:
            new = np.full(n, -np.inf)
            for s in states:
                word, mask = s >> 6, one << np.uint64(s & 63)
                emission = log_e[s, codes[t]]
                best, chosen = -np.inf, -1
                for p in range(n):
                    total = (value[p] + log_t_to_from[s, p]) + emission
                    if total > best and not bits[p, word] & mask:
                        best, chosen = total, p
                if chosen < 0:
                    stuck = True
                    break
                new[s], back[t, s] = best, chosen
            if stuck:
                break
            for s in states:
                longer[s] = bits[back[t, s]]
                longer[s, s >> 6] |= one << np.uint64(s & 63)
            bits, longer, value = longer, bits, new
            t += 1
        s = np.argmax(value)
        for k in range(t - 1, at - 1, -1):
            path[k], number[k] = s, count
            is_free[s] = False
            s = back[k, s]
        at, count = t, count + 1
    return path, number
