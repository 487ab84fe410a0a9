"""Find the entries of a folder in the published directory layout, and what each has.

The published archive is taken as it is: without C-alpha, amino-acid and secondary-structure masks,
with ``helix.pdb`` or ``7kjr_helix.pdb``, perhaps without the model itself. An export of this
package also says which options it was made with and what its entries are called.

Nothing outside the folder is read: names are checked, and symbolic links are refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from c2s_data.config import BuildConfig, make_config
from c2s_data.errors import C2SError, CatalogError, ConfigError
from c2s_data.records.layout import (
    ENTRY_DOCUMENT,
    EXPORT_DOCUMENT,
    METADATA,
    NORMALIZED_MAP,
    PARTS,
    SPLITS,
    emdb_id_of_folder,
)
from c2s_data.records.placed_files import read_document
from c2s_data.records.tables import Table, read_metadata
from c2s_data.sources.catalog import CatalogEntry, check_entry_id
from c2s_data.sources.mask_files import MASK_PREFIXES
from c2s_data.splitting.tables import Matched, match, read_published

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", re.ASCII)
_MODEL_SUFFIXES: Final = (".cif", ".pdb", ".ent")
_PDB_ID: Final = re.compile(r"[0-9][A-Za-z0-9]{3}|pdb_[0-9a-z]{8}", re.ASCII)
_MASK_FILES: Final = frozenset(prefix + NORMALIZED_MAP for prefix in MASK_PREFIXES.values())


@dataclass(frozen=True)
class FoundEntry:
    """One entry of the folder.

    Parameters
    ----------
    entry_id, emdb_id, pdb_id
        Names; only the first is always known.
    folder
        Where it lies.
    model
        File of the atomic model, None where it must be put together from ``parts``.
    parts
        Helix, coil and strand file by class, where the model is missing; else empty.
    sequence
        FASTA file of the deposited sequences, None where there is none.
    n_masks
        Masks beside the map.
    assembly
        As an export says it.
    metadata, split
        Row of ``metadata.csv`` and split of ``splits.csv``.
    """

    entry_id: str
    emdb_id: str | None
    pdb_id: str | None
    folder: Path
    model: Path | None
    parts: Mapping[int, Path]
    sequence: Path | None
    n_masks: int
    assembly: str | None
    metadata: Mapping[str, str]
    split: str | None


@dataclass(frozen=True)
class FoundFolder:
    """What a folder holds: its entries, the folders that are none with the reason, the options.

    ``is_export`` says that this package wrote it; ``without_data`` are the identifiers in
    ``splits.csv`` that no entry has.
    """

    folder: Path
    entries: tuple[FoundEntry, ...]
    refused: Mapping[str, str]
    config: BuildConfig
    is_export: bool
    without_data: tuple[str, ...]


def find_records(folder: Path, preset: str | None = None) -> FoundFolder:
    """Look through a folder of records.

    Parameters
    ----------
    folder
        The top, with ``EMD_0`` to ``EMD_9`` or the entries' folders in it.
    preset
        Options of the masks that must be made; by default those of the export, ``released``
        (which made the published ones) for any other folder.

    Raises
    ------
    ConfigError
        If there is no such folder, no entry in it, or options that this version does not know.
    CatalogError
        If ``metadata.csv`` or ``splits.csv`` cannot be used.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; name the one that holds EMD_0 to EMD_9")
    document = read_document(folder / EXPORT_DOCUMENT)
    config = _config(document, preset, folder)
    is_export = isinstance(document.get("format"), str)
    order = _listed(document)
    metadata = read_metadata(folder / METADATA)
    entries: list[FoundEntry] = []
    refused: dict[str, str] = {}
    seen: dict[str, str] = {}
    for path in sorted(_entry_folders(folder, refused), key=lambda p: _rank(p, folder, order)):
        name = path.relative_to(folder).as_posix()
        try:
            if order and name not in order:
                raise CatalogError(f"not listed in {EXPORT_DOCUMENT}: left by an earlier export")
            if is_export and not (path / ENTRY_DOCUMENT).is_file():
                raise CatalogError(f"no {ENTRY_DOCUMENT}: its export was stopped; go on with it")
            entry = _found_entry(path, metadata)
            other = seen.setdefault(entry.entry_id.casefold(), name)
            if other != name:
                raise CatalogError(f"{entry.entry_id} lies in {other} too; remove one")
            entries.append(entry)
        except C2SError as error:
            refused[name] = str(error)
    if not entries:
        raise ConfigError(
            f"{folder}: no entry with an {NORMALIZED_MAP} in it or in folders of one or two levels"
            + "".join(f"\n  {name}: {why}" for name, why in list(refused.items())[:10])
        )
    split = _splits(folder, document, entries)
    return FoundFolder(
        folder=folder,
        entries=tuple(
            replace(entry, split=split.split.get(entry.entry_id, entry.split)) for entry in entries
        ),
        refused=refused,
        config=config,
        is_export=is_export,
        without_data=split.without_data,
    )


def _splits(folder: Path, document: Mapping[str, Any], entries: Sequence[FoundEntry]) -> Matched:
    """Look the entries up in ``splits.csv``; that of an export may hold no split at all."""
    path = folder / SPLITS
    listed = read_published(path) if path.is_file() and document.get("splits") != {} else {}
    names = [
        CatalogEntry(entry.entry_id, "", "", None, entry.emdb_id, entry.pdb_id) for entry in entries
    ]
    return match(listed, names)


def _config(document: Mapping[str, Any], preset: str | None, folder: Path) -> BuildConfig:
    fixed: dict[str, Any] = {"density": "normalized", "masks": "files"}
    # Raw density is not at hand, and the quality of a clipped map is another quantity.
    fixed |= {"quality": False, "gate": "off"}
    if preset is not None or not document:
        return make_config(preset or "released", **fixed)
    try:
        options = dict(document["config"])
        # An export places its maps by ORIGIN words, whatever placed the source maps.
        return make_config(options.pop("preset"), **options | fixed | {"origin": "auto"})
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{folder / EXPORT_DOCUMENT}: no options in it ({error!r}); name a --preset"
        ) from error


def _listed(document: Mapping[str, Any]) -> dict[str, int]:
    """Return the folders that an export lists, in the order of its store."""
    entries = document.get("entries")
    folders = (
        [item.get("folder") for item in entries if isinstance(item, dict)]
        if (isinstance(entries, list))
        else []
    )
    return {name: number for number, name in enumerate(folders) if isinstance(name, str)}


def _rank(path: Path, top: Path, order: Mapping[str, int]) -> tuple[int, int, str]:
    name = path.relative_to(top).as_posix()
    emdb_id = emdb_id_of_folder(path.name)
    return order.get(name, len(order)), int(emdb_id[4:]) if emdb_id else 10**9, name


def _entry_folders(top: Path, refused: dict[str, str]) -> Iterator[Path]:
    """Yield the folders with a normalized map, one or two levels down."""
    for group in _subfolders(top, top, refused):
        if (group / NORMALIZED_MAP).exists():
            yield group
            continue
        for folder in _subfolders(group, top, refused):
            if (folder / NORMALIZED_MAP).exists():
                yield folder
            elif emdb_id_of_folder(folder.name):
                refused[folder.relative_to(top).as_posix()] = f"no {NORMALIZED_MAP} in it"


def _subfolders(folder: Path, top: Path, refused: dict[str, str]) -> list[Path]:
    found = []
    with os.scandir(folder) as items:
        for item in items:
            if not item.is_dir() or item.name.startswith("."):
                continue
            path = Path(item.path)
            name = path.relative_to(top).as_posix()
            if item.is_symlink():
                refused[name] = "a symbolic link; copy the folder in its place"
            elif not _NAME.fullmatch(item.name):
                refused[ascii(name)[1:-1]] = "the name is no plain name; rename the folder"
            else:
                found.append(path)
    return sorted(found)


class _Files:
    """The plain files of an entry's folder by name; asking for a link is an error."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with os.scandir(folder) as items:
            found = [(item.name, item.is_symlink(), item.is_file()) for item in items]
        self.names = sorted(name for name, _, is_file in found if is_file and _NAME.fullmatch(name))
        self._links = {name for name, is_link, _ in found if is_link}

    def take(self, name: str) -> Path:
        """Return the path of a file that is there."""
        if name in self._links:
            raise CatalogError(f"{name} is a symbolic link; copy the file in its place")
        if name not in self.names:
            raise CatalogError(f"no file {name} in it")
        return self.folder / name

    def only(self, names: list[str], what: str) -> Path | None:
        """Return the one file that can be meant, None where there is none."""
        if len(names) > 1:
            raise CatalogError(f"{' and '.join(names[:4])} may be {what}; keep one")
        return self.take(names[0]) if names else None


def _found_entry(folder: Path, metadata: Table) -> FoundEntry:
    files = _Files(folder)
    for name in files.names:
        if name in _MASK_FILES or name == NORMALIZED_MAP:
            files.take(name)  # the build reads them by itself: links must be found now
    document = read_document(folder / ENTRY_DOCUMENT)
    emdb_id = _text(document, "emdb_id") or emdb_id_of_folder(folder.name)
    entry_id = check_entry_id(_text(document, "entry_id") or emdb_id or folder.name)
    row = metadata.of(emdb_id, entry_id)
    pdb_id = _text(document, "pdb_id") or _plain_pdb_id(row.get("pdb_id", ""))
    model = _model(files, _text(document, "model"), pdb_id)
    parts = {} if model else _parts(files)
    if document:
        sequence = _text(document, "sequence")
        fasta = files.take(sequence) if sequence else None
    else:
        fasta = files.only(_sequences(files.names), "the deposited sequence")
    return FoundEntry(
        entry_id=entry_id,
        emdb_id=emdb_id,
        pdb_id=pdb_id or _plain_pdb_id((model or next(iter(parts.values()))).stem.split("_")[0]),
        folder=folder,
        model=model,
        parts=parts,
        sequence=fasta,
        n_masks=len(_MASK_FILES & set(files.names)),
        assembly=_text(document, "assembly"),
        metadata=row,
        split=row.get("split") or None,
    )


def _text(document: Mapping[str, Any], name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) and value else None


def _plain_pdb_id(text: str) -> str | None:
    return text if _PDB_ID.fullmatch(text) else None


def _model(files: _Files, stated: str | None, pdb_id: str | None) -> Path | None:
    if stated:
        return files.take(stated)
    parts = {f"{part}{suffix}" for part in PARTS.values() for suffix in _MODEL_SUFFIXES}
    models = [
        name
        for name in files.names
        if name.endswith(_MODEL_SUFFIXES) and name.lower().rpartition("_")[2] not in parts
    ]
    named = [name for name in models if pdb_id and Path(name).stem.lower() == pdb_id.lower()]
    found = named or models
    # mmCIF before PDB of the same name: it holds more.
    stems = {Path(name).stem.lower(): name for name in sorted(found, reverse=True)}
    return files.only(sorted(stems.values()), "the atomic model")


def _parts(files: _Files) -> dict[int, Path]:
    found = {}
    for secondary, part in PARTS.items():
        names = [
            name
            for name in files.names
            if name.endswith(_MODEL_SUFFIXES) and Path(name).stem.lower().rpartition("_")[2] == part
        ]
        path = files.only(names, f"the {part} residues")
        if path is None:
            raise CatalogError(
                "no atomic model in it, and helix, coil and strand files are not all there to make "
                "one of; fetch the model"
            )
        found[secondary] = path
    return found


def _sequences(names: list[str]) -> list[str]:
    return [
        name
        for name in names
        if name.endswith(".fasta")
        and not name.startswith(("atomic", "dealign_clustal"))
        and "all_chain_combined" not in name
    ]
