"""Whether ratios got worse since the last results that were committed.

Ratios are compared, never times: a slower machine slows peers and limits too. Machines are shared
and noisy, so a row has got worse only if both hold: its median ratio by more than `TOLERANCE`, and
its best turn is worse than the worst turn of the earlier run. Where the figure comes from one turn
there is no spread to go by, and it takes `TOLERANCE_OF_ONE`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from benchmarks.suite.rows import Row

TOLERANCE: Final = 1.25
TOLERANCE_OF_ONE: Final = 1.5


@dataclass(frozen=True)
class Change:
    """A row that differs from the earlier run: ``worse`` fails the check."""

    key: str
    worse: bool
    text: str


def changes(earlier: Iterable[Row], now: Iterable[Row]) -> list[Change]:
    """Return the rows that got worse, and those that are not there any more.

    A row that has no figure now but had one is a change that does not fail: a peer may be missing
    on this machine. The same holds for a goal that is no longer met within the noise.
    """
    found = {row.key: row for row in now}
    listed = []
    for old in earlier:
        new = found.get(old.key)
        if old.ratio is None:
            continue
        if new is None:
            listed.append(Change(old.key, worse=False, text="not measured in this run"))
        elif new.ratio is None:
            listed.append(Change(old.key, worse=False, text=f"no figure: {new.note}"))
        elif is_worse(old, new):
            text = f"ratio {old.ratio:.3g} before, {new.ratio:.3g} now"
            listed.append(Change(old.key, worse=True, text=text))
        elif old.met and not new.met:
            text = f"goal {new.goal} no longer met: {old.ratio:.3g} before, {new.ratio:.3g} now"
            listed.append(Change(old.key, worse=False, text=text))
    return listed


def is_worse(old: Row, new: Row) -> bool:
    """Return whether the ratio got worse by more than noise."""
    assert old.ratio is not None
    assert new.ratio is not None
    if new.better is None:
        return False
    higher = new.better == "higher"
    old_low, old_high = old.ratio_spread or (old.ratio, old.ratio)
    new_low, new_high = new.ratio_spread or (new.ratio, new.ratio)
    single = old_low == old_high or new_low == new_high
    bound = TOLERANCE_OF_ONE if single else TOLERANCE
    if higher:
        return new.ratio * bound < old.ratio and new_high < old_low
    return new.ratio > old.ratio * bound and new_low > old_high
