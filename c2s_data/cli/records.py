"""Commands that exchange data records: export, import."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from c2s_data.cli.app import app, console, print_json, say
from c2s_data.cli.options import JsonOption, MemoryOption, StoreArgument
from c2s_data.cluster_options import (
    ClusterOption,
    InsecureOption,
    ReportOption,
    WorkersOption,
    asked_cluster,
)
from c2s_data.output_folder import OutputFolder
from c2s_data.outputs import output_file, output_folder, output_place

if TYPE_CHECKING:
    from c2s_data.records.export import Exported, ExportedEntry

_FolderArgument = Annotated[
    str,
    typer.Argument(
        parser=output_place, metavar="FOLDER", help="Path or URL of the folder of data records."
    ),
]


@app.command()
def export(
    store: StoreArgument,
    folder: _FolderArgument,
    entries: Annotated[
        list[str] | None,
        typer.Option(help="entry_id to export; repeat for several.", show_default="all"),
    ] = None,
    npz: Annotated[bool, typer.Option("--npz", help="Also one .npz file a subgrid.")] = False,
    raw_maps: Annotated[bool, typer.Option(help="Also copy the source maps.")] = True,
    clustalo: Annotated[
        bool,
        typer.Option(
            "--clustalo", help="Align with Clustal Omega, as published, not chain by chain."
        ),
    ] = False,
    generation: Annotated[
        int | None, typer.Option(min=1, help="Generation to export.", show_default="the newest")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the data, for the data card.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a store as the published data records; the same command goes on and adds."""
    from c2s_data.records.entry_export import ExportOptions
    from c2s_data.records.export import export_store
    from c2s_data.records.layout import documents, vouching

    with output_folder(folder, marker=vouching, choose=documents, resumable=True) as kept:
        exported = export_store(
            store,
            kept.path,
            entries=entries,
            generation=generation,
            options=ExportOptions(raw_maps=raw_maps, npz=npz, clustalo=clustalo),
            licence=licence,
            on_entry=lambda entry: None if as_json else _show(entry, kept.told),
            around=partial(_kept_entry, kept),
        )
    if as_json:
        print_json(_summary(exported, folder))
    else:
        _show_end(exported, folder)
    if not exported.is_complete:
        raise typer.Exit(1)


@contextmanager
def _kept_entry(kept: OutputFolder, path: str) -> Iterator[None]:
    """Have one entry at a time on this machine's disk: all of them may not fit."""
    kept.bring(below=path)
    yield
    kept.send(path)
    kept.forget(path, keep=("c2s_entry.json",))


def _show(entry: ExportedEntry, told: Callable[[str], str]) -> None:
    if entry.failure is not None:
        say(told(f"{entry.entry_id}: NOT exported: {entry.failure}"))
        return
    state = f"{entry.n_written} files written" if entry.n_written else "was there already"
    say(f"{entry.entry_id}: {entry.folder}, {state}")
    for name, why in entry.missing.items():
        say(f"  missing: {name}: {why}")
    for note in entry.notes:
        say(f"  note: {note}")


def _show_end(exported: Exported, folder: str) -> None:
    failed = sum(entry.failure is not None for entry in exported.entries)
    lacking = sum(bool(entry.missing) for entry in exported.entries)
    say(
        f"{folder}: generation {exported.generation}, {exported.n_in_folder} entries in the "
        f"folder; {failed} failed now, {lacking} lack files"
    )
    if exported.store_failures:
        say(f"{len(exported.store_failures)} entries could not be built and are not in the folder:")
        for entry_id, why in exported.store_failures.items():
            say(f"  {entry_id}: {why}")


def _summary(exported: Exported, folder: str) -> dict[str, object]:
    return {
        "folder": folder,
        "generation": exported.generation,
        "entries_in_folder": exported.n_in_folder,
        "entries": [vars(entry) for entry in exported.entries],
        "not_built": dict(exported.store_failures),
    }


@app.command("import")
def import_records(
    folder: _FolderArgument,
    store: StoreArgument,
    preset: Annotated[
        str | None,
        typer.Option(
            help="paper, released or recommended, for the masks that the folder lacks.",
            show_default="the export's, else released",
        ),
    ] = None,
    catalog: Annotated[
        str | None,
        typer.Option(
            parser=output_place,
            metavar="PATH",
            help="Where to write the catalog, path or URL.",
            show_default="c2s_import.csv in FOLDER",
        ),
    ] = None,
    task_memory: MemoryOption = "1.5GB",
    cluster: ClusterOption = None,
    workers: WorkersOption = None,
    insecure: InsecureOption = False,
    performance_report: ReportOption = None,
) -> None:
    """Build a store from published data records, or from an export: maps as they are."""
    from c2s_data.cli.building import build_all
    from c2s_data.config import parse_bytes
    from c2s_data.records.import_catalog import CATALOG_NAME, write_import_catalog
    from c2s_data.records.import_folder import find_records
    from c2s_data.records.layout import all_but_arrays

    memory_bytes = parse_bytes(task_memory)
    asked = asked_cluster(cluster or "local", workers, insecure, performance_report)
    catalog = catalog or f"{folder.rstrip('/')}/{CATALOG_NAME}"
    with (
        output_folder(folder, choose=lambda names: (), read_only=True) as kept,
        output_file(catalog, brings=False) as file,
    ):
        kept.bring(all_but_arrays, placeholders=True)
        found = find_records(kept.path, preset)
        refused = dict(found.refused) | write_import_catalog(found, file.path)
        if "://" in folder:
            file.path.write_text(kept.told(file.path.read_text("utf-8")), "utf-8")
    origin = "an export of this package" if found.is_export else "published records"
    without_model = sum(entry.model is None for entry in found.entries)
    say(
        f"{folder}: {len(found.entries)} entries of {origin}, "
        f"{sum(entry.n_masks for entry in found.entries)} masks beside their maps; "
        f"{without_model} models put together from their parts; catalog {catalog}"
    )
    if found.without_data:
        first = ", ".join(found.without_data[:5])
        say(f"{len(found.without_data)} ids of splits.csv have no data here, the first: {first}")
    committed = build_all(
        catalog,
        store,
        found.config,
        preset_given=True,
        task_memory_bytes=memory_bytes,
        cluster=asked,
        insecure=insecure,
        report=performance_report,
    )
    if refused:
        lines = [f"  {name}: {why}" for name, why in refused.items()]
        console().print(
            f"{len(refused)} folders are not in the store:\n" + "\n".join(lines),
            style="red",
            markup=False,
            highlight=False,
        )
    if refused or committed.failures:
        raise typer.Exit(1)
