"""Quality and speed of cubic-spline resampling against trilinear and scipy.

    python benchmarks/resample_spline.py [--model FILE.pdb] [--repeats 5]

The density of a model at 3 A is computed analytically on grids of several voxel sizes and on the
target's 1 A grid. Each is resampled to 1 A and compared with the exact one: correlation, Fourier
shell correlation and amplitude (root of the ratio of power) in shells of 1/64 per A. The row with
noise adds white noise of half the density's standard deviation to the fine map.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import gemmi
import numpy as np
from scipy.ndimage import affine_transform

from c2s_data.sources.procedural import procedural_protein
from c2s_data.transforms.resample import resample_trilinear, resampled_shape
from c2s_data.transforms.resample_spline import resample_spline, spline_memory_bytes
from c2s_data.transforms.simulate_density import simulate_density, solvent_box

Resample = Callable[[np.ndarray, tuple[float, float, float]], np.ndarray]

RESOLUTION_A: Final = 3.0
NOISE: Final = 0.5
SHELL: Final = 1 / 64
SPEED_SIDE: Final = 300
WAYS: Final[dict[str, Resample]] = {
    "trilinear": resample_trilinear,
    "spline": lambda values, voxel: resample_spline(values, voxel, antialias=False),
    "low-pass, spline": lambda values, voxel: resample_spline(values, voxel, antialias=True),
}


class Fidelity(NamedTuple):
    """How near a map comes to the exact one: correlation, and shells at 3 A and 2.5 A."""

    correlation: float
    fsc_3A: float
    fsc_2_5A: float
    amplitude_3A: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="PDB or mmCIF file; a made protein otherwise")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    xyz_A, weight = atoms(options.model)
    print("| voxel | method | CC | FSC 3 A | FSC 2.5 A | amplitude 3 A |")
    print("|---|---|---|---|---|---|")
    for voxel_A, noise in ((1.06, 0.0), (0.83, 0.0), (0.727, 0.0), (0.5, 0.0), (0.5, NOISE)):
        source, exact, voxel = sampled(xyz_A, weight, voxel_A, noise)
        for name, resample in WAYS.items():
            found = fidelity(resample(source, voxel), exact)
            label = f"{voxel_A} A, {noise} sd of noise" if noise else f"{voxel_A} A"
            print(f"| {label} | {name} | " + " | ".join(f"{value:.3f}" for value in found) + " |")
    print()
    print("| 300^3 to 1 A | s | times trilinear | scipy takes | peak GB |")
    print("|---|---|---|---|---|")
    for voxel_A in (1.34, 1.06, 0.727, 0.5):
        print(speed(voxel_A, options.repeats))


def atoms(model: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (n, 3) in A and atomic numbers (n,) of a model without water."""
    structure = gemmi.read_structure(str(model)) if model else procedural_protein(7, 120)
    structure.setup_entities()
    structure.remove_waters()
    places = [place.atom for place in structure[0].all()]
    numbers = np.array([atom.element.atomic_number for atom in places], float)
    return np.array([atom.pos.tolist() for atom in places]), numbers


def sampled(
    xyz_A: np.ndarray, weight: np.ndarray, voxel_A: float, noise: float
) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    """Return the density on a grid of a voxel size, that on the 1 A grid, and the voxel size."""
    voxel = (voxel_A, voxel_A, voxel_A)
    shape, origin_xyz_A = solvent_box(xyz_A, voxel)
    maps = [
        simulate_density(
            xyz_A,
            weight,
            RESOLUTION_A,
            shape_zyx=shape_zyx,
            voxel_size_zyx_A=size,
            origin_xyz_A=origin_xyz_A,
        )
        for shape_zyx, size in ((shape, voxel), (resampled_shape(shape, voxel), (1.0, 1.0, 1.0)))
    ]
    white = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return maps[0] + noise * maps[0].std() * white, maps[1], voxel


def fidelity(found: np.ndarray, exact: np.ndarray) -> Fidelity:
    """Compare two maps of 1 A voxels; the outermost planes, where a result may be 0, are left out.

    Correlation leaves nothing else out; shells are 1/64 per A thick.
    """
    inner = (slice(0, -2),) * 3
    one, other = (np.fft.rfftn(values[inner].astype(np.float64)) for values in (found, exact))
    n_z, n_y, n_x = exact[inner].shape
    radius = np.sqrt(
        np.fft.fftfreq(n_z)[:, None, None] ** 2
        + np.fft.fftfreq(n_y)[:, None] ** 2
        + np.fft.rfftfreq(n_x) ** 2
    )
    # Half a spectrum: waves along x that stand for two.
    twice = np.where((np.arange(one.shape[2]) == 0) | (2 * np.arange(one.shape[2]) == n_x), 1, 2)

    def shell(length_A: float) -> tuple[float, float]:
        rows = np.abs(radius - 1 / length_A) < SHELL / 2
        count = np.broadcast_to(twice, radius.shape)[rows]
        cross = (count * (one[rows] * other[rows].conj()).real).sum()
        power = (count * np.abs(one[rows]) ** 2).sum()
        power_exact = (count * np.abs(other[rows]) ** 2).sum()
        return float(cross / np.sqrt(power * power_exact)), float(np.sqrt(power / power_exact))

    correlation = float(np.corrcoef(found[inner].ravel(), exact[inner].ravel())[0, 1])
    return Fidelity(correlation, shell(3.0)[0], shell(2.5)[0], shell(3.0)[1])


def speed(voxel_A: float, repeats: int) -> str:
    """Time one voxel size on 300^3 voxels, all ways in turn; ratios are medians of the rounds'."""
    side = SPEED_SIDE
    values = np.random.default_rng(0).standard_normal((side, side, side), dtype=np.float32)
    voxel = (voxel_A, voxel_A, voxel_A)
    shape = resampled_shape((side, side, side), voxel)
    scale = np.full(3, 1 / voxel_A)

    def scipy() -> object:
        return affine_transform(
            values, scale, output_shape=shape, order=3, mode="mirror", output=np.float32
        )

    ways = (lambda: resample_spline(values, voxel, antialias=True), scipy)
    times = np.array(
        [
            [seconds(way) for way in (lambda: resample_trilinear(values, voxel), *ways)]
            for _ in range(repeats + 1)
        ]
    )[1:]  # the first round compiles
    ours = statistics.median(times[:, 1])
    ratio = statistics.median(times[:, 1] / times[:, 0])
    peer = statistics.median(times[:, 2] / times[:, 1])
    peak = spline_memory_bytes((side, side, side), shape) / 1e9
    return f"| {voxel_A} A | {ours:.3f} | {ratio:.1f} | {peer:.1f} x as long | {peak:.3f} |"


def seconds(way: Callable[[], object]) -> float:
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
