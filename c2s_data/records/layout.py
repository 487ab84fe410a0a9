"""Names of the published directory layout (paper, "Data Records"), and those where it has none.

The map of EMD-22898 with model 7KJR lies in ``EMD_2/22898/``: a folder for the first digit, one for
the number. The paper names the groups nowhere and its archives were not at hand when this was
written, so the reader takes ``22898``, ``emd_22898`` and ``EMD-22898`` alike, grouped or not.

An entry without an EMDB identifier lies in ``EMD_other/<entry_id>/`` and its entry_id stands for
both identifiers in file names; where several entries of a store share an EMDB identifier, their
folders are ``<number>_<entry_id>``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from c2s_data.errors import StoreError
from c2s_data.schema import COIL, HELIX, STRAND
from c2s_data.sources.catalog import check_entry_id
from c2s_data.sources.mask_files import MASK_PREFIXES

NORMALIZED_MAP: Final = "emd_normalized_map.mrc"
METADATA: Final = "metadata.csv"
SPLITS: Final = "splits.csv"
EXPORT_DOCUMENT: Final = "c2s_export.json"
"""What this package says of an exported folder as a whole."""
ENTRY_DOCUMENT: Final = "c2s_entry.json"
"""What it says of one entry's folder; written last, it marks the folder as finished."""
CARD: Final = "README.md"
CROISSANT: Final = "croissant.json"
NPZ_FOLDER: Final = "subgrids"
NO_EMDB_GROUP: Final = "EMD_other"

StructureSuffix = Literal[".pdb", ".cif"]
PARTS: Final = {HELIX: "helix", COIL: "coil", STRAND: "strand"}
"""Name of the file of each secondary-structure class."""
ORIGINAL_SEQUENCE: Final = "{pdb}.fasta"
COMBINED_SEQUENCE: Final = "{pdb}_all_chain_combined.fasta"
OBSERVED_SEQUENCE: Final = "atomic.fasta"
CLUSTAL_INPUT: Final = "dealign_clustal_input.fasta"
CLUSTAL_OUTPUT: Final = "dealign_clustal_output.fasta"

_EMDB_ID: Final = re.compile(r"EMD-([0-9]{4,6})", re.ASCII)
_PDB_ID: Final = re.compile(r"[0-9][A-Za-z0-9]{3}|pdb_[0-9a-z]{8}", re.ASCII)
_EMDB_FOLDER: Final = re.compile(r"(?:emd[-_]?)?([0-9]{4,6})", re.ASCII | re.IGNORECASE)


def mask_file(mask: str) -> str:
    """Return the file name of a mask, such as ``sec_struc_emd_normalized_map.mrc``."""
    return MASK_PREFIXES[mask] + NORMALIZED_MAP


def vouching(name: str) -> str | None:
    """Return the document that marks the entry's folder as finished that a file lies in."""
    parts = name.split("/")
    is_in_entry = len(parts) > 2 and parts[0].startswith("EMD_")
    return "/".join((*parts[:2], ENTRY_DOCUMENT)) if is_in_entry else None


def documents(names: Sequence[str]) -> Sequence[str]:
    """Return what an export needs to go on; of another folder one file, by which it is refused."""
    if EXPORT_DOCUMENT not in names:
        return names[:1]
    return [name for name in names if name.rpartition("/")[2] in (EXPORT_DOCUMENT, ENTRY_DOCUMENT)]


def all_but_arrays(names: Sequence[str]) -> list[str]:
    """Return what tells of the entries: documents, tables, models, sequences."""
    return [name for name in names if not name.endswith((".mrc", ".map", ".gz", ".npz"))]


def emdb_id_of_folder(name: str) -> str | None:
    """Return the EMDB identifier that the name of an entry's folder stands for, if one."""
    found = _EMDB_FOLDER.fullmatch(name)
    return f"EMD-{found[1]}" if found else None


@dataclass(frozen=True)
class RecordNames:
    """Where one entry lies in the published layout and what its files are called.

    Parameters
    ----------
    group, folder
        ``EMD_2`` and ``22898``.
    emdb, pdb
        What stands for the identifiers in file names: ``22898`` and ``7kjr``.
    """

    group: str
    folder: str
    emdb: str
    pdb: str

    @property
    def path(self) -> str:
        """The entry's folder, from the top, with ``/``."""
        return f"{self.group}/{self.folder}"

    @property
    def raw_map(self) -> str:
        """File name of the source map."""
        return f"emd_{self.emdb}.map"

    def model(self, suffix: StructureSuffix) -> str:
        """Return the file name of the atomic model."""
        return f"{self.pdb}{suffix}"

    def part(self, secondary: int, suffix: StructureSuffix) -> str:
        """Return the file name of all residues of one secondary-structure class."""
        return f"{self.pdb}_{PARTS[secondary]}{suffix}"


def names_of_entries(rows: Iterable[Mapping[str, Any]]) -> dict[str, RecordNames]:
    """Return the names of every row of a store's catalog by entry_id.

    Raises
    ------
    StoreError
        If an identifier could lead out of its folder.
    CatalogError
        If an entry_id could.
    """
    rows = list(rows)
    shared = Counter(row["emdb_id"] for row in rows)
    return {row["entry_id"]: _names(row, alone=shared[row["emdb_id"]] == 1) for row in rows}


def _names(row: Mapping[str, Any], *, alone: bool) -> RecordNames:
    entry_id = check_entry_id(row["entry_id"])
    pdb = _checked(row["pdb_id"], _PDB_ID, entry_id)
    pdb = pdb.lower() if pdb else entry_id
    emdb = _checked(row["emdb_id"], _EMDB_ID, entry_id)
    if emdb is None:
        return RecordNames(NO_EMDB_GROUP, entry_id, entry_id, pdb)
    number = emdb.removeprefix("EMD-")
    folder = number if alone else f"{number}_{entry_id}"
    return RecordNames(f"EMD_{number[0]}", folder, number, pdb)


def _checked(text: str | None, pattern: re.Pattern[str], entry_id: str) -> str | None:
    if text is not None and not pattern.fullmatch(text):
        raise StoreError(
            f"{entry_id}: {text[:40]!a} is no identifier of EMDB or PDB and names no file; the "
            "store's catalog was changed by another program"
        )
    return text
