"""A row of the table: a figure, what it is held against, and whether the goal is met."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

Relation = Literal[">=", "<="]
Role = Literal["peer", "limit"]
Ratio = Literal["own/other", "other/own"]
_SIGNS = {">=": "≥", "<=": "≤"}


@dataclass(frozen=True)
class Goal:
    """What a ratio should be, at least or at most."""

    relation: Relation
    bound: float

    def met_by(self, ratio: float) -> bool:
        """Return whether a ratio reaches the goal; the bound itself does."""
        return ratio >= self.bound if self.relation == ">=" else ratio <= self.bound

    def __str__(self) -> str:
        return f"{_SIGNS[self.relation]} {self.bound:g}"


def at_least(bound: float) -> Goal:
    return Goal(">=", bound)


def at_most(bound: float) -> Goal:
    return Goal("<=", bound)


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes
    ----------
    group, name
        What is measured. Together they are unique in a table.
    value, unit, spread
        Median of our figure, its unit, the lowest and the highest.
    against
        Name of the peer or the limit.
    peer, limit
        Median of the peer's figure, or of the limit's, in the same unit; the other one is None.
    ratio, ratio_spread
        Median of the ratios within each turn, the lowest and the highest.
    better
        Whether a higher or a lower ratio is better; what the regression check goes by. None for
        ratios that mean another thing on another machine.
    goal, met
        What the ratio should be, None for no goal.
    note
        What one should know with it; for a row without a figure, the reason.
    """

    group: str
    name: str
    value: float | None = None
    unit: str = ""
    spread: tuple[float, float] | None = None
    against: str = ""
    peer: float | None = None
    limit: float | None = None
    ratio: float | None = None
    ratio_spread: tuple[float, float] | None = None
    better: Literal["higher", "lower"] | None = None
    goal: str | None = None
    met: bool | None = None
    note: str = ""

    @property
    def key(self) -> str:
        """What the same row of another run is found by."""
        return f"{self.group}: {self.name}" + (f", against {self.against}" if self.against else "")

    def as_dict(self) -> dict[str, Any]:
        """Return what a file of results keeps."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Row:
        """Return the row that `as_dict` gave; what later versions added is left out."""
        known = {field.name for field in fields(cls)}
        given = {name: value for name, value in found.items() if name in known}
        for name in ("spread", "ratio_spread"):
            if given.get(name) is not None:
                given[name] = tuple(given[name])
        return cls(**given)

    def named(self, group: str) -> Row:
        """Return the same row in a group."""
        return replace(self, group=group)


def figure(name: str, unit: str, own: Sequence[float], note: str = "") -> Row:
    """Return the row of a figure that is held against nothing."""
    value, spread = _middle(own)
    return Row("", name, value, unit, spread, note=note)


def judged(name: str, unit: str, own: Sequence[float], goal: Goal | None, note: str = "") -> Row:
    """Return the row of a figure that is held against its goal itself: a count, an exponent."""
    value, spread = _middle(own)
    return Row(
        "",
        name,
        value,
        unit,
        spread,
        ratio=value,
        ratio_spread=spread,
        better="lower" if goal is None or goal.relation == "<=" else "higher",
        goal=None if goal is None else str(goal),
        met=None if goal is None else goal.met_by(value),
        note=note,
    )


def within(
    name: str,
    unit: str,
    own: Sequence[float],
    bound: float,
    note: str = "",
    relation: Relation = "<=",
) -> Row:
    """Return the row of a figure with an absolute bound, which depends on the machine.

    It has no better side: the check for regressions leaves it out.
    """
    row = compared(
        name,
        unit,
        own,
        [bound] * len(own),
        against="the bound",
        role="limit",
        goal=Goal(relation, 1),
        note=note,
    )
    return replace(row, better=None)


def without_figure(name: str, against: str, reason: str) -> Row:
    """Return the row of what could not be measured, with the reason."""
    return Row("", name, against=against, note=reason)


def compared(
    name: str,
    unit: str,
    own: Sequence[float],
    other: Sequence[float],
    *,
    against: str,
    role: Role = "peer",
    ratio: Ratio = "own/other",
    better: Literal["higher", "lower"] = "higher",
    goal: Goal | None = None,
    note: str = "",
) -> Row:
    """Return the row of our figures against those of a peer or a limit.

    Parameters
    ----------
    name, unit
        What is measured.
    own, other
        Figures by turn. Where there are as many, the ratio is the median of the ratios within the
        turns; else that of the medians.
    against
        Name of the peer or limit.
    role
        Which of the two it is.
    ratio
        Which way it is taken. Rates of ours over theirs and seconds of theirs over ours are both
        "how many times as fast".
    better
        Which ratios are better. A goal says it itself.
    goal
        For the ratio.
    note
        What one should know with it.
    """
    value, spread = _middle(own)
    beside, _ = _middle(other)
    pairs = list(zip(own, other, strict=True)) if len(own) == len(other) else [(value, beside)]
    ratios = [a / b if ratio == "own/other" else b / a for a, b in pairs]
    middle, ratio_spread = _middle(ratios)
    if goal is not None:
        better = "higher" if goal.relation == ">=" else "lower"
    return Row(
        group="",
        name=name,
        value=value,
        unit=unit,
        spread=spread,
        against=against,
        peer=beside if role == "peer" else None,
        limit=beside if role == "limit" else None,
        ratio=middle,
        ratio_spread=ratio_spread,
        better=better,
        goal=None if goal is None else str(goal),
        met=None if goal is None else goal.met_by(middle),
        note=note,
    )


def faster(
    name: str,
    own_s: Sequence[float],
    other_s: Sequence[float],
    against: str,
    **options: Any,  # noqa: ANN401 - those of `compared`
) -> Row:
    """Return the row of seconds: how many times as fast as the peer."""
    return compared(name, "s", own_s, other_s, against=against, ratio="other/own", **options)


def of_limit(
    name: str,
    own_s: Sequence[float],
    limit_s: Sequence[float],
    against: str,
    **options: Any,  # noqa: ANN401
) -> Row:
    """Return the row of seconds: how many times the least that they can be."""
    given = {"role": "limit", "better": "lower"} | options
    return compared(name, "s", own_s, limit_s, against=against, **given)


def _middle(figures: Sequence[float]) -> tuple[float, tuple[float, float]]:
    return float(statistics.median(figures)), (float(min(figures)), float(max(figures)))
