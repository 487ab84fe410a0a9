"""The command that scores a built backbone against the known structure, and tables of scores."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2s_data.errors import ConfigError
from c2s_data.outputs import output_folder, output_place
from c2s_data.staged import staged_input
from c2s_model.cli.app import JsonOption, app, console, print_json, say

if TYPE_CHECKING:
    from c2s_model.evaluation.evaluate import Evaluation

_OF_ONE = ("evaluation.json", "backbone.png")
_OF_MANY = ("table.md", "table.csv", "scatter.png")
_RESULTS = frozenset((*_OF_ONE, *_OF_MANY))


@app.command()
def evaluate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            parser=staged_input,
            metavar="TARGET QUERY | RUN...",
            help="The known structure and the built one, PDB or mmCIF; with --table, evaluation "
            "files, or folders that hold an evaluation.json or folders with one.",
        ),
    ],
    table: Annotated[
        bool, typer.Option("--table", help="Make one table of many evaluations.")
    ] = False,
    out: Annotated[
        str | None,
        typer.Option(
            parser=output_place,
            metavar="PATH",
            help="Folder for evaluation.json and backbone.png; with --table for table.md, "
            "table.csv and scatter.png.",
        ),
    ] = None,
    entry: Annotated[
        str | None, typer.Option(help="Name in tables.", show_default="the target's file name")
    ] = None,
    resolution: Annotated[
        float | None,
        typer.Option(min=0.1, help="Of the map, A.", show_default="what the target's file says"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files of an earlier run.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Score a built backbone against the known structure; --table gathers many scores."""
    with output_folder(out, choose=_RESULTS.intersection) if out else nullcontext() as folder:
        place = None if folder is None else folder.path
        _score(paths, table, entry, resolution, place, overwrite=overwrite, as_json=as_json)


def _score(
    paths: list[Path],
    table: bool,
    entry: str | None,
    resolution: float | None,
    out: Path | None,
    *,
    overwrite: bool,
    as_json: bool,
) -> None:
    if table:
        if entry is not None or resolution is not None:
            raise ConfigError("--entry and --resolution belong to one evaluation, not to a table")
        _tabulate(paths, out, overwrite=overwrite, as_json=as_json)
        return
    if len(paths) != 2:
        raise ConfigError(
            f"{len(paths)} paths; give TARGET and QUERY, or --table and any number of runs"
        )
    _evaluate(paths[0], paths[1], entry, resolution, out, overwrite=overwrite, as_json=as_json)


def _evaluate(
    target_path: Path,
    query_path: Path,
    entry: str | None,
    resolution_A: float | None,
    out: Path | None,
    *,
    overwrite: bool,
    as_json: bool,
) -> None:
    from c2s_model.evaluation.chains import read_chains, read_model
    from c2s_model.evaluation.evaluate import evaluate_chains

    names = _OF_ONE
    _refuse_to_overwrite(out, names, overwrite=overwrite)
    target, query = read_model(target_path), read_chains(query_path)
    found = evaluate_chains(target.chains, query)
    name = entry or target_path.name.split(".")[0]
    document = {
        "entry": name,
        "resolution_A": resolution_A or target.resolution_A,
        "target": target_path.name,
        "query": query_path.name,
        **found.as_json(),
    }
    if as_json:
        print_json(document)
    else:
        _print(found, f"{query_path.name} against {target_path.name}")
    if out is not None:
        from c2s_model.evaluation.pictures import backbone_figure
        from c2s_model.evaluation.result_files import write_results

        figure = backbone_figure(target.chains, query, found, name)
        write_results(out, dict(zip(names, (document, figure), strict=True)))


def _tabulate(paths: list[Path], out: Path | None, *, overwrite: bool, as_json: bool) -> None:
    from c2s_model.evaluation.table import as_csv, as_markdown, find_evaluations, mean_row, read_row

    names = _OF_MANY
    _refuse_to_overwrite(out, names, overwrite=overwrite)
    rows = sorted(map(read_row, find_evaluations(paths)), key=lambda row: row.entry)
    markdown = as_markdown(rows)
    if as_json:
        from dataclasses import asdict

        print_json({"entries": [asdict(row) for row in rows], "mean": mean_row(rows)})
    else:
        typer.echo(markdown, nl=False)
    if out is not None:
        from c2s_model.evaluation.pictures import scatter_figure
        from c2s_model.evaluation.result_files import write_results

        contents = (markdown, as_csv(rows), scatter_figure(rows))
        write_results(out, dict(zip(names, contents, strict=True)))


def _refuse_to_overwrite(out: Path | None, names: tuple[str, ...], *, overwrite: bool) -> None:
    there = [name for name in names if out is not None and (out / name).exists()]
    if there and not overwrite:
        raise ConfigError(
            f"{out} holds {', '.join(there)} of an earlier run; choose another --out, or add "
            "--overwrite"
        )


def _print(found: Evaluation, title: str) -> None:
    whole = found.comparison.whole
    rmsd = "no RMSD" if whole.rmsd is None else f"RMSD {whole.rmsd:.2f} A"
    say(title)
    say(
        f"  chain comparison: {len(whole.pairs):,} pairs, {rmsd}, matching "
        f"{whole.found_percent:.1f} %, sequence match {whole.sequence_match_percent:.1f} %, "
        f"{whole.far:,} far"
    )
    if found.comparison.mode == "unique":
        better = found.comparison.better
        say(
            f"  its unique part (chains {', '.join(found.comparison.unique_chains)}) matches "
            f"better: {better.found_percent:.1f} %, sequence match "
            f"{better.sequence_match_percent:.1f} %"
        )
    for placed in found.placed:
        match = placed.match
        say(
            f"  one to one within {placed.radius_A:.0f} A: precision {match.precision:.3f}, "
            f"recall {match.recall:.3f}, F1 {match.f1:.3f}, with the right amino acid "
            f"{placed.n_same / max(1, match.n_target):.3f}"
        )
    say(
        f"  mapped by {found.mapping.method}: {len(found.mapping.pairs):,} residues; TM "
        f"{found.tm_map_frame:.3f} in the map, {found.tm_superposed:.3f} superposed; GDT_TS "
        f"{found.gdt_map_frame:.3f}; lDDT {found.lddt.score:.3f}; sequence recall "
        f"{found.sequence_recall:.3f}"
    )
    shape = found.geometry
    say(
        f"  model: {shape.n_fragments:,} fragments, longest {shape.longest_fragment:,}; "
        f"{shape.n_outliers:,} of {shape.n_bonds:,} CA-CA distances are outliers; "
        f"{shape.n_clashes:,} clashes"
    )
    if found.mapping.method == "none":
        console(stderr=True).print(
            "note: no chain of the model corresponds to one of the target by number or sequence; "
            "scores by residue are 0",
            markup=False,
            highlight=False,
        )
    for chain in found.coverage:
        by = ", ".join(chain.query_chains) or "none"
        say(
            f"  chain {chain.chain}: {chain.n_near:,} of {chain.n_residues:,} residues within 3 A "
            f"of their place (model chain {by})"
        )
