"""How a peer's program answers: a line of JSON when it is ready, and one for each line it gets.

Standard library alone, since it runs in the environments of the peers, beside the program.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata

BATCH = 32


def serve(libraries: list[str], measures: dict[str, Callable[[], float]]) -> None:
    """Say that all is prepared, then measure what is asked for until nobody asks any more."""
    _say({"versions": {name: metadata.version(name) for name in libraries}})
    for line in sys.stdin:
        _say({"figure": measures[line.strip()]()})


def rate(epoch: Callable[[], int]) -> Callable[[], float]:
    """Return the measure of the samples a second of one epoch."""

    def measure() -> float:
        started = time.perf_counter()
        n = epoch()
        return n / (time.perf_counter() - started)

    return measure


def counted(batches: Iterator[object], size: Callable[[object], int]) -> int:
    """Go through all batches; return the samples they held."""
    return sum(size(batch) for batch in batches)


def _say(answer: dict[str, object]) -> None:
    print(json.dumps(answer), flush=True)
