"""Work on many objects or entries: one after another here, or on workers, in the same order.

Who verifies, repairs or validates takes a `Spread` and knows nothing of Dask;
`c2s_data.distribute.map_over_workers` with its client is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Spread(Protocol):
    """Applies a function to items in any order; yields each with its result.

    An exception of the function, or a worker that died of the item, stands in a result's place.
    """

    def __call__(
        self, function: Callable[[Item], Result], items: Iterable[Item], /
    ) -> Iterator[tuple[Item, Result | Exception]]:
        """Begin, and yield what ends."""


def one_after_another(
    function: Callable[[Item], Result], items: Iterable[Item], /
) -> Iterator[tuple[Item, Result | Exception]]:
    """Apply a function to items in this process; an exception is raised as it is."""
    for item in items:
        yield item, function(item)


def in_order(
    spread: Spread, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[tuple[Item, Result | Exception]]:
    """Yield items with their results in their order, whatever the order in which they end."""
    early: dict[int, tuple[Item, Result | Exception]] = {}
    following = 0
    numbered = partial(_of_pair, function)
    for (number, item), result in spread(numbered, enumerate(items)):
        early[number] = item, result
        while following in early:
            yield early.pop(following)
            following += 1


def _of_pair(function: Callable[[Item], Result], pair: tuple[int, Item]) -> Result:
    return function(pair[1])
