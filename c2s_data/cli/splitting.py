"""The command that divides entries into train, validation and test: split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from c2s_data.cli.app import app, print_json, say
from c2s_data.cli.options import JsonOption
from c2s_data.errors import ConfigError
from c2s_data.outputs import output_file, output_place
from c2s_data.staged import staged_input

if TYPE_CHECKING:
    from c2s_data.leakage import Leakage
    from c2s_data.sequence_clusters import Engine
    from c2s_data.sources.catalog import CatalogEntry
    from c2s_data.split import Policy, SplitOptions, SplitResult
    from c2s_data.splitting.tables import Matched


@app.command()
def split(
    source: Annotated[
        str,
        typer.Argument(metavar="CATALOG_OR_STORE", help="Catalog CSV, or path or URL of a store."),
    ],
    policy: Annotated[
        str,
        typer.Option(
            help="recommended (cluster), cluster, resolution, id, date, published or small."
        ),
    ] = "recommended",
    held_out: Annotated[
        Path | None,
        typer.Option(
            parser=staged_input,
            metavar="PATH",
            help="Ids that are test under every policy, one a line or CSV.",
        ),
    ] = None,
    published: Annotated[
        Path | None,
        typer.Option(
            "--list",
            parser=staged_input,
            metavar="PATH",
            help="published: CSV with the split of each id.",
        ),
    ] = None,
    previous: Annotated[
        Path | None,
        typer.Option(
            parser=staged_input, metavar="PATH", help="cluster: an earlier splits.csv to stay with."
        ),
    ] = None,
    validation: Annotated[float, typer.Option(help="Share for validation.")] = 0.1,
    test: Annotated[
        float | None,
        typer.Option(
            help="Share for test, cluster and date.", show_default="0.1, 0 with --held-out"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Key of every choice by chance.")] = 0,
    min_shared: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="cluster: join entries only if this share of the smaller one's residues is "
            "shared; leaves leakage.",
            show_default="any shared protein joins",
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="What compares proteins: auto, mmseqs or builtin.")
    ] = "auto",
    fold: Annotated[int, typer.Option(help="id: first digit of the validation entries.")] = 9,
    date_column: Annotated[str, typer.Option(help="date: column of the catalog.")] = "release_date",
    validation_from: Annotated[
        str | None, typer.Option(help="date: first date of validation, in place of a share.")
    ] = None,
    test_from: Annotated[
        str | None, typer.Option(help="date: first date of test, in place of a share.")
    ] = None,
    leakage: Annotated[
        bool, typer.Option(help="Compare the proteins of the splits with each other.")
    ] = True,
    splits: Annotated[
        str, typer.Option(parser=output_place, metavar="PATH", help="Where the split is written.")
    ] = "splits.csv",
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            parser=output_place,
            metavar="PATH",
            help="Copy of the catalog CSV with its split column.",
        ),
    ] = None,
    picture: Annotated[
        str | None,
        typer.Option(
            parser=output_place, metavar="PATH", help="Draw the leakage matrix into this PNG."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing, only report.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Divide entries into train, validation and test so that no protein crosses.

    A store gets the split as a new generation; exit code 1 if proteins could not be read.
    """
    from c2s_data.sequence_clusters import choose_engine
    from c2s_data.split import SplitOptions, leave_out, read_proteins
    from c2s_data.splitting.assignment import Shares
    from c2s_data.splitting.tables import match, previous_splits, read_ids, write_splits

    kind = _policy(policy, engine, published, previous, source, output)
    entries = _entries(source)
    lines: list[str] = []
    kept = match(dict.fromkeys(read_ids(held_out), "test") if held_out else {}, entries)
    if kept.without_data:
        lines.append(_absent("held-out", kept.without_data))
    before = match(previous_splits(previous) if previous else {}, entries).split
    share = test if test is not None else 0.0 if held_out else 0.1
    options = SplitOptions(
        Shares(validation, share), seed, min_shared, fold, date_column, validation_from, test_from
    )
    read = read_proteins(entries) if leakage or kind == "cluster" else None
    comparing = choose_engine(engine, read[0].sequences) if read else None  # type: ignore[arg-type]
    result, listed = _made(
        kind, entries, options, frozenset(kept.split), before, published, read, comparing
    )
    unread = read[1] if read else {}
    if kind == "cluster":
        result = leave_out(result, unread)
    lines += _report(kind, entries, result, listed, options)
    lines += [f"{name}: proteins not read: {why}" for name, why in unread.items()]
    made = {item.entry_id: item.split for item in result.assignments}
    if picture and result.leakage and not dry_run:
        _draw(picture, result.leakage, kind)
        lines.append(f"{picture}: the leakage matrix")
    if not dry_run:
        with output_file(splits, brings=False) as file:
            write_splits(file.path, entries, result.assignments)
        lines.append(f"{splits}: {len(entries):,} entries")
        lines += _put(source, output, made)
    if as_json:
        print_json(_document(kind, result, kept, listed, unread))
    else:
        for line in lines:
            say(line)
    if unread:
        raise typer.Exit(1)


def _policy(
    policy: str,
    engine: str,
    published: Path | None,
    previous: Path | None,
    source: str,
    output: str | None,
) -> Policy:
    """Check what the options ask for, and return the policy, cluster for recommended."""
    from c2s_data.sequence_clusters import EngineName
    from c2s_data.split import Policy

    if policy not in get_args(Policy):
        raise ConfigError(f"policy {policy!r}: choose one of {', '.join(get_args(Policy))}")
    if engine not in get_args(EngineName):
        raise ConfigError(f"engine {engine!r}: choose one of {', '.join(get_args(EngineName))}")
    kind: Policy = "cluster" if policy == "recommended" else policy  # type: ignore[assignment]
    if (kind == "published") != (published is not None):
        raise ConfigError("--policy published and --list FILE belong together")
    if previous is not None and kind != "cluster":
        raise ConfigError("--previous is for --policy cluster; the others do not look back")
    if output is not None and not _is_catalog(source):
        raise ConfigError(f"-o writes a catalog CSV; {source} is a store, which gets the split")
    return kind


def _is_catalog(source: str) -> bool:
    return source.lower().endswith(".csv") or ("://" not in source and Path(source).is_file())


def _entries(source: str) -> tuple[CatalogEntry, ...]:
    if _is_catalog(source):
        from c2s_data.sources.catalog import read_catalog

        return read_catalog(source)
    from c2s_data.split_store import entries_of_store
    from c2s_data.store.objects import open_objects

    return entries_of_store(open_objects(source))


def _made(
    kind: Policy,
    entries: Sequence[CatalogEntry],
    options: SplitOptions,
    held_out: frozenset[str],
    previous: dict[str, str],
    published: Path | None,
    read: tuple[object, dict[str, str]] | None,
    engine: Engine | None,
) -> tuple[SplitResult, Matched | None]:
    from c2s_data.split import SplitResult, cluster_split, plain_split, with_leakage
    from c2s_data.splitting.assignment import hold_out
    from c2s_data.splitting.proteins import Proteins
    from c2s_data.splitting.tables import match, published_split, read_published

    proteins = read[0] if read else None
    if kind == "cluster":
        assert isinstance(proteins, Proteins)
        assert engine is not None
        found = cluster_split(
            entries, proteins, engine, options, held_out=held_out, previous=previous
        )
        return found, None
    listed = None
    if kind == "published":
        assert published is not None
        listed = match(read_published(published), entries)
        made = hold_out(published_split(listed, entries), held_out)
    else:
        made = plain_split(kind, entries, options, held_out)
    if engine is None:
        return SplitResult(tuple(made)), listed
    assert isinstance(proteins, Proteins)
    return with_leakage(made, proteins, engine), listed


def _report(
    kind: Policy,
    entries: Sequence[CatalogEntry],
    result: SplitResult,
    listed: Matched | None,
    options: SplitOptions,
) -> Iterator[str]:
    from c2s_data.splitting import report

    if listed is not None:
        if listed.without_data:
            yield _absent("published", listed.without_data)
        if listed.without_split:
            yield f"entries that the list lacks, left out: {report.few(listed.without_split)}"
    yield from report.count_lines(result)
    if kind in ("resolution", "small"):
        yield from report.paper_lines(entries, result, small=kind == "small")
    if kind == "cluster":
        yield from report.component_lines(result, options.shares)
        for move in result.moved:
            yield f"moved: {move.entry_id} from {move.was} to {move.now} ({move.reason})"
    if result.leakage is not None:
        yield from report.leakage_lines(result.leakage)


def _absent(what: str, names: Sequence[str]) -> str:
    from c2s_data.splitting.report import few

    return f"{what} ids that no entry has: {few(names)}"


def _put(source: str, output: str | None, made: dict[str, str | None]) -> Iterator[str]:
    """Write the split into the copy of a catalog, or into the store."""
    if _is_catalog(source):
        if output is not None:
            from c2s_data.splitting.tables import write_catalog_with_split

            with output_file(output, brings=False) as file:
                write_catalog_with_split(source, file.path, made, home=output.rpartition("/")[0])
            yield f"{output}: the catalog with its split"
        return
    from c2s_data.split_store import split_store
    from c2s_data.store.objects import open_objects

    committed = split_store(open_objects(source), made)
    if committed is None:
        yield f"{source} gets the split as soon as the build that is under way is committed"
    elif committed.is_new:
        yield f"{source}: generation {committed.generation} has the split; earlier ones keep theirs"
    else:
        yield f"{source}: generation {committed.generation} has this split already"
    yield "a later build from a catalog follows that catalog's split column: put it there too"


def _draw(picture: str, leakage: Leakage, kind: Policy) -> None:
    from c2s_data.explore.leakage import leakage_figure, save_leakage
    from c2s_data.leakage import THRESHOLDS
    from c2s_data.splitting.assignment import SPLITS

    figure = leakage_figure(
        leakage.entries,
        leakage.total_entries,
        SPLITS,
        THRESHOLDS,
        title=f"Leakage of the split by {kind}",
        subtitle=f"{leakage.n_pairs:,} pairs of related proteins in different splits, found by "
        f"{leakage.engine}",
    )
    with output_file(picture, brings=False) as file:
        save_leakage(figure, file.path)


def _document(
    kind: Policy,
    result: SplitResult,
    kept: Matched,
    listed: Matched | None,
    unread: dict[str, str],
) -> dict[str, object]:
    from dataclasses import asdict

    from c2s_data.splitting.report import leakage_document

    return {
        "policy": kind,
        "entries": [asdict(item) for item in result.assignments],
        "moved": [asdict(move) for move in result.moved],
        "held_out_without_data": list(kept.without_data),
        "list_without_data": list(listed.without_data) if listed else [],
        "without_split": list(listed.without_split) if listed else [],
        "unread": unread,
        "leakage": leakage_document(result.leakage) if result.leakage else None,
    }
