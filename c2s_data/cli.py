"""The command line ``c2s-data``: every option defined once, heavy imports inside commands."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from c2s_data.errors import C2SError, ConfigError

if TYPE_CHECKING:
    from c2s_data.config import BuildConfig
    from c2s_data.store.commit import Committed

app = typer.Typer(
    help="Cryo-EM maps and atomic models become one Zarr store of labeled subgrids.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_INTERRUPTED = 130  # what shells report for a command stopped by Ctrl-C

CatalogArgument = Annotated[Path, typer.Argument(help="CSV file: one row per map and model.")]
StoreArgument = Annotated[str, typer.Argument(help="Path or URL of the store.")]
PresetOption = Annotated[
    str | None,
    typer.Option(help="paper, released or recommended.", show_default="paper"),
]
BoxOption = Annotated[
    int | None, typer.Option(help="Side of a subgrid in voxels.", show_default="32")
]
CoreOption = Annotated[
    int | None, typer.Option(help="Side of a subgrid's core in voxels.", show_default="20")
]
OriginOption = Annotated[
    str | None,
    typer.Option(
        help="Header words that place the maps: auto, origin, nstart or extension.",
        show_default="the preset's",
    ),
]
SecondaryOption = Annotated[
    str | None,
    typer.Option(help="Secondary structure: auto, records or dssp.", show_default="the preset's"),
]
CodecOption = Annotated[
    str | None,
    typer.Option("--codec", help="lz4 (fast) or zstd (smaller).", show_default="lz4"),
]
MemoryOption = Annotated[
    str, typer.Option("--task-memory", help="What one map's task may need at most.")
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(help="Address of a running Dask scheduler.", show_default="a local cluster"),
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Local worker processes.", show_default="one a core")
]
PartOption = Annotated[
    str | None,
    typer.Option(help="Build only part i of n (such as 3/16) of a planned store, without Dask."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from c2s_data import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def plan(
    catalog: CatalogArgument,
    store: StoreArgument,
    preset: PresetOption = None,
    box: BoxOption = None,
    core: CoreOption = None,
    origin: OriginOption = None,
    secondary: SecondaryOption = None,
    codec: CodecOption = None,
    task_memory: MemoryOption = "1.5GB",
) -> None:
    """Read the headers, lay out the store and say what it will cost."""
    from c2s_data.config import parse_bytes
    from c2s_data.console import print_choices, print_plan
    from c2s_data.plan import make_plan
    from c2s_data.sources.catalog import read_catalog
    from c2s_data.store.commit import begin_store
    from c2s_data.store.objects import open_objects

    config = _config(preset, box, core, origin, secondary, codec)
    print_choices(_console(), config, preset_given=preset is not None)
    made = make_plan(read_catalog(catalog), config, task_memory_bytes=parse_bytes(task_memory))
    print_plan(_console(), made)
    begin_store(open_objects(store), made)
    if len(made.buildable) < len(made.entries):
        raise typer.Exit(1)


@app.command()
def build(
    catalog: CatalogArgument,
    store: StoreArgument,
    preset: PresetOption = None,
    box: BoxOption = None,
    core: CoreOption = None,
    origin: OriginOption = None,
    secondary: SecondaryOption = None,
    codec: CodecOption = None,
    task_memory: MemoryOption = "1.5GB",
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    part: PartOption = None,
) -> None:
    """Plan, build every map on a Dask cluster, commit; the same command resumes."""
    from c2s_data.config import parse_bytes

    if part is not None:
        if scheduler is not None or workers is not None:
            raise ConfigError("--part runs in this process alone; leave --scheduler, --workers out")
        given = {"box": box, "core": core, "origin": origin, "secondary": secondary}
        _build_part(catalog, store, part, preset, given | {"compressor": codec})
        return
    committed = _build_all(
        catalog,
        store,
        _config(preset, box, core, origin, secondary, codec),
        preset_given=preset is not None,
        task_memory_bytes=parse_bytes(task_memory),
        scheduler=scheduler,
        workers=workers,
    )
    if committed.failures:
        raise typer.Exit(1)


@app.command()
def commit(store: StoreArgument) -> None:
    """Make what the parts have built the store's newest generation."""
    from c2s_data.store.commit import commit as commit_store
    from c2s_data.store.commit import load_plan
    from c2s_data.store.objects import open_objects

    objects = open_objects(store)
    committed = commit_store(objects, load_plan(objects))
    _print_committed(objects.url, committed)
    if committed.failures:
        raise typer.Exit(1)


@app.command()
def status(store: StoreArgument, as_json: JsonOption = False) -> None:
    """Say what of a store is finished, failed or still to be built."""
    from c2s_data.store.commit import failure_lines, latest_generation, load_plan, outcomes
    from c2s_data.store.objects import open_objects
    from c2s_data.store.receipt import Receipt

    objects = open_objects(store)
    planned = load_plan(objects)
    found = outcomes(objects, planned)
    finished = [name for name, outcome in found.items() if isinstance(outcome, Receipt)]
    pending = [name for name, outcome in found.items() if outcome is None]
    failures = {
        name: outcome
        for name, outcome in found.items()
        if outcome is not None and not isinstance(outcome, Receipt)
    }
    generation = latest_generation(objects)
    if as_json:
        _print_json(
            {
                "store": objects.url,
                "preset": planned.config.preset,
                "generation": generation,
                "finished": finished,
                "pending": pending,
                "failed": {name: vars(failure) for name, failure in failures.items()},
            }
        )
        return
    state = f"generation {generation} is committed" if generation else "not committed"
    _say(
        f"{objects.url}: {state}; {len(finished)} finished, {len(pending)} to be built, "
        f"{len(failures)} failed"
    )
    if failures:
        _say(failure_lines(failures))


@app.command()
def inspect(store: StoreArgument, as_json: JsonOption = False) -> None:
    """Show what a committed store holds: options, maps, labels, warnings."""
    from c2s_data.inspect import print_store, store_summary
    from c2s_data.store.reader import open_store

    summary = store_summary(open_store(store))
    if as_json:
        _print_json(summary)
    else:
        print_store(_console(), summary)


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(help="Folder for inputs, store and picture.")],
    preset: PresetOption = "recommended",
    workers: WorkersOption = None,
) -> None:
    """Build a small store from simulated maps, read it with torch, draw it. No download."""
    from c2s_data.demo import draw_demo, read_with_torch
    from c2s_data.sources.simulate import write_demo_inputs

    _say(f"1. simulating proteins and their density maps in {out / 'inputs'}")
    catalog = write_demo_inputs(out / "inputs")
    store = out / "demo.zarr"
    _say(f"2. c2s-data build {catalog} {store} --preset {preset} (the first run compiles kernels)")
    committed = _build_all(
        catalog,
        str(store),
        _config(preset),
        preset_given=True,
        task_memory_bytes=1_500_000_000,
        scheduler=None,
        workers=workers,
    )
    _say(f"3. c2s-data inspect {store}")
    inspect(str(store))
    _say("4. reading batches with torch")
    read_with_torch(store)
    _say(f"5. drawing {draw_demo(store, catalog, out / 'demo.png')}")
    if committed.failures:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; an expected error is one message and exit code 2."""
    try:
        app(standalone_mode=True)
    except (C2SError, OSError) as error:
        _console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(2)


def _build_all(
    catalog: Path,
    store: str,
    config: BuildConfig,
    *,
    preset_given: bool,
    task_memory_bytes: int,
    scheduler: str | None,
    workers: int | None,
) -> Committed:
    from c2s_data.console import BuildProgress, print_choices, print_plan
    from c2s_data.distribute import build_store
    from c2s_data.plan import Plan
    from c2s_data.store.objects import open_objects

    console = _console()
    print_choices(console, config, preset_given=preset_given)
    url = open_objects(store).url
    with BuildProgress(console) as progress:

        def on_plan(made: Plan, pending: int, dashboard: str | None) -> None:
            print_plan(console, made)
            if pending < len(made.buildable):
                _say(f"{len(made.buildable) - pending} were finished by an earlier run")
            if dashboard:
                _say(f"Dask dashboard: {dashboard}")
            progress.expect(pending)

        try:
            committed = build_store(
                catalog,
                store,
                config,
                scheduler=scheduler,
                workers=workers,
                task_memory_bytes=task_memory_bytes,
                on_plan=on_plan,
                on_outcome=progress.show,
            )
        except KeyboardInterrupt:
            _say("stopped: finished maps are kept, and the same command goes on from here")
            raise typer.Exit(_INTERRUPTED) from None
    _print_committed(url, committed)
    return committed


def _build_part(
    catalog: Path, store: str, part: str, preset: str | None, given: dict[str, Any]
) -> None:
    from c2s_data.build import EntryOutcome, run_entries
    from c2s_data.config import make_config
    from c2s_data.console import BuildProgress, print_choices
    from c2s_data.sources.catalog import read_catalog
    from c2s_data.store.commit import load_plan
    from c2s_data.store.objects import open_objects

    number, _, parts = part.partition("/")
    if not (number.isdecimal() and parts.isdecimal()):
        raise ConfigError(f"--part {part!r}: write it as 3/16, part 3 of 16")
    objects = open_objects(store)
    planned = load_plan(objects)
    asked = {name: value for name, value in given.items() if value is not None}
    options = planned.config.model_dump() | asked
    if preset is not None:
        options = make_config(preset, **asked).model_dump()
    differing = [
        name for name, value in planned.config.model_dump().items() if options[name] != value
    ]
    if differing:
        raise ConfigError(
            f"{objects.url} was planned with preset {planned.config.preset} and another "
            f"{', '.join(differing)}; leave the options out when building a part"
        )
    if [row.entry_id for row in read_catalog(catalog)] != [e.entry_id for e in planned.entries]:
        raise ConfigError(f"{objects.url} was planned from another catalog than {catalog}")
    print_choices(_console(), planned.config, preset_given=True)
    entries = planned.part(int(number), int(parts))
    failed: list[EntryOutcome] = []
    with BuildProgress(_console()) as progress:
        progress.expect(len(entries))

        def on_outcome(outcome: EntryOutcome) -> None:
            progress.show(outcome)
            if outcome.failure is not None:
                failed.append(outcome)

        run_entries(objects.url, planned, entries, on_outcome)
    if failed:
        raise typer.Exit(1)


def _config(
    preset: str | None,
    box: int | None = None,
    core: int | None = None,
    origin: str | None = None,
    secondary: str | None = None,
    codec: str | None = None,
) -> BuildConfig:
    from c2s_data.config import make_config

    return make_config(
        preset or "paper", box=box, core=core, origin=origin, secondary=secondary, compressor=codec
    )


def _print_committed(url: str, committed: Committed) -> None:
    from c2s_data.store.commit import failure_lines

    verb = "committed" if committed.is_new else "nothing to do: already committed"
    _say(
        f"{verb}: {url}, generation {committed.generation}, {committed.n_subgrids:,} subgrids, "
        f"{committed.nbytes / 1e6:,.1f} MB in {committed.n_objects} objects"
    )
    if committed.failures:
        _console().print(
            f"{len(committed.failures)} entries are not in the store:\n"
            f"{failure_lines(committed.failures)}",
            style="red",
            markup=False,
            highlight=False,
        )


def _console(*, stderr: bool = False) -> Any:  # noqa: ANN401 - rich is imported late
    from rich.console import Console

    console = Console(stderr=stderr, soft_wrap=True)
    # Programs and logs read plain output: rich must not fold it at the 80 columns it assumes.
    return console if console.is_terminal else Console(stderr=stderr, soft_wrap=True, width=200)


def _say(text: str) -> None:
    _console().print(text, markup=False, highlight=False)


def _print_json(document: object) -> None:
    typer.echo(json.dumps(document, indent=1, allow_nan=False))
