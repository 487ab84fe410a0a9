"""The compiled inner part of `viterbi`: one fragment of the paper's customized Viterbi search.

All jitted functions that call each other live in this file, because numba's cache does not notice
a change in another one. (Arrays are taken out of their tuple before a loop: inside of it, numba
would count a reference each time.)

Every state keeps one best path, its survivor, and the search asks again and again whether a
survivor holds a state. Copying a bitset per survivor and step would cost most of the time, but
survivors soon share their ancestors, so a path is kept in three parts:

- its *tail*, the at most `BLOCK` states since the last checkpoint, packed `LANES` to a word and
  compared all at once; it alone is copied from step to step;
- the *stem* it grows on, one per survivor at the last checkpoint: the `BLOCK` states before it;
- the *root* of the stem: a bitset of all earlier states, one per survivor of the checkpoint before
  that still has descendants. There are few, and the rest are dropped.

At a checkpoint, stems that are still in use become roots and tails become stems. The order of a
root's states is kept as a chain of blocks, which replaces back-pointers of every state and step.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from c2s_model.backbone.viterbi_state import (
    Far,
    Flags,
    Floats,
    Model,
    Numbers,
    Paths,
    Places,
    Words,
)

LANES: Final = 3
LANE_BITS: Final = 21
WORDS: Final = 4
BLOCK: Final = LANES * WORDS
"""States between two checkpoints: 12. With 8 words for 24 the search took 1.15 times as long."""
MAX_STATES: Final = (1 << LANE_BITS) - 1
"""The number of states that a lane can tell apart, one value being left for "empty"."""
TOP: Final = 16
"""How many of the best far predecessors are kept sorted; what they cannot settle is searched."""
NONE: Final = np.uint32(0xFFFFFFFF)
_EMPTY: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_LANE: Final = np.uint64(MAX_STATES)
_LOWEST: Final = np.uint64(1 | 1 << LANE_BITS | 1 << 2 * LANE_BITS)
_HIGHEST: Final = np.uint64((1 | 1 << LANE_BITS | 1 << 2 * LANE_BITS) << (LANE_BITS - 1))
_ONE: Final = np.uint64(1)
_SIX: Final = np.uint64(6)
_63: Final = np.uint64(63)


@njit(cache=True)
def _in_words(words: Words, row: int, pattern: np.uint64) -> bool:
    found = np.uint64(0)
    for k in range(WORDS):
        differs = words[row, k] ^ pattern
        found |= (differs - _LOWEST) & ~differs & _HIGHEST
    return bool(found)


@njit(cache=True)
def _in_bits(bits: Words, row: int, state: int) -> bool:
    bit = np.uint64(state)
    return bool((bits[row, bit >> _SIX] >> (bit & _63)) & _ONE)


@njit(cache=True)
def _put(tail: Words, survivor: int, place: int, state: int) -> None:
    shift = np.uint64(LANE_BITS * (place % LANES))
    word = place // LANES
    tail[survivor, word] = (tail[survivor, word] & ~(_LANE << shift)) | (np.uint64(state) << shift)


@njit(cache=True)
def _unpack(words: Words, row: int, count: int, out: Places, at: int) -> None:
    for place in range(count):
        shift = np.uint64(LANE_BITS * (place % LANES))
        out[at + place] = (words[row, place // LANES] >> shift) & _LANE


@njit(cache=True)
def _new_paths(n: int) -> Paths:
    """Return paths of one state each, on one empty stem with an empty root."""
    tail = np.full((n, WORDS), _EMPTY)
    for state in range(n):
        _put(tail, state, 0, state)
    return Paths(
        tail,
        np.zeros(n, np.uint32),
        np.full((n, WORDS), _EMPTY),
        np.zeros(n, np.uint32),
        np.zeros((1, (n + 63) // 64), np.uint64),
        np.full(1, -1, np.int64),
        np.empty((0, WORDS), np.uint64),
        np.empty(0, np.int64),
    )


@njit(cache=True)
def _checkpoint(paths: Paths, first: bool) -> Paths:
    """Make roots of the stems in use (none before the first checkpoint) and stems of the tails."""
    n = len(paths.stem)
    new_root = np.full(n, NONE)
    stems = np.empty(n, np.uint32)
    count = 0
    for survivor in range(n):
        stem = paths.stem[survivor]
        if new_root[stem] == NONE:
            new_root[stem] = count
            stems[count] = stem
            count += 1
    root_bits, root_block = paths.root_bits, paths.root_block
    block, before = paths.block, paths.block_before
    if not first:
        stems = stems[:count]
        old_root = paths.stem_root[stems]
        root_bits = paths.root_bits[old_root]
        states = np.empty(BLOCK, np.int64)
        for root in range(count):
            _unpack(paths.stem_tail, stems[root], BLOCK, states, 0)
            for state in states:
                bit = np.uint64(state)
                root_bits[root, bit >> _SIX] |= _ONE << (bit & _63)
        before = np.concatenate((before, root_block[old_root]))
        root_block = np.arange(len(block), len(block) + count)
        block = np.concatenate((block, paths.stem_tail[stems]))
    return Paths(
        np.full((n, WORDS), _EMPTY), np.arange(n).astype(np.uint32), paths.tail.copy(),
        new_root[paths.stem], root_bits, root_block, block, before,
    )  # fmt: skip


@njit(cache=True)
def _read_path(paths: Paths, survivor: int, length: int, filled: int) -> Places:
    """Return the states of a survivor's path, first one first."""
    path = np.empty(length, np.int64)
    at = length - filled
    _unpack(paths.tail, survivor, filled, path, at)
    stem = paths.stem[survivor]
    if at > 0:
        at -= BLOCK
        _unpack(paths.stem_tail, stem, BLOCK, path, at)
    block = paths.root_block[paths.stem_root[stem]]
    while at > 0:
        at -= BLOCK
        _unpack(paths.block, block, BLOCK, path, at)
        block = paths.block_before[block]
    return path


@njit(cache=True)
def _rank(value: Floats, log_far: Floats, paths: Paths, far: Far, n_live: int) -> tuple[int, int]:
    """Fill ``far`` for this step; return how many are in ``top`` and how many stems are in use."""
    keys, top, live, stem_key = far.key, far.top, far.live, far.stem_key
    first, following, stem_of = far.first, far.following, paths.stem
    for i in range(n_live):
        stem_key[live[i]] = -np.inf
        first[live[i]] = NONE
    n_top = 0
    key_to_beat = -np.inf
    for p in range(len(value)):
        key = value[p] + log_far[p]
        keys[p] = key
        stem = stem_of[p]
        following[p] = first[stem]
        first[stem] = p
        stem_key[stem] = max(stem_key[stem], key)
        if key > key_to_beat:
            place = n_top if n_top < TOP else TOP - 1
            n_top = min(n_top + 1, TOP)
            while place > 0 and keys[top[place - 1]] < key:
                top[place] = top[place - 1]
                place -= 1
            top[place] = p
            if n_top == TOP:
                key_to_beat = keys[top[TOP - 1]]
    still = 0
    for i in range(n_live):
        if first[live[i]] != NONE:
            live[still] = live[i]
            still += 1
    return n_top, still


@njit(cache=True)
def _search_far(
    s: int, emission: float, best: float, parent: np.uint32, far: Far, n_live: int, paths: Paths
) -> tuple[float, np.uint32]:
    """Return the best far predecessor of one state, if better than what it has."""
    tail, stem_tail, root_bits = paths.tail, paths.stem_tail, paths.root_bits
    stem_root, key, following = paths.stem_root, far.key, far.following
    live, stem_key, first = far.live, far.stem_key, far.first
    pattern = np.uint64(s) * _LOWEST
    for i in range(n_live):
        stem = live[i]
        if stem_key[stem] + emission < best:
            continue
        if _in_bits(root_bits, stem_root[stem], s) or _in_words(stem_tail, stem, pattern):
            continue
        p = first[stem]
        while p != NONE:
            total = key[p] + emission
            better = total > best or (total == best and p < parent)
            if better and not _in_words(tail, p, pattern):
                best, parent = total, p
            p = following[p]
    return best, parent


@njit(cache=True)
def _settle_first(
    p: int, key: float, lower: float, emission: Floats, far: Far, n_live: int, paths: Paths,
    best: Floats, parent: Numbers,
) -> None:  # fmt: skip
    """Give the best far predecessor of all to every state, as if none were in its path."""
    for s in range(len(best)):
        best[s] = key + emission[s]
        parent[s] = p
        if lower + emission[s] == best[s]:
            best[s], parent[s] = _search_far(s, emission[s], -np.inf, NONE, far, n_live, paths)


@njit(cache=True)
def _settle_far(
    far: Far, n_top: int, n_live: int, emission: Floats, paths: Paths, length: int, filled: int,
    best: Floats, parent: Numbers, still_open: Numbers, is_open: Flags,
) -> float:  # fmt: skip
    """Give each state its best far predecessor, as far as the ranked survivors tell.

    A state is left open when all of them hold it. Where the next lower key gives an equal sum with
    the emission, the lower number has to win, and only the full search finds it. Returned is an
    upper bound of the keys that may still matter to an open state.
    """
    n = len(best)
    tail, stem_of, stem_tail = paths.tail, paths.stem, paths.stem_tail
    stem_root, root_bits = paths.stem_root, paths.root_bits
    best[:] = -np.inf
    parent[:] = NONE
    n_open = n
    bound: float = far.key[far.top[0]]
    for rank in range(n_top):
        p = far.top[rank]
        key = bound = far.key[p]
        after = rank + 1
        while after < n_top and far.key[far.top[after]] == key:
            after += 1
        if after == n_top < n:
            break
        lower = far.key[far.top[after]] if after < n_top else -np.inf
        if rank == 0:
            _settle_first(p, key, lower, emission, far, n_live, paths, best, parent)
            held_states = _read_path(paths, p, length, filled)
            n_open = length
            for i in range(n_open):
                s = held_states[i]
                still_open[i] = s
                best[s], parent[s] = -np.inf, NONE
            continue
        kept = 0
        stem = stem_of[p]
        root = stem_root[stem]
        for i in range(n_open):
            s = still_open[i]
            pattern = np.uint64(s) * _LOWEST
            held = _in_words(tail, p, pattern) or _in_words(stem_tail, stem, pattern)
            if held or _in_bits(root_bits, root, s):
                still_open[kept] = s
                kept += 1
            elif lower + emission[s] == key + emission[s]:
                best[s], parent[s] = _search_far(s, emission[s], -np.inf, NONE, far, n_live, paths)
            else:
                best[s], parent[s] = key + emission[s], p
        n_open = kept
        if n_open == 0:
            break
    for s in range(n):
        is_open[s] = parent[s] == NONE
    return bound


@njit(cache=True)
def _advance(
    model: Model, value: Floats, emission: Floats, paths: Paths, filled: int,
    far: Far, n_live: int, bound: float, best: Floats, parent: Numbers, is_open: Flags,
    new_tail: Words, new_stem: Numbers,
) -> bool:  # fmt: skip
    """Choose every state's predecessor and extend the paths; False when a state has none."""
    start, source, log_near = model.start, model.source, model.log_near
    tail, stem_of, stem_tail = paths.tail, paths.stem, paths.stem_tail
    stem_root, root_bits = paths.stem_root, paths.root_bits
    highest = value.max()
    for s in range(len(best)):
        e, total, chosen = emission[s], best[s], parent[s]
        pattern = np.uint64(s) * _LOWEST
        # Unsigned, or numba tests every index for a negative one that counts from the end.
        for j in range(np.uint64(start[s]), np.uint64(start[s + 1])):
            log_t = log_near[j]
            if (highest + log_t) + e < total:
                break
            p = source[j]
            candidate = (value[p] + log_t) + e
            if candidate > total or (candidate == total and p < chosen):
                stem = stem_of[p]
                if not (
                    _in_words(tail, p, pattern)
                    or _in_bits(root_bits, stem_root[stem], s)
                    or _in_words(stem_tail, stem, pattern)
                ):
                    total, chosen = candidate, p
        if is_open[s]:
            if bound + e >= total:
                total, chosen = _search_far(s, e, total, chosen, far, n_live, paths)
            if chosen == NONE:
                return False
        best[s] = total
        for k in range(WORDS):
            new_tail[s, k] = tail[chosen, k]
        _put(new_tail, s, filled, s)
        new_stem[s] = stem_of[chosen]
    return True


@njit(cache=True, nogil=True)
def longest_fragment(model: Model, first_value: Floats, codes: Places) -> Places:
    """Return the states of the path that the search freezes, one per residue from the first.

    Parameters
    ----------
    model : Model
        The free states, at least one and at most `MAX_STATES`.
    first_value : (n,) float64
        V of the first residue.
    codes : (r,) int64
        Residue codes, at least one; the path ends before the first residue at which a state has no
        legal predecessor.
    """
    n = len(first_value)
    value, best = first_value.copy(), np.empty(n)
    parent = np.empty(n, np.uint32)
    paths = _new_paths(n)
    spare_tail, spare_stem = np.empty_like(paths.tail), np.empty_like(paths.stem)
    far = Far(
        np.empty(n), np.empty(TOP, np.uint32), np.zeros(n, np.uint32), np.empty(n),
        np.empty(n, np.uint32), np.empty(n, np.uint32),
    )  # fmt: skip
    still_open, is_open = np.empty(n, np.uint32), np.zeros(n, np.bool_)
    filled, n_live, length = 1, 1, 1
    while length < len(codes):
        if filled == BLOCK:
            paths = _checkpoint(paths, length == BLOCK)
            for s in range(n):
                far.live[s] = s
            filled, n_live = 0, n
        emission = model.log_emission[codes[length]]
        n_top, n_live = _rank(value, model.log_far, paths, far, n_live)
        bound = _settle_far(
            far, n_top, n_live, emission, paths, length, filled, best, parent, still_open, is_open
        )
        if not _advance(
            model, value, emission, paths, filled, far, n_live, bound, best, parent, is_open,
            spare_tail, spare_stem,
        ):  # fmt: skip
            break
        value, best = best, value
        old = paths
        paths = Paths(
            spare_tail, spare_stem, old.stem_tail, old.stem_root, old.root_bits, old.root_block,
            old.block, old.block_before,
        )  # fmt: skip
        spare_tail, spare_stem = old.tail, old.stem
        filled += 1
        length += 1
    return _read_path(paths, int(np.argmax(value)), length, filled)
