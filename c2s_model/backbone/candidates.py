"""C-alpha candidates from voxels that a network labeled: two ways to merge voxels into points.

``cluster_leader`` is the published way: the first voxel that remains, x outermost, then y, then z,
leads and takes all within the radius; position and emission are plain means of what it takes.
``suppress_non_maxima`` starts from the most probable voxel instead, and measures the position,
finer than a voxel, as the mean weighted by probability of the voxels close to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from c2s_data.schema import AMINO_ACIDS
from c2s_model.backbone.voxel_columns import (
    VoxelColumns,
    claim,
    squared_reach,
    sums_around,
    sums_of_owners,
    voxel_columns,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEADER_RADIUS_A: Final = 2.0
PEAK_RADIUS_A: Final = 2.5
CENTROID_RADIUS_A: Final = 1.5


@dataclass(frozen=True, eq=False)
class CandidateVoxels:
    """Voxels of a prediction that may hold a C-alpha.

    Parameters
    ----------
    index_zyx : (n, 3) int32
        Voxel indices z, y, x, each once, in any order.
    p_ca : (n,) float32
        Probability of a C-alpha, finite and not negative.
    amino : (n, 20) float32
        Probability of each amino acid, that of "none" shared out evenly.
    secondary : (n, 3) float32 or None
        Probability of coil, helix, strand.
    origin_xyz_A : three floats
        Position of voxel 0, 0, 0.
    voxel_size_A : float
    """

    index_zyx: NDArray[np.int32]
    p_ca: NDArray[np.float32]
    amino: NDArray[np.float32]
    secondary: NDArray[np.float32] | None
    origin_xyz_A: tuple[float, float, float]
    voxel_size_A: float = 1.0

    def __post_init__(self) -> None:
        n = len(self.index_zyx)
        shapes = {"p_ca": (n,), "amino": (n, len(AMINO_ACIDS))}
        if self.secondary is not None:
            shapes["secondary"] = (n, 3)
        _check_shapes(self, shapes)
        _check_probability(self.p_ca)

    def __len__(self) -> int:
        """Return the number of voxels."""
        return len(self.index_zyx)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Points that may be C-alphas: the states of the hidden Markov models.

    Parameters
    ----------
    xyz_A : (n, 3) float64
        Positions x, y, z.
    p_ca : (n,) float32
        Probability of a C-alpha: mean over the voxels (leader), of the peak (suppression).
    amino : (n, 20) float64
        Mean probability of each amino acid, in the order of `schema.AMINO_ACIDS`; the paper's
        p_aa[i] + p_aa[0] / 20.
    secondary : (n, 3) float32 or None
        Mean probability of coil, helix, strand.
    n_voxels : (n,) int32
        Voxels that the means are made of.
    """

    xyz_A: NDArray[np.float64]
    p_ca: NDArray[np.float32]
    amino: NDArray[np.float64]
    secondary: NDArray[np.float32] | None
    n_voxels: NDArray[np.int32]

    def __post_init__(self) -> None:
        n = len(self.xyz_A)
        shapes = {"xyz_A": (n, 3), "p_ca": (n,), "amino": (n, len(AMINO_ACIDS)), "n_voxels": (n,)}
        if self.secondary is not None:
            shapes["secondary"] = (n, 3)
        _check_shapes(self, shapes)

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self.xyz_A)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Candidates:
        """Return the candidates that an index or a mask selects."""
        secondary = None if self.secondary is None else self.secondary[rows]
        return Candidates(
            self.xyz_A[rows], self.p_ca[rows], self.amino[rows], secondary, self.n_voxels[rows]
        )


@dataclass(frozen=True, eq=False)
class AtomPoints:
    """Predicted positions of one kind of backbone atom, N or C.

    Parameters
    ----------
    xyz_A : (m, 3) float64
        Positions x, y, z.
    p : (m,) float32
        Probability of that atom at the peak, descending.
    """

    xyz_A: NDArray[np.float64]
    p: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.xyz_A)


def cluster_leader(
    voxels: CandidateVoxels,
    *,
    radius_A: float = LEADER_RADIUS_A,
    decode_offset_voxel: float = 0.0,
) -> Candidates:
    """Merge voxels as published.

    Parameters
    ----------
    voxels
        What the published rule selects.
    radius_A
        Distance from the leader within which it takes voxels, the rim included.
    decode_offset_voxel
        Added to indices on each axis; formula 2 of the paper has none.

    Returns
    -------
    Candidates
        In the order of their leaders: by x, then y, then z.
    """
    columns = voxel_columns(voxels.index_zyx)
    owner = np.full(len(voxels), -1, np.int32)
    n = len(
        claim(columns, np.arange(len(voxels)), squared_reach(radius_A, voxels.voxel_size_A), owner)
    )
    values = _values(voxels)
    sums, count = np.zeros((n, 4 + _width(values))), np.zeros(n, np.int32)
    sums_of_owners(columns, owner, values, sums, count)
    return _candidates(voxels, sums, count, decode_offset_voxel)


def suppress_non_maxima(
    voxels: CandidateVoxels,
    *,
    radius_A: float = PEAK_RADIUS_A,
    centroid_radius_A: float = CENTROID_RADIUS_A,
    decode_offset_voxel: float,
) -> Candidates:
    """Merge voxels from the most probable down.

    A voxel is a peak unless a peak of higher probability lies within ``radius_A``, the rim
    included; equal probabilities go by x, then y, then z.

    Parameters
    ----------
    voxels
        Any selection.
    radius_A
        Peaks are farther apart than this.
    centroid_radius_A
        All voxels given within it of a peak, the rim included, enter the peak's means, weighted by
        their probability of a C-alpha.
    decode_offset_voxel
        Added to indices on each axis: what the prediction recorded.

    Returns
    -------
    Candidates
        By descending probability.
    """
    columns = voxel_columns(voxels.index_zyx)
    peaks = _peaks(columns, voxels.p_ca, squared_reach(radius_A, voxels.voxel_size_A))
    reach2 = squared_reach(centroid_radius_A, voxels.voxel_size_A)
    sums, count = _sums_around(columns, voxels.p_ca, peaks, reach2, _values(voxels))
    made = _candidates(voxels, sums, count, decode_offset_voxel)
    p_ca = voxels.p_ca[columns.order[peaks]]
    return Candidates(made.xyz_A, p_ca, made.amino, made.secondary, made.n_voxels)


def atom_peaks(
    index_zyx: NDArray[np.int32],
    p: NDArray[np.float32],
    *,
    origin_xyz_A: tuple[float, float, float],
    voxel_size_A: float = 1.0,
    radius_A: float = PEAK_RADIUS_A,
    centroid_radius_A: float = CENTROID_RADIUS_A,
    decode_offset_voxel: float,
) -> AtomPoints:
    """Find the points of one kind of atom, as `suppress_non_maxima` finds C-alphas.

    Parameters
    ----------
    index_zyx : (n, 3) int32
        Voxels z, y, x.
    p : (n,) float32
        Probability of that atom.
    """
    _check_probability(p)
    p = np.ascontiguousarray(p, np.float32)
    columns = voxel_columns(index_zyx)
    peaks = _peaks(columns, p, squared_reach(radius_A, voxel_size_A))
    reach2 = squared_reach(centroid_radius_A, voxel_size_A)
    sums, _ = _sums_around(columns, p, peaks, reach2, (p[:, None],))
    xyz_A = _positions(sums, index_zyx, origin_xyz_A, voxel_size_A, decode_offset_voxel)
    return AtomPoints(xyz_A, p[columns.order[peaks]])


def _peaks(columns: VoxelColumns, p: NDArray[np.float32], reach2: int) -> NDArray[np.int64]:
    """Return the sorted voxels that are peaks, most probable first; ``p`` is as given."""
    # One integer per voxel sorts several times faster than a stable argsort of floats. The bits of
    # floats from 0 up rise with them, so that their complement falls; rows break ties as x, y, z.
    bits = (p[columns.order] + np.float32(0)).view(np.uint32)  # a zero of negative sign becomes 0
    keys = (~bits).astype(np.uint64) << np.uint64(32) | np.arange(len(p), dtype=np.uint64)
    keys.sort()
    descending = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
    return claim(columns, descending, reach2, np.full(len(p), -1, np.int32))


def _sums_around(
    columns: VoxelColumns,
    p: NDArray[np.float32],
    peaks: NDArray[np.int64],
    reach2: int,
    values: tuple[NDArray[np.float32], ...],
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    sums = np.zeros((len(peaks), 4 + _width(values)))
    count = np.zeros(len(peaks), np.int32)
    # A probability of 0 at the peak leaves nothing to weigh by.
    weight = np.maximum(p, np.finfo(np.float32).tiny)
    by_place = np.sort(peaks)  # neighbors in memory one after another
    sums_around(columns, by_place, reach2, weight, values, sums, count)
    row = np.searchsorted(by_place, peaks)
    return sums[row], count[row]


def _values(voxels: CandidateVoxels) -> tuple[NDArray[np.float32], ...]:
    """Return what is averaged: p_ca (n, 1), amino acids (n, 20), secondary structure (n, 3)."""
    parts = [voxels.p_ca[:, None], voxels.amino]
    if voxels.secondary is not None:
        parts.append(voxels.secondary)
    return tuple(np.ascontiguousarray(one, np.float32) for one in parts)


def _width(values: tuple[NDArray[np.float32], ...]) -> int:
    return sum(one.shape[1] for one in values)


def _candidates(
    voxels: CandidateVoxels,
    sums: NDArray[np.float64],
    count: NDArray[np.int32],
    decode_offset_voxel: float,
) -> Candidates:
    xyz_A = _positions(
        sums, voxels.index_zyx, voxels.origin_xyz_A, voxels.voxel_size_A, decode_offset_voxel
    )
    means = sums[:, 4:] / sums[:, :1]
    secondary = None if voxels.secondary is None else means[:, 21:].astype(np.float32)
    return Candidates(xyz_A, means[:, 0].astype(np.float32), means[:, 1:21], secondary, count)


def _positions(
    sums: NDArray[np.float64],
    index_zyx: NDArray[np.int32],
    origin_xyz_A: tuple[float, float, float],
    voxel_size_A: float,
    decode_offset_voxel: float,
) -> NDArray[np.float64]:
    if len(index_zyx) == 0:
        return np.zeros((0, 3))
    lowest_xyz = np.asarray(index_zyx).min(axis=0)[::-1].astype(np.float64)
    mean_xyz = sums[:, 1:4] / sums[:, :1]
    origin = np.asarray(origin_xyz_A, np.float64)
    return np.asarray(origin + (mean_xyz + lowest_xyz + decode_offset_voxel) * voxel_size_A)


def _check_shapes(of: object, shapes: dict[str, tuple[int, ...]]) -> None:
    for name, shape in shapes.items():
        found = np.shape(getattr(of, name))
        if found != shape:
            raise ValueError(f"{name} has shape {found}, not {shape}: one row per point")


def _check_probability(p: NDArray[np.float32]) -> None:
    if not (np.isfinite(p).all() and (np.asarray(p) >= 0).all()):
        raise ValueError("probabilities must be finite and not negative")
