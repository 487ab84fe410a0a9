"""From an atomic model to labeled voxels, as the options of a build say.

Here the choices of a preset meet the transforms, which know no presets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c2s_data.config import BuildConfig
from c2s_data.plan import PlannedEntry
from c2s_data.schema import IGNORE
from c2s_data.sources.atomic_model import AtomicModel
from c2s_data.transforms.label import LabeledVoxels, label_voxels, voxel_index
from c2s_data.transforms.secondary_structure import dssp, incomplete, three_state

VOXEL_SIZE_ZYX_A = (1.0, 1.0, 1.0)


def inside_map(
    xyz_A: NDArray[np.float64], planned: PlannedEntry, config: BuildConfig
) -> NDArray[np.bool_]:
    """Say which points (n, 3) have their voxel, by the label rule, inside the 1 A grid."""
    voxel_zyx = voxel_index(xyz_A, planned.origin_xyz_A, VOXEL_SIZE_ZYX_A, config.label_rule)
    return np.asarray(((voxel_zyx >= 0) & (voxel_zyx < planned.shape_zyx)).all(axis=1))


def excluded_atoms(model: AtomicModel, config: BuildConfig) -> dict[str, int]:
    """Return the atoms named CA, N or C that are not labeled, by reason.

    Under ``atoms: named`` ions, caps, ligands and further models are labeled; only other locations
    of an atom and the other residues of a point mutation are left out.
    """
    if config.atoms == "polymer":
        return dict(sorted(model.excluded.items()))
    n_named = len(model.residues.backbone_atoms().xyz_A) + sum(model.excluded.values())
    n_left_out = n_named - len(model.named.xyz_A)
    return {"alternative-conformer": n_left_out} if n_left_out else {}


@dataclass(frozen=True)
class SecondaryStructure:
    """Secondary structure per residue and where it comes from.

    ``classes`` uint8 (n,), ``letters`` of DSSP (n,), and ``incomplete`` bool (n,): residues that
    lack a backbone atom, which DSSP cannot assign.
    """

    classes: NDArray[np.uint8]
    letters: NDArray[np.str_]
    incomplete: NDArray[np.bool_]
    source: str
    notes: tuple[str, ...]


def secondary_structure(model: AtomicModel, config: BuildConfig) -> SecondaryStructure:
    """Assign coil, helix or strand to every residue, from the file's records or computed."""
    table = model.residues
    atoms = (table.n_xyz_A, table.ca_xyz_A, table.c_xyz_A, table.o_xyz_A)
    letters = dssp(*atoms, table.chain_index, table.residue_name == "PRO")
    bare = incomplete(*atoms)
    if config.secondary == "records" or (config.secondary == "auto" and model.has_records):
        notes = () if model.has_records else ("the model has no HELIX or SHEET record: all coil",)
        return SecondaryStructure(table.record_secondary, letters, bare, "records", notes)
    notes = (
        (f"{bare.sum()} of {bare.size} residues lack a backbone atom and are taken as coil",)
        if bare.any()
        else ()
    )
    return SecondaryStructure(three_state(letters), letters, bare, "dssp", notes)


def label_model(
    model: AtomicModel,
    secondary: SecondaryStructure,
    planned: PlannedEntry,
    config: BuildConfig,
) -> LabeledVoxels:
    """Label the voxels of one map."""
    atoms = _named_atoms if config.atoms == "named" else _polymer_atoms
    xyz_A, atom_class, amino_class, secondary_class = atoms(model, secondary, config)
    return label_voxels(
        xyz_A,
        atom_class,
        amino_class,
        secondary_class,
        shape_zyx=planned.shape_zyx,
        origin_xyz_A=planned.origin_xyz_A,
        voxel_size_zyx_A=VOXEL_SIZE_ZYX_A,
        rule=config.label_rule,
        collision=config.collision,
    )


def _polymer_atoms(
    model: AtomicModel, secondary: SecondaryStructure, config: BuildConfig
) -> tuple[NDArray[Any], ...]:
    table = model.residues
    known = config.modified_residues == "parent"
    amino = (table.amino_class if known else table.amino_class_literal).copy()
    if config.unknown_amino == "ignore":
        amino[amino == 0] = IGNORE
    atoms = table.backbone_atoms()
    rows = atoms.residue_index
    return atoms.xyz_A, atoms.atom_class, amino[rows], secondary.classes[rows]


def _named_atoms(
    model: AtomicModel, secondary: SecondaryStructure, _: BuildConfig
) -> tuple[NDArray[Any], ...]:
    named = model.named
    of_residue = named.residue_index >= 0
    classes = np.zeros(len(of_residue), np.uint8)
    classes[of_residue] = secondary.classes[named.residue_index[of_residue]]
    return named.xyz_A, named.atom_class, named.amino_class, classes


def residue_columns(
    model: AtomicModel,
    secondary: SecondaryStructure,
    planned: PlannedEntry,
    config: BuildConfig,
) -> dict[str, Any]:
    """Return the columns of the stored residue table, one row per residue in file order.

    Coordinates are in A, float64, as (x, y, z) in columns such as ``ca_x_A``; NaN where the model
    has no such atom. ``voxel_z``, ``voxel_y``, ``voxel_x`` hold the label's voxel, -1 outside the
    map.
    """
    table = model.residues
    columns: dict[str, Any] = {
        name: getattr(table, name)
        for name in (
            "chain", "label_asym_id", "label_seq_id", "auth_seq_id", "insertion_code",
            "residue_name", "amino_class", "altloc", "occupancy", "b_factor", "is_modified",
        )
    }  # fmt: skip
    for atom in ("n", "ca", "c", "o"):
        xyz_A = getattr(table, f"{atom}_xyz_A")
        columns |= {f"{atom}_{axis}_A": xyz_A[:, i].copy() for i, axis in enumerate("xyz")}
    columns["secondary"] = secondary.classes
    columns["dssp"] = secondary.letters
    columns["incomplete"] = secondary.incomplete
    has_ca = np.isfinite(table.ca_xyz_A).all(axis=1)
    voxel_zyx = np.full(table.ca_xyz_A.shape, -1, np.int64)
    voxel_zyx[has_ca] = voxel_index(
        table.ca_xyz_A[has_ca], planned.origin_xyz_A, VOXEL_SIZE_ZYX_A, config.label_rule
    )
    in_box = ((voxel_zyx >= 0) & (voxel_zyx < planned.shape_zyx)).all(axis=1)
    voxel_zyx[~in_box] = -1
    columns |= {f"voxel_{axis}": voxel_zyx[:, i].astype(np.int32) for i, axis in enumerate("zyx")}
    columns["in_box"] = in_box
    return columns
