"""Commands that make a store: plan, build, commit, demo."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from c2s_data.cli.app import app, console, say
from c2s_data.cli.config_options import takes_config_options
from c2s_data.cli.options import (
    CatalogArgument,
    MaxVoxelsOption,
    MemoryOption,
    PartOption,
    PresetOption,
    RebuildOption,
    StoreArgument,
)
from c2s_data.cluster_options import (
    ClusterOption,
    InsecureOption,
    ReportOption,
    WorkersOption,
    asked_cluster,
)
from c2s_data.errors import ConfigError
from c2s_data.outputs import local_place, output_file
from c2s_data.staged import staged_input

if TYPE_CHECKING:
    from c2s_data.cluster.spec import ClusterSpec
    from c2s_data.config import BuildConfig
    from c2s_data.store.commit import Committed

_INTERRUPTED = 130  # what shells report for a command stopped by Ctrl-C


@app.command()
@takes_config_options
def plan(
    catalog: CatalogArgument,
    store: Annotated[
        str | None, typer.Argument(help="Path or URL of the store; not with --estimate.")
    ] = None,
    preset: PresetOption = None,
    task_memory: MemoryOption = "1.5GB",
    max_voxels: MaxVoxelsOption = 1024**3,
    rebuild: RebuildOption = False,
    estimate: Annotated[
        bool,
        typer.Option(
            "--estimate",
            help="Write nothing; print core hours, requests, bytes and money of the build. Maps "
            "that are not here yet count as typical ones.",
        ),
    ] = False,
    rates: Annotated[
        Path | None,
        typer.Option(
            parser=staged_input,
            metavar="PATH",
            help="YAML file of prices and seconds.",
            show_default="the built-in table",
        ),
    ] = None,
    *,
    given: dict[str, Any],
) -> None:
    """Read the headers, lay out the store and say what it will cost."""
    from c2s_data.config import make_config, parse_bytes
    from c2s_data.console import print_choices, print_plan
    from c2s_data.plan import make_plan
    from c2s_data.sources.catalog import read_catalog
    from c2s_data.store.begin import begin_store, check_place
    from c2s_data.store.commit import pending_entries
    from c2s_data.store.free_space import require_space
    from c2s_data.store.lease import hold
    from c2s_data.store.objects import open_objects

    config = make_config(preset or "paper", **given)
    memory_bytes = parse_bytes(task_memory)
    if (store is None) != estimate:
        raise ConfigError("plan takes a store to lay out, or --estimate, which writes nothing")
    if rates is not None and not estimate:
        raise ConfigError("--rates is what --estimate reckons with; give both or neither")
    print_choices(console(), config, preset_given=preset is not None)
    if store is None:
        _estimate(catalog, config, memory_bytes, max_voxels, rates)
        return
    entries, objects = read_catalog(catalog), open_objects(store)
    check_place(objects)
    with hold(objects, "plan") as lease:
        fresh = make_plan(entries, config, task_memory_bytes=memory_bytes, max_voxels=max_voxels)
        made = begin_store(objects, fresh, rebuild=rebuild, guard=lease.check)
    print_plan(console(), made)
    require_space(objects, pending_entries(objects, made))
    if len(made.buildable) < len(made.live):
        raise typer.Exit(1)


def _estimate(
    catalog: str, config: BuildConfig, memory_bytes: int, max_voxels: int, rates: Path | None
) -> None:
    from c2s_data.console import print_estimate, print_failures
    from c2s_data.estimate import estimate
    from c2s_data.plan import make_plan
    from c2s_data.rates import BUILT_IN, read_rates
    from c2s_data.sources.catalog import read_catalog

    table = read_rates(rates or BUILT_IN)
    entries = read_catalog(catalog)
    made = make_plan(entries, config, task_memory_bytes=memory_bytes, max_voxels=max_voxels)
    refused = [e for e in made.live if e.failure and e.failure.reason != "not-found"]
    print_failures(console(), refused)
    print_estimate(console(), estimate(made, table), table)
    if refused:
        raise typer.Exit(1)


@app.command()
@takes_config_options
def build(
    catalog: CatalogArgument,
    store: StoreArgument,
    preset: PresetOption = None,
    task_memory: MemoryOption = "1.5GB",
    max_voxels: MaxVoxelsOption = 1024**3,
    cluster: ClusterOption = None,
    workers: WorkersOption = None,
    insecure: InsecureOption = False,
    performance_report: ReportOption = None,
    part: PartOption = None,
    rebuild: RebuildOption = False,
    *,
    given: dict[str, Any],
) -> None:
    """Plan, build every map on all cores or a Dask cluster, commit; the same command resumes."""
    from c2s_data.config import make_config, parse_bytes

    if part is not None:
        if cluster is not None or workers is not None or performance_report is not None:
            raise ConfigError(
                "--part runs in this process alone; leave --cluster, --workers and "
                "--performance-report out"
            )
        _build_part(catalog, store, part, preset, given)
        return
    config, memory_bytes = make_config(preset or "paper", **given), parse_bytes(task_memory)
    committed = build_all(
        catalog,
        store,
        config,
        preset_given=preset is not None,
        task_memory_bytes=memory_bytes,
        cluster=asked_cluster(cluster or "local", workers, insecure, performance_report),
        insecure=insecure,
        report=performance_report,
        max_voxels=max_voxels,
        rebuild=rebuild,
    )
    if committed.failures:
        raise typer.Exit(1)


@app.command()
def commit(store: StoreArgument) -> None:
    """Make what the parts have built the store's newest generation."""
    from c2s_data.store.begin import load_plan
    from c2s_data.store.commit import commit as commit_store
    from c2s_data.store.lease import hold
    from c2s_data.store.objects import open_objects

    objects = open_objects(store)
    load_plan(objects)  # Where there is none, not even a lease is left.
    with hold(objects, "commit") as lease:
        committed = commit_store(objects, load_plan(objects), lease.check)
    _print_committed(objects.url, committed)
    if committed.failures:
        raise typer.Exit(1)


@app.command()
def demo(
    out: Annotated[
        Path,
        typer.Argument(
            parser=local_place, metavar="OUT", help="Folder for inputs, store and picture."
        ),
    ],
    preset: PresetOption = "recommended",
    workers: WorkersOption = None,
) -> None:
    """Build a small store from simulated maps, read it with torch, draw it. No download."""
    from c2s_data.config import make_config
    from c2s_data.demo import draw_demo, read_with_torch
    from c2s_data.inspect import print_store, store_summary
    from c2s_data.sources.simulate import write_demo_inputs
    from c2s_data.store.reader import open_store

    say(f"1. simulating proteins and their density maps in {out / 'inputs'}")
    catalog = write_demo_inputs(out / "inputs")
    store = out / "demo.zarr"
    say(f"2. c2s-data build {catalog} {store} --preset {preset} (the first run compiles kernels)")
    committed = build_all(
        catalog,
        str(store),
        make_config(preset or "paper"),
        preset_given=True,
        task_memory_bytes=1_500_000_000,
        cluster=asked_cluster("local", workers, insecure=False, report=None),
    )
    say(f"3. c2s-data inspect {store}")
    print_store(console(), store_summary(open_store(store)))
    say("4. reading batches with torch")
    read_with_torch(store)
    say(f"5. drawing {draw_demo(store, catalog, out / 'demo.png')}")
    if committed.failures:
        raise typer.Exit(1)


def build_all(
    catalog: str | Path,
    store: str,
    config: BuildConfig,
    *,
    preset_given: bool,
    task_memory_bytes: int,
    cluster: ClusterSpec | None,
    insecure: bool = False,
    report: str | None = None,
    max_voxels: int = 1024**3,
    rebuild: bool = False,
) -> Committed:
    """Plan, build and commit a store, and show it while it goes on."""
    from c2s_data.console import BuildProgress, print_choices, print_plan
    from c2s_data.distribute import build_store
    from c2s_data.plan import Plan
    from c2s_data.store.objects import open_objects

    print_choices(console(), config, preset_given=preset_given)
    url = open_objects(store).url
    with ExitStack() as stack:
        page = stack.enter_context(output_file(report, resumable=True)).path if report else None
        progress = stack.enter_context(BuildProgress(console()))

        def on_plan(made: Plan, pending: int, dashboard: str | None) -> None:
            print_plan(console(), made)
            if pending < len(made.buildable):
                say(f"{len(made.buildable) - pending} were finished by an earlier run")
            if dashboard:
                say(f"Dask dashboard: {dashboard}")
            progress.expect(pending)

        try:
            committed = build_store(
                catalog,
                store,
                config,
                cluster=cluster,
                task_memory_bytes=task_memory_bytes,
                insecure=insecure,
                report=page,
                tell=say,
                max_voxels=max_voxels,
                rebuild=rebuild,
                on_plan=on_plan,
                on_outcome=progress.show,
            )
        except KeyboardInterrupt:
            say("stopped: finished maps are kept, and the same command goes on from here")
            raise typer.Exit(_INTERRUPTED) from None
    _print_committed(url, committed)
    return committed


def _build_part(
    catalog: str, store: str, part: str, preset: str | None, given: dict[str, Any]
) -> None:
    from c2s_data.build import EntryOutcome, run_entries
    from c2s_data.config import make_config
    from c2s_data.console import BuildProgress, print_choices
    from c2s_data.sources.catalog import read_catalog
    from c2s_data.store.begin import load_plan
    from c2s_data.store.commit import pending_entries
    from c2s_data.store.lease import refuse_if_held
    from c2s_data.store.objects import open_objects

    number, _, parts = part.partition("/")
    if not (number.isdecimal() and parts.isdecimal()):
        raise ConfigError(f"--part {part!r}: write it as 3/16, part 3 of 16")
    objects = open_objects(store)
    refuse_if_held(objects, f"part {part}")
    planned = load_plan(objects)
    options = planned.config.model_dump() | given
    if preset is not None:
        options = make_config(preset, **given).model_dump()
    differing = [
        name for name, value in planned.config.model_dump().items() if options[name] != value
    ]
    if differing:
        raise ConfigError(
            f"{objects.url} was planned with preset {planned.config.preset} and another "
            f"{', '.join(differing)}; leave the options out when building a part"
        )
    if {row.entry_id for row in read_catalog(catalog)} != {e.entry_id for e in planned.live}:
        raise ConfigError(f"{objects.url} was planned from another catalog than {catalog}")
    print_choices(console(), planned.config, preset_given=True)
    pending_entries(objects, planned)  # Refuses what only a repair may touch.
    entries = planned.part(int(number), int(parts))
    failed: list[EntryOutcome] = []
    with BuildProgress(console()) as progress:
        progress.expect(len(entries))

        def on_outcome(outcome: EntryOutcome) -> None:
            progress.show(outcome)
            if outcome.failure is not None:
                failed.append(outcome)

        run_entries(objects.url, planned, entries, on_outcome)
    if failed:
        raise typer.Exit(1)


def _print_committed(url: str, committed: Committed) -> None:
    from c2s_data.store.commit import failure_lines

    verb = "committed" if committed.is_new else "nothing to do: already committed"
    say(
        f"{verb}: {url}, generation {committed.generation}, {committed.n_subgrids:,} subgrids, "
        f"{committed.nbytes / 1e6:,.1f} MB in {committed.n_objects} objects"
    )
    if committed.is_new:
        _print_changed_splits(url, committed.generation)
    if committed.failures:
        console().print(
            f"{len(committed.failures)} entries are not in the store:\n"
            f"{failure_lines(committed.failures)}",
            style="red",
            markup=False,
            highlight=False,
        )


def _print_changed_splits(url: str, generation: int) -> None:
    """Say whose split is another now: a catalog undoes what `c2s-data split STORE` made."""
    from c2s_data.errors import NotCommittedError
    from c2s_data.store.reader import open_store

    try:
        before = {entry.entry_id: entry.split for entry in open_store(url, generation - 1).entries}
    except NotCommittedError:  # the first generation, or the one before was removed
        return
    changed = [
        f"{entry.entry_id} ({before[entry.entry_id] or 'none'} -> {entry.split or 'none'})"
        for entry in open_store(url, generation).entries
        if before.get(entry.entry_id, entry.split) != entry.split
    ]
    if changed:
        more = f" and {len(changed) - 5:,} more" * (len(changed) > 5)
        console().print(
            f"the catalog gives another split than generation {generation - 1} had: "
            f"{', '.join(changed[:5])}{more}",
            style="yellow",
            markup=False,
            highlight=False,
        )
