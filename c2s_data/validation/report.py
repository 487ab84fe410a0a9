"""What a validation found, check by check: as a document and as a table for people."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from c2s_data.validation.checks import CHECKS, STATUSES, Check, Finding, Status

_STYLES: Final = {"pass": "green", "warn": "yellow", "fail": "bold red", "skip": "dim"}
_MAX_TOLD: Final = 20


class Outcome(NamedTuple):
    """One check over all entries.

    ``counts`` says how many entries passed and so on, ``worst`` is the gravest finding, ``numbers``
    holds smallest, mean and largest of each measured number.
    """

    check: Check
    status: Status
    counts: dict[Status, int]
    worst: Finding | None
    numbers: dict[str, dict[str, float]]

    @property
    def n_checked(self) -> int:
        """Entries in which the check could be made."""
        return sum(n for status, n in self.counts.items() if status != "skip")


@dataclass(frozen=True)
class Report:
    """All findings of one generation of a store; ``failures`` are entries that it lacks."""

    url: str
    generation: int
    fingerprint: str
    preset: str
    failures: Mapping[str, str]
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """One outcome per check, in the order of `c2s_data.validation.checks.CHECKS`."""
        by_number: dict[str, list[Finding]] = {number: [] for number in CHECKS}
        for finding in self.findings:
            by_number[finding.number].append(finding)
        return tuple(_outcome(CHECKS[number], found) for number, found in by_number.items())

    @property
    def is_valid(self) -> bool:
        """Whether no check failed; warnings do not count."""
        return all(finding.status != "fail" for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return everything as a document that JSON can say; nan and infinity become null."""
        return {
            "store": self.url,
            "generation": self.generation,
            "fingerprint": self.fingerprint,
            "preset": self.preset,
            "valid": self.is_valid,
            "seconds": round(self.seconds, 3),
            "not_in_the_store": dict(self.failures),
            "checks": [_outcome_json(outcome) for outcome in self.outcomes],
            "findings": [_finding_json(finding) for finding in self.findings],
        }


def _outcome(check: Check, found: list[Finding]) -> Outcome:
    worst = max(found, key=_gravity, default=None)
    counts = {status: sum(f.status == status for f in found) for status in STATUSES}
    measured: dict[str, list[float]] = {}
    for finding in found:
        for name, value in finding.numbers.items():
            if math.isfinite(value):
                measured.setdefault(name, []).append(float(value))
    numbers = {
        name: {"min": min(values), "mean": math.fsum(values) / len(values), "max": max(values)}
        for name, values in measured.items()
    }
    return Outcome(check, worst.status if worst else "skip", counts, worst, numbers)


def _gravity(finding: Finding) -> tuple[int, float]:
    return STATUSES.index(finding.status), finding.severity


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    worst = outcome.worst
    return {
        **outcome.check._asdict(),
        "status": outcome.status,
        "n_checked": outcome.n_checked,
        "counts": outcome.counts,
        "worst_entry": worst.entry_id if worst else None,
        "message": worst.message if worst else "no entry was checked",
        "numbers": outcome.numbers,
    }


def _finding_json(finding: Finding) -> dict[str, Any]:
    numbers = {
        name: value if math.isfinite(value) else None for name, value in finding.numbers.items()
    }
    row = {"number": finding.number, "entry_id": finding.entry_id, "status": finding.status}
    return row | {"message": finding.message, "numbers": numbers}


def print_report(console: Console, report: Report) -> None:
    """Print a table by section, then every failure and warning in full."""
    for section in dict.fromkeys(check.section for check in CHECKS.values()):
        outcomes = [o for o in report.outcomes if o.check.section == section]
        console.print(_table(section, outcomes))
    for finding in _told(report):
        style = _STYLES[finding.status]
        console.print(Text(f"{finding.status} {finding.number}: {finding.message}", style))
    for name, why in report.failures.items():
        console.print(Text(f"{name}: not in the store: {why}", "yellow"))
    numbers = [outcome.status for outcome in report.outcomes]
    n_entries = len({finding.entry_id for finding in report.findings})
    console.print(
        Text(
            f"generation {report.generation}, preset {report.preset}: {n_entries} entries, "
            f"{numbers.count('pass')} checks passed, {numbers.count('warn')} with warnings, "
            f"{numbers.count('fail')} failed, {numbers.count('skip')} could not be made "
            f"({report.seconds:.1f} s)"
        )
    )


def _table(section: str, outcomes: list[Outcome]) -> Table:
    table = Table(title=section, title_justify="left", title_style="bold")
    for name in ("no.", "outcome", "entries"):
        table.add_column(name, no_wrap=True)
    table.add_column("check", ratio=3)
    table.add_column("worst entry", ratio=5)
    table.add_column("the paper", ratio=2)
    for outcome in outcomes:
        status = Text(outcome.status, _STYLES[outcome.status])
        worst = Text(_told_of_all(outcome) + (outcome.worst.message if outcome.worst else ""))
        worst.truncate(300, overflow="ellipsis")
        row = (outcome.check.number, status, _entries(outcome), Text(outcome.check.name))
        table.add_row(*row, worst, Text(outcome.check.claim))
    return table


def _told_of_all(outcome: Outcome) -> str:
    """Return the share of exact maps where a check counts them, as the paper does."""
    exact = outcome.numbers.get("exact")
    return f"{exact['mean']:.0%} of the maps exact; " if exact else ""


def _entries(outcome: Outcome) -> str:
    counts = outcome.counts
    told = reversed([status for status in STATUSES if status != "pass" and counts[status]])
    return ", ".join([str(outcome.n_checked), *(f"{counts[status]} {status}" for status in told)])


def _told(report: Report) -> Iterator[Finding]:
    """Yield failures, then warnings, the worst first, up to a number that people read."""
    grave = [finding for finding in report.findings if finding.status in ("fail", "warn")]
    yield from sorted(grave, key=_gravity, reverse=True)[:_MAX_TOLD]
