"""The paper's hidden Markov model as described, without a thought for speed: what tests trust."""

from __future__ import annotations

import math

import numpy as np

MEAN_A, SD_A, FLOOR = 3.8047179727719045, 0.03622304, 1e-20


def plain_matrices(xyz_A, emission, background, lambda_=10.0):
    """Return log T and E, both dense."""
    n, sd_A = len(xyz_A), SD_A * lambda_
    density = np.empty((n, n))
    for i in range(n):
        dx, dy, dz = (xyz_A - xyz_A[i]).T
        z = (np.sqrt(dx * dx + dy * dy + dz * dz) - MEAN_A) / sd_A
        density[i] = np.exp(-0.5 * (z * z)) / (sd_A * math.sqrt(2 * math.pi)) + FLOOR
    transition = density / density.sum(axis=1)[:, None]
    e = emission + FLOOR
    e = e / e.sum(axis=1)[:, None]
    e = np.sqrt(e * np.array(background))
    return np.log(transition), e / e.sum(axis=1)[:, None]


def plain_search(log_t, emission, chains):
    """Return each chain's fragments: lists of states, every state's path kept as a list."""
    log_e = np.log(emission)
    free = list(range(len(log_t)))
    result = []
    for codes in chains:
        fragments = []
        result.append(fragments)
        if not len(codes):
            continue
        log_pi = np.log(emission[:, codes[0]] / emission[:, codes[0]].sum())
        at = 0
        while at < len(codes) and free:
            value = {s: log_pi[s] + log_e[s, codes[at]] for s in free}
            path = {s: [s] for s in free}
            at += 1
            while at < len(codes):
                step = _step(log_t, log_e[:, codes[at]], free, value, path)
                if step is None:
                    break
                value, path = step
                at += 1
            best = free[0]
            for s in free:
                if value[s] > value[best]:
                    best = s
            fragments.append(path[best])
            free = [s for s in free if s not in path[best]]
    return result


def _step(log_t, log_e, free, value, path):
    new_value, new_path, held = {}, {}, {p: frozenset(path[p]) for p in free}
    for s in free:
        best, chosen = -math.inf, None
        for p in free:
            if s not in held[p]:
                total = (value[p] + log_t[p, s]) + log_e[s]
                if total > best:
                    best, chosen = total, p
        if chosen is None:
            return None
        new_value[s], new_path[s] = best, [*path[chosen], s]
    return new_value, new_path
