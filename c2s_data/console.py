"""What a build says while it runs: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from c2s_data.build import EntryOutcome
from c2s_data.config import BuildConfig
from c2s_data.estimate import Estimate, cost
from c2s_data.plan import Plan, PlannedEntry
from c2s_data.rates import Rates
from c2s_data.task_memory import scratch_bytes

_PAPER_COSTS = (
    "No --preset given, so this build follows the paper (preset paper), which labels every atom "
    "0.5 A low on each axis and lets solvent noise saturate the density of unmasked maps; for "
    "training new networks choose --preset recommended (docs/beware.md)."
)


def print_choices(console: Console, config: BuildConfig, *, preset_given: bool) -> None:
    """Print preset, label rule, decode offset and label error; the costs of an unasked default."""
    if not preset_given:
        console.print(_PAPER_COSTS, style="yellow", highlight=False)
    console.print(
        f"preset {config.preset}: labels by {config.label_rule} (mean error "
        f"{config.label_error_A} A at 1 A voxels, decode offset {config.decode_offset_voxel} "
        f"voxel), resampling {config.resampling}, scale from {config.scale} values, density "
        f"{config.density_dtype}, box {config.box} core {config.core}",
        highlight=False,
    )


def print_plan(console: Console, plan: Plan) -> None:
    """Print what the headers tell: maps, subgrids, expected bytes and memory."""
    subgrids = sum(entry.n_subgrids for entry in plan.live)
    peak = max((entry.predicted_memory_bytes for entry in plan.buildable), default=0)
    console.print(
        f"{len(plan.buildable)} of {len(plan.live)} maps can be built: {subgrids:,} subgrids, "
        f"about {plan.predicted_bytes / 1e6:,.0f} MB, at most {peak / 1e9:.2f} GB in one task",
        highlight=False,
    )
    paged = [entry for entry in plan.buildable if entry.paged]
    if paged:
        most = max(
            scratch_bytes(entry.source_shape_zyx, entry.shape_zyx, plan.config) for entry in paged
        )
        console.print(
            f"{len(paged)} of them through temporary files of up to {most / 1e9:.1f} GB in the "
            "worker's $TMPDIR, else /var/tmp: their volumes are larger than --task-memory",
            highlight=False,
        )
    print_failures(console, plan.live)
    if len(plan.buildable) < len(plan.live):
        console.print(
            "The others are built; once these are mended, the same command adds them.",
            style="yellow",
        )


def print_failures(console: Console, entries: Iterable[PlannedEntry]) -> None:
    """Print why entries cannot be built, those of them that cannot."""
    for entry in entries:
        if entry.failure is not None:
            failed = EntryOutcome(entry.entry_id, entry.failure)
            console.print(outcome_line(failed), style="red", highlight=False, markup=False)


def print_estimate(console: Console, taken: Estimate, rates: Rates) -> None:
    """Print what a build takes, and what that costs at each site of a table of rates."""
    console.print(
        f"{taken.n_maps:,} maps ({taken.n_maps - taken.n_typical:,} by their headers, "
        f"{taken.n_typical:,} not here yet and taken as typical), {taken.n_subgrids:,} subgrids\n"
        f"core hours {taken.core_s / 3600:,.2f}\n"
        f"bytes      {taken.input_bytes / 1e9:,.2f} GB of inputs, {taken.store_bytes / 1e9:,.2f} "
        f"GB of store, which is written and read back\n"
        f"requests   {taken.n_writes:,} writes and {taken.n_reads:,} reads of "
        f"{taken.n_objects:,} objects, if the store is on object storage",
        highlight=False,
    )
    table = Table(
        "site", "cores", "requests", "build", "storage a month", "leaving once", box=SIMPLE
    )
    for name, site in rates.sites.items():
        spent = cost(taken, site)
        amounts = (spent.cores, spent.requests, spent.build, spent.storage_month, spent.leaving)
        table.add_row(name, *(f"{amount:,.2f}" for amount in amounts))
    console.print(table)
    dates = [price.date for site in rates.sites.values() for price in site.prices()]
    console.print(
        f"US dollars, by prices noted from {min(dates)} to {max(dates)}; check them before money "
        "depends on them (--rates takes your own table)"
        if dates
        else "the table of rates has no site, so nothing has a price",
        highlight=False,
    )


def outcome_line(outcome: EntryOutcome) -> str:
    """Return the line that reports one entry."""
    name = outcome.entry_id
    if outcome.failure is not None:
        failure = outcome.failure
        return f"{name}: FAILED at {failure.stage} [{failure.reason}] {failure.message}"
    size = f"{outcome.n_subgrids:,} subgrids, {outcome.nbytes / 1e6:.1f} MB"
    if outcome.was_finished:
        return f"{name}: finished before, {size}"
    again = outcome.repeated_requests
    repeated = f", {again} request{'s' * (again > 1)} repeated" if again else ""
    return f"{name}: built in {outcome.seconds:.1f} s, {size}{repeated}"


class BuildProgress:
    """Report entries as they end; a context manager.

    Parameters
    ----------
    console
        Where to; a bar is drawn only if it is a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total = 0
        self._done = 0
        self._failed = 0
        self._bar = Progress(
            TextColumn("building"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[failed]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("build", total=None, failed="", visible=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def expect(self, total: int) -> None:
        """Say how many entries will be reported."""
        self._total = total
        self._bar.update(self._task, total=total, visible=total > 0)

    def show(self, outcome: EntryOutcome) -> None:
        """Report one entry: failures and warnings in words, the rest in the bar."""
        self._done += 1
        self._failed += outcome.failure is not None
        failed = f"{self._failed} failed" if self._failed else ""
        self._bar.update(self._task, completed=self._done, failed=failed)
        place = f"[{self._done}/{self._total}]"
        style = "red" if outcome.failure else ""
        self._console.print(
            f"{place} {outcome_line(outcome)}", style=style, highlight=False, markup=False
        )
        for note in outcome.notes:
            self._console.print(
                f"{' ' * len(place)} {outcome.entry_id}: note: {note}",
                style="yellow",
                highlight=False,
                markup=False,
            )
