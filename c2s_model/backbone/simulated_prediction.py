"""A prediction computed from a known model: what a good, imperfect network would say.

For tests and demonstrations: around each atom the probability falls off as a Gaussian, some atoms
are missed, some are invented, all are displaced, and amino acids are mistaken for others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from c2s_data.schema import ATOM_C, ATOM_CA, ATOM_CLASSES, ATOM_N, CLASS_NAMES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from c2s_data.sources.residue_table import ResidueTable

    Triple = tuple[float, float, float]

VERSION: Final = 1
"""Raised whenever equal seeds give other values."""
MARGIN_A: Final = 8.0
_REACH_VOXEL: Final = 3


@dataclass(frozen=True)
class Imperfections:
    """How far a simulated prediction is from the truth.

    Parameters
    ----------
    noise_A
        Standard deviation of a displacement along each axis, of each atom by itself.
    missed
        Share of atoms without a trace, each drawn by itself.
    invented
        False C-alphas per true one, uniform in the box of the model.
    right
        Share of residues whose likeliest amino acid is the true one.
    width_A
        Standard deviation of the Gaussian around an atom.
    weakest
        Peak probabilities are uniform from this to 1.
    """

    noise_A: float = 0.3
    missed: float = 0.03
    invented: float = 0.03
    right: float = 0.8
    width_A: float = 0.8
    weakest: float = 0.55


@dataclass(frozen=True, eq=False)
class SimulatedPrediction:
    """Probabilities in memory; fields and `read` as `candidate_voxels.Prediction` asks for.

    Parameters
    ----------
    values
        By target, (C, z, y, x) float16.
    """

    values: dict[str, NDArray[np.float16]]
    origin_xyz_A: Triple
    decode_offset_voxel: float
    label_rule: str
    voxel_size_A: float = 1.0
    preset: str = "recommended"
    sources: dict[str, Any] = field(default_factory=dict)

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Voxels of the grid."""
        _, nz, ny, nx = self.values["atom"].shape
        return nz, ny, nx

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of what is predicted."""
        return tuple(self.values)

    def read(self, target: str, z_start: int, z_stop: int) -> NDArray[np.float16]:
        """Return probabilities (C, z, y, x) of some slices."""
        return self.values[target][:, z_start:z_stop]


def simulated_prediction(
    residues: ResidueTable,
    secondary: NDArray[np.uint8],
    rng: np.random.Generator,
    *,
    imperfections: Imperfections | None = None,
    label_rule: str = "nearest",
    shape_zyx: tuple[int, int, int] | None = None,
    origin_xyz_A: Triple | None = None,
) -> SimulatedPrediction:
    """Simulate what a network says about a map of the given model.

    Parameters
    ----------
    residues
        The model; residues without C-alpha are left out.
    secondary : (n,) uint8
        Class of each row, 1 coil, 2 helix, 3 strand.
    rng
        Makes every imperfection.
    label_rule : {"nearest", "formula1"}
        Under formula 1 the network has learned to say the voxel half a voxel low.
    shape_zyx, origin_xyz_A
        The 1 A grid; by default the model's box and 8 A around it, from a whole number of A.

    Returns
    -------
    SimulatedPrediction
        Of atom, amino and secondary.
    """
    how = imperfections or Imperfections()
    if origin_xyz_A is None or shape_zyx is None:
        origin_xyz_A, shape_zyx = _box(residues)
    offset = 0.0 if label_rule == "nearest" else 0.5
    shift = np.asarray(origin_xyz_A, np.float64) + offset
    fields = {
        kind: _Field(shape_zyx, *_atoms(xyz_A - shift, how, rng))
        for kind, xyz_A in (
            (ATOM_N, residues.n_xyz_A),
            (ATOM_C, residues.c_xyz_A),
        )
    }
    ca_xyz, peak, row = _atoms(residues.ca_xyz_A - shift, how, rng)
    low, high = ca_xyz.min(axis=0), ca_xyz.max(axis=0)
    n_false = rng.poisson(how.invented * len(ca_xyz))
    ca_xyz = np.concatenate((ca_xyz, rng.uniform(low, high, (n_false, 3))))
    peak = np.concatenate((peak, rng.uniform(how.weakest, 1.0, n_false)))
    row = np.concatenate((row, rng.integers(0, len(residues), n_false)))
    fields[ATOM_CA] = _Field(shape_zyx, ca_xyz, peak, row)
    for one in fields.values():
        one.paint(how.width_A)
    values = {
        "atom": _atom_probability(fields),
        "amino": _spread(fields[ATOM_CA], _confused(residues.amino_class, how.right, rng), "amino"),
        "secondary": _spread(
            fields[ATOM_CA], _one_hot(secondary, len(CLASS_NAMES["secondary"])), "secondary"
        ),
    }
    return SimulatedPrediction(
        values,
        origin_xyz_A,
        offset,
        label_rule,
        sources={"simulated": VERSION},
    )


def _box(residues: ResidueTable) -> tuple[Triple, tuple[int, int, int]]:
    xyz_A = residues.backbone_atoms().xyz_A
    low = np.floor(xyz_A.min(axis=0) - MARGIN_A)
    nx, ny, nz = (int(n) for n in np.ceil(xyz_A.max(axis=0) + MARGIN_A - low) + 1)
    x, y, z = low.tolist()
    return (x, y, z), (nz, ny, nx)


def _atoms(
    xyz: NDArray[np.float64], how: Imperfections, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return positions, peak probabilities and rows of the atoms that leave a trace."""
    kept = np.isfinite(xyz).all(axis=1) & (rng.random(len(xyz)) >= how.missed)
    rows = np.flatnonzero(kept)
    moved = xyz[rows] + rng.normal(scale=how.noise_A, size=(len(rows), 3))
    return moved, rng.uniform(how.weakest, 1.0, len(rows)), rows


class _Field:
    """The strongest atom of one kind at every voxel, and which it is."""

    def __init__(
        self,
        shape_zyx: tuple[int, int, int],
        xyz: NDArray[np.float64],
        peak: NDArray[np.float64],
        row: NDArray[np.int64],
    ) -> None:
        self.xyz, self.peak, self.row = xyz, peak, row
        self.height_zyx = np.zeros(shape_zyx, np.float32)
        self.row_zyx = np.full(shape_zyx, -1, np.int32)

    def paint(self, width: float) -> None:
        """Give each voxel the height and the row of the atom that is strongest there."""
        shape_xyz = np.array(self.height_zyx.shape[::-1])
        for xyz, peak, row in zip(self.xyz, self.peak, self.row, strict=True):
            center = np.rint(xyz).astype(int)
            low = np.maximum(center - _REACH_VOXEL, 0)
            high = np.minimum(center + _REACH_VOXEL + 1, shape_xyz)
            if (low >= high).any():
                continue
            x, y, z = (np.arange(a, b) for a, b in zip(low, high, strict=True))
            squared = (
                (z[:, None, None] - xyz[2]) ** 2 + (y[:, None] - xyz[1]) ** 2 + (x - xyz[0]) ** 2
            )
            height = (peak * np.exp(-squared / (2 * width**2))).astype(np.float32)
            part = tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))
            higher = height > self.height_zyx[part]
            self.height_zyx[part][higher] = height[higher]
            self.row_zyx[part][higher] = row


def _atom_probability(fields: dict[int, _Field]) -> NDArray[np.float16]:
    """Return (4, z, y, x): heights, scaled down where kinds overlap, and the rest for "none"."""
    heights = np.stack([fields[kind].height_zyx for kind in range(1, len(ATOM_CLASSES))])
    heights /= np.maximum(heights.sum(axis=0), 1.0)
    return np.concatenate((1.0 - heights.sum(axis=0, keepdims=True), heights)).astype(np.float16)


def _one_hot(classes: NDArray[np.uint8], n_classes: int) -> NDArray[np.float32]:
    rows: NDArray[np.float32] = np.eye(n_classes, dtype=np.float32)[classes][:, 1:]
    return rows


def _confused(
    amino_class: NDArray[np.uint8], right: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return (n, 20): where it errs, the truth keeps some of the probability."""
    truth = np.asarray(amino_class, np.int64) - 1
    unknown = truth < 0
    truth[unknown] = rng.integers(0, 20, int(unknown.sum()))
    wrong = (truth + rng.integers(1, 20, len(truth))) % 20
    is_right = rng.random(len(truth)) < right
    emission = 0.35 * rng.dirichlet(np.full(20, 0.5), len(truth))
    rows = np.arange(len(truth))
    emission[rows, np.where(is_right, truth, wrong)] += 0.45
    emission[rows, np.where(is_right, wrong, truth)] += 0.2
    return emission.astype(np.float32)


def _spread(of: _Field, per_row: NDArray[np.float32], target: str) -> NDArray[np.float16]:
    """Return (C, z, y, x): what is said of the nearest C-alpha, as sure as its height."""
    shape = (len(CLASS_NAMES[target]), *of.height_zyx.shape)
    values = np.zeros(shape, np.float16)
    near = of.row_zyx >= 0
    sure = np.minimum(1.5 * of.height_zyx[near], 1.0)
    values[1:, near] = (sure[:, None] * per_row[of.row_zyx[near]]).T
    values[0] = 1.0
    values[0, near] = 1.0 - sure
    return values
