"""Which voxels of a prediction may hold a C-alpha, an N or a C: read in slabs, memory bounded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol

import numpy as np

from c2s_data.errors import ConfigError
from c2s_data.schema import AMINO_ACIDS, ATOM_C, ATOM_CA, ATOM_N, CLASS_NAMES, CORE
from c2s_model.backbone.candidates import (
    CENTROID_RADIUS_A,
    LEADER_RADIUS_A,
    PEAK_RADIUS_A,
    AtomPoints,
    Candidates,
    CandidateVoxels,
    atom_peaks,
    cluster_leader,
    suppress_non_maxima,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    Triple = tuple[float, float, float]

SLAB_BYTES: Final = 2**27
MAX_VOXELS: Final = 20_000_000
"""More candidate voxels than this (some 2 GB) are no C-alphas: the threshold is far too low."""


class Prediction(Protocol):
    """What a stored prediction offers; `c2s_data.store.prediction_store` has the real ones."""

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Voxels of the grid."""

    @property
    def origin_xyz_A(self) -> Triple:
        """Position of voxel 0, 0, 0."""

    @property
    def voxel_size_A(self) -> float:
        """One size for all axes."""

    @property
    def decode_offset_voxel(self) -> float:
        """What the labels it learned from need added to an index."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of what is predicted: atom, amino, secondary."""

    @property
    def sources(self) -> Mapping[str, Any]:
        """Where it comes from."""

    def read(self, target: str, z_start: int, z_stop: int) -> NDArray[np.floating[Any]]:
        """Probabilities (C, z, y, x) of the classes in `c2s_data.schema.CLASS_NAMES`."""


@dataclass(frozen=True)
class CandidateOptions:
    """How candidates are made of a prediction.

    Parameters
    ----------
    method : {"leader", "peaks"}
        `cluster_leader` or `suppress_non_maxima`.
    threshold
        A voxel is a candidate above this probability of a C-alpha.
    radius_A
        Of the leader, or between peaks.
    centroid_radius_A
        Of the voxels that place a peak.
    decode_offset : float or "auto"
        Voxels added to an index on each axis; "auto" is what the prediction recorded.
    labeled_only
        Whether the likeliest atom and amino-acid classes of a voxel must not be "none".
    atom_threshold
        As ``threshold``, of the points of N and C.
    """

    method: Literal["leader", "peaks"] = "peaks"
    threshold: float = 0.2
    radius_A: float = PEAK_RADIUS_A
    centroid_radius_A: float = CENTROID_RADIUS_A
    decode_offset: float | Literal["auto"] = "auto"
    labeled_only: bool = False
    atom_threshold: float = 0.3

    def __post_init__(self) -> None:
        for name in ("threshold", "atom_threshold"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; a probability below 1")
        for name in ("radius_A", "centroid_radius_A"):
            if not 0 <= getattr(self, name) <= 100:
                raise ConfigError(f"{name} is {getattr(self, name)}; give 0 to 100 A")
        if self.method not in ("leader", "peaks"):
            raise ConfigError(f"method {self.method!r} of candidates; use leader or peaks")
        if self.decode_offset != "auto" and not abs(self.decode_offset) <= 2:
            raise ConfigError(f"decode offset {self.decode_offset} voxel; give -2 to 2, or auto")

    def as_json(self) -> dict[str, Any]:
        """Return the options as plain values."""
        return asdict(self)


PAPER: Final = CandidateOptions(
    method="leader",
    threshold=0.4,
    radius_A=LEADER_RADIUS_A,
    decode_offset=0.0,
    labeled_only=True,
    atom_threshold=0.4,
)
"""As published: formula 2 has no offset."""
RECOMMENDED: Final = CandidateOptions()


class PredictedPoints(NamedTuple):
    """What a prediction comes to.

    Parameters
    ----------
    candidates
        C-alphas.
    n_points, c_points
        Predicted N and C.
    n_voxels
        Candidate voxels that the C-alphas were made of.
    decode_offset_voxel
        What was added to indices.
    """

    candidates: Candidates
    n_points: AtomPoints
    c_points: AtomPoints
    n_voxels: int
    decode_offset_voxel: float


class _Found(NamedTuple):
    """Voxels z, y, x (k, 3) and the values asked for at them (k, c)."""

    index_zyx: NDArray[np.int32]
    values: tuple[NDArray[np.float32], ...]


def predicted_points(
    prediction: Prediction, options: CandidateOptions = RECOMMENDED
) -> PredictedPoints:
    """Turn a prediction into points.

    Raises
    ------
    ConfigError
        It has no atoms or no amino acids, or far too many voxels pass the threshold.
    """
    voxels, n_voxels, c_voxels = read_candidate_voxels(prediction, options)
    offset = (
        prediction.decode_offset_voxel
        if options.decode_offset == "auto"
        else float(options.decode_offset)
    )
    if options.method == "leader":
        candidates = cluster_leader(voxels, radius_A=options.radius_A, decode_offset_voxel=offset)
    else:
        candidates = suppress_non_maxima(
            voxels,
            radius_A=options.radius_A,
            centroid_radius_A=options.centroid_radius_A,
            decode_offset_voxel=offset,
        )
    points = [
        atom_peaks(
            found.index_zyx,
            found.values[0],
            origin_xyz_A=voxels.origin_xyz_A,
            voxel_size_A=voxels.voxel_size_A,
            centroid_radius_A=options.centroid_radius_A,
            decode_offset_voxel=offset,
        )
        for found in (n_voxels, c_voxels)
    ]
    return PredictedPoints(candidates, points[0], points[1], len(voxels), offset)


def read_candidate_voxels(
    prediction: Prediction, options: CandidateOptions
) -> tuple[CandidateVoxels, _Found, _Found]:
    """Select the voxels of C-alphas, N and C, slab by slab.

    The published rule: the likeliest atom class is not "none", nor is the likeliest amino acid,
    and p(CA) > 0.4.

    Raises
    ------
    ConfigError
        As `predicted_points`.
    """
    missing = {"atom", "amino"} - set(prediction.targets)
    if missing:
        raise ConfigError(
            f"the prediction holds {', '.join(prediction.targets)}, not "
            f"{' and '.join(sorted(missing))}; predict with a network that has both, or with two"
        )
    has_secondary = "secondary" in prediction.targets
    found: dict[int, list[_Found]] = {ATOM_CA: [], ATOM_N: [], ATOM_C: []}
    total = 0
    for z_start, z_stop in _slabs(prediction.shape_zyx):
        atom = _read(prediction, "atom", z_start, z_stop)
        for kind in (ATOM_N, ATOM_C):
            index = np.argwhere(atom[kind] > np.float32(options.atom_threshold))
            found[kind].append(_Found(_raised(index, z_start), (_at(atom, index)[:, kind],)))
            total += len(index)
        index = np.argwhere(atom[ATOM_CA] > np.float32(options.threshold))
        if len(index):
            amino = _at(_read(prediction, "amino", z_start, z_stop), index)
            at_atom = _at(atom, index)
            keep = np.ones(len(index), np.bool_)
            if options.labeled_only:
                keep = (at_atom.argmax(axis=1) != 0) & (amino.argmax(axis=1) != 0)
            values = [at_atom[keep, ATOM_CA], _emission(amino[keep])]
            if has_secondary:
                secondary = _read(prediction, "secondary", z_start, z_stop)
                values.append(_at(secondary, index[keep])[:, 1:])
            found[ATOM_CA].append(_Found(_raised(index[keep], z_start), tuple(values)))
            total += len(index)
        _refuse_floods(total, options)
    widths = [0, len(AMINO_ACIDS)] + [3] * has_secondary
    c_alphas = _joined(found[ATOM_CA], widths)
    voxels = CandidateVoxels(
        c_alphas.index_zyx,
        c_alphas.values[0],
        c_alphas.values[1],
        c_alphas.values[2] if has_secondary else None,
        prediction.origin_xyz_A,
        prediction.voxel_size_A,
    )
    return voxels, _joined(found[ATOM_N], [0]), _joined(found[ATOM_C], [0])


def _slabs(shape_zyx: tuple[int, int, int]) -> Iterator[tuple[int, int]]:
    nz, ny, nx = shape_zyx
    classes = sum(len(CLASS_NAMES[target]) for target in ("atom", "amino", "secondary"))
    thickness = max(1, SLAB_BYTES // (4 * classes * ny * nx))
    if thickness > CORE:
        thickness -= thickness % CORE  # stored blocks are so thick: each is then decoded once
    for start in range(0, nz, thickness):
        yield start, min(start + thickness, nz)


def _read(prediction: Prediction, target: str, z_start: int, z_stop: int) -> NDArray[Any]:
    values = prediction.read(target, z_start, z_stop)
    shape = (len(CLASS_NAMES[target]), z_stop - z_start, *prediction.shape_zyx[1:])
    if values.shape != shape:
        raise ConfigError(f"the prediction of {target} has shape {values.shape}, not {shape}")
    return values


def _at(values: NDArray[Any], index: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Return values (C, z, y, x) at voxels (k, 3) as (k, C) float32."""
    z, y, x = index.T
    return np.ascontiguousarray(values[:, z, y, x].T, np.float32)


def _raised(index: NDArray[np.integer[Any]], z_start: int) -> NDArray[np.int32]:
    raised: NDArray[np.int32] = np.add(index, [z_start, 0, 0]).astype(np.int32)
    return raised


def _emission(amino: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return p_aa[i] + p_aa[0] / 20, (k, 20): what "none" has is shared out."""
    return amino[:, 1:] + amino[:, :1] / np.float32(len(AMINO_ACIDS))


def _refuse_floods(total: int, options: CandidateOptions) -> None:
    if total > MAX_VOXELS:
        raise ConfigError(
            f"more than {MAX_VOXELS:,} voxels pass the thresholds {options.threshold:g} and "
            f"{options.atom_threshold:g}; raise them, or train the network further"
        )


def _joined(parts: list[_Found], widths: list[int]) -> _Found:
    """Put slabs together; ``widths`` are the columns of each value, 0 for a plain vector."""
    if not parts:
        empty = tuple(np.zeros((0, w) if w else 0, np.float32) for w in widths)
        return _Found(np.zeros((0, 3), np.int32), empty)
    values = zip(*(part.values for part in parts), strict=True)
    return _Found(
        np.concatenate([part.index_zyx for part in parts]),
        tuple(np.concatenate(each) for each in values),
    )
