"""Labels of nucleic acids: which part of a nucleotide a voxel holds, and which base.

The counterpart of the masks ``atom`` and ``amino``: every heavy atom labels its voxel, and the base
is known at the C1' atom, the one that joins it to the sugar, as the amino acid is at the C-alpha.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from c2s_data.schema import NUCLEIC_ATOM_CLASSES, NUCLEIC_BASE_CLASSES
from c2s_data.transforms.label import LabelRule, VoxelLabels, voxel_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from c2s_data.transforms.label_window import Grid

PHOSPHATE, C1, SUGAR, BASE = (
    NUCLEIC_ATOM_CLASSES.index(name) for name in ("phosphate", "C1'", "sugar", "base")
)
_A, _C, _G, _U = (NUCLEIC_BASE_CLASSES.index(name) for name in ("A", "C", "G", "U or T"))

PHOSPHATE_ATOMS: Final = frozenset(
    {
        *("P", "OP1", "OP2", "OP3", "O1P", "O2P", "O3P", "S1P", "S2P"),
        *(f"{atom}{site}" for atom in ("P", "O1", "O2", "O3") for site in "ABG"),
    }
)
"""Atoms of the phosphate, also of a triphosphate at the 5' end; O3' and O5' are the sugar's."""

BASE_OF_RESIDUE: Final = {
    **dict.fromkeys(("A", "DA", "1MA", "2MA", "6MZ", "A2M", "MA6", "MIA", "T6A"), _A),
    **dict.fromkeys(("C", "DC", "4AC", "4OC", "5CM", "5MC", "CBV", "OMC"), _C),
    **dict.fromkeys(("G", "DG", "1MG", "2MG", "7MG", "G7M", "M2G", "OMG", "YG", "YYG"), _G),
    **dict.fromkeys(("U", "DU", "DT", "T", "4SU", "5MU", "H2U", "OMU", "PSU", "UR3"), _U),
}
"""Base class of nucleotides, the common modified ones as their parents; others are unknown."""


class NucleicLabels(NamedTuple):
    """The masks of one map and what was lost on the way.

    Parameters
    ----------
    atom : VoxelLabels
        Classes of `c2s_data.schema.NUCLEIC_ATOM_CLASSES`.
    base : VoxelLabels
        At C1' atoms: classes of `c2s_data.schema.NUCLEIC_BASE_CLASSES`; nothing where unknown.
    n_outside : int
        Atoms outside the map, dropped.
    n_collisions : int
        Atoms inside that lost their voxel to another.
    """

    atom: VoxelLabels
    base: VoxelLabels
    n_outside: int
    n_collisions: int


def nucleic_labels(
    xyz_A: ArrayLike,
    atom_name: Sequence[str] | NDArray[np.str_],
    residue_name: Sequence[str] | NDArray[np.str_],
    grid: Grid,
    *,
    rule: LabelRule = "nearest",
) -> NucleicLabels:
    """Label the voxels of the heavy atoms of nucleotides.

    Parameters
    ----------
    xyz_A
        (n, 3) finite positions x, y, z in A.
    atom_name, residue_name
        (n,) names as the Protein Data Bank gives them; ``C1*`` is taken for ``C1'``.
    grid
        The map.
    rule
        Which voxel an atom is in; see `c2s_data.transforms.label`. Where several share one, the
        phosphate keeps it before C1', the sugar and the base, the first in file order among
        equals.

    Raises
    ------
    ValueError
        If the arrays differ in length or `voxel_index` refuses a position.
    """
    part = atom_classes(atom_name)
    base = np.array([BASE_OF_RESIDUE.get(str(name), 0) for name in residue_name], np.uint8)
    index_zyx = voxel_index(xyz_A, grid.origin_xyz_A, grid.voxel_size_zyx_A, rule)
    if not len(part) == len(base) == len(index_zyx):
        raise ValueError(
            f"{len(index_zyx)} positions, {len(part)} atom names, {len(base)} residue names"
        )
    inside = np.flatnonzero(((index_zyx >= 0) & (index_zyx < grid.shape_zyx)).all(axis=1))
    rows = _first_of_voxel(inside, part, index_zyx, grid)
    sugars = _first_of_voxel(inside[part[inside] == C1], part, index_zyx, grid)
    sugars = sugars[base[sugars] != 0]
    return NucleicLabels(
        atom=VoxelLabels(index_zyx[rows].astype(np.int32), part[rows]),
        base=VoxelLabels(index_zyx[sugars].astype(np.int32), base[sugars]),
        n_outside=len(index_zyx) - len(inside),
        n_collisions=len(inside) - len(rows),
    )


def atom_classes(atom_name: Sequence[str] | NDArray[np.str_]) -> NDArray[np.uint8]:
    """Return the class of each heavy atom of a nucleotide by its name.

    Names that end in a prime or star are of the sugar, C1' apart; those of `PHOSPHATE_ATOMS` are
    of the phosphate; all others of the base.
    """
    return np.array([_class_of(str(name)) for name in atom_name], np.uint8)


def _class_of(name: str) -> int:
    if name in PHOSPHATE_ATOMS:
        return PHOSPHATE
    if name in ("C1'", "C1*"):
        return C1
    return SUGAR if name.endswith(("'", "*")) else BASE


def _first_of_voxel(
    rows: NDArray[np.int64], part: NDArray[np.uint8], index_zyx: NDArray[np.int64], grid: Grid
) -> NDArray[np.int64]:
    """Return the row that keeps each voxel, in the order of voxels: lowest class, then row."""
    voxel = np.ravel_multi_index(tuple(index_zyx[rows].T), grid.shape_zyx)
    order = np.lexsort((rows, part[rows], voxel))
    _, first = np.unique(voxel[order], return_index=True)
    return rows[order[first]]
