"""How the scale of a map depends on how much solvent its box holds, for each preset.

    python benchmarks/scale.py [--model FILE.pdb]

One model, its density simulated at 3 A, C-alphas at 6 standard deviations of the solvent noise,
once in a tight box and once with ten times the volume. Printed is the table of docs/beware.md: the
value that becomes 1.0, in units of the mean density at the C-alphas, and the share of C-alphas
that is clipped to 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gemmi
import numpy as np

from c2s_data.config import PRESETS, make_config
from c2s_data.sources.procedural import procedural_protein
from c2s_data.sources.simulate import simulated_map
from c2s_data.transforms.percentile import percentile_of
from c2s_data.transforms.resample import resample_trilinear, sample_trilinear

VOXEL_ZYX_A = (1.05, 0.97, 1.01)
RATIOS = (1.0, 10.0)


def scales(
    structure: gemmi.Structure, volume_ratio: float, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return, by preset, the divisor over the C-alphas' mean density and the share clipped."""
    density = simulated_map(
        structure,
        np.random.default_rng(seed),
        voxel_size_zyx_A=VOXEL_ZYX_A,
        volume_ratio=volume_ratio,
    )
    ca_xyz_A = np.array(
        [
            atom.pos.tolist()
            for chain in structure[0]
            for residue in chain
            for atom in residue
            if atom.name == "CA" and atom.element == gemmi.Element("C")
        ]
    )
    voxel_zyx = (ca_xyz_A - density.origin_xyz_A)[:, ::-1] / density.voxel_size_zyx_A
    at_ca = sample_trilinear(density.values_zyx, voxel_zyx)
    found = {}
    for preset in PRESETS:
        config = make_config(preset)
        resampled = resample_trilinear(
            density.values_zyx, density.voxel_size_zyx_A, positions=config.positions
        )
        divisor = percentile_of(resampled, config.scale, config.percentile)
        found[preset] = divisor / float(np.nanmean(at_ca)), float(np.nanmean(at_ca >= divisor))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="PDB or mmCIF file; a made protein otherwise")
    options = parser.parse_args()
    structure = (
        gemmi.read_structure(str(options.model)) if options.model else procedural_protein(7, 120)
    )
    structure.setup_entities()
    structure.remove_ligands_and_waters()
    tight, wide = (scales(structure, ratio) for ratio in RATIOS)
    print(
        "| preset | scale, tight box | scale, 10 x volume | change | C-alphas at 1, tight | wide |"
    )
    print("|---|---|---|---|---|---|")
    for preset in PRESETS:
        (a, share_a), (b, share_b) = tight[preset], wide[preset]
        print(
            f"| {preset} | {a:.3f} | {b:.3f} | {b / a - 1:+.1%} | {share_a:.0%} | {share_b:.0%} |"
        )


if __name__ == "__main__":
    main()
