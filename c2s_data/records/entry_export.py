"""Write the records of one entry: maps, masks, model, its parts, sequences, subgrids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from c2s_data import __version__
from c2s_data.config import BuildConfig
from c2s_data.errors import StoreError
from c2s_data.plan import PlannedEntry
from c2s_data.records.layout import (
    ENTRY_DOCUMENT,
    NORMALIZED_MAP,
    NPZ_FOLDER,
    RecordNames,
    mask_file,
)
from c2s_data.records.model_files import place_model, place_sequences
from c2s_data.records.npz_subgrids import KEYS, subgrid_arrays, write_npz
from c2s_data.records.placed_files import (
    FileDigest,
    Placed,
    RecordedInput,
    RecordFolder,
    digest_of_existing,
    read_document,
)
from c2s_data.sources.density_map_writer import write_mrc
from c2s_data.store.layout import Layout
from c2s_data.store.reader import Store
from c2s_data.store.receipt import Receipt

VOXEL_SIZE_ZYX_A: Final = (1.0, 1.0, 1.0)
PACKAGE: Final = "cryo2struct-store"
_FORMAT: Final = 1
_LARGEST_INT8: Final = 127


@dataclass(frozen=True)
class ExportOptions:
    """What is written besides the normalized map, the masks and the model's files.

    ``raw_maps``: a copy of the source map; ``npz``: one file a subgrid; ``clustalo``: the alignment
    is made by Clustal Omega, not from the places that each chain's residues have.
    """

    raw_maps: bool = True
    npz: bool = False
    clustalo: bool = False


@dataclass(frozen=True)
class EntryToExport:
    """One finished entry: its names, its row of the plan, its receipt, the options of all."""

    names: RecordNames
    planned: PlannedEntry
    receipt: Receipt
    config: BuildConfig
    options: ExportOptions

    @property
    def source(self) -> str:
        """A digest of all that decides what the folder holds."""
        facts = [
            [_FORMAT, __version__, self.config.model_dump(), vars(self.options), vars(self.names)],
            [self.receipt.fingerprint, sorted((o.key, o.sha256) for o in self.receipt.objects)],
            [(file.role, file.name, file.sha256) for file in self.receipt.inputs],
            self.planned.origin_xyz_A,
        ]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def recorded(self, role: str) -> RecordedInput | None:
        """Return an input of the entry, None where it had none of that role."""
        entry = self.planned.entry
        path = {"map": entry.map, "model": entry.model, "sequence": entry.sequence}[role]
        digests = {file.role: file.sha256 for file in self.receipt.inputs}
        return RecordedInput(path, digests[role]) if path and role in digests else None

    def required(self, role: str) -> RecordedInput:
        """Return an input that every entry has."""
        found = self.recorded(role)
        if found is None:
            raise StoreError(
                f"{self.planned.entry_id}: its receipt names no {role}; run `c2s-data verify`"
            )
        return found


def export_entry(store: Store, top: Path, item: EntryToExport) -> tuple[dict[str, Any], Placed]:
    """Write one entry's folder, unless it is finished already.

    Returns
    -------
    dict
        The entry's document, as it lies in its folder.
    Placed
        What was placed; nothing was written where the folder was finished.

    Raises
    ------
    C2SError
        If the store is damaged or the folder cannot be written to safely.
    """
    folder = RecordFolder(top, item.names.path)
    done = finished_document(folder.path, item.source)
    if done is not None:
        return done, Placed()
    (folder.path / ENTRY_DOCUMENT).unlink(missing_ok=True)
    folder.remove_parts()
    arrays = _place_arrays(folder, store, item)
    subgrids = _place_subgrids(top, store, item) if item.options.npz else {}
    if item.options.raw_maps:
        folder.put_copy(item.names.raw_map, item.required("map"))
    model = item.required("model")
    residues = store.residues(item.planned.entry_id)
    model_name, notes = place_model(folder, item.names, model, residues)
    sequence_name, further = place_sequences(
        folder, item.names, model, item.recorded("sequence"), clustalo=item.options.clustalo
    )
    facts = {
        "model": model_name,
        "sequence": sequence_name,
        "arrays": arrays,
        "subgrids": subgrids,
        "notes": notes + further,
    }
    document = _identity(item) | facts | folder.placed.as_json()
    RecordFolder(top, item.names.path).put_json(ENTRY_DOCUMENT, document)
    return document, folder.placed


def _identity(item: EntryToExport) -> dict[str, Any]:
    entry = item.planned.entry
    return {
        "entry_id": entry.entry_id,
        "emdb_id": entry.emdb_id,
        "pdb_id": entry.pdb_id,
        "resolution_A": entry.resolution_A,
        "assembly": entry.assembly,
        "source": item.source,
        "fingerprint": item.receipt.fingerprint,
        "shape_zyx": list(item.planned.shape_zyx),
        "origin_xyz_A": list(item.planned.origin_xyz_A),
        "inputs": [vars(file) for file in item.receipt.inputs],
    }


def finished_document(folder: Path, source: str) -> dict[str, Any] | None:
    """Return the document of a folder that is finished, complete and unchanged, else None.

    What was missing may exist by now, so a folder that lacks a file is not finished.
    """
    document = read_document(folder / ENTRY_DOCUMENT)
    try:
        if document["source"] != source or document["missing"]:
            return None
        for name, digest in document["files"].items():
            if digest_of_existing(folder / name) != FileDigest(**digest):
                return None
        found = _subgrids_facts(folder / NPZ_FOLDER) if document["subgrids"] else {}
        return document if found == document["subgrids"] else None
    except (KeyError, TypeError, AttributeError):
        return None


def _place_arrays(folder: RecordFolder, store: Store, item: EntryToExport) -> dict[str, Any]:
    """Place density and masks, one array in memory at a time; return dtype and sha256 of each."""
    arrays = {}
    entry_id = item.planned.entry_id
    for name in Layout.of(item.config).arrays:
        values_zyx = store.read_map(entry_id, name)
        arrays[name] = {"dtype": str(values_zyx.dtype), "sha256": array_digest(values_zyx)}
        file_name = NORMALIZED_MAP if name == "density" else mask_file(name)
        folder.put(file_name, partial(_write_array, values_zyx, item, name))
    return arrays


def array_digest(values_zyx: NDArray[Any]) -> str:
    """Return the sha256 (hex) of an array's values, little-endian, in C order."""
    stored = np.ascontiguousarray(values_zyx, values_zyx.dtype.newbyteorder("<"))
    return hashlib.sha256(stored.reshape(-1).view(np.uint8).data).hexdigest()


def _write_array(values_zyx: NDArray[Any], item: EntryToExport, name: str, path: Path) -> None:
    if name == "density":
        dtype: np.dtype[np.generic] = np.dtype(np.float32)
        values_zyx = values_zyx.astype(np.float32, copy=False)
    else:
        # Mode 0 holds bytes with a sign; the amino mask's 255 (ignore) needs mode 1.
        dtype = np.dtype(np.int8 if values_zyx.max(initial=0) <= _LARGEST_INT8 else np.int16)
    write_mrc(
        path,
        cast("NDArray[np.float32]", values_zyx),  # it takes any type that fits
        VOXEL_SIZE_ZYX_A,
        item.planned.origin_xyz_A,
        labels=_labels(item.config, name),
        dtype=dtype,
    )


def _labels(config: BuildConfig, name: str) -> list[str]:
    first = f"{PACKAGE} {__version__}, preset {config.preset}"
    if name == "density":
        return [first, "density resampled to 1 A, normalized to [0, 1]"]
    offset = f"decode offset {config.decode_offset_voxel:g} voxel"
    return [first, f"{name} mask, label rule {config.label_rule}, {offset}"]


def _place_subgrids(top: Path, store: Store, item: EntryToExport) -> dict[str, Any]:
    folder = RecordFolder(top, f"{item.names.path}/{NPZ_FOLDER}")
    folder.remove_parts()
    maps = {name: store.read_map(item.planned.entry_id, name) for name in KEYS.values()}
    grids = subgrid_arrays(maps, item.config.box, item.config.core)
    for number, arrays in enumerate(grids):
        folder.put(f"{item.names.emdb}_{number}.npz", partial(write_npz, arrays=arrays))
    for path in _npz_files(folder.path):
        if path.name not in folder.placed.files:
            path.unlink()  # of an earlier export with another box
    return _subgrids_facts(folder.path)


def _subgrids_facts(folder: Path) -> dict[str, Any]:
    """Return number, bytes and a digest of the files of all subgrids."""
    digest, count, nbytes = hashlib.sha256(), 0, 0
    for path in _npz_files(folder):
        found = digest_of_existing(path)
        if found is not None:
            digest.update(f"{path.name} {found.sha256}\n".encode())
            count, nbytes = count + 1, nbytes + found.nbytes
    return {"count": count, "nbytes": nbytes, "sha256": digest.hexdigest()}


def _npz_files(folder: Path) -> Iterator[Path]:
    return iter(sorted(folder.glob("*.npz")))
