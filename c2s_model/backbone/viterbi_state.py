"""What the compiled Viterbi search works on: the model of the free states, paths and keys."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Words = NDArray[np.uint64]
Numbers = NDArray[np.uint32]
Places = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Model(NamedTuple):
    """The hidden Markov model of the free states; see `hmm_matrices.SparseTransitions`."""

    start: Places
    source: Numbers
    log_near: Floats
    log_far: Floats
    log_emission: Floats
    """Shape (20, n)."""


class Paths(NamedTuple):
    """The survivors' paths, as the module describes them."""

    tail: Words
    stem: Numbers
    stem_tail: Words
    stem_root: Numbers
    root_bits: Words
    root_block: Places
    """Last block of a root, or -1."""
    block: Words
    block_before: Places


class Far(NamedTuple):
    """Predecessors as far transitions see them: key = V + log T of a far transition."""

    key: Floats
    top: Numbers
    """The best survivors, by descending key, then ascending."""
    live: Numbers
    """Stems in use."""
    stem_key: Floats
    """Best key among the survivors of a stem."""
    first: Numbers
    """First survivor of a stem's list."""
    following: Numbers
    """Next survivor in the list."""


@njit(cache=True)
def without(model: Model, keep: Flags) -> Model:
    """Return the model of the states that are kept, in the same order."""
    n = len(keep)
    new = np.empty(n, np.uint32)
    kept = 0
    for s in range(n):
        new[s] = kept
        kept += keep[s]
    start = np.zeros(kept + 1, np.int64)
    source, log_near = np.empty_like(model.source), np.empty_like(model.log_near)
    log_emission = np.empty((model.log_emission.shape[0], kept))
    log_far = np.empty(kept)
    m = 0
    for s in range(n):
        if keep[s]:
            for j in range(model.start[s], model.start[s + 1]):
                if keep[model.source[j]]:
                    source[m], log_near[m] = new[model.source[j]], model.log_near[j]
                    m += 1
            start[new[s] + 1] = m
            log_far[new[s]] = model.log_far[s]
            for code in range(len(log_emission)):
                log_emission[code, new[s]] = model.log_emission[code, s]
    return Model(start, source[:m].copy(), log_near[:m].copy(), log_far, log_emission)
