"""The atoms that the masks of an entry must show, and which of them keeps a shared voxel."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import ModelError
from c2s_data.schema import ATOM_C, ATOM_CA, ATOM_N, IGNORE
from c2s_data.sources.atomic_model import read_atomic_model
from c2s_data.transforms.label import voxel_index
from c2s_data.validation.subject import Subject

VOXEL_SIZE_ZYX_A = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class LabelAtoms:
    """Atoms in file order.

    Parameters
    ----------
    xyz_A : (n, 3) float64
        Positions x, y, z in A.
    voxel_zyx : (n, 3) int64
        Voxel of each, outside the grid where the atom is.
    atom_class, amino, secondary : (n,) uint8
        What each writes into the masks; the last two count at C-alphas only.
    is_exact
        Whether the masks show these atoms and no others. Under ``atoms: named`` the residue table
        lacks ions, ligands and caps, which are known only while the model file is at hand; and
        masks that were read from files may be of anything.
    why_not
        What is missing, where `is_exact` is false.
    """

    xyz_A: NDArray[np.float64]
    voxel_zyx: NDArray[np.int64]
    atom_class: NDArray[np.uint8]
    amino: NDArray[np.uint8]
    secondary: NDArray[np.uint8]
    is_exact: bool
    why_not: str = ""

    def inside(self, shape_zyx: tuple[int, int, int]) -> NDArray[np.bool_]:
        """Say which atoms (n,) lie on the grid."""
        return np.asarray(((self.voxel_zyx >= 0) & (self.voxel_zyx < shape_zyx)).all(axis=1))

    def select(self, rows: NDArray[np.bool_]) -> LabelAtoms:
        """Return the atoms of some rows."""
        return replace(
            self,
            xyz_A=self.xyz_A[rows],
            voxel_zyx=self.voxel_zyx[rows],
            atom_class=self.atom_class[rows],
            amino=self.amino[rows],
            secondary=self.secondary[rows],
        )


def label_atoms(subject: Subject) -> LabelAtoms:
    """Return the atoms that were labeled, as far as they can be known."""
    atoms, why = None, ""
    if subject.config.atoms == "named":
        atoms, why = _of_model(subject)
    if subject.config.masks == "files":
        why = "the masks were taken from files as they are"
    atoms = atoms or _of_table(subject)
    return replace(atoms, is_exact=False, why_not=why) if why else atoms


def winners(
    voxel: NDArray[np.int64], atom_class: NDArray[np.uint8], collision: str
) -> NDArray[np.int64]:
    """Return the row of the atom that keeps each voxel, ordered by voxel.

    ``ca-first``: C-alpha before N before C, then the first in file order; otherwise the last.
    """
    ca_first = collision == "ca-first"
    order = np.argsort(atom_class, kind="stable") if ca_first else np.arange(len(voxel))[::-1]
    _, first = np.unique(voxel[order], return_index=True)
    return order[first]


def _of_table(subject: Subject) -> LabelAtoms:
    """Take N, C-alpha and C of each residue; the C-alpha's voxel is the one the table holds."""
    table, config = subject.residues, subject.config
    xyz_A = np.stack([subject.atom_xyz_A(name) for name in ("n", "ca", "c")], axis=1)
    present = np.isfinite(xyz_A).all(axis=2)
    voxel_zyx = np.full(xyz_A.shape, -1, np.int64)
    voxel_zyx[present] = voxel_index(
        xyz_A[present], subject.entry.origin_xyz_A, VOXEL_SIZE_ZYX_A, config.label_rule
    )
    voxel_zyx[:, 1] = np.stack([table[f"voxel_{axis}"] for axis in "zyx"], axis=1)
    amino = table["amino_class"].astype(np.uint8)
    if config.modified_residues == "unknown":
        amino = np.where(table["is_modified"], 0, amino).astype(np.uint8)
    if config.unknown_amino == "ignore":
        amino[amino == 0] = IGNORE
    rows = np.broadcast_to(np.arange(len(amino))[:, None], present.shape)[present]
    classes = np.broadcast_to(np.array([ATOM_N, ATOM_CA, ATOM_C], np.uint8), present.shape)
    return LabelAtoms(
        xyz_A[present],
        voxel_zyx[present],
        classes[present],
        amino[rows],
        table["secondary"][rows].astype(np.uint8),
        is_exact=True,
    )


def _of_model(subject: Subject) -> tuple[LabelAtoms | None, str]:
    """Take every atom named CA, N or C of the model file, or say why that cannot be done."""
    config, planned, path = subject.config, subject.planned, subject.source_model
    if path is None:
        return None, "the model file is not at hand"
    assert planned is not None
    if (planned.entry.assembly or config.assembly) != "deposited":
        return None, "copies of an assembly are labeled too"
    try:
        model = read_atomic_model(path, zero_occupancy=config.zero_occupancy)
    except ModelError as error:
        return None, str(error)
    named = model.named
    secondary = np.zeros(len(named), np.uint8)
    of_residue = named.residue_index >= 0
    classes = subject.residues["secondary"]
    if len(classes) <= int(named.residue_index.max(initial=-1)):
        return None, "the model file has other residues than the residue table"
    secondary[of_residue] = classes[named.residue_index[of_residue]]
    voxel_zyx = voxel_index(
        named.xyz_A, subject.entry.origin_xyz_A, VOXEL_SIZE_ZYX_A, config.label_rule
    )
    return LabelAtoms(
        named.xyz_A, voxel_zyx, named.atom_class, named.amino_class, secondary, is_exact=True
    ), ""
