"""Commands that get data: search the archive, fetch what was found or what was published."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from c2s_data.cli.app import app, say
from c2s_data.errors import C2SError, ConfigError
from c2s_data.outputs import local_place, output_file, output_place
from c2s_data.sources.archive import DATAVERSE, EMDB_API
from c2s_data.staged import staged_input

if TYPE_CHECKING:
    from c2s_data.sources.archive_rows import Found
    from c2s_data.sources.politeness import Hosts

_INTERRUPTED = 130  # what shells report for a command stopped by Ctrl-C
_SHOWN = 20

ApiOption = Annotated[
    str, typer.Option(envvar="C2S_EMDB_API", help="Base address of EMDB's service.")
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option(help="A further origin (https://host) that a redirect may lead to; repeatable."),
]
DetailsOption = Annotated[
    bool,
    typer.Option(
        "--details",
        help="Look up what the search lacks in each entry's document: half a second an entry.",
    ),
]


@app.command()
def search(
    out: Annotated[
        str,
        typer.Option("--out", "-o", parser=output_place, metavar="PATH", help="CSV file to write."),
    ],
    resolution: Annotated[
        tuple[float, float], typer.Option(help="Lowest and highest resolution in Angstrom.")
    ] = (1.0, 4.0),
    released_after: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day of release.")
    ] = None,
    released_before: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day of release.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="singleParticle, helical, subtomogramAveraging, tomography or "
            "electronCrystallography.",
            show_default="all",
        ),
    ] = None,
    fitted_pdb: Annotated[
        bool,
        typer.Option(help="Ask only for entries with a structure; the others are then not listed."),
    ] = False,
    query: Annotated[
        str | None, typer.Option(help="Further terms in the service's own language.")
    ] = None,
    details: DetailsOption = False,
    api: ApiOption = EMDB_API,
) -> None:
    """Search EMDB and write what was found as a table; entries without a structure are listed."""
    from c2s_data.sources import archive_search
    from c2s_data.sources.archive_rows import COLUMNS, rows_of
    from c2s_data.sources.fetch_tables import replace_table
    from c2s_data.sources.politeness import FetchPolicy, Hosts

    wanted = archive_search.Query(
        resolution_A=resolution,
        released=(
            released_after.date() if released_after else None,
            released_before.date() if released_before else None,
        ),
        method=method,
        fitted_pdb=fitted_pdb,
        raw=query,
    )
    if out.rpartition("/")[2] == "dropped.csv":
        raise ConfigError(f"{out}: dropped.csv is written beside the result; name it otherwise")
    hosts = Hosts(FetchPolicy.from_environment())
    say(f"asking {api} for {wanted.text()}")
    found = archive_search.search(wanted, hosts, api=api)
    with output_file(out, brings=False) as (path, told):
        replace_table(path, COLUMNS, rows_of(found))
        faults = _look_up(found, hosts, api) if details else []
        if details:
            replace_table(path, COLUMNS, rows_of(found))
        dropped_path = path.with_name("dropped.csv")
        replace_table(dropped_path, ("emdb_id", "title", "reason"), found.dropped)
        dropped_place = told(str(dropped_path))
    say(f"{len(found.rows):,} entries: {out}")
    for emdb_id, _, reason in found.dropped[:_SHOWN]:
        say(f"  dropped {emdb_id or '(no id)'}: {reason}")
    if found.dropped:
        more = f", {_SHOWN} shown" if len(found.dropped) > _SHOWN else ""
        say(f"{len(found.dropped):,} entries dropped{more}: {dropped_place}")
    for emdb_id, reason in faults:
        say(f"  {emdb_id}: no details: {reason}")
    if faults:
        raise typer.Exit(1)


@app.command()
def fetch(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="[FOUND.CSV] DIR",
            help="Result of a search, path or URL, and the folder of this machine to fill; with "
            "--dataverse the folder alone.",
        ),
    ],
    dataverse: Annotated[
        str | None,
        typer.Option(
            metavar="DOI",
            help="Fetch this dataset of a Dataverse: full, small, test, full-models, "
            "small-models (the published ones) or a DOI.",
        ),
    ] = None,
    files: Annotated[
        str | None,
        typer.Option(metavar="GLOB", help="With --dataverse: only the files that match."),
    ] = None,
    half_maps: Annotated[bool, typer.Option("--half-maps", help="Fetch half maps too.")] = False,
    no_sequence: Annotated[bool, typer.Option("--no-sequence", help="Fetch no FASTA.")] = False,
    model_format: Annotated[
        str, typer.Option(help="mmcif or pdb; the other one where that is missing.")
    ] = "mmcif",
    jobs: Annotated[int, typer.Option(min=1, max=32, help="Entries at a time.")] = 4,
    mirror: Annotated[
        list[str] | None,
        typer.Option(
            envvar="C2S_MIRROR",
            help="ebi, wwpdb, pdbj, rcsb or a base address; repeatable, asked in this order.",
            show_default="all four",
        ),
    ] = None,
    accept_changed: Annotated[
        bool,
        typer.Option("--accept-changed", help="Replace files that differ from their record."),
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read and compare all files that are there.")
    ] = False,
    details: DetailsOption = False,
    api: ApiOption = EMDB_API,
    server: Annotated[
        str, typer.Option(envvar="C2S_DATAVERSE", help="Base address of the Dataverse.")
    ] = DATAVERSE,
    allow_origin: AllowOption = None,
) -> None:
    """Fetch maps, models and sequences, or a published dataset; the same command resumes.

    Every file's sha256 and size are recorded in DIR/fetched.jsonl when it is first fetched, and
    enforced from then on.
    """
    if dataverse is None and (len(paths) != 2 or files is not None):
        raise ConfigError("give a search result and a folder (--files goes with --dataverse)")
    if dataverse is not None and len(paths) != 1:
        raise ConfigError("with --dataverse give the folder alone")
    from c2s_data.cli.fetch_runs import Run, fetch_dataset, fetch_found
    from c2s_data.sources.web_origin import origin_of_url

    origins = tuple(origin_of_url(text) for text in allow_origin or ())
    run = Run(local_place(paths[-1]), jobs, origins, accept_changed, verify)
    try:
        if dataverse is not None:
            failed = fetch_dataset(run, dataverse, files, server)
        else:
            what = (model_format, not no_sequence, half_maps)
            failed = fetch_found(
                run, staged_input(paths[0]), what, mirror or (), api if details else None
            )
    except KeyboardInterrupt:
        say("stopped: finished files are kept, and the same command goes on from here")
        raise typer.Exit(_INTERRUPTED) from None
    if failed:
        raise typer.Exit(1)


def _look_up(found: Found, hosts: Hosts, api: str) -> list[tuple[str, str]]:
    """Fill what the rows lack; return (EMDB id, why) of those whose document cannot be had."""
    from c2s_data.sources.archive_entry import add_details, lacks_details, read_entry

    faults = []
    for number, row in enumerate(found.rows):
        if not lacks_details(row):
            continue
        try:
            found.rows[number] = add_details(row, read_entry(row["emdb_id"], hosts, api=api))
        except C2SError as error:
            faults.append((row["emdb_id"], str(error)))
    return faults
