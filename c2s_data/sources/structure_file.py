"""Read a PDB or mmCIF file into gemmi, refusing what gemmi would take for something else.

gemmi reads a coordinate field such as ``********`` as 0.0 and an unrelated text file as an empty
structure; both are refused here.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import Final

import gemmi
import numpy as np

from c2s_data.errors import ModelError, ModelReason

MAX_BYTES: Final = 2**32
_GZIP_MAGIC: Final = b"\x1f\x8b"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_CIF_START: Final = re.compile(rb"(?:\s|#[^\n]*\n)*data_", re.IGNORECASE)
_PDB_RECORDS: Final = (b"ATOM  ", b"HETATM")
_PDB_NUMBER: Final = re.compile(rb" *[+-]?(?:\d+\.?\d*|\.\d+) *")
_PDB_FIELDS: Final = ((30, 38), (38, 46), (46, 54))
_PDB_UNUSUAL: Final = re.compile(
    rb"\n(?=ATOM  |HETATM)(?![^\r\n]{30}(?:(?: {3}| {2}[-\d]| [-\d]\d|[-\d]\d\d)\d\.\d{3}){3})"
)
"""Before an atom whose coordinates are not three numbers of three decimals, as nearly all are."""


def read_structure(path: Path | str, *, max_bytes: int = MAX_BYTES) -> gemmi.Structure:
    """Read all models of a file; format and compression are told by content.

    Parts of a chain that lie apart in the file are brought together; entities are left as found.

    Parameters
    ----------
    path
        PDB or mmCIF file, plain or gzipped.
    max_bytes
        Largest size of the text; a gzipped file is not inflated beyond it.

    Raises
    ------
    ModelError
        ``not-found``, ``unreadable`` or ``bad-coordinates``.
    """
    text = _read_text(Path(path), max_bytes)
    try:
        structure = _parse_mmcif(text) if _CIF_START.match(text) else _parse_pdb(text, path)
    except (ValueError, RuntimeError, IndexError) as error:
        raise _unreadable(path, f"not a PDB or mmCIF file that gemmi can read ({error})") from error
    if structure is None or len(structure) == 0:
        raise _unreadable(path, "neither a PDB nor an mmCIF file with atoms")
    structure.merge_chain_parts()
    _check_finite(structure, path)
    return structure


def _read_text(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            is_gzip = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            if is_gzip:
                with gzip.GzipFile(fileobj=file) as inflated:
                    text = inflated.read(max_bytes + 1)
            else:
                text = file.read(max_bytes + 1)
    except FileNotFoundError as error:
        raise ModelError(
            ModelReason.NOT_FOUND, f"{path}: no such file; check the model column"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, f"cannot be read ({error}); fetch it again") from error
    if len(text) > max_bytes:
        raise _unreadable(path, f"larger than {max_bytes} bytes of text")
    return text.removeprefix(_BYTE_ORDER_MARK)


def _parse_mmcif(text: bytes) -> gemmi.Structure | None:
    for block in gemmi.cif.read_string(text):
        if block.find_loop("_atom_site.id") or block.find_loop("_atom_site.Cartn_x"):
            return gemmi.make_structure_from_block(block)
    return None


def _parse_pdb(text: bytes, path: Path | str) -> gemmi.Structure | None:
    starts_with_atom = text.startswith(_PDB_RECORDS)
    if not (starts_with_atom or any(b"\n" + record in text for record in _PDB_RECORDS)):
        return None
    if starts_with_atom:
        _check_coordinates(text, 0, path)
    for unusual in _PDB_UNUSUAL.finditer(text):
        _check_coordinates(text, unusual.end(), path)
    return gemmi.read_pdb_string(text)


def _check_coordinates(text: bytes, start: int, path: Path | str) -> None:
    line = text[start : start + _PDB_FIELDS[-1][1]].splitlines()[0]
    if not all(_PDB_NUMBER.fullmatch(line, low, high) for low, high in _PDB_FIELDS):
        number = text.count(b"\n", 0, start) + 1
        raise ModelError(
            ModelReason.BAD_COORDINATES,
            f"{path}: line {number} holds no three numbers in columns 31 to 54: "
            f"{line[30:54].decode('latin-1')!r}; correct or remove the atom",
        )


def _check_finite(structure: gemmi.Structure, path: Path | str) -> None:
    xyz_A = gemmi.FlatStructure(structure).pos
    n_bad = int((~np.isfinite(xyz_A).all(axis=1)).sum())
    if n_bad:
        raise ModelError(
            ModelReason.BAD_COORDINATES,
            f"{path}: {n_bad} of {len(xyz_A)} atoms have a coordinate that is not "
            "a finite number; correct or remove them",
        )


def _unreadable(path: Path | str, fact: str) -> ModelError:
    return ModelError(
        ModelReason.UNREADABLE, f"{path}: {fact}; give a PDB or mmCIF file, plain or .gz"
    )
