"""Made proteins with their simulated maps, right and spoilt, for tests of map-model quality."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import gemmi
import numpy as np

from c2s_data.quality import Quality, measure_quality
from c2s_data.sources.density_map import DensityMap
from c2s_data.sources.procedural import procedural_protein
from c2s_data.sources.simulate import simulated_map

VOXEL_ZYX_A = (1.07, 0.93, 0.99)


class Atoms(NamedTuple):
    """Heavy atoms of a model as plain arrays."""

    xyz_A: np.ndarray
    element: np.ndarray
    residue_index: np.ndarray
    is_ca: np.ndarray

    @property
    def ca_xyz_A(self) -> np.ndarray:
        return self.xyz_A[self.is_ca]

    @property
    def n_residues(self) -> int:
        return int(self.residue_index.max()) + 1


class SimulatedPair(NamedTuple):
    atoms: Atoms
    density: DensityMap
    resolution_A: float

    @property
    def grid(self):
        return self.density.values_zyx, self.density.voxel_size_zyx_A, self.density.origin_xyz_A


def atoms_of(model: gemmi.Model) -> Atoms:
    """Return all atoms but hydrogens and water of one model, residues numbered in file order."""
    rows = [
        (atom.pos.tolist(), atom.element.atomic_number, number, atom.name == "CA")
        for number, residue in enumerate(residue for chain in model for residue in chain)
        for atom in residue
        if not (atom.is_hydrogen() or residue.is_water())
    ]
    xyz_A, element, index, is_ca = zip(*rows, strict=True)
    is_carbon = np.array(element) == 6
    return Atoms(
        np.array(xyz_A),
        np.array(element, np.uint8),
        np.array(index, np.int32),
        np.array(is_ca) & is_carbon,
    )


@lru_cache(maxsize=4)
def made_protein(seed: int, n_residues: int) -> gemmi.Structure:
    """Return a made protein away from the origin."""
    structure = procedural_protein(seed, n_residues)
    shift = gemmi.Vec3(31.4, -12.7, 84.2)
    structure[0].transform_pos_and_adp(gemmi.Transform(gemmi.Mat33(), shift))
    return structure


@lru_cache(maxsize=8)
def simulated_pair(
    seed: int, resolution_A: float = 3.0, *, n_residues: int = 92, volume_ratio: float = 6.0
) -> SimulatedPair:
    """Simulate the map of a made protein, solvent noise included, on unequal axes and voxels.

    Tests share what is returned and must not write into it.
    """
    structure = made_protein(seed, n_residues)
    density = simulated_map(
        structure,
        np.random.default_rng(seed),
        voxel_size_zyx_A=VOXEL_ZYX_A,
        resolution_A=resolution_A,
        volume_ratio=volume_ratio,
    )
    return SimulatedPair(atoms_of(structure[0]), density, resolution_A)


def moved(pair: SimulatedPair, shift_xyz_A) -> SimulatedPair:
    """Return the pair with the origin of its map moved."""
    origin = tuple(float(v) for v in np.add(pair.density.origin_xyz_A, shift_xyz_A))
    density = DensityMap(pair.density.values_zyx, pair.density.voxel_size_zyx_A, origin)
    return pair._replace(density=density)


def reread(pair: SimulatedPair, order_zyx, reversed_axes=()) -> SimulatedPair:
    """Return the pair with its map's axes in another order and some of them reversed."""
    values = pair.density.values_zyx.transpose(order_zyx)
    values = np.ascontiguousarray(np.flip(values, reversed_axes))
    voxel = tuple(pair.density.voxel_size_zyx_A[k] for k in order_zyx)
    return pair._replace(density=DensityMap(values, voxel, pair.density.origin_xyz_A))


def quality_of(
    pair: SimulatedPair, *, contour_level: float | None = None, **changes: object
) -> Quality:
    """Measure a pair as the build does."""
    atoms = pair.atoms
    arguments = {
        "xyz_A": atoms.xyz_A,
        "element": atoms.element,
        "residue_index": atoms.residue_index,
        "ca_xyz_A": atoms.ca_xyz_A,
        "n_residues": atoms.n_residues,
        "resolution_A": pair.resolution_A,
        "contour_level": contour_level,
    }
    return measure_quality(*pair.grid, **(arguments | changes))
