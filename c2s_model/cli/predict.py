"""The command that labels whole maps with a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from c2s_data.cluster_options import (
    ClusterOption,
    InsecureOption,
    ReportOption,
    WorkersOption,
    asked_cluster,
    spread_over,
)
from c2s_data.errors import ConfigError
from c2s_model.cli.app import JsonOption, app, console, print_json, say, tell_unless

if TYPE_CHECKING:
    from c2s_data.cluster.spec import ClusterSpec
    from c2s_data.sources.density_map import OriginRule
    from c2s_model.predict.many import PredictOutcome, PredictTask
    from c2s_model.predict.probabilities import Precision


@app.command()
def predict(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="Folder of a training, or a network file *.safetensors; path or URL.",
        ),
    ],
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="[MAP] OUT",
            help="A raw .map/.mrc(.gz) and the new prediction; with --store only OUT, a folder "
            "that gets one prediction a map.",
        ),
    ],
    store: Annotated[
        str | None, typer.Option(help="Predict maps of this store instead of a file.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only maps of this split.")] = None,
    entry: Annotated[
        list[str] | None, typer.Option(help="Only this map of the store; may be repeated.")
    ] = None,
    generation: Annotated[
        int | None, typer.Option(min=1, help="Of the store.", show_default="the newest")
    ] = None,
    overlap: Annotated[
        int,
        typer.Option(
            min=1,
            help="Cores that cover each voxel along an axis, averaged; the time grows by the cube.",
        ),
    ] = 1,
    rotations: Annotated[
        int, typer.Option(help="24: average over all turned copies of each subgrid.")
    ] = 1,
    contour: Annotated[
        float | None,
        typer.Option(help="Skip subgrids whose core is below this level of the raw map."),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Skip subgrids whose core is outside this MRC mask.",
        ),
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(
            help="Header words that place a raw map: auto, origin, nstart, sum, zero, extension.",
            show_default="auto",
        ),
    ] = None,
    sequence_embedding: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Vector of the map's sequences (.npy), for variants ending in -seq.",
        ),
    ] = None,
    mrc: Annotated[
        bool,
        typer.Option("--mrc", help="Also write the C-alpha probability and the classes as MRC."),
    ] = False,
    device: Annotated[
        str, typer.Option(help="auto (a GPU where there is one), cpu, cuda or cuda:N.")
    ] = "auto",
    precision: Annotated[
        str, typer.Option(help="auto (fp16 on a GPU, else float32), float32, bf16 or fp16.")
    ] = "auto",
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Subgrids at once.", show_default="8 on a CPU, 64 on a GPU"),
    ] = None,
    cluster: ClusterOption = None,
    workers: WorkersOption = None,
    insecure: InsecureOption = False,
    performance_report: ReportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Predict the probability of every class at every voxel of a map, or of the maps of a store.

    What was interrupted goes on with the same command; what is finished is left as it is.
    """
    named = [contour, mask, sequence_embedding]
    _check_places(places, store, entry or [], any(one is not None for one in named))
    of_store = [split, generation, workers, cluster]
    if store is None and (entry or any(one is not None for one in of_store)):
        raise ConfigError(
            "--split, --entry, --generation, --workers and --cluster are for the maps of a "
            "--store; a single map is predicted in this process"
        )
    if store is not None and origin is not None:
        raise ConfigError("--origin places raw maps; those of a store are placed already")
    asked = asked_cluster(cluster, workers, insecure, performance_report)
    from c2s_model.predict.many import PredictTask, network_file
    from c2s_model.predict.predict_map import PredictOptions
    from c2s_model.predict.prepared_density import Interest

    found = network_file(run)  # Refused here and now, and not by every worker.
    task = PredictTask(
        network=run if "://" in run else str(found.absolute()),
        out=places[-1],
        map=places[0] if store is None else None,
        interest=Interest(contour, mask),
        origin=cast("OriginRule", origin or "auto"),
        sequence=sequence_embedding,
        options=PredictOptions(
            overlap, rotations, device, cast("Precision", precision), batch_size
        ),
        mrc=mrc,
    )
    if store is None:
        outcomes = [_predict_one(task, silent=as_json)]
    else:
        outcomes = _predict_store(
            task,
            store,
            generation,
            split,
            entry or [],
            asked,
            insecure,
            performance_report,
            as_json,
        )
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    if as_json:
        print_json([asdict(outcome) for outcome in outcomes])
    elif failed:
        say(f"{len(failed)} of {len(outcomes)} maps failed:")
        for outcome in failed:
            say(f"{outcome.name}: {outcome.failure}")
    if failed:
        raise typer.Exit(1)


def _check_places(
    places: list[str], store: str | None, entries: list[str], for_one_map: bool
) -> None:
    wanted = "MAP OUT" if store is None else "OUT --store STORE"
    if len(places) != (2 if store is None else 1):
        raise ConfigError(
            f"{len(places)} places were given: {', '.join(places)}; use `c2s-model predict RUN "
            f"{wanted}`"
        )
    if store is not None and for_one_map and len(entries) != 1:
        raise ConfigError(
            "--contour, --mask and --sequence-embedding belong to one map; name it with --entry"
        )


def _predict_one(task: PredictTask, *, silent: bool) -> PredictOutcome:
    from c2s_model.predict.many import predict_task

    with _progress(silent=silent) as on_windows:
        outcome = predict_task(task, on_windows)
    if not silent:
        _tell(outcome)
    return outcome


def _predict_store(
    template: PredictTask,
    url: str,
    generation: int | None,
    split: str | None,
    entries: list[str],
    cluster: ClusterSpec | None,
    insecure: bool,
    report: str | None,
    silent: bool,
) -> list[PredictOutcome]:
    from c2s_data.store.reader import open_store
    from c2s_model.predict.many import check_options, predict_many, task_memory, tasks_of_store

    store = open_store(url, generation)
    card = check_options(template, store)
    tasks = tasks_of_store(store, split, entries, template.out, template)

    def told(outcomes: Iterator[PredictOutcome]) -> list[PredictOutcome]:
        ended = []
        for outcome in outcomes:
            ended.append(outcome)
            if not silent:
                _tell(outcome, f"{len(ended)} of {len(tasks)}, ")
        return ended

    from c2s_model.predict.many import one_after_another

    voxels = max(_voxels(store.entry(task.name).shape_zyx) for task in tasks)
    memory, tell = task_memory(card, voxels), tell_unless(silent)
    files = [template.network, template.interest.mask, template.sequence, url, template.out]
    if "://" not in template.out:
        Path(template.out).mkdir(parents=True, exist_ok=True)  # Which all workers must see.
    with spread_over(
        cluster,
        memory,
        insecure=insecure,
        report=report,
        files=[file for file in files if file is not None],
        tell=tell,
    ) as spread:
        return told(predict_many(tasks, spread or one_after_another))


def _voxels(shape_zyx: tuple[int, int, int]) -> int:
    z, y, x = shape_zyx
    return z * y * x


def _tell(outcome: PredictOutcome, place: str = "") -> None:
    if outcome.predicted is None:
        say(f"{place}{outcome.name}: FAILED: {outcome.failure}")
        return
    done = outcome.predicted
    for note in outcome.notes:
        say(f"{outcome.name}: {note}")
    what = "was finished before" if done.was_finished else f"{done.seconds:.1f} s"
    skipped = f", {done.skipped:,} of them skipped as background" if done.skipped else ""
    say(f"{place}{outcome.name}: {done.windows:,} subgrids{skipped}, {what}: {done.url}")
    for path in outcome.mrc:
        say(f"{outcome.name}: {path}")


@contextmanager
def _progress(*, silent: bool) -> Iterator[Callable[[int, int], None]]:
    """Give what shows progress: a bar on a terminal, nothing elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), "subgrids", TimeRemainingColumn())
    shown = console(stderr=True)
    hidden = silent or not shown.is_terminal
    with Progress(*columns, console=shown, transient=True, disable=hidden) as bar:
        task = bar.add_task("predict", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show
