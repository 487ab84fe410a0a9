"""The residue table of an entry as a small mmCIF file: backbone atoms, helices and strands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from c2s_data.schema import HELIX, STRAND

_ATOMS: Final = (("N", "N"), ("CA", "C"), ("C", "C"), ("O", "O"))
_BREAK_A: Final = 5.0
"""C-alphas of neighbors are 3.8 A apart, 2.9 A before a cis proline."""


class TraceRun(NamedTuple):
    """Residues of one chain, without a break, that share a secondary structure.

    ``first`` and ``last`` are ``label_seq_id`` of the file, ``rows`` those of the residue table.
    """

    subchain: str
    first: int
    last: int
    secondary: int
    rows: NDArray[np.int64]


def trace_structure(
    table: Mapping[str, NDArray[Any]], name: str
) -> tuple[gemmi.Structure, list[TraceRun]]:
    """Return the backbone of a residue table, and its runs of secondary structure in file order.

    ``auth_seq_id`` is as deposited; ``label_seq_id`` counts the residues that have a C-alpha from 1
    and leaves a number out at each break, so that no viewer draws a bond over it.

    Parameters
    ----------
    table
        Columns as `Store.residues` gives them.
    name
        Of the structure.
    """
    numbers = _numbers(table)
    runs = list(_runs(table, numbers))
    model, chains = gemmi.Model(1), dict[str, gemmi.Chain]()
    for row, number in numbers.items():
        chain = chains.setdefault(str(table["chain"][row]), gemmi.Chain(str(table["chain"][row])))
        chain.add_residue(_residue(table, row, number))
    for chain in chains.values():
        model.add_chain(chain)
    structure = gemmi.Structure()
    structure.name = name
    structure.add_model(model)
    structure.setup_entities()
    _add_secondary(structure, table, runs)
    return structure, runs


def trace_text(structure: gemmi.Structure) -> str:
    """Return a structure as the text of an mmCIF file."""
    return structure.make_mmcif_document().as_string()


def _numbers(table: Mapping[str, NDArray[Any]]) -> dict[int, int]:
    """Return ``label_seq_id`` by row, for the rows that have a C-alpha."""
    ca_A = np.stack([table[f"ca_{axis}_A"] for axis in "xyz"], axis=1)
    last = dict[str, tuple[int, NDArray[np.float64]]]()
    numbers = {}
    for row in np.flatnonzero(np.isfinite(ca_A).all(axis=1)).tolist():
        subchain = _subchain(table, row)
        number, before_A = last.get(subchain, (0, ca_A[row]))
        numbers[row] = number + (2 if np.linalg.norm(ca_A[row] - before_A) > _BREAK_A else 1)
        last[subchain] = numbers[row], ca_A[row]
    return numbers


def _subchain(table: Mapping[str, NDArray[Any]], row: int) -> str:
    return str(table["label_asym_id"][row])


def _runs(table: Mapping[str, NDArray[Any]], numbers: Mapping[int, int]) -> Iterator[TraceRun]:
    rows = list(numbers)
    start = 0
    for i in range(1, len(rows) + 1):
        if i < len(rows):
            here, before = rows[i], rows[i - 1]
            same = (
                _subchain(table, here) == _subchain(table, before)
                and numbers[here] == numbers[before] + 1
                and table["secondary"][here] == table["secondary"][before]
            )
            if same:
                continue
        first, last = rows[start], rows[i - 1]
        secondary = int(table["secondary"][first])
        of_run = np.array(rows[start:i], np.int64)
        yield TraceRun(_subchain(table, first), numbers[first], numbers[last], secondary, of_run)
        start = i


def _residue(table: Mapping[str, NDArray[Any]], row: int, number: int) -> gemmi.Residue:
    residue = gemmi.Residue()
    residue.name = str(table["residue_name"][row])
    residue.seqid = _seqid(table, row)
    residue.label_seq = number
    residue.subchain = _subchain(table, row)
    residue.entity_type = gemmi.EntityType.Polymer
    residue.het_flag = "H" if table["is_modified"][row] else "A"
    for name, element in _ATOMS:
        xyz_A = [float(table[f"{name.lower()}_{axis}_A"][row]) for axis in "xyz"]
        if np.isfinite(xyz_A).all():
            atom = gemmi.Atom()
            atom.name, atom.element = name, gemmi.Element(element)
            atom.pos = gemmi.Position(*xyz_A)
            atom.occ, atom.b_iso = float(table["occupancy"][row]), float(table["b_factor"][row])
            residue.add_atom(atom)
    return residue


def _seqid(table: Mapping[str, NDArray[Any]], row: int) -> gemmi.SeqId:
    return gemmi.SeqId(int(table["auth_seq_id"][row]), str(table["insertion_code"][row]) or " ")


def _add_secondary(
    structure: gemmi.Structure, table: Mapping[str, NDArray[Any]], runs: list[TraceRun]
) -> None:
    for run in runs:
        ends = [_address(table, int(run.rows[k])) for k in (0, -1)]
        if run.secondary == HELIX:
            helix = gemmi.Helix()
            helix.start, helix.end = ends
            structure.helices.append(helix)
        elif run.secondary == STRAND:
            sheet = gemmi.Sheet(f"S{len(structure.sheets) + 1}")
            strand = gemmi.Sheet.Strand()
            strand.start, strand.end = ends
            sheet.strands.append(strand)
            structure.sheets.append(sheet)


def _address(table: Mapping[str, NDArray[Any]], row: int) -> gemmi.AtomAddress:
    return gemmi.AtomAddress(
        str(table["chain"][row]), _seqid(table, row), str(table["residue_name"][row]), "CA"
    )
