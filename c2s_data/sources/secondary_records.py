"""Secondary structure as the depositors wrote it: HELIX and SHEET records and their mmCIF kin."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from c2s_data.schema import COIL, HELIX, STRAND

if TYPE_CHECKING:
    from collections.abc import Iterator

    import gemmi
    from numpy.typing import NDArray


class RecordedStructure(NamedTuple):
    """What the records say of the residues of a table.

    Parameters
    ----------
    secondary : (n,) uint8
        1 coil (also where no record reaches), 2 helix, 3 strand.
    n_used : int
        Records that cover at least one residue.
    unused : tuple of str
        The others, each with its reason.
    """

    secondary: NDArray[np.uint8]
    n_used: int
    unused: tuple[str, ...]


def recorded_structure(
    structure: gemmi.Structure,
    chain: NDArray[np.str_],
    auth_seq_id: NDArray[np.int32],
    insertion_code: NDArray[np.str_],
) -> RecordedStructure:
    """Apply the records to residues: helices of any class first, then strands over them.

    Parameters
    ----------
    structure
        What gemmi read.
    chain, auth_seq_id, insertion_code : (n,)
        Residues in file order, by author numbering, as the records name them.

    Notes
    -----
    A range runs from one residue to the other in file order. Where an end is not in the model, the
    residues of the chain that lie between by number and insertion code stand for it.
    """
    rows = _Rows(chain, auth_seq_id, insertion_code)
    secondary = np.full(len(chain), COIL, np.uint8)
    n_used, unused = 0, []
    for value, start, end in _ranges(structure):
        covered = rows.between(start, end)
        if len(covered):
            secondary[covered] = value
            n_used += 1
        else:
            kind = "helix" if value == HELIX else "strand"
            unused.append(f"{kind} record {start} to {end} covers no residue of the model")
    return RecordedStructure(secondary, n_used, tuple(unused))


def _ranges(
    structure: gemmi.Structure,
) -> Iterator[tuple[int, gemmi.AtomAddress, gemmi.AtomAddress]]:
    for helix in structure.helices:
        yield HELIX, helix.start, helix.end
    for sheet in structure.sheets:
        for strand in sheet.strands:
            yield STRAND, strand.start, strand.end


class _Rows:
    """Residue rows by chain, with the order of their numbers."""

    def __init__(
        self,
        chain: NDArray[np.str_],
        auth_seq_id: NDArray[np.int32],
        insertion_code: NDArray[np.str_],
    ) -> None:
        number = auth_seq_id.astype(np.int64)
        code = np.array([ord(letter) if letter else 0 for letter in insertion_code], np.int64)
        self._order = number * 2**21 + code
        self._rows = {str(name): np.flatnonzero(chain == name) for name in np.unique(chain)}

    def between(self, start: gemmi.AtomAddress, end: gemmi.AtomAddress) -> NDArray[np.int64]:
        rows = self._rows.get(start.chain_name, np.empty(0, np.int64))
        if start.chain_name != end.chain_name:
            return rows[:0]
        order, low, high = self._order[rows], _order_of(start), _order_of(end)
        first, last = np.flatnonzero(order == low), np.flatnonzero(order == high)
        if len(first) and len(last):
            return rows[first[0] : last[-1] + 1]
        return rows[(order >= low) & (order <= high)]


def _order_of(address: gemmi.AtomAddress) -> int:
    seqid = address.res_id.seqid
    return int(seqid.num or 0) * 2**21 + ord(seqid.icode.strip() or "\0")
