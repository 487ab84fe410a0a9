"""What stages hand to each other: points and traces as plain arrays in npz files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from c2s_model.backbone.candidate_voxels import PredictedPoints
from c2s_model.backbone.candidates import AtomPoints, Candidates
from c2s_model.backbone.chain_trace import ChainTrace

if TYPE_CHECKING:
    from pathlib import Path


def write_points(path: Path, points: PredictedPoints) -> None:
    """Write candidates, N and C, in the place of the file of that name."""
    made = points.candidates
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "ca_xyz_A": made.xyz_A,
        "p_ca": made.p_ca,
        "amino": made.amino,
        "n_voxels": made.n_voxels,
        "n_xyz_A": points.n_points.xyz_A,
        "n_p": points.n_points.p,
        "c_xyz_A": points.c_points.xyz_A,
        "c_p": points.c_points.p,
        "numbers": np.array([points.n_voxels, points.decode_offset_voxel]),
    }
    if made.secondary is not None:
        arrays["secondary"] = made.secondary
    _write(path, arrays)


def read_points(path: Path) -> PredictedPoints:
    """Read what `write_points` wrote."""
    with np.load(path) as arrays:
        candidates = Candidates(
            arrays["ca_xyz_A"],
            arrays["p_ca"],
            arrays["amino"],
            arrays.get("secondary"),
            arrays["n_voxels"],
        )
        n_voxels, offset = arrays["numbers"].tolist()
        return PredictedPoints(
            candidates,
            AtomPoints(arrays["n_xyz_A"], arrays["n_p"]),
            AtomPoints(arrays["c_xyz_A"], arrays["c_p"]),
            int(n_voxels),
            offset,
        )


def write_traces(path: Path, traces: Sequence[ChainTrace]) -> None:
    """Write the traces of all chains, in the place of the file of that name."""
    _write(
        path,
        {
            "length": np.array([len(one) for one in traces], np.int64),
            "residue": _joined([one.residue for one in traces], np.int32),
            "candidate": _joined([one.candidate for one in traces], np.int32),
            "fragment": _joined([one.fragment for one in traces], np.int32),
            "xyz_A": np.concatenate([np.zeros((0, 3)), *(one.xyz_A for one in traces)]),
        },
    )


def read_traces(path: Path) -> tuple[ChainTrace, ...]:
    """Read what `write_traces` wrote."""
    with np.load(path) as arrays:
        ends = np.cumsum(arrays["length"]).tolist()
        columns = [arrays[name] for name in ("residue", "candidate", "fragment", "xyz_A")]
    spans = zip([0, *ends], ends, strict=False)
    return tuple(ChainTrace(*(one[start:end] for one in columns)) for start, end in spans)


def _joined(parts: Sequence[np.ndarray[Any, Any]], dtype: type) -> np.ndarray[Any, Any]:
    return np.concatenate([np.zeros(0, dtype), *parts])


def _write(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
