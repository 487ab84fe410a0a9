"""What a network and the density itself find in one map, by the same measures.

Voxels: the F1 of C-alpha voxels against the threshold, as in the paper's Figure 6, and which class
is taken for which. Points: predicted C-alphas matched to true ones one to one. Each kind of point
has one free number, the least probability or density of a point. It is chosen on the validation
maps alone; what the best choice for the very map would have given stands beside it, as the bound
that no choice exceeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from c2s_data.schema import ATOM_CA
from c2s_data.store.reader import Store
from c2s_model.backbone.candidates import atom_peaks
from c2s_model.evaluation.density_peaks import density_peaks
from c2s_model.evaluation.one_to_one import RADII_A, match_one_to_one
from c2s_model.evaluation.voxel_curve import F1Curve, ThresholdCounts
from c2s_model.training.metrics import Confusion, scores

METHODS: Final = ("network", "density peaks")
POPULATIONS: Final = ("all", "near")
CHOICE_RADIUS_A: Final = 2.0
"""At which F1 thresholds are chosen."""
NEAR_A: Final = 5.0
"""A point farther from every atom of the model's backbone is outside of what is modeled."""
LEVELS: Final = np.round(np.arange(1, 50) * 0.02, 2)
LEAST: Final = {"network": 0.02, "density peaks": 0.2}
"""Points of a lower score are not looked for: no best level has come near."""
_PLANES: Final = 32


@dataclass(frozen=True, eq=False)
class Truth:
    """What the model of a map says.

    ``ca_xyz_A`` (n, 3) and ``backbone_xyz_A`` (m, 3): C-alphas, and all backbone atoms, in A.
    """

    ca_xyz_A: NDArray[np.float64]
    backbone_xyz_A: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Points:
    """Points with a score each, the highest first: (n, 3) A and (n,)."""

    xyz_A: NDArray[np.float64]
    score: NDArray[np.float32]

    def above(self, level: float) -> NDArray[np.float64]:
        """Return the positions whose score is `level` or more."""
        return self.xyz_A[self.score >= level]


@dataclass(frozen=True)
class PointScore:
    """One-to-one scores of the points above a level.

    ``precision``, ``recall`` and ``f1`` hold a number for each of `RADII_A`.
    """

    level: float
    n_points: int
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    f1: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class MapScores:
    """Everything measured on one map.

    Parameters
    ----------
    entry_id, kind, resolution_A, n_ca, shape_zyx
        The map, and how it is masked.
    curves
        C-alpha voxels by threshold, for the network and for the density itself.
    confusion
        (4, 4) voxels, truth by prediction.
    macro_f1, macro_f1_foreground
        Of that table, with and without background.
    points
        Points of each method, for choosing thresholds and for pictures.
    truth
        What they are compared with.
    chosen, best
        By method and population ("all", "near"): at the threshold chosen on the validation maps,
        and at the best one for this map.
    """

    entry_id: str
    kind: str
    resolution_A: float
    n_ca: int
    shape_zyx: tuple[int, int, int]
    curves: dict[str, F1Curve]
    confusion: NDArray[np.int64]
    macro_f1: float
    macro_f1_foreground: float
    points: dict[str, Points]
    truth: Truth
    chosen: dict[tuple[str, str], PointScore] = field(default_factory=dict)
    best: dict[tuple[str, str], PointScore] = field(default_factory=dict)


def truth_of(columns: Mapping[str, NDArray[Any]]) -> Truth:
    """Return the truth of a map from its residue table."""
    ca, *others = (
        np.stack([columns[f"{atom}_{axis}_A"] for axis in "xyz"], axis=1).astype(np.float64)
        for atom in ("ca", "n", "c", "o")
    )
    backbone = np.concatenate([ca, *others])
    has_ca = np.isfinite(ca).all(axis=1)
    return Truth(ca[has_ca], backbone[np.isfinite(backbone).all(axis=1)])


def measure_map(
    store: Store, entry_id: str, kind: str, atom_p: NDArray[np.float16], decode_offset_voxel: float
) -> MapScores:
    """Measure everything that needs no threshold.

    Parameters
    ----------
    store, entry_id
        Whose density and masks are compared with.
    kind
        How the map is masked, in words.
    atom_p
        Predicted probabilities of the atom classes, (4, z, y, x).
    decode_offset_voxel
        From a predicted voxel's index to the place of its atom.
    """
    entry = store.entry(entry_id)
    density = store.read_map(entry_id, "density").astype(np.float32)
    atom = store.read_map(entry_id, "atom")
    use = store.read_map(entry_id, "ignore") == 0
    p_ca = atom_p[ATOM_CA]
    curves = {
        name: _curve(values, atom == ATOM_CA, use)
        for name, values in zip(METHODS, (p_ca, density), strict=True)
    }
    confusion = _confusion(atom_p, atom, use)
    found = scores(torch.from_numpy(confusion))
    origin = entry.origin_xyz_A
    index = np.argwhere(p_ca >= LEAST["network"]).astype(np.int32)
    peaks = atom_peaks(
        index,
        p_ca[tuple(index.T)].astype(np.float32),
        origin_xyz_A=origin,
        decode_offset_voxel=decode_offset_voxel,
    )
    dense = density_peaks(density, origin_xyz_A=origin, level=LEAST["density peaks"])
    truth = truth_of(store.residues(entry_id))
    return MapScores(
        entry_id=entry_id,
        kind=kind,
        resolution_A=float(entry.resolution_A or np.nan),
        n_ca=len(truth.ca_xyz_A),
        shape_zyx=entry.shape_zyx,
        curves=curves,
        confusion=confusion,
        macro_f1=found.macro_f1,
        macro_f1_foreground=found.macro_f1_foreground,
        points={
            "network": Points(peaks.xyz_A, peaks.p),
            "density peaks": Points(dense.xyz_A, dense.density),
        },
        truth=truth,
    )


def _curve(
    values: NDArray[np.floating], truth: NDArray[np.bool_], use: NDArray[np.bool_]
) -> F1Curve:
    counts = ThresholdCounts()
    for start in range(0, len(values), _PLANES):
        planes = slice(start, start + _PLANES)
        counts.add(values[planes], truth[planes], use[planes])
    return counts.curve()


def _confusion(
    atom_p: NDArray[np.float16], atom: NDArray[np.uint8], use: NDArray[np.bool_]
) -> NDArray[np.int64]:
    table = Confusion(len(atom_p))
    for start in range(0, len(atom), _PLANES):
        planes = slice(start, start + _PLANES)
        predicted = torch.from_numpy(atom_p[:, planes].argmax(axis=0))
        truth, left_out = torch.from_numpy(atom[planes]), torch.from_numpy(~use[planes])
        table.update(predicted, truth, left_out)
    return table.counts.numpy()


def of_population(truth: Truth, points: Points, population: str) -> Points:
    """Return all points, or those near what is modeled."""
    if population == "all" or not len(points.xyz_A):
        return points
    near = cKDTree(truth.backbone_xyz_A).query(points.xyz_A)[0] <= NEAR_A
    return Points(points.xyz_A[near], points.score[near])


def score_points(truth: Truth, points: Points, level: float) -> PointScore:
    """Match the points above a level to the C-alphas."""
    xyz_A = points.above(level)
    matches = [match_one_to_one(truth.ca_xyz_A, xyz_A, radius_A) for radius_A in RADII_A]
    return PointScore(
        float(level),
        len(xyz_A),
        tuple(match.precision for match in matches),
        tuple(match.recall for match in matches),
        tuple(match.f1 for match in matches),
    )


def f1_by_level(truth: Truth, points: Points) -> list[float]:
    """Return F1 at `CHOICE_RADIUS_A` for each of `LEVELS`."""
    return [
        match_one_to_one(truth.ca_xyz_A, points.above(level), CHOICE_RADIUS_A).f1
        for level in LEVELS
    ]


def choose_levels(validation: Sequence[MapScores]) -> dict[str, float]:
    """Return for each method the level with the highest mean F1 over the validation maps."""
    levels = {}
    for method in METHODS:
        f1 = [f1_by_level(one.truth, one.points[method]) for one in validation]
        levels[method] = float(LEVELS[int(np.argmax(np.mean(f1, axis=0)))])
    return levels


def add_point_scores(of: MapScores, levels: Mapping[str, float]) -> None:
    """Score a map's points at the levels chosen before, and at the best ones for this map."""
    for method in METHODS:
        for population in POPULATIONS:
            points = of_population(of.truth, of.points[method], population)
            best = float(LEVELS[int(np.argmax(f1_by_level(of.truth, points)))])
            of.chosen[method, population] = score_points(of.truth, points, levels[method])
            of.best[method, population] = score_points(of.truth, points, best)
