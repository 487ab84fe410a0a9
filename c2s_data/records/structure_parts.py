"""Helix, coil and strand files of a model, and a model put together from such files.

The published records hold, beside the model, all atoms of the residues of each secondary-structure
class. PDB files hold what the format can: beyond 99,999 atoms, one-letter chain names or
three-letter residue names the model and its parts are mmCIF.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import gemmi
import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import ModelError, ModelReason
from c2s_data.records.layout import StructureSuffix
from c2s_data.schema import COIL, HELIX, STRAND
from c2s_data.sources.amino_acid import polymer_amino_acids, unlabeled_residues
from c2s_data.sources.structure_file import read_structure

_MAX_PDB_SERIAL: Final = 99_999
_PDB_COORDINATE_A: Final = (-999.999, 9999.999)
_PDB_NUMBER: Final = (-999, 9999)


@dataclass(frozen=True)
class StructureParts:
    """The protein residues of the first model of a file, by secondary-structure class.

    Parameters
    ----------
    whole
        The structure as read, all models.
    classes
        By (chain, residue) position in the first model; protein residues only.
    n_unclassified
        Protein residues that the table does not hold (no backbone atom, or left out by an option)
        and that count as coil.
    suffix
        ``.pdb`` where the format can hold the structure, else ``.cif``.
    """

    whole: gemmi.Structure
    classes: Mapping[tuple[int, int], int]
    n_unclassified: int
    suffix: StructureSuffix

    def write(self, secondary: int, path: Path) -> None:
        """Write all atoms of the residues of one class; there may be none."""
        write_structure(self._part(secondary), path, self.suffix)

    def _part(self, secondary: int) -> gemmi.Structure:
        part = gemmi.Structure()
        part.name, part.input_format = self.whole.name, self.whole.input_format
        part.cell, part.spacegroup_hm = self.whole.cell, self.whole.spacegroup_hm
        model = gemmi.Model(1)
        for number, chain in enumerate(self.whole[0]):
            copy = gemmi.Chain(chain.name)
            for position, residue in enumerate(chain):
                if self.classes.get((number, position)) == secondary:
                    copy.add_residue(residue)
            if len(copy):
                model.add_chain(copy)
        part.add_model(model)
        part.setup_entities()
        return part


def structure_parts(path: Path | str, residues: Mapping[str, NDArray[Any]]) -> StructureParts:
    """Read a model and classify its protein residues by a store's residue table.

    Parameters
    ----------
    path
        PDB or mmCIF file.
    residues
        Columns ``chain``, ``auth_seq_id``, ``insertion_code``, ``residue_name`` and ``secondary``.
        Copies that an assembly added come after the deposited residues and are not asked.

    Raises
    ------
    ModelError
        As `c2s_data.sources.structure_file.read_structure`.
    """
    whole = read_structure(path)
    guessed = unlabeled_residues(whole[0])
    whole.setup_entities()
    table = _Table(residues)
    classes: dict[tuple[int, int], int] = {}
    n_unclassified = 0
    for number, chain in enumerate(whole[0]):
        inside = polymer_amino_acids(chain, guessed[chain.name])
        for position, residue in enumerate(chain):
            if inside[position]:
                found = table.class_of(chain.name, residue)
                n_unclassified += found is None
                classes[number, position] = COIL if found is None else found
    suffix: StructureSuffix = ".pdb" if fits_pdb(whole) else ".cif"
    return StructureParts(whole, classes, n_unclassified, suffix)


class _Table:
    """Secondary structure by the identity of a residue."""

    def __init__(self, residues: Mapping[str, NDArray[Any]]) -> None:
        self._exact: dict[tuple[str, int, str, str], deque[int]] = defaultdict(deque)
        self._place: dict[tuple[str, int, str], int] = {}
        names = ("chain", "auth_seq_id", "insertion_code", "residue_name", "secondary")
        for chain, number, code, name, secondary in zip(
            *(residues[column].tolist() for column in names), strict=True
        ):
            self._exact[chain, number, code, name].append(secondary)
            self._place.setdefault((chain, number, code), secondary)

    def class_of(self, chain: str, residue: gemmi.Residue) -> int | None:
        """Return the class; the other residues of a point mutation have that of the chosen one."""
        place = (chain, residue.seqid.num or 0, residue.seqid.icode.strip())
        # Two residues that a file numbered and named alike come in the order of the file.
        exact = self._exact.get((*place, residue.name))
        return exact.popleft() if exact else self._place.get(place)


def fits_pdb(structure: gemmi.Structure) -> bool:
    """Say whether the columns of a PDB file can hold a structure, as wwPDB writes it.

    gemmi would write more: hybrid numbers and chain names of two letters, which many programs read
    as something else.
    """
    low, high = _PDB_COORDINATE_A
    first, last = _PDB_NUMBER
    for model in structure:
        # Each chain ends in a TER record, which takes a serial number too.
        if model.count_atom_sites() + len(model) > _MAX_PDB_SERIAL:
            return False
        for chain in model:
            if len(chain.name) > 1:
                return False
            for residue in chain:
                number = residue.seqid.num or 0
                if len(residue.name) > 3 or not first <= number <= last:
                    return False
                for atom in residue:
                    position = atom.pos.tolist()
                    if len(atom.name) > 4 or min(position) < low or max(position) > high:
                        return False
    return True


def write_structure(structure: gemmi.Structure, path: Path, suffix: StructureSuffix) -> None:
    """Write a structure in the format that a file suffix names."""
    if suffix == ".pdb":
        options = gemmi.PdbWriteOptions()
        options.preserve_serial = True
        options.ter_ignores_type = False
        path.write_text(structure.make_pdb_string(options), "utf-8")
    else:
        path.write_text(structure.make_mmcif_document().as_string(), "utf-8")


def put_together(parts: Mapping[int, Path | str]) -> gemmi.Structure:
    """Make a model of its three part files, with the records that say what they said.

    Parameters
    ----------
    parts
        File of each class, 1 coil, 2 helix, 3 strand.

    Returns
    -------
    gemmi.Structure
        Chains in the order in which the files name them first, by the lowest atom number;
        residues by number and insertion code. HELIX and SHEET records cover the runs of residues
        that came from the helix and the strand file, so that ``secondary: records`` is what the
        files said.

    Raises
    ------
    ModelError
        If a file cannot be read, none holds an atom, or two hold the same residue.
    """
    chains: dict[str, list[tuple[gemmi.Residue, int]]] = defaultdict(list)
    for secondary in sorted(parts):
        structure = _read_part(parts[secondary])
        for chain in structure[0] if structure is not None else ():
            chains[chain.name] += [(residue, secondary) for residue in chain]
    if not chains:
        names = ", ".join(str(path) for path in parts.values())
        raise ModelError(ModelReason.NO_PROTEIN, f"{names}: no atom in any of them; give the model")
    whole = gemmi.Structure()
    model = gemmi.Model(1)
    for name in sorted(
        chains, key=lambda name: min(r[0].serial for r, _ in chains[name] if len(r))
    ):
        found = sorted(chains[name], key=lambda item: _order(item[0]))
        _refuse_twice(name, found, parts)
        chain = gemmi.Chain(name)
        for residue, _ in found:
            chain.add_residue(residue)
        model.add_chain(chain)
        _add_records(whole, name, found)
    whole.add_model(model)
    whole.setup_entities()
    return whole


def _read_part(path: Path | str) -> gemmi.Structure | None:
    """Read a part; one of a protein without such residues holds no atom."""
    try:
        return read_structure(path)
    except ModelError as error:
        text = Path(path)
        if error.reason == ModelReason.UNREADABLE and text.stat().st_size < 2**16:
            content = text.read_text("utf-8", "replace")
            if "ATOM" not in content and "_atom_site" not in content:
                return None
        raise


def _order(residue: gemmi.Residue) -> tuple[int, str, int]:
    return residue.seqid.num or 0, residue.seqid.icode, residue[0].serial if len(residue) else 0


def _refuse_twice(
    chain: str, found: list[tuple[gemmi.Residue, int]], parts: Mapping[int, Path | str]
) -> None:
    for (before, one), (after, other) in pairwise(found):
        same = (before.seqid, before.name) == (after.seqid, after.name)
        if same and one != other:
            raise ModelError(
                ModelReason.UNREADABLE,
                f"{parts[one]} and {parts[other]} both hold {before.name} {before.seqid} of chain "
                f"{chain}; give the model itself",
            )


def _add_records(
    whole: gemmi.Structure, chain: str, found: list[tuple[gemmi.Residue, int]]
) -> None:
    classes = np.array([secondary for _, secondary in found])
    starts = np.flatnonzero(np.diff(classes, prepend=-1))
    ends = np.append(starts[1:], len(found)) - 1
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        first, last = (
            gemmi.AtomAddress(chain, found[i][0].seqid, found[i][0].name, "") for i in (start, end)
        )
        if classes[start] == HELIX:
            helix = gemmi.Helix()
            helix.start, helix.end, helix.length = first, last, end - start + 1
            whole.helices.append(helix)
        elif classes[start] == STRAND:
            sheet = gemmi.Sheet(f"S{len(whole.sheets) + 1}")
            strand = gemmi.Sheet.Strand()
            strand.start, strand.end, strand.name = first, last, "1"
            sheet.strands.append(strand)
            whole.sheets.append(sheet)
