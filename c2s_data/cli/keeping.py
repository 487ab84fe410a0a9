"""Commands that keep a store in order: withdraw, gc, verify, repair."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from c2s_data.cli.app import app, console, say
from c2s_data.cli.options import JsonOption, StoreArgument
from c2s_data.cluster_options import (
    ClusterOption,
    InsecureOption,
    ReportOption,
    WorkersOption,
    asked_cluster,
    spread_over,
)
from c2s_data.errors import ConfigError

if TYPE_CHECKING:
    from c2s_data.store.verify import Level, Report


@app.command()
def withdraw(
    store: StoreArgument,
    entry_id: Annotated[str, typer.Argument(help="The entry to leave out from now on.")],
    reason: Annotated[str, typer.Option(help="Why; the catalog keeps it.")],
) -> None:
    """Leave an entry out of the next generation; its rows keep their numbers and bytes."""
    from c2s_data.growth import withdraw as withdrawn
    from c2s_data.plan import Failure
    from c2s_data.store.begin import load_plan, put_plan
    from c2s_data.store.commit import commit, outcomes
    from c2s_data.store.lease import hold
    from c2s_data.store.objects import open_objects
    from c2s_data.store.receipt import Receipt

    objects = open_objects(store)
    load_plan(objects)
    with hold(objects, "withdraw") as lease:
        plan = load_plan(objects)
        is_built = isinstance(outcomes(objects, plan).get(entry_id), Receipt)
        plan = withdrawn(plan, entry_id, reason, is_built=is_built)
        left = outcomes(objects, plan).values()
        if all(isinstance(outcome, Failure) for outcome in left):
            raise ConfigError(
                f"{entry_id} is the last entry of {objects.url}, and a store holds at least one; "
                "remove the store itself, or add others first"
            )
        lease.check()
        put_plan(objects, plan)
        if None in left:
            say(f"{entry_id} is withdrawn as soon as the build that is under way is committed")
            return
        committed = commit(objects, plan, lease.check)
    say(f"{entry_id} is not in generation {committed.generation}; earlier ones still have it")


@app.command()
def gc(
    store: StoreArgument,
    keep: Annotated[
        int | None,
        typer.Option(min=1, help="Newest generations to keep.", show_default="all"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove what no generation needs, and what killed writers left behind."""
    from c2s_data.cli.app import print_json
    from c2s_data.store.begin import load_plan
    from c2s_data.store.garbage import find_garbage, remove
    from c2s_data.store.lease import hold
    from c2s_data.store.objects import open_objects

    objects = open_objects(store)
    load_plan(objects)
    with hold(objects, "gc") as lease:
        found = find_garbage(objects, load_plan(objects), keep)
        if not dry_run:
            remove(objects, found, lease.check)
    if as_json:
        print_json({"objects": dict(found.objects), "leftovers": found.leftovers})
        return
    for key, nbytes in found.objects if dry_run else ():
        say(f"  {key} ({nbytes:,} bytes)")
    verb = "would remove" if dry_run else "removed"
    say(
        f"{verb} {len(found.objects)} objects ({found.nbytes / 1e6:,.1f} MB) that no generation "
        f"needs, and {len(found.leftovers)} files of killed writers"
    )


@app.command()
def verify(
    store: StoreArgument,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only presence, sizes, and all documents.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Also decode and compare everything.")
    ] = False,
    cluster: ClusterOption = None,
    workers: WorkersOption = None,
    insecure: InsecureOption = False,
    performance_report: ReportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every object of a store; exit code 1 if anything is wrong."""
    from c2s_data.cli.app import print_json
    from c2s_data.store.objects import open_objects
    from c2s_data.store.verify import verify as verify_store

    if quick and full:
        raise ConfigError("--quick and --full exclude each other")
    level: Level = "quick" if quick else "full" if full else "default"
    asked = asked_cluster(cluster, workers, insecure, performance_report)
    tell = _tell_unless(as_json)
    with (
        spread_over(asked, insecure=insecure, report=performance_report, tell=tell) as spread,
        progress("verifying") as on_progress,
    ):
        report = verify_store(
            open_objects(store),
            level,
            on_fault=lambda fault: tell(str(fault)),
            on_progress=on_progress,
            spread=spread,
        )
    if as_json:
        print_json(report.as_json())
    else:
        _print_report(report)
    if not report.is_clean:
        raise typer.Exit(1)


@app.command()
def repair(
    store: StoreArgument,
    cluster: ClusterOption = None,
    workers: WorkersOption = None,
    insecure: InsecureOption = False,
    performance_report: ReportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute anew, from the recorded inputs, what `verify` finds damaged."""
    from c2s_data.cli.app import print_json
    from c2s_data.repair import repair as repair_store
    from c2s_data.store.objects import open_objects

    asked = asked_cluster(cluster, workers, insecure, performance_report)
    tell = _tell_unless(as_json)
    with spread_over(asked, insecure=insecure, report=performance_report, tell=tell) as spread:
        done = repair_store(open_objects(store), on_step=tell, spread=spread)
    if as_json:
        print_json(
            {
                "restored": done.restored,
                "refused": dict(done.refused),
                "after": done.after.as_json(),
            }
        )
    else:
        for key in done.restored:
            say(f"restored: {key}")
        for key, why in done.refused.items():
            say(f"NOT restored: {key}: {why}")
        say(f"restored {len(done.restored)} objects, {len(done.refused)} are left as they are")
    if done.refused or not done.after.is_clean:
        raise typer.Exit(1)


def _tell_unless(silent: bool) -> Callable[[str], None]:
    return (lambda text: None) if silent else say


def _print_report(report: Report) -> None:
    for note in report.notes:
        say(f"note: {note}")
    count = len(report.faults)
    found = f"{count} fault{'s' * (count != 1)}" if count else "no fault"
    newest, *older = report.generations or (0,)
    kept = f" (and {', '.join(map(str, older))})" if older else ""
    say(
        f"{found}: generation {newest}{kept}, {report.n_objects:,} objects, "
        f"{report.nbytes / 1e6:,.1f} MB, {report.seconds:.1f} s, level {report.level}"
    )
    if report.stored_sha256:
        say(f"stored bytes    sha256 {report.stored_sha256}")
    if report.decoded_sha256:
        say(f"decoded content sha256 {report.decoded_sha256}")
    if count:
        say("`c2s-data repair` restores what can be computed anew")


@contextlib.contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Draw a bar of bytes on a terminal, and nothing elsewhere."""
    from rich.progress import Progress

    screen = console()
    with Progress(console=screen, disable=not screen.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
