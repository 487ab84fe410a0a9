"""Measurements that take turns, so that a busy moment of the machine hits all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

Measure = Callable[[], float]
Samples = dict[str, list[float]]


def in_turns(measures: Mapping[str, Measure], repeats: int, warm: int = 1) -> Samples:
    """Call all measures one after another, again and again.

    Parameters
    ----------
    measures
        Each returns its figure: seconds, or how many a second.
    repeats
        Turns that count.
    warm
        Turns before them that do not: they compile kernels, read files and fault pages in.

    Returns
    -------
    dict
        The figures of each measure, by turn.

    Raises
    ------
    ValueError
        No repeats.
    """
    if repeats < 1:
        raise ValueError(f"{repeats} repeats measure nothing")
    samples: Samples = {name: [] for name in measures}
    for turn in range(-warm, repeats):
        for name, measure in measures.items():
            figure = measure()
            if turn >= 0:
                samples[name].append(figure)
    return samples


def seconds_of(action: Callable[[], object]) -> float:
    """Return how long it takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def timed(action: Callable[[], object]) -> Measure:
    """Return the measure of how long an action takes."""
    return lambda: seconds_of(action)


def rate_of(action: Callable[[], int]) -> Measure:
    """Return the measure of how many a second an action does, which says how many it did."""

    def measure() -> float:
        started = time.perf_counter()
        n = action()
        return n / (time.perf_counter() - started)

    return measure
