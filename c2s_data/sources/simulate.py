"""Demonstration input: procedural proteins, their simulated maps, and the catalog, as files."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Final

import gemmi
import numpy as np
from scipy.ndimage import map_coordinates

from c2s_data.sources.density_map import DensityMap, write_density_map
from c2s_data.sources.procedural import procedural_protein
from c2s_data.transforms.simulate_density import simulate_density, solvent_box, solvent_noise

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DEMO_RESOLUTION_A: Final = 3.0
DEMO_VOLUME_RATIO: Final = 8.0
CA_TO_NOISE: Final = 6.0
"""Mean density at the C-alphas in standard deviations of the solvent noise."""

_DEMO_ENTRIES: Final = (
    # entry_id, residues per chain, voxel size z y x in A, shift of the model x y z in A, split
    ("DEMO-0001", 120, (1.07, 0.93, 0.99), (31.4, -12.7, 84.2), "train"),
    ("DEMO-0002", 104, (0.91, 1.04, 0.97), (-20.3, 47.9, 11.6), "train"),
    ("DEMO-0003", 96, (0.98, 0.94, 1.06), (65.8, 22.1, -40.5), "validation"),
)
_SCHEME_COLUMNS: Final = (
    "asym_id", "entity_id", "seq_id", "mon_id", "ndb_seq_num", "pdb_seq_num",
    "auth_seq_num", "pdb_mon_id", "pdb_strand_id", "pdb_ins_code", "hetero",
)  # fmt: skip
_CATALOG_COLUMNS: Final = ("entry_id", "map", "model", "resolution_A", "split")


def write_demo_inputs(folder: Path, *, seed: int = 2024) -> Path:
    """Write the maps, models and catalog of the demonstration.

    Parameters
    ----------
    folder
        Made if it does not exist. Gets per entry ``<entry_id>.map.gz`` (float32, noise included)
        and ``<entry_id>.cif``, and ``catalog.csv`` with paths relative to itself.
    seed
        Equal seeds give files with equal bytes.

    Returns
    -------
    Path
        Of the catalog.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (entry_id, n_residues, voxel_A, shift_A, split) in enumerate(_DEMO_ENTRIES):
        structure = procedural_protein(seed + number, n_residues)
        rng = np.random.default_rng([seed, number])
        structure[0].transform_pos_and_adp(gemmi.Transform(gemmi.Mat33(), gemmi.Vec3(*shift_A)))
        density = simulated_map(structure, rng, voxel_size_zyx_A=voxel_A)
        map_name, model_name = f"{entry_id}.map.gz", f"{entry_id}.cif"
        write_density_map(folder / map_name, density, labels=["simulated density, procedural"])
        write_model(folder / model_name, structure)
        rows.append((entry_id, map_name, model_name, DEMO_RESOLUTION_A, split))
    catalog = folder / "catalog.csv"
    with catalog.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([_CATALOG_COLUMNS, *rows])
    return catalog


def simulated_map(
    structure: gemmi.Structure,
    rng: np.random.Generator,
    *,
    voxel_size_zyx_A: tuple[float, float, float],
    resolution_A: float = DEMO_RESOLUTION_A,
    volume_ratio: float = DEMO_VOLUME_RATIO,
) -> DensityMap:
    """Simulate the map of all atoms of the first model, in a box of solvent noise.

    Parameters
    ----------
    structure
        Any model with C-alphas.
    rng
        Makes the noise, which fills the whole box; its standard deviation is the mean density at
        the C-alphas over `CA_TO_NOISE`.
    voxel_size_zyx_A, resolution_A, volume_ratio
        As for `solvent_box` and `simulate_density`.

    Returns
    -------
    DensityMap
        float32, with values of both signs.
    """
    xyz_A, atomic_number, is_ca = _atoms(structure)
    shape, origin = solvent_box(xyz_A, voxel_size_zyx_A, volume_ratio=volume_ratio)
    values = simulate_density(
        xyz_A,
        atomic_number,
        resolution_A,
        shape_zyx=shape,
        voxel_size_zyx_A=voxel_size_zyx_A,
        origin_xyz_A=origin,
    )
    voxel_zyx = (xyz_A[is_ca] - origin)[:, ::-1] / voxel_size_zyx_A
    ca_density = float(map_coordinates(values, voxel_zyx.T, order=1).mean())
    values += solvent_noise(
        rng, shape, voxel_size_zyx_A, resolution_A=resolution_A, sd=ca_density / CA_TO_NOISE
    )
    return DensityMap(values_zyx=values, voxel_size_zyx_A=voxel_size_zyx_A, origin_xyz_A=origin)


def write_model(path: Path, structure: gemmi.Structure) -> None:
    """Write mmCIF with the tables that other programs ask for but gemmi leaves out.

    These are the types of the residues and ``_pdbx_poly_seq_scheme`` (DSSP finds no residue
    without it). Every residue must carry its label_seq_id, subchain and entity.
    """
    document = structure.make_mmcif_document()
    block = document.sole_block()
    for row in block.find("_chem_comp.", ["id", "type"]):
        kind = "peptide linking" if row[0] == "GLY" else "L-peptide linking"
        row[1] = gemmi.cif.quote(kind)
    scheme = block.init_loop("_pdbx_poly_seq_scheme.", list(_SCHEME_COLUMNS))
    for chain in structure[0]:
        for residue in chain:
            author = str(residue.seqid.num)
            label = [residue.subchain, residue.entity_id, str(residue.label_seq), residue.name]
            scheme.add_row([*label, author, author, author, residue.name, chain.name, ".", "n"])
    document.write_file(str(path))


def _atoms(
    structure: gemmi.Structure,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Positions (n, 3), A, atomic numbers (n,) and which are C-alphas (n,), first model."""
    atoms = [atom for chain in structure[0] for residue in chain for atom in residue]
    xyz_A = np.array([atom.pos.tolist() for atom in atoms])
    atomic_number = np.array([atom.element.atomic_number for atom in atoms], np.float64)
    is_ca = np.array([atom.name == "CA" and atom.element.name == "C" for atom in atoms])
    return xyz_A, atomic_number, is_ca
