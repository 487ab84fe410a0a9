"""What `benchmarks.cloud` measures, as rows of the table."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.cloud import OF_CODEC, OF_DISK, OF_GETS
from benchmarks.suite.rows import Row, at_least, at_most, compared, judged

_GETS, _CODEC = "whole-shard GETs", "codec, one thread"


def loader_rows(found: dict[str, list[float]]) -> Iterator[Row]:
    """Yield the loader against plain GETs and the codec; the goal goes to what is the lower."""
    gets, codec = (statistics.median(found[name]) for name in (_GETS, _CODEC))
    by_gets = OF_GETS * gets <= OF_CODEC * codec
    for name, goal, binding in ((_GETS, OF_GETS, by_gets), (_CODEC, OF_CODEC, not by_gets)):
        yield compared(
            "shuffled epoch from S3",
            "subgrids/s",
            found["loader"],
            found[name],
            against=name,
            role="limit",
            goal=at_least(goal) if binding else None,
        )


def traffic_row(found: dict[str, Any]) -> Row:
    """Return the row of requests or bytes, which are counted, not timed."""
    return judged(found["what"], "", [found["value"]], at_most(found["goal"]))


def build_row(seconds: dict[str, list[float]]) -> Row:
    """Return building into the bucket against building onto the disk."""
    return compared("build into a bucket, 1 worker", "s", seconds["bucket"], seconds["disk"],
                    against="onto the disk", ratio="other/own", goal=at_least(OF_DISK))  # fmt: skip
