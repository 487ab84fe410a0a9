"""Both hidden Markov models: the published one against its peers, and how times grow."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.suite.growth import fitted_power
from benchmarks.suite.rows import (
    Goal,
    Row,
    at_least,
    at_most,
    compared,
    faster,
    judged,
    without_figure,
)
from benchmarks.suite.size import Size
from benchmarks.suite.turns import seconds_of
from benchmarks.viterbi import (
    Case,
    compile_published,
    ours,
    run_dense,
    run_lists,
    run_published,
    timed,
    walk_case,
)
from c2s_model.backbone.candidates import Candidates
from c2s_model.backbone.hmm_gap import trace_gap


def rows(size: Size, folder: Path) -> Iterator[Row]:
    """Yield the published model against its peers, then the growth of both models."""
    ours(walk_case(60, 40))
    yield from rows_of_peers(size)
    gap(walk_case(60, 40))
    sizes = size.pick((100, 200, 400), (500, 1000, 2000), (1000, 2000, 5000, 10_000))
    yield growth("published model, N = T", best_of_ours, sizes, at_most(2.1))
    fixed = size.pick(60, 300, 500)
    yield growth(f"published model, T = {fixed}", best_of_ours, sizes, None, fixed)
    gaps = size.pick((100, 200), (500, 1000, 2000), (1000, 2000, 5000))
    yield growth("model with gaps, N = T", gap, gaps, None)
    yield growth(f"model with gaps, T = {fixed}", gap, gaps, None, fixed)
    n = gaps[-1]
    case = walk_case(n, n)
    yield compared(f"model with gaps, N = T = {n:,}", "s", [gap(case)], [best_of_ours(case)],
                   against="published model", better="lower",
                   goal=at_most(10) if n >= 5000 else None)  # fmt: skip


def rows_of_peers(size: Size) -> Iterator[Row]:
    """Yield the same path from the published algorithm in C and from a dense search."""
    small = walk_case(*size.pick((80, 50), (300, 150), (300, 150)))
    lists_s, lists = run_lists(small)
    own = [timed(small, 1) for _ in range(size.repeats)]
    assert (lists == own[0][1]).all(), "the search in lists finds another path"
    yield faster(f"published model, N = {len(small[0])}, T = {len(small[2])}",
                 [one for one, _ in own], [lists_s], "the same search in Python lists")  # fmt: skip
    n, length = size.pick((200, 100), (2000, 500), (2000, 500))
    case = walk_case(n, length)
    own = [timed(case, 1) for _ in range(size.repeats)]
    seconds, path = [one for one, _ in own], own[0][1]
    name = f"published model, N = {n:,}, T = {length}"
    dense_s, dense = run_dense(case)
    assert (dense == path).all(), "the dense search finds another path"
    yield faster(name, seconds, [dense_s], "dense search with bitsets in numba",
                 goal=at_least(20) if n >= 2000 else None)  # fmt: skip
    peer = "the published algorithm in C"
    if shutil.which("cc") is None:
        yield without_figure(name, peer, "no C compiler here")
        return
    with tempfile.TemporaryDirectory() as place:
        published_s, published = run_published(compile_published(place), case)
    assert (published == path).all(), "the published algorithm finds another path"
    yield faster(name, seconds, [published_s], peer, goal=at_least(500) if n >= 2000 else None)


def growth(
    name: str,
    measure: Callable[[Case], float],
    sizes: tuple[int, ...],
    goal: Goal | None,
    length: int | None = None,
) -> Row:
    """Return the exponent of N fitted over the sizes; the largest time goes with it."""
    measure(walk_case(sizes[0], length or sizes[0]))  # compiles what small cases do not reach
    seconds = [measure(walk_case(n, length or n)) for n in sizes]
    power = fitted_power(sizes, seconds)
    note = ", ".join(f"{n:,}: {np.format_float_positional(s, 3)} s"
                     for n, s in zip(sizes, seconds, strict=True))  # fmt: skip
    return judged(f"{name}: time grows as N to the power of", "", [power], goal, note)


def best_of_ours(case: Case) -> float:
    return timed(case, 3 if len(case[0]) < 5000 else 1)[0]


def gap(case: Case) -> float:
    """Return the seconds of tracing with gaps, from positions and emissions alone."""
    xyz_A, emission, codes = case
    n = len(xyz_A)
    points = Candidates(xyz_A, np.ones(n), emission, None, np.ones(n, np.int32))
    return seconds_of(lambda: trace_gap(points, [codes]))
