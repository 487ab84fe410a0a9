"""Does the model belong into this map? Measures, flags and the gate of one entry.

Three flags are raised, each with a sentence that gives the numbers:

- ``mismatch``: the mean Q-score lies more than 0.15 below what maps of this resolution have.
- ``wrong-origin``: another place fits better: nearby, a shift by 1.5 A or more raises the mean
  density at 40 or more C-alphas by more than 5 %, to where a model may lie; or, for a mismatch, the
  model turned by 90 degrees or shifted anywhere in the box has the Q-score of a good fit.
- ``wrong-hand``: for a mismatch, the model has the Q-score of a good fit once the map is mirrored
  and the model refitted, and a better one than without the mirror.

See docs/quality.md for definitions, thresholds and what they give on real maps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from c2s_data.transforms.fourier_shells import fsc_resolution_A
from c2s_data.transforms.handedness import best_placements, every_nth
from c2s_data.transforms.map_model_fit import fit_memory_bytes, map_model_fit
from c2s_data.transforms.moments import moments
from c2s_data.transforms.percentile import signal_threshold
from c2s_data.transforms.q_score import mean_by_residue, q_score
from c2s_data.transforms.registration import ShiftSearch, best_shift

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Triple = tuple[float, float, float]
    Grid = tuple[NDArray[np.float32], Triple, Triple]

Gate = Literal["off", "warn", "drop"]

EXPECTED_SLOPE_PER_A: Final = -0.1775
EXPECTED_AT_0: Final = 1.1192
MISMATCH: Final = 0.15
"""A Q-score this far below the expected one is a mismatch; one above it is a good fit."""
BETTER: Final = 0.10
"""By so much a Q-score after a refit must beat the one as given."""
SHIFT_A: Final = 1.25
"""A shorter shift is no error: 1.5 A, less the 0.25 A to which shifts are searched."""
SHIFT_GAIN: Final = 0.05
"""A longer shift is one if it raises the mean density at the C-alphas by more than this share."""
MIN_DENSITY_SD: Final = 1.5
"""A better place has this mean density, in standard deviations above the map's mean; a model that
does not belong to the map finds up to 0.6 anywhere, which is no place to name."""
MIN_SHIFTED: Final = 40
"""Of fewer C-alphas a shift proves nothing: some other peaks of the map are higher."""
SUSPICIOUS: Final = 0.3
"""Below this Q-score, or the expected one if that is higher, better places are searched for."""
_TIE: Final = 0.02
_MAX_SHIFTED: Final = 5000
_MAX_SCORED: Final = 500
_BYTES_PER_ATOM: Final = 200
_COARSE_BYTES: Final = 10_000_000


@dataclass(frozen=True, eq=False)
class Quality:
    """How well one map and its model agree.

    Parameters
    ----------
    facts : dict
        ``q_score`` mean over the protein atoms in the map (all atoms where none is protein),
        ``q_score_expected`` the mean at this resolution, ``cc_mask``, ``fsc_05_A`` the resolution
        in A at which the map-model FSC falls to 0.5, ``explained_density_share`` of the voxels
        above ``explained_density_level`` that lie within 3 A of an atom, and ``quality_flags``, a
        list of words. None where a number cannot be measured, never NaN.
    residue_q_score : (n_residues,) float32
        Mean over the atoms of each residue; NaN where none lies in the map.
    atom_q_score : (n,) float32
        NaN for hydrogens and atoms outside the map.
    flags : tuple of str
        Of ``mismatch``, ``wrong-origin``, ``wrong-hand``.
    messages : tuple of str
        One sentence per flag, with the numbers.
    """

    facts: dict[str, Any]
    residue_q_score: NDArray[np.float32]
    atom_q_score: NDArray[np.float32]
    flags: tuple[str, ...]
    messages: tuple[str, ...]


def measure_quality(
    values_zyx: NDArray[np.float32],
    voxel_size_zyx_A: Triple,
    origin_xyz_A: Triple,
    xyz_A: NDArray[np.float64],
    element: NDArray[np.uint8],
    residue_index: NDArray[np.int32],
    ca_xyz_A: NDArray[np.float64],
    n_residues: int,
    resolution_A: float | None,
    contour_level: float | None,
) -> Quality:
    """Measure how well a raw map and a model agree.

    Parameters
    ----------
    values_zyx
        float32 (z, y, x), finite, as deposited: neither resampled nor clipped. Never copied whole;
        `quality_memory_bytes` tells what is needed beside it.
    voxel_size_zyx_A, origin_xyz_A
        Grid: voxel size per axis z, y, x and center of voxel (0, 0, 0), x, y, z.
    xyz_A, element
        (n, 3) positions x, y, z in A, finite, and (n,) atomic numbers of all atoms; hydrogens
        are left out of everything.
    residue_index
        (n,) row of the protein residue of each atom, -1 for other atoms, which take their part of
        the density but do not count for the mean Q-score.
    ca_xyz_A
        (m, 3) C-alphas x, y, z; rows that are not finite do not count.
    n_residues
        Rows of the residue table.
    resolution_A
        Of the entry; without it there is no expected Q-score, correlation nor FSC.
    contour_level
        Density that the depositors draw the map at. Without it the level is where signal begins
        (`signal_threshold`), or, where the map has too few negative values to tell, halfway from
        its mean to the mean density at the C-alphas.

    Returns
    -------
    Quality
    """
    heavy = np.flatnonzero(element != 1)
    grid = (values_zyx, voxel_size_zyx_A, origin_xyz_A)
    ca_xyz_A = ca_xyz_A[np.isfinite(ca_xyz_A).all(axis=1)]
    map_mean, map_sd = moments(values_zyx)
    atom_q = np.full(len(xyz_A), np.nan, np.float32)
    atom_q[heavy] = q_score(*grid, xyz_A[heavy])
    score = _mean_score(atom_q, residue_index)
    search = _shift_search(grid, ca_xyz_A, map_mean)
    level = contour_level
    if level is None:
        level = signal_threshold(values_zyx) or map_mean + 0.5 * search.at_rest
    fit = map_model_fit(*grid, xyz_A[heavy], element[heavy], resolution_A=resolution_A, level=level)
    expected = expected_q_score(resolution_A)
    dense = search.at_best >= MIN_DENSITY_SD * map_sd
    found = _flags(grid, xyz_A[heavy], ca_xyz_A, map_mean, score, expected, search, dense)
    facts = {
        "q_score": score,
        "q_score_expected": expected,
        "cc_mask": None if math.isnan(fit.cc_mask) else fit.cc_mask,
        "fsc_05_A": fsc_resolution_A(fit.frequency_per_A, fit.fsc),
        "explained_density_share": fit.n_explained / fit.n_above if fit.n_above else None,
        "explained_density_level": float(level),
        "quality_flags": list(found),
    }
    residue_q = mean_by_residue(atom_q, residue_index, n_residues)
    return Quality(facts, residue_q, atom_q, tuple(found), tuple(found.values()))


def expected_q_score(resolution_A: float | None) -> float | None:
    """Return the mean Q-score of proteins in maps of a resolution, ``1.1192 - 0.1775 res``.

    None without a resolution and beyond 6.3 A, where the line falls below zero and says nothing.
    """
    if resolution_A is None:
        return None
    expected = EXPECTED_SLOPE_PER_A * resolution_A + EXPECTED_AT_0
    return expected if expected > 0.0 else None


def gate(quality: Quality, policy: Gate) -> tuple[str, ...]:
    """Return why an entry is to be dropped or warned of, one sentence per flag; nothing for "off".

    Raises
    ------
    ValueError
        If the policy is not "off", "warn" or "drop".
    """
    if policy not in ("off", "warn", "drop"):
        raise ValueError(f"gate {policy!r} is not one of off, warn, drop")
    return () if policy == "off" else quality.messages


def quality_memory_bytes(shape_zyx: tuple[int, int, int], n_atoms: int = 0) -> int:
    """Return the most bytes that `measure_quality` needs beside the map and the model."""
    return fit_memory_bytes(shape_zyx) + _BYTES_PER_ATOM * n_atoms + _COARSE_BYTES


def _mean_score(atom_q: NDArray[np.float32], residue_index: NDArray[np.int32]) -> float | None:
    """Mean over protein atoms; over all atoms of a model without any."""
    protein = residue_index >= 0
    scores = atom_q[protein] if protein.any() else atom_q
    scores = scores[np.isfinite(scores)]
    return float(scores.mean(dtype=np.float64)) if scores.size else None


def _shift_search(grid: Grid, ca_xyz_A: NDArray[np.float64], map_mean: float) -> ShiftSearch:
    """Search 4 A around in steps of 1 A, then 1 A around the best in steps of 0.25 A."""
    points = every_nth(ca_xyz_A, _MAX_SHIFTED)
    coarse = best_shift(*grid, points, offset=map_mean)
    fine = best_shift(*grid, points + coarse.shift_xyz_A, offset=map_mean, reach_A=1.0, step_A=0.25)
    shift = coarse.shift_xyz_A + fine.shift_xyz_A
    return ShiftSearch(shift, coarse.at_rest, fine.at_best)


def _flags(
    grid: Grid,
    heavy_xyz_A: NDArray[np.float64],
    ca_xyz_A: NDArray[np.float64],
    map_mean: float,
    score: float | None,
    expected: float | None,
    search: ShiftSearch,
    dense: bool,
) -> dict[str, str]:
    """Sentences by flag; ``dense`` says whether the shifted C-alphas lie in density at all."""
    found = {}
    if score is None:
        found["mismatch"] = "no atom of the model lies inside the map: check the origin"
    elif expected is not None and score < expected - MISMATCH:
        found["mismatch"] = (
            f"the mean Q-score {score:.2f} is {expected - score:.2f} below the {expected:.2f} of "
            "maps of this resolution: map and model do not fit as they are"
        )
    judged = len(ca_xyz_A) >= MIN_SHIFTED and dense
    if judged and search.length_A >= SHIFT_A and search.gain > SHIFT_GAIN:
        found["wrong-origin"] = (
            f"moving the model by {_vector(search.shift_xyz_A)} A raises the mean density at the "
            f"C-alphas by {search.gain:.0%}: check the origin"
        )
    if len(ca_xyz_A) and (score is None or score < max(expected or 0.0, SUSPICIOUS)):
        better = _better_place(grid, heavy_xyz_A, ca_xyz_A, map_mean, score or 0.0, expected)
        if "wrong-hand" in better:
            found.pop("wrong-origin", None)  # a shift of the wrong hand explains nothing
        found |= better
    return found


def _better_place(
    grid: Grid,
    heavy_xyz_A: NDArray[np.float64],
    ca_xyz_A: NDArray[np.float64],
    map_mean: float,
    score: float,
    expected: float | None,
) -> dict[str, str]:
    """Whether the refitted model has a clearly better Q-score, with or without a mirror."""
    every = max(1, -(-len(heavy_xyz_A) // _MAX_SCORED))
    sample = np.arange(0, len(heavy_xyz_A), every)
    bests = []
    for places in best_placements(*grid, ca_xyz_A, offset=map_mean):
        scores = [_mean_of(q_score(*grid, p.move(heavy_xyz_A), which=sample)) for p in places]
        # Of equal places, as in a symmetric complex, the first is named: the axes as they are.
        ranks = [
            value + _TIE * place.keeps_axes for value, place in zip(scores, places, strict=True)
        ]
        best = int(np.argmax(ranks))
        bests.append((scores[best], places[best]))
    (turned_score, turned), (mirrored_score, mirrored) = bests
    needed = max(score + BETTER, (expected or SUSPICIOUS) - MISMATCH)
    if mirrored_score >= max(needed, turned_score + BETTER):
        return {
            "wrong-hand": f"the mean Q-score is {score:.2f} as given, at best {turned_score:.2f} "
            f"after a refit, and {mirrored_score:.2f} with x, y, z as {mirrored.name}: the map is "
            "the mirror image of its molecule; mirror it"
        }
    if turned_score >= needed:
        turn = "" if turned.keeps_axes else f"turning its x, y, z to {turned.name} and "
        return {
            "wrong-origin": f"{turn}moving the model by {_vector(turned.shift_xyz_A)} A raises the "
            f"mean Q-score from {score:.2f} to {turned_score:.2f}: check the origin"
            + (" and the order of the axes" if turn else "")
        }
    return {}


def _mean_of(scores: NDArray[np.float32]) -> float:
    finite = scores[np.isfinite(scores)]
    return float(finite.mean(dtype=np.float64)) if finite.size else -1.0


def _vector(xyz_A: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{value + 0.0:.2f}" for value in xyz_A) + ")"
