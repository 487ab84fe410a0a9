"""The residues of a model as columns: float coordinates, identity, class. The primary truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from c2s_data.schema import ATOM_C, ATOM_CA, ATOM_N

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Point = tuple[float, float, float]
ABSENT: Point = (float("nan"), float("nan"), float("nan"))


class BackboneAtoms(NamedTuple):
    """The present N, C-alpha and C of a residue table, in that order within each residue.

    Parameters
    ----------
    xyz_A : (m, 3) float64
        Positions x, y, z in A.
    atom_class : (m,) uint8
        1 C-alpha, 2 N, 3 C.
    residue_index : (m,) int32
        Row of the residue table.
    """

    xyz_A: NDArray[np.float64]
    atom_class: NDArray[np.uint8]
    residue_index: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class ResidueTable:
    """One row per polymer amino-acid residue of the first model, chosen conformer, file order.

    Parameters
    ----------
    chain : (n,) str
        Author chain name, of any length.
    label_asym_id : (n,) str
        mmCIF chain identifier; the author chain name for a PDB file.
    label_seq_id : (n,) int32
        Position in the entity's sequence from 1; -1 where the file holds no sequence.
    auth_seq_id : (n,) int32
    insertion_code : (n,) str
        Empty where there is none.
    residue_name : (n,) str
    amino_class : (n,) uint8
        0 to 20, modified residues as their parent (MSE is MET); 0 is unknown.
    amino_class_literal : (n,) uint8
        0 for anything but the twenty names.
    altloc : (n,) str
        Chosen alternative location, empty where there is none.
    occupancy, b_factor : (n,) float32
        Of the C-alpha, or of the first backbone atom where that is absent; B in A^2.
    is_modified : (n,) bool
        A modified residue whose parent is one of the twenty.
    n_xyz_A, ca_xyz_A, c_xyz_A, o_xyz_A : (n, 3) float64
        Positions x, y, z in A as deposited, NaN for an absent atom.
    record_secondary : (n,) uint8
        By the file's records, 1 coil (also where none reaches), 2 helix, 3 strand.
    """

    chain: NDArray[np.str_]
    label_asym_id: NDArray[np.str_]
    label_seq_id: NDArray[np.int32]
    auth_seq_id: NDArray[np.int32]
    insertion_code: NDArray[np.str_]
    residue_name: NDArray[np.str_]
    amino_class: NDArray[np.uint8]
    amino_class_literal: NDArray[np.uint8]
    altloc: NDArray[np.str_]
    occupancy: NDArray[np.float32]
    b_factor: NDArray[np.float32]
    is_modified: NDArray[np.bool_]
    n_xyz_A: NDArray[np.float64]
    ca_xyz_A: NDArray[np.float64]
    c_xyz_A: NDArray[np.float64]
    o_xyz_A: NDArray[np.float64]
    record_secondary: NDArray[np.uint8]

    def __len__(self) -> int:
        """Return the number of residues."""
        return len(self.chain)

    @property
    def chain_index(self) -> NDArray[np.int64]:
        """Number of each residue's chain, 0, 1, ... in file order: (n,) int64."""
        new = (self.chain[1:] != self.chain[:-1]) | (
            self.label_asym_id[1:] != self.label_asym_id[:-1]
        )
        return np.concatenate(([0], np.cumsum(new))).astype(np.int64)[: len(self)]

    def backbone_atoms(self) -> BackboneAtoms:
        """Return the atoms that labels are made of: N, C-alpha and C where present."""
        xyz_A = np.stack((self.n_xyz_A, self.ca_xyz_A, self.c_xyz_A), axis=1)  # (n, 3 atoms, 3)
        present = np.isfinite(xyz_A).all(axis=2)
        classes = np.broadcast_to(np.array([ATOM_N, ATOM_CA, ATOM_C], np.uint8), present.shape)
        rows = np.broadcast_to(np.arange(len(self), dtype=np.int32)[:, None], present.shape)
        return BackboneAtoms(xyz_A[present], classes[present], rows[present])


class ResidueRow(NamedTuple):
    """One residue on its way into the table; fields as there."""

    chain: str
    label_asym_id: str
    label_seq_id: int
    auth_seq_id: int
    insertion_code: str
    residue_name: str
    amino_class: int
    amino_class_literal: int
    altloc: str
    occupancy: float
    b_factor: float
    n_xyz_A: Point
    ca_xyz_A: Point
    c_xyz_A: Point
    o_xyz_A: Point


class ResidueIdentity(NamedTuple):
    """The author numbering of a table's residues, by which records name them."""

    chain: NDArray[np.str_]
    auth_seq_id: NDArray[np.int32]
    insertion_code: NDArray[np.str_]


def residue_identity(rows: Sequence[ResidueRow]) -> ResidueIdentity:
    """Return chain, author number and insertion code of the rows."""
    return ResidueIdentity(
        np.array([row.chain for row in rows], np.str_),
        np.array([row.auth_seq_id for row in rows], np.int32),
        np.array([row.insertion_code for row in rows], np.str_),
    )


def residue_table(rows: Sequence[ResidueRow], record_secondary: NDArray[np.uint8]) -> ResidueTable:
    """Turn rows into columns; ``record_secondary`` is the one that the rows do not hold."""
    identity = residue_identity(rows)
    amino_class = np.array([row.amino_class for row in rows], np.uint8)
    literal = np.array([row.amino_class_literal for row in rows], np.uint8)
    return ResidueTable(
        chain=identity.chain,
        label_asym_id=np.array([row.label_asym_id for row in rows], np.str_),
        label_seq_id=np.array([row.label_seq_id for row in rows], np.int32),
        auth_seq_id=identity.auth_seq_id,
        insertion_code=identity.insertion_code,
        residue_name=np.array([row.residue_name for row in rows], np.str_),
        amino_class=amino_class,
        amino_class_literal=literal,
        altloc=np.array([row.altloc for row in rows], np.str_),
        occupancy=np.array([row.occupancy for row in rows], np.float32),
        b_factor=np.array([row.b_factor for row in rows], np.float32),
        is_modified=amino_class != literal,
        n_xyz_A=_points([row.n_xyz_A for row in rows]),
        ca_xyz_A=_points([row.ca_xyz_A for row in rows]),
        c_xyz_A=_points([row.c_xyz_A for row in rows]),
        o_xyz_A=_points([row.o_xyz_A for row in rows]),
        record_secondary=record_secondary,
    )


def _points(points: Sequence[Point]) -> NDArray[np.float64]:
    return np.array(points, np.float64).reshape(-1, 3)
