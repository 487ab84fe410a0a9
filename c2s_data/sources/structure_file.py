"""Read a PDB or mmCIF file into gemmi, refusing what gemmi would take for something else.

gemmi reads a coordinate field such as ``********`` as 0.0 and an unrelated text file as an empty
structure; both are refused here. So is what would cost memory out of proportion to the file: names
of any length, repeated for every residue, and sequences to align that fill a matrix.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import ModelError, ModelReason
from c2s_data.sources.assembly_operators import (
    FileOperators,
    pdb_operators,
    take_mmcif_operators,
)
from c2s_data.sources.input_file import open_input

MAX_BYTES: Final = 2**30  # the largest deposited structures have a third of that
MAX_POSITION_A: Final = 1e6  # where a map's origin ends as well
MAX_NAME: Final = 64
MAX_ALIGNMENT: Final = 2**28
"""Residues of a chain times those of its sequence: gemmi's alignment takes so many bytes."""
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


class ModelFile(NamedTuple):
    """All models of a file, and the operators of its assembly."""

    structure: gemmi.Structure
    operators: FileOperators


def read_structure(path: Path | str, *, max_bytes: int = MAX_BYTES) -> gemmi.Structure:
    """Read all models of a file; arguments and errors as for `read_model_file`."""
    return read_model_file(path, max_bytes=max_bytes).structure


def read_model_file(path: Path | str, *, max_bytes: int = MAX_BYTES) -> ModelFile:
    """Read all models of a file and its assembly; content tells format and compression.

    Parts of a chain that lie apart in the file are brought together; entities are left as found.

    Parameters
    ----------
    path
        PDB or mmCIF file, plain or gzipped: a path or a URL.
    max_bytes
        Largest size of the text; a gzipped file is not inflated beyond it.

    Raises
    ------
    ModelError
        ``not-found``, ``unreadable`` or ``bad-coordinates``.
    """
    text = _read_text(path, max_bytes)
    try:
        found = _parse_mmcif(text) if _CIF_START.match(text) else _parse_pdb(text, path)
    except (ValueError, RuntimeError, IndexError) as error:
        raise _unreadable(path, f"not a PDB or mmCIF file that gemmi can read ({error})") from error
    if found is None or len(found.structure) == 0:
        raise _unreadable(path, "neither a PDB nor an mmCIF file with atoms")
    structure = found.structure
    structure.merge_chain_parts()
    _check_positions(structure, path)
    try:
        _check_names(structure, path)
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"a name in it is not text ({error.object!r:.40})") from error
    return found


def _read_text(path: Path | str, max_bytes: int) -> bytes:
    try:
        with open_input(path) as file:
            is_gzip = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            if is_gzip:
                with gzip.GzipFile(fileobj=file) as inflated:
                    text = inflated.read(max_bytes + 1)
            else:
                text = file.read(max_bytes + 1)
    except FileNotFoundError as error:
        raise ModelError(
            ModelReason.NOT_FOUND,
            f"{path}: no such file; check its path (in a catalog, the model column)",
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, f"cannot be read ({error}); fetch it again") from error
    if len(text) > max_bytes:
        raise _unreadable(path, f"larger than {max_bytes} bytes of text")
    return text.removeprefix(_BYTE_ORDER_MARK)


def _parse_mmcif(text: bytes) -> ModelFile | None:
    for block in gemmi.cif.read_string(text):
        if block.find_loop("_atom_site.id") or block.find_loop("_atom_site.Cartn_x"):
            operators = take_mmcif_operators(block)
            return ModelFile(gemmi.make_structure_from_block(block), operators)
    return None


def _parse_pdb(text: bytes, path: Path | str) -> ModelFile | None:
    starts_with_atom = text.startswith(_PDB_RECORDS)
    if not (starts_with_atom or any(b"\n" + record in text for record in _PDB_RECORDS)):
        return None
    if starts_with_atom:
        _check_coordinates(text, 0, path)
    for unusual in _PDB_UNUSUAL.finditer(text):
        _check_coordinates(text, unusual.end(), path)
    structure = gemmi.read_pdb_string(text)
    return ModelFile(structure, pdb_operators(structure))


def _check_coordinates(text: bytes, start: int, path: Path | str) -> None:
    line = text[start : start + _PDB_FIELDS[-1][1]].splitlines()[0]
    if not all(_PDB_NUMBER.fullmatch(line, low, high) for low, high in _PDB_FIELDS):
        number = text.count(b"\n", 0, start) + 1
        raise ModelError(
            ModelReason.BAD_COORDINATES,
            f"{path}: line {number} holds no three numbers in columns 31 to 54: "
            f"{line[30:54].decode('latin-1')!r}; correct or remove the atom",
        )


def _check_positions(structure: gemmi.Structure, path: Path | str) -> None:
    xyz_A = _positions(structure)
    n_bad = int((~(np.abs(xyz_A) <= MAX_POSITION_A).all(axis=1)).sum())  # nan too
    if n_bad:
        raise ModelError(
            ModelReason.BAD_COORDINATES,
            f"{path}: {n_bad} of {len(xyz_A)} atoms have a coordinate that is not "
            f"a number within {MAX_POSITION_A:,.0f} A; correct or remove them",
        )


def _positions(structure: gemmi.Structure) -> NDArray[np.float64]:
    try:
        return np.asarray(gemmi.FlatStructure(structure).pos)
    except RuntimeError:  # it has no room for names of eight letters, which mmCIF allows
        atoms = [atom for m in structure for chain in m for residue in chain for atom in residue]
        return np.array([atom.pos.tolist() for atom in atoms]).reshape(-1, 3)


def _check_names(structure: gemmi.Structure, path: Path | str) -> None:
    """Refuse names that are no text (Python finds out on access) or longer than any real one."""
    names = {entry.parent_comp_id for entry in structure.mod_residues}
    for entity in structure.entities:
        names |= {entity.name, *entity.subchains, *entity.full_sequence}
    for address in _record_addresses(structure):
        names |= {address.chain_name, address.res_id.name, address.res_id.seqid.icode}
    for model in structure:
        for chain in model:
            names.add(chain.name)
            for residue in chain:
                names |= {residue.name, residue.subchain, residue.entity_id, residue.seqid.icode}
                names |= {text for atom in residue for text in (atom.name, atom.altloc)}
    longest = max(names, key=len, default="")
    if len(longest) > MAX_NAME:
        raise _unreadable(path, f"the name {longest[:20]!r}... has {len(longest)} letters")


def _record_addresses(structure: gemmi.Structure) -> Iterator[Any]:
    strands = [strand for sheet in structure.sheets for strand in sheet.strands]
    for record in (*structure.helices, *strands):
        yield record.start
        yield record.end
    yield from structure.mod_residues


def check_alignment(structure: gemmi.Structure, path: Path | str) -> None:
    """Refuse what gemmi would align to a sequence in a matrix out of proportion.

    Raises
    ------
    ModelError
        ``unreadable``: residues without a sequence number times their sequence are too many.
    """
    length = {
        subchain: len(entity.full_sequence)
        for entity in structure.entities
        for subchain in entity.subchains
    }
    for model in structure:
        residues = [residue for chain in model for residue in chain]
        unnumbered = {residue.subchain for residue in residues if residue.label_seq is None}
        for subchain, n in Counter(residue.subchain for residue in residues).items():
            if subchain in unnumbered and n * length.get(subchain, 0) > MAX_ALIGNMENT:
                raise _unreadable(
                    path,
                    f"chain {subchain} has {n:,} residues, its sequence {length[subchain]:,}, and "
                    "no label_seq_id says which are which",
                )


def _unreadable(path: Path | str, fact: str) -> ModelError:
    return ModelError(
        ModelReason.UNREADABLE, f"{path}: {fact}; give a PDB or mmCIF file, plain or .gz"
    )
