"""What the page of one backbone shows: probabilities, candidates, model, truth, scores."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import ConfigError
from c2s_data.schema import ATOM_CA
from c2s_data.store.prediction_store import StoredPrediction, open_prediction
from c2s_model.backbone.stage_files import read_points
from c2s_model.evaluation.chains import CaChain, joined_xyz_A, read_chains, read_model
from c2s_model.evaluation.evaluate import Evaluation, evaluate_chains
from c2s_model.evaluation.pictures import COLORS, OF_QUERY, OF_TARGET
from c2s_model.evaluation.residue_status import residue_status

MAX_VOXELS: Final = 400_000
MARGIN_A: Final = 5.0
FIRST_CONTOUR: Final = 0.4
"""p(CA) at which the published program accepts a voxel."""
SAME_A: Final = 0.01
_STAGES: Final = ("predict", "candidates", "trace", "structure")
_MAX_RECORD_BYTES: Final = 2**24


def run_document(model: Path, work: Path | None, truth: Path | None) -> dict[str, Any]:
    """Return all that the page of a built model shows.

    Parameters
    ----------
    model
        mmCIF or PDB; ``.confidence.csv`` beside it is read where it is there.
    work
        Folder of the stages of `c2s-model backbone`; None shows neither candidates nor
        probabilities.
    truth
        The known model; None leaves out scores.

    Raises
    ------
    ModelError
        If a model cannot be read.
    ConfigError
        If what stands beside the model is of another one.
    """
    query = read_chains(model)
    document: dict[str, Any] = {
        "kind": "run",
        "title": model.name,
        "built": _trace(query) | {"confidence": _confidence(model, query).astype(np.float32)},
        "stages": [] if work is None else _stages(work),
        "palette": {
            "status": [[int(status), name, COLORS[status]] for status, name in OF_QUERY.items()],
            "found": [[int(status), name, COLORS[status]] for status, name in OF_TARGET.items()],
        },
    }
    if truth is not None:
        target = read_model(truth).chains
        found = evaluate_chains(target, query)
        status = residue_status(target, query, found)
        document["built"]["status"] = status.query
        document["truth"] = _trace(target) | {"found": status.target}
        document["scores"] = _scores(found)
        document["truth_name"] = truth.name
    if work is not None:
        document |= _points(work)
    return document


def _trace(chains: Sequence[CaChain]) -> dict[str, Any]:
    sizes = [len(chain) for chain in chains]
    return {
        "xyz_A": joined_xyz_A(chains).astype(np.float32),
        "chain": np.repeat(np.arange(len(chains), dtype=np.uint16), sizes),
        "chain_names": [chain.name for chain in chains],
        "number": np.concatenate([chain.number >> 8 for chain in chains]).astype(np.int32),
    }


def _confidence(model: Path, query: Sequence[CaChain]) -> NDArray[np.float64]:
    """Return the confidence of each residue: of the table beside the model, else its B factors."""
    path = model.with_suffix(".confidence.csv")
    if not path.is_file():
        return np.clip(np.concatenate([chain.b_factor for chain in query]) / 100, 0, 1)
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    xyz_A = np.array([[float(row[f"ca_{axis}_A"]) for axis in "xyz"] for row in rows])
    places = joined_xyz_A(query)
    if xyz_A.shape != places.shape or np.abs(xyz_A - places).max() > SAME_A:
        raise ConfigError(
            f"{path} belongs to another model than {model.name}; build it again or remove the table"
        )
    return np.array([float(row["confidence"]) for row in rows])


def _stages(work: Path) -> list[dict[str, Any]]:
    found = []
    for name in _STAGES:
        record = work / f"{name}.json"
        if record.is_file() and record.stat().st_size <= _MAX_RECORD_BYTES:
            document = json.loads(record.read_bytes())
            facts = {k: v for k, v in document["facts"].items() if not isinstance(v, dict | list)}
            notes = document["facts"].get("notes", [])
            found.append(
                {"name": name, "seconds": document["seconds"], "facts": facts, "notes": notes}
            )
    if not found:
        raise ConfigError(f"{work} holds no stage of `c2s-model backbone`; name its work folder")
    return found


def _points(work: Path) -> dict[str, Any]:
    path = work / "points.npz"
    if not path.is_file():
        return {}
    candidates = read_points(path).candidates
    document: dict[str, Any] = {
        "candidates": {
            "xyz_A": candidates.xyz_A.astype(np.float32),
            "p_ca": candidates.p_ca.astype(np.float32),
        }
    }
    prediction = _prediction(work)
    if prediction is not None:
        document["volume"] = probability_volume(prediction, candidates.xyz_A)
    return document


def _prediction(work: Path) -> StoredPrediction | None:
    """Open the first prediction of atoms that the stage left; a simulated one leaves none."""
    record = json.loads((work / "predict.json").read_bytes())
    for output in map(Path, record["outputs"]):
        place = output if output.is_dir() else work / output.name  # The folder may have moved.
        for found in (place, *sorted(place.glob("*.zarr"))):
            if (found / "zarr.json").is_file():
                opened = open_prediction(str(found))
                if "atom" in opened.targets:
                    return opened
    return None


def probability_volume(
    prediction: StoredPrediction, ca_xyz_A: NDArray[np.float64], max_voxels: int = MAX_VOXELS
) -> dict[str, Any]:
    """Return p(CA) around the candidates as bytes, 255 for 1.

    Blocks of voxels keep their highest value: a C-alpha is a peak of few voxels, which a mean would
    flatten.
    """
    voxel_A, origin_zyx_A = prediction.voxel_size_A, np.array(prediction.origin_xyz_A[::-1])
    shape = np.array(prediction.shape_zyx)
    low, high = np.zeros(3, np.int64), shape
    if len(ca_xyz_A):
        at = (ca_xyz_A[:, ::-1] - origin_zyx_A) / voxel_A
        margin = MARGIN_A / voxel_A
        low = np.clip(np.floor(at.min(axis=0) - margin).astype(np.int64), 0, shape - 1)
        high = np.clip(np.ceil(at.max(axis=0) + margin).astype(np.int64) + 1, low + 1, shape)
    factor = max(1, int(np.ceil((np.prod(high - low) / max_voxels) ** (1 / 3))))
    thick = factor * max(1, prediction.facts.core // factor)
    slabs = []
    for start in range(int(low[0]), int(high[0]), thick):
        stop = min(start + thick, int(high[0]))
        p_ca = prediction.read("atom", start, stop)[ATOM_CA, :, low[1] : high[1], low[2] : high[2]]
        slabs.append(_highest(p_ca, factor))
    codes = np.rint(np.clip(np.concatenate(slabs).astype(np.float32), 0, 1) * 255)
    middle = low + (factor - 1) / 2 + prediction.decode_offset_voxel
    first_A = origin_zyx_A + middle * voxel_A
    return {
        "codes": codes.astype(np.uint8),
        "step_A": float(voxel_A * factor),
        "origin_xyz_A": tuple(float(one) for one in first_A[::-1]),
        "contour": FIRST_CONTOUR,
        "why": "p(CA) at which the published program takes a voxel",
    }


def _highest(values: NDArray[np.float16], factor: int) -> NDArray[np.float16]:
    """Return the highest value of each block; the last ones may be smaller."""
    for axis in range(3):
        starts = np.arange(0, values.shape[axis], factor)
        values = np.maximum.reduceat(values, starts, axis=axis)
    return values


def _scores(found: Evaluation) -> Mapping[str, Any]:
    whole = found.comparison.whole
    near = next(placed for placed in found.placed if placed.radius_A == 3)
    return {
        "matching_percent": whole.found_percent,
        "sequence_match_percent": whole.sequence_match_percent,
        "rmsd_A": whole.rmsd,
        "f1_3A": near.match.f1,
        "tm_map_frame": found.tm_map_frame,
        "gdt_map_frame": found.gdt_map_frame,
        "lddt_ca": found.lddt.score,
        "sequence_recall": found.sequence_recall,
        "chains": [
            {
                "chain": chain.chain,
                "n_residues": chain.n_residues,
                "n_near": chain.n_near,
                "by": list(chain.query_chains),
            }
            for chain in found.coverage
        ],
    }
