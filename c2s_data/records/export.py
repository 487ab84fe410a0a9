"""Export a store to the published directory layout.

Entries are written one after another, each in a folder of its own that is marked finished last; the
tables, the document and the cards above them follow. What is there already and right is left as it
is, so a stopped export goes on with the same command.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from c2s_data import __version__
from c2s_data.errors import C2SError, ConfigError, StoreError
from c2s_data.records.croissant import croissant
from c2s_data.records.data_card import Described, markdown
from c2s_data.records.entry_export import PACKAGE, EntryToExport, ExportOptions, export_entry
from c2s_data.records.layout import (
    CARD,
    CROISSANT,
    ENTRY_DOCUMENT,
    EXPORT_DOCUMENT,
    METADATA,
    SPLITS,
    names_of_entries,
)
from c2s_data.records.placed_files import RecordFolder, read_document
from c2s_data.records.tables import metadata_text, splits_text
from c2s_data.schema import CLASS_NAMES
from c2s_data.store.begin import load_plan
from c2s_data.store.layout import Layout
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import Store, open_store
from c2s_data.store.receipt import read_receipt

FORMAT: Final = "c2s-export-1"


@dataclass
class ExportedEntry:
    """What became of one entry: files written, missing ones with the reason, or why it failed."""

    entry_id: str
    folder: str
    n_written: int = 0
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    failure: str | None = None


@dataclass
class Exported:
    """An export: the chosen entries, and what the folder holds and lacks."""

    generation: int
    entries: list[ExportedEntry]
    n_in_folder: int
    store_failures: Mapping[str, str]

    @property
    def is_complete(self) -> bool:
        """Whether every file that was asked for is there."""
        return not any(entry.failure or entry.missing for entry in self.entries)


def export_store(
    url: str,
    folder: Path,
    *,
    entries: Sequence[str] | None = None,
    generation: int | None = None,
    options: ExportOptions | None = None,
    licence: str | None = None,
    on_entry: Callable[[ExportedEntry], None] = lambda entry: None,
    around: Callable[[str], AbstractContextManager[None]] = lambda path: nullcontext(),
) -> Exported:
    """Export a generation of a store.

    Parameters
    ----------
    url
        Path or URL of a committed store.
    folder
        Made if it does not exist; else empty, or an earlier export of the same store.
    entries
        entry_ids; None for all. Entries of an earlier export stay and are listed too.
    generation
        Number of the generation, None for the newest.
    options
        What is written besides maps, masks and models.
    licence
        Licence of the data, for the cards; nobody but its publisher can name it.
    on_entry
        Called with each entry as it ends.
    around
        Surrounds the writing of one entry's folder, given its path below ``folder``: who keeps the
        records elsewhere brings what is there, and takes away what was written but the document.

    Raises
    ------
    ConfigError
        If the folder holds something else.
    StoreError
        If the store cannot be opened or has no such entry. An entry that is damaged raises
        nothing: it is among the result's entries with its ``failure``.
    OSError
        If the folder cannot be written; the same command goes on from there.
    """
    store = open_store(url, generation)
    export = _Export(store, folder, options or ExportOptions())
    chosen = [store.entry(name).entry_id for name in dict.fromkeys(entries or export.names)]
    export.begin()
    done = []
    for entry_id in chosen:
        with around(export.names[entry_id].path):
            done.append(export.entry(entry_id))
        on_entry(done[-1])
    return Exported(store.generation, done, export.finish(licence), store.failures)


class _Export:
    def __init__(self, store: Store, folder: Path, options: ExportOptions) -> None:
        self._store = store
        self._folder = folder
        self._options = options
        self._objects = open_objects(store.url)
        plan = load_plan(self._objects)
        self._config = plan.config
        self._planned = {planned.group: planned for planned in plan.entries}
        self._rows = {row["entry_id"]: row for row in store.rows if row["failure_reason"] is None}
        self.names = names_of_entries(self._rows.values())

    def begin(self) -> None:
        """Claim the folder, so that nothing else is ever overwritten."""
        top = RecordFolder(self._folder)
        claimed = self._folder / EXPORT_DOCUMENT
        if claimed.exists():
            if read_document(claimed).get("lineage") != self._store.attrs["lineage"]:
                raise ConfigError(
                    f"{self._folder} holds the export of another store; choose another folder"
                )
        elif any(self._folder.iterdir()):
            raise ConfigError(
                f"{self._folder} is not empty and no export; choose another folder, or empty it"
            )
        else:
            top.put_json(EXPORT_DOCUMENT, self._document({}, finished=False))

    def entry(self, entry_id: str) -> ExportedEntry:
        """Export one entry; a fault of it is its result."""
        names = self.names[entry_id]
        try:
            document, placed = export_entry(self._store, self._folder, self._item(entry_id))
        except C2SError as error:
            return ExportedEntry(entry_id, names.path, failure=str(error))
        return ExportedEntry(
            entry_id, names.path, placed.written, document["missing"], document["notes"]
        )

    def _item(self, entry_id: str) -> EntryToExport:
        group = self._store.entry(entry_id).group
        receipt = read_receipt(self._objects, group)
        if receipt is None or group not in self._planned:
            raise StoreError(
                f"{self._store.url}: the receipt or the plan of {entry_id} is gone; run "
                "`c2s-data verify`, then `c2s-data repair`"
            )
        planned = self._planned[group]
        return EntryToExport(self.names[entry_id], planned, receipt, self._config, self._options)

    def finish(self, licence: str | None) -> int:
        """Write tables, document and cards for all that the folder holds; return how many."""
        held = {name: found for name in self._rows if (found := self._held(name)) is not None}
        rows = [self._rows[name] for name in held]
        top = RecordFolder(self._folder)
        top.put_text(METADATA, metadata_text(rows))
        top.put_text(SPLITS, splits_text(rows))
        top.put_json(EXPORT_DOCUMENT, self._document(held, finished=True))
        described = Described(
            title=Path(self._store.url.rstrip("/")).stem,
            generation=self._store.generation,
            fingerprint=self._store.fingerprint,
            config=self._config,
            rows=rows,
            failures=self._store.failures,
            licence=licence,
            has_raw_maps=self._options.raw_maps,
            has_npz=self._options.npz,
        )
        top.put_json(CROISSANT, croissant(described, dict(top.placed.files)))
        top.put_text(CARD, markdown(described))
        return len(held)

    def _held(self, entry_id: str) -> dict[str, Any] | None:
        """Return what the folder's document says of an entry, None where it is not finished."""
        path = self.names[entry_id].path
        planned = self._planned.get(self._store.entry(entry_id).group)
        document = read_document(self._folder / path / ENTRY_DOCUMENT)
        if planned is None or document.get("fingerprint") != planned.fingerprint:
            return None
        return {"entry_id": entry_id, "folder": path, "arrays": document.get("arrays", {})}

    def _document(self, held: dict[str, dict[str, Any]], *, finished: bool) -> dict[str, Any]:
        config = self._config
        splits = [self._rows[name]["split"] for name in held]
        return {
            "format": FORMAT,
            "program": f"{PACKAGE} {__version__}",
            "finished": finished,
            "lineage": self._store.attrs["lineage"],
            "generation": self._store.generation,
            "fingerprint": self._store.fingerprint,
            "config": config.model_dump(),
            "label_rule": config.label_rule,
            "decode_offset_voxel": config.decode_offset_voxel,
            "voxel_size_A": 1.0,
            "classes": {name: CLASS_NAMES[name] for name in Layout.of(config).masks},
            "splits": dict(sorted(Counter(filter(None, splits)).items())),
            "entries": list(held.values()),
            "failures": dict(self._store.failures),
        }
