"""Local paths against plain recursions and enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from c2s_model.backbone.local_paths import best_piece, fill, outgoing, walk_back

K_BONDS = 3


def random_case(seed, T=9, n=7, k=5):
    """Emissions, codes, steps (k, of which 3 bonds), bends."""
    rng = np.random.default_rng(seed)
    emission = rng.normal(-0.3, 1.5, (21, n)).astype(np.float32)
    codes = rng.integers(-1, 20, T)
    source = np.full((n, k), -1, np.int32)
    for s in range(n):
        others = rng.permutation([u for u in range(n) if u != s])
        bonds, skips = rng.integers(0, K_BONDS + 1), rng.integers(0, k - K_BONDS + 1)
        source[s, :bonds] = others[:bonds]
        source[s, K_BONDS : K_BONDS + skips] = others[bonds : bonds + skips]
    weight = np.where(source >= 0, -rng.exponential(1.0, (n, k)), -np.inf).astype(np.float32)
    bend = -rng.exponential(1.0, (n, k, k)).astype(np.float32)
    return emission, codes, source, weight, bend


def run_fill(emission, codes, source, weight, bend, *, room=None, start=None, end=None,
             floor=-np.inf, deepest=np.inf):  # fmt: skip
    T, n = len(codes), emission.shape[1]
    back = np.empty((T, n, 2), np.uint8)
    score, where = np.full(n, -np.inf, np.float32), np.zeros(n, np.int64)
    zero = np.zeros((T, n), np.float32)
    fill(
        emission, codes, np.ones(T, np.int64) if room is None else room,
        outgoing(source, weight, bend, range(K_BONDS)),
        outgoing(source, weight, bend, range(K_BONDS, source.shape[1])),
        zero if start is None else start, zero if end is None else end,
        float(floor), float(deepest), back, score, where,
    )  # fmt: skip
    return back, score, where


def all_ends(emission, codes, source, weight, bend, room, start, end):
    """Best end at each candidate over all paths, by exact recursion over (cell, step into it)."""
    T, n = len(codes), emission.shape[1]
    value = {}
    best = np.full(n, -np.inf)
    for t in range(T):
        if room[t] <= 0:
            continue
        for s in range(n):
            shown = emission[codes[t], s]
            value[t, s, None] = start[t, s] + shown
            for k, u in enumerate(source[s]):
                before = t - (1 if k < K_BONDS else 2)
                for came in (None, *range(source.shape[1])):
                    if u >= 0 and (before, u, came) in value:
                        cost = weight[s, k] + (0 if came is None else bend[s, k, came])
                        total = value[before, u, came] + cost + shown
                        value[t, s, k] = max(value.get((t, s, k), -np.inf), total)
            for came in (None, *range(source.shape[1])):
                best[s] = max(best[s], value.get((t, s, came), -np.inf) + end[t, s])
    return best


@pytest.mark.parametrize("seed", range(12))
def test_without_bends_the_recursion_is_exact(seed):
    emission, codes, source, weight, bend = random_case(seed)
    rng = np.random.default_rng(seed)
    start, end = (rng.normal(-1, 2, (9, 7)).astype(np.float32) for _ in range(2))
    room = (rng.random(9) < 0.85).astype(np.int64)
    _, found, _ = run_fill(
        emission, codes, source, weight, 0 * bend, room=room, start=start, end=end
    )
    expected = all_ends(emission, codes, source, weight, 0 * bend, room, start, end)
    assert found == pytest.approx(expected, abs=1e-4)


def test_with_bends_two_paths_a_cell_are_nearly_exact():
    equal, n_cases = 0, 0
    for seed in range(40):
        case = random_case(seed)
        zero, room = np.zeros((9, 7), np.float32), np.ones(9, np.int64)
        _, found, _ = run_fill(*case)
        exact = all_ends(*case, room, zero, zero)
        assert (found <= exact + 1e-4).all()
        equal += (found > exact - 1e-4).sum()
        n_cases += 7
    assert equal / n_cases > 0.97


@pytest.mark.parametrize("seed", range(6))
def test_the_floor_of_zero_loses_no_path_that_is_worth_something(seed):
    emission, codes, source, weight, bend = random_case(seed)
    _, free, _ = run_fill(emission, codes, source, weight, 0 * bend)
    _, floored, _ = run_fill(emission, codes, source, weight, 0 * bend, floor=0.0)
    positive = free > 0
    assert positive.any()
    assert floored[positive] == pytest.approx(free[positive])
    assert (floored[~positive] == -np.inf).all()


@pytest.mark.parametrize("seed", range(6))
def test_walking_back_gives_the_score(seed):
    emission, codes, source, weight, bend = random_case(seed, T=12)
    back, score, where = run_fill(emission, codes, source, weight, bend)
    for s in range(7):
        residue, state, cost = walk_back(back, source, weight, K_BONDS, bend, where[s], s)
        assert (residue[-1], state[-1]) == (where[s], s)
        assert set(np.diff(residue)) <= {1, 2}
        assert cost[0] == 0
        shown = sum(emission[codes[t], u] for t, u in zip(residue, state, strict=True))
        assert shown + cost.sum() == pytest.approx(score[s], abs=1e-4)


def test_a_path_that_falls_too_deep_is_dropped():
    # One straight chain; the score rises to 6, falls by 5 over two residues, rises again.
    emission = np.zeros((21, 8), np.float32)
    emission[0] = [2, 2, 2, -2.5, -2.5, 2, 2, 2]
    source = np.full((8, 4), -1, np.int32)
    source[1:, 0] = np.arange(7)
    weight = np.where(source >= 0, 0, -np.inf).astype(np.float32)
    bend, codes = np.zeros((8, 4, 4), np.float32), np.zeros(8, np.int64)
    case = (emission, codes, source, weight, bend)
    _, through, _ = run_fill(*case, floor=0.0, deepest=5.5)
    _, cut, _ = run_fill(*case, floor=0.0, deepest=4.5)
    assert through[7] == pytest.approx(7)
    assert cut[7] == pytest.approx(6)


def piece_by_enumeration(residue, state, cost, emission, codes, room, taken, start, end, deepest):
    best = -np.inf
    for first, last in itertools.combinations_with_replacement(range(len(residue)), 2):
        rows = range(first, last + 1)
        at = state[first : last + 1]
        if len(set(at)) < len(at) or taken[at].any() or (room[residue[rows]] <= 0).any():
            continue
        gains = [
            emission[codes[residue[i]], state[i]] + (cost[i] if i > first else 0) for i in rows
        ]
        run = np.cumsum(gains)
        if (np.maximum.accumulate(run) - run > deepest).any():
            continue
        ends = start[residue[first], state[first]] + end[residue[last], state[last]]
        best = max(best, run[-1] + ends)
    return best


@pytest.mark.parametrize("seed", range(30))
def test_best_piece_visits_nothing_twice(seed):
    rng = np.random.default_rng(seed)
    m, n = 12, 9
    residue = np.cumsum(rng.integers(1, 3, m))
    state, cost = rng.integers(0, n, m), -rng.exponential(0.5, m)
    emission = rng.normal(0.3, 1.5, (21, n)).astype(np.float32)
    codes = rng.integers(-1, 20, 25)
    room, taken = (rng.random(25) < 0.9).astype(np.int64), rng.random(n) < 0.15
    start, end = (rng.normal(-1, 1, (25, n)).astype(np.float32) for _ in range(2))
    last_seen = np.full(n, -1, np.int64)
    first, stop, score = best_piece(
        residue, state, cost, emission, codes, room, taken, start, end, np.inf, last_seen
    )
    expected = piece_by_enumeration(
        residue, state, cost, emission, codes, room, taken, start, end, np.inf
    )
    assert score == pytest.approx(expected, abs=1e-5)
    assert (last_seen == -1).all()
    if stop:
        assert len(set(state[first:stop])) == stop - first
    # With a limit to the fall a piece obeys it, and is never better than the best that does.
    first, stop, limited = best_piece(
        residue, state, cost, emission, codes, room, taken, start, end, 2.0, last_seen
    )
    allowed = piece_by_enumeration(
        residue, state, cost, emission, codes, room, taken, start, end, 2.0
    )
    assert limited <= allowed + 1e-5
    assert (last_seen == -1).all()


def test_outgoing_steps_are_the_incoming_ones():
    _, _, source, weight, bend = random_case(3)
    steps = outgoing(source, weight, bend, range(K_BONDS, 5))
    found = set()
    for u in range(7):
        rows = slice(steps.start[u], steps.start[u + 1])
        assert (np.diff(steps.weight[rows]) <= 0).all()
        found |= {
            (u, int(s), int(k)) for s, k in zip(steps.target[rows], steps.row[rows], strict=True)
        }
        m = steps.start[u + 1] - steps.start[u]
        runs = steps.bend[5 * steps.start[u] : 5 * steps.start[u + 1]].reshape(5, m)
        for column, (s, k) in enumerate(zip(steps.target[rows], steps.row[rows], strict=True)):
            assert (runs[:, column] == bend[s, k]).all()
    expected = {
        (int(source[s, k]), s, k) for s in range(7) for k in range(3, 5) if source[s, k] >= 0
    }
    assert found == expected
