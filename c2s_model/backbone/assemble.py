"""From traces to chains that can be written: atoms around the C-alphas, names, confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from c2s_model.backbone.backbone_atoms import CIS_BELOW_A, place_backbone
from c2s_model.backbone.built_chain import BuiltChain, residue_names
from c2s_model.backbone.confidence import residue_features, uncalibrated_confidence
from c2s_model.backbone.even_steps import settle_steps
from c2s_model.backbone.fragment_profiles import FragmentProfile
from c2s_model.backbone.residue_codes import residue_letters
from c2s_model.backbone.target_chains import TargetChain, fresh_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from c2s_model.backbone.calibration import Calibration
    from c2s_model.backbone.candidate_voxels import PredictedPoints
    from c2s_model.backbone.candidates import AtomPoints, Candidates
    from c2s_model.backbone.chain_trace import ChainTrace

GEOMETRY_A: Final = {"N-CA": 1.458, "CA-C": 1.525, "C-N": 1.329, "CA-CA": 3.80, "CA-CA cis": 2.9}
"""Ideal lengths (Engh & Huber 1991) of what `geometry` reports."""
_OUTLIER_A: Final = {"N-CA": 0.2, "CA-C": 0.2, "C-N": 0.2, "CA-CA": 0.5, "CA-CA cis": 0.5}


def built_chains(
    points: PredictedPoints,
    chains: Sequence[TargetChain],
    traces: Sequence[ChainTrace],
    calibration: Calibration | None = None,
    *,
    settle: bool = True,
) -> tuple[BuiltChain, ...]:
    """Build each traced chain; one that has no residue comes out empty.

    With ``settle`` C-alphas are moved to even steps (`settle_steps`); without, they stay where the
    trace has them, as published.
    """
    return tuple(
        _built(points, chain, trace, calibration, settle=settle)
        for chain, trace in zip(chains, traces, strict=True)
    )


def free_chains(
    candidates: Candidates, traces: Sequence[ChainTrace], taken: set[str]
) -> tuple[TargetChain, ...]:
    """Give fragments that were traced without a sequence names, and the likeliest residues."""
    names = fresh_names(taken)
    return tuple(
        TargetChain(
            next(names),
            residue_letters(candidates.amino[trace.candidate].argmax(axis=1)),
            np.arange(len(trace), dtype=np.int32),
        )
        for trace in traces
    )


def fragment_profiles(
    candidates: Candidates, chains: Sequence[TargetChain], traces: Sequence[ChainTrace]
) -> list[FragmentProfile]:
    """Return the profile of each fragment that was traced without a sequence."""
    return [
        FragmentProfile(f"fragment-{chain.name}", candidates.amino[trace.candidate])
        for chain, trace in zip(chains, traces, strict=True)
    ]


def without_neighbors(
    points: PredictedPoints, kept_xyz_A: NDArray[np.float64], distance_A: float
) -> tuple[PredictedPoints, int]:
    """Leave out points within a distance of atoms that are built already.

    Returns
    -------
    tuple
        The points left, and the number of C-alpha candidates dropped.
    """
    from scipy.spatial import cKDTree  # noqa: PLC0415 - only where a model is kept

    tree = cKDTree(kept_xyz_A)

    def far(xyz_A: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray(tree.query(xyz_A)[0] > distance_A) if len(xyz_A) else np.zeros(0, bool)

    def left(of: AtomPoints) -> AtomPoints:
        keep = far(of.xyz_A)
        return type(of)(of.xyz_A[keep], of.p[keep])

    keep = far(points.candidates.xyz_A)
    kept_points = points._replace(
        candidates=points.candidates.take(keep),
        n_points=left(points.n_points),
        c_points=left(points.c_points),
    )
    return kept_points, int((~keep).sum())


def geometry(chains: Sequence[BuiltChain]) -> dict[str, dict[str, float | int]]:
    """Measure bonds within and between consecutive residues of a fragment.

    Returns
    -------
    dict
        By kind of `GEOMETRY_A`: ``number``, ``mean_A``, ``sd_A`` and ``outliers``, those more than
        0.2 A (C-alphas: 0.5 A) from the ideal. C-alphas nearer than 3.0 A are counted as cis.
    """
    lengths: dict[str, list[NDArray[np.float64]]] = {name: [] for name in GEOMETRY_A}
    for chain in chains:
        empty = np.full((len(chain), 3), np.nan)
        n, c = (empty if one is None else one for one in (chain.n_xyz_A, chain.c_xyz_A))
        bonded = (np.diff(chain.fragment) == 0) & (np.diff(chain.residue_number) == 1)
        step_A = np.linalg.norm(np.diff(chain.xyz_A, axis=0), axis=1)[bonded]
        lengths["CA-CA"].append(step_A[step_A >= CIS_BELOW_A])
        lengths["CA-CA cis"].append(step_A[step_A < CIS_BELOW_A])
        lengths["N-CA"].append(np.linalg.norm(n - chain.xyz_A, axis=1))
        lengths["CA-C"].append(np.linalg.norm(c - chain.xyz_A, axis=1))
        lengths["C-N"].append(np.linalg.norm(c[:-1] - n[1:], axis=1)[bonded])
    return {name: _summary(name, np.concatenate(found)) for name, found in lengths.items() if found}


def _summary(name: str, lengths_A: NDArray[np.float64]) -> dict[str, float | int]:
    lengths_A = lengths_A[np.isfinite(lengths_A)]
    off_A = np.abs(lengths_A - GEOMETRY_A[name])
    some = len(lengths_A) > 0
    return {
        "number": len(lengths_A),
        "mean_A": round(float(lengths_A.mean()), 3) if some else 0.0,
        "sd_A": round(float(lengths_A.std()), 3) if some else 0.0,
        "outliers": int((off_A > _OUTLIER_A[name]).sum()),
    }


def _built(
    points: PredictedPoints,
    chain: TargetChain,
    trace: ChainTrace,
    calibration: Calibration | None,
    *,
    settle: bool,
) -> BuiltChain:
    place = chain.places[trace.residue]
    bonded = (np.diff(trace.fragment) == 0) & (np.diff(place) == 1)
    names = np.array(residue_names(chain.sequence), np.str_)[place]
    xyz_A = settle_steps(trace.xyz_A, bonded, names[1:] == "PRO") if settle else trace.xyz_A
    atoms = place_backbone(xyz_A, bonded, points.n_points, points.c_points)
    confidence = uncalibrated_confidence(residue_features(points.candidates, trace, chain.codes))
    return BuiltChain(
        name=chain.name,
        sequence=chain.sequence,
        residue_number=(place + 1).astype(np.int32),
        residue_name=names,
        xyz_A=xyz_A,
        n_xyz_A=atoms.n_xyz_A,
        c_xyz_A=atoms.c_xyz_A,
        o_xyz_A=atoms.o_xyz_A,
        confidence=confidence if calibration is None else calibration(confidence),
        fragment=trace.fragment,
        interpolated=trace.candidate < 0,
    )
