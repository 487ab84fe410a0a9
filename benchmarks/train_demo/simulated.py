"""Maps of made proteins that resemble deposited ones more than a plain simulation does.

Three things are added to `c2s_data.sources.simulate`: atoms far from the center are more blurred
than those in the middle, as B-factors of real models have it; nothing is finer than the
resolution, which a real map loses at once and a sum of Gaussians never does; and the noise is
weaker or stronger from map to map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfftn, rfftn
from scipy.ndimage import map_coordinates

from c2s_data.sources.density_map import DensityMap
from c2s_data.sources.procedural import procedural_protein
from c2s_data.transforms.simulate_density import simulate_density, solvent_box, solvent_noise

Triple = tuple[float, float, float]

RESOLUTIONS_A: Final = (2.0, 4.0)
CA_TO_NOISE: Final = (3.0, 12.0)
"""Mean density at the C-alphas in standard deviations of the noise, log-uniform."""
B_RANGE_A2: Final = (0.0, 80.0)
"""Of the innermost and the outermost atom; drawn below the upper end."""
VOXEL_SIZES_A: Final = (0.7, 1.3)
RESIDUES: Final = (90, 150)
VOLUME_RATIO: Final = 4.0
_BLUR_LEVELS: Final = 4
_EDGE_SHARE: Final = 0.1
"""Width of the fall of the low-pass, of the wave number 1 / resolution."""


@dataclass(frozen=True, eq=False)
class SimulatedPair:
    """A map and its model."""

    structure: gemmi.Structure
    density: DensityMap
    resolution_A: float
    ca_to_noise: float


def simulated_pair(seed: int, number: int) -> SimulatedPair:
    """Make a protein and its map; equal arguments give equal pairs."""
    rng = np.random.default_rng([seed, number])
    structure = _sound_protein(rng)
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    turn *= np.sign(np.linalg.det(turn))  # A mirror image would be another molecule.
    shift = gemmi.Vec3(*rng.uniform(-60, 60, 3).tolist())
    structure[0].transform_pos_and_adp(gemmi.Transform(gemmi.Mat33(turn.tolist()), shift))
    resolution_A = float(rng.uniform(*RESOLUTIONS_A))
    ca_to_noise = float(np.exp(rng.uniform(*np.log(CA_TO_NOISE))))
    voxel = (float(rng.uniform(*VOXEL_SIZES_A)),) * 3
    density = _density(structure, rng, voxel, resolution_A, ca_to_noise)
    return SimulatedPair(structure, density, round(resolution_A, 2), ca_to_noise)


def _sound_protein(rng: np.random.Generator) -> gemmi.Structure:
    while True:
        n_residues = int(rng.integers(RESIDUES[0], RESIDUES[1] + 1))
        try:
            return procedural_protein(int(rng.integers(2**31)), n_residues)
        except RuntimeError:  # A few seeds fold to nothing sound.
            continue


def _density(
    structure: gemmi.Structure,
    rng: np.random.Generator,
    voxel_zyx_A: Triple,
    resolution_A: float,
    ca_to_noise: float,
) -> DensityMap:
    atoms = [atom for chain in structure[0] for residue in chain for atom in residue]
    xyz_A = np.array([atom.pos.tolist() for atom in atoms])
    weight = np.array([atom.element.atomic_number for atom in atoms], np.float64)
    is_ca = np.array([atom.name == "CA" for atom in atoms])
    shape, origin = solvent_box(xyz_A, voxel_zyx_A, volume_ratio=VOLUME_RATIO)
    values = np.zeros(shape, np.float32)
    level = _blur_levels(xyz_A)
    top_A2 = rng.uniform(*B_RANGE_A2)
    for k in range(_BLUR_LEVELS):
        # B / (8 pi^2) adds to the variance of an atom, that is B / 4 to the squared resolution.
        blurred_A = float(np.hypot(resolution_A, 0.5 * np.sqrt(top_A2 * k / (_BLUR_LEVELS - 1))))
        values += simulate_density(
            xyz_A[level == k],
            weight[level == k],
            blurred_A,
            shape_zyx=shape,
            voxel_size_zyx_A=voxel_zyx_A,
            origin_xyz_A=origin,
        )
    values = without_detail_beyond(values, voxel_zyx_A, resolution_A)
    ca_voxel = (xyz_A[is_ca] - origin)[:, ::-1] / voxel_zyx_A
    sd = float(map_coordinates(values, ca_voxel.T, order=1).mean()) / ca_to_noise
    values += solvent_noise(rng, shape, voxel_zyx_A, resolution_A=resolution_A, sd=sd)
    return DensityMap(values, voxel_zyx_A, origin)


def _blur_levels(xyz_A: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return (n,) 0 for the innermost fourth of the atoms to 3 for the outermost."""
    apart = np.linalg.norm(xyz_A - xyz_A.mean(axis=0), axis=1)
    edges = np.quantile(apart, np.arange(1, _BLUR_LEVELS) / _BLUR_LEVELS)
    return np.asarray(np.digitize(apart, edges))


def without_detail_beyond(
    values_zyx: NDArray[np.float32], voxel_zyx_A: Triple, resolution_A: float
) -> NDArray[np.float32]:
    """Return a map without waves shorter than the resolution, periodically.

    Waves up to ``1 - _EDGE_SHARE / 2`` of the wave number 1 / resolution pass, those beyond
    ``1 + _EDGE_SHARE / 2`` of it do not, and a cosine falls between them.
    """
    spectrum = rfftn(values_zyx)
    waves = [np.fft.fftfreq(n, step) for n, step in zip(values_zyx.shape, voxel_zyx_A, strict=True)]
    waves[2] = np.fft.rfftfreq(values_zyx.shape[2], voxel_zyx_A[2])
    z, y, x = np.meshgrid(*waves, indexing="ij", sparse=True)
    beyond = (np.sqrt(z * z + y * y + x * x) * resolution_A - 1.0) / _EDGE_SHARE
    spectrum *= 0.5 + 0.5 * np.cos(np.pi * np.clip(beyond + 0.5, 0.0, 1.0))
    filtered: NDArray[np.float32] = irfftn(spectrum, values_zyx.shape).astype(np.float32)
    return filtered
