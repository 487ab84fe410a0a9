"""From a map to a model: predict, candidates, trace, structure, report, each done once.

The prediction comes from outside, as a source that knows what it is made from, how to make it and
how to open it: networks need torch, and the rest of the way does not.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from c2s_data.errors import ConfigError
from c2s_data.sources.atomic_model import read_atomic_model
from c2s_data.sources.fasta import read_fasta
from c2s_data.sources.file_digest import digest_of_file
from c2s_data.sources.sequence import chain_sequences
from c2s_data.sources.structure_file import read_structure
from c2s_model.backbone import stage_files
from c2s_model.backbone.assemble import (
    built_chains,
    fragment_profiles,
    free_chains,
    geometry,
    without_neighbors,
)
from c2s_model.backbone.backbone_request import (
    BackboneRequest,
    BackboneResult,
    Hmm,
    PredictionSource,
)
from c2s_model.backbone.calibration import read_calibration
from c2s_model.backbone.candidate_voxels import PredictedPoints, predicted_points
from c2s_model.backbone.fragment_profiles import write_profiles
from c2s_model.backbone.free_trace import trace_free
from c2s_model.backbone.stages import StageResult, Stages
from c2s_model.backbone.structure import (
    UNCALIBRATED,
    write_confidence,
    write_model,
    write_text_beside,
)
from c2s_model.backbone.target_chains import (
    TargetChain,
    chains_of_answer,
    chains_of_fasta,
    renamed,
    without_kept,
)

if TYPE_CHECKING:
    import gemmi

    from c2s_model.backbone.chain_trace import TraceResult

__all__ = [
    "BackboneRequest",
    "BackboneResult",
    "Hmm",
    "PredictionSource",
    "build_backbone",
    "traced",
]

KEEP_DISTANCE_A: Final = 2.5


def build_backbone(
    source: PredictionSource,
    request: BackboneRequest,
    *,
    say: Callable[[str], None] = lambda text: None,
) -> BackboneResult:
    """Build a model, passing over what an earlier call has done.

    Raises
    ------
    ConfigError
        Options that cannot stand together, or a file in the way.
    C2SError
        Whatever a stage refuses.
    """
    _claim(request)
    stages = Stages(request.work, say)
    done: dict[str, StageResult] = {}
    chains, notes = _chains(request)
    done["predict"] = stages.run("predict", source.made_from, [source.path], source.make)
    points_file, traces_file = request.work / "points.npz", request.work / "traces.npz"
    done["candidates"] = stages.run(
        "candidates",
        {
            "before": done["predict"].fingerprint,
            "options": request.candidates.as_json(),
            "keep": _digest(request.keep),
        },
        [points_file],
        lambda: _find_points(source, request, points_file),
    )
    done["trace"] = stages.run(
        "trace",
        {
            "before": done["candidates"].fingerprint,
            "hmm": request.hmm,
            "lambda": request.lambda_ if request.hmm == "paper" else None,
            "chains": [(one.name, one.sequence, one.places.tolist()) for one in chains],
        },
        [traces_file],
        lambda: _trace(request, chains, points_file, traces_file, notes),
    )
    files = _files(request, with_profiles=not chains)
    done["structure"] = stages.run(
        "structure",
        {
            "before": done["trace"].fingerprint,
            "calibration": _digest(request.calibration),
            "out": request.name,
        },
        [path for name, path in files.items() if name not in ("pdb", "report", "picture")],
        lambda: _write_structure(request, chains, points_file, traces_file, files),
    )
    done["report"] = stages.run(
        "report",
        {"before": done["structure"].fingerprint},
        [files["report"], files["picture"]],
        lambda: _write_report(request, done, files),
    )
    return BackboneResult({n: p for n, p in files.items() if p.exists()}, done)


def _files(request: BackboneRequest, *, with_profiles: bool) -> dict[str, Path]:
    stem = request.out.with_suffix("")
    ends = {
        "model": ".cif",
        "pdb": ".pdb",
        "confidence": ".confidence.csv",
        "report": ".report.md",
        "picture": ".report.png",
    }
    if with_profiles:
        ends |= {f"profiles_{end}": f".fragments.{end}" for end in ("fasta", "tsv", "sto")}
    return {name: stem.with_name(stem.name + end) for name, end in ends.items()}


def _claim(request: BackboneRequest) -> None:
    """Refuse to replace a model that was not made from this work folder, and note the one that is.

    The note comes before the model, so that a run that died in between may go on.
    """
    note, name = request.work / "model.txt", request.name
    ours = note.is_file() and note.read_text(encoding="utf-8") == name
    if request.out.exists() and not ours and not request.overwrite:
        raise ConfigError(
            f"{request.out} is there already, and not from the work in {request.work}; give "
            "another name, or --overwrite"
        )
    request.work.mkdir(parents=True, exist_ok=True)
    write_text_beside(note, name)


def _chains(request: BackboneRequest) -> tuple[tuple[TargetChain, ...], tuple[str, ...]]:
    """Return the chains to trace, none for a trace without a sequence, and notes."""
    if request.answer is not None:
        chains, notes = chains_of_answer(request.answer)
    elif request.fasta is not None:
        chains, notes = chains_of_fasta(request.fasta)
    else:
        return (), ("no sequence was given: fragments with predicted residues",)
    if request.keep is not None:
        records = read_fasta(request.fasta) if request.fasta is not None else ()
        kept = chain_sequences(request.keep, records)
        chains, more = without_kept(chains, [(one.chain, one.sequence) for one in kept])
        if not chains:
            raise ConfigError(f"{request.keep} holds every chain of the sequences: nothing is left")
        chains, names = renamed(chains, _kept_names(read_structure(request.keep)))
        notes += more + names
    return chains, notes


def _kept_names(structure: gemmi.Structure) -> set[str]:
    return {
        name
        for chain in structure[0]
        for name in (chain.name, *(residue.subchain for residue in chain))
    }


def _digest(path: Path | None) -> str | None:
    return None if path is None else digest_of_file(str(path))


def _find_points(source: PredictionSource, request: BackboneRequest, out: Path) -> dict[str, Any]:
    points = predicted_points(source.open(), request.candidates)
    facts: dict[str, Any] = {
        "voxels": points.n_voxels,
        "decode_offset_voxel": points.decode_offset_voxel,
    }
    if request.keep is not None:
        kept = read_atomic_model(request.keep).heavy.xyz_A
        points, dropped = without_neighbors(points, kept, KEEP_DISTANCE_A)
        facts["candidates_of_kept_model"] = dropped
    facts |= {
        "candidates": len(points.candidates),
        "n_points": len(points.n_points),
        "c_points": len(points.c_points),
    }
    if len(points.candidates) == 0:
        raise ConfigError(
            f"no C-alpha candidate above {request.candidates.threshold:g}; lower the threshold, or "
            "look at the prediction"
        )
    stage_files.write_points(out, points)
    return facts


def _trace(
    request: BackboneRequest,
    chains: tuple[TargetChain, ...],
    points_file: Path,
    traces_file: Path,
    notes: tuple[str, ...],
) -> dict[str, Any]:
    points = stage_files.read_points(points_file)
    result = traced(points, chains, hmm=request.hmm, lambda_=request.lambda_)
    stage_files.write_traces(traces_file, result.chains)
    return {"notes": [*notes, *result.notes]}


def traced(
    points: PredictedPoints,
    chains: tuple[TargetChain, ...],
    *,
    hmm: Hmm = "gap",
    lambda_: float = 10.0,
) -> TraceResult:
    """Trace the chains through the candidates; without chains, fragments by themselves."""
    if not chains:
        return trace_free(points.candidates, n_points=points.n_points, c_points=points.c_points)
    codes = [one.codes for one in chains]
    if hmm == "paper":
        from c2s_model.backbone.hmm_paper import trace_paper  # noqa: PLC0415 - one of two

        return trace_paper(points.candidates.xyz_A, points.candidates.amino, codes, lambda_=lambda_)
    from c2s_model.backbone.hmm_gap import trace_gap  # noqa: PLC0415 - one of two

    return trace_gap(points.candidates, codes, n_points=points.n_points, c_points=points.c_points)


def _write_structure(
    request: BackboneRequest,
    chains: tuple[TargetChain, ...],
    points_file: Path,
    traces_file: Path,
    files: dict[str, Path],
) -> dict[str, Any]:
    points = stage_files.read_points(points_file)
    traces = stage_files.read_traces(traces_file)
    kept = None if request.keep is None else read_structure(request.keep)
    if kept is not None:
        kept.setup_entities()
        kept.assign_label_seq_id()
    if not chains:
        chains = free_chains(points.candidates, traces, _kept_names(kept) if kept else set())
        profiles = fragment_profiles(points.candidates, chains, traces)
        if profiles:
            write_profiles(request.out.with_name(f"{request.out.stem}.fragments"), profiles)
    calibration = None if request.calibration is None else read_calibration(request.calibration)
    words = UNCALIBRATED if calibration is None else calibration.sentence
    built = built_chains(points, chains, traces, calibration, settle=request.hmm != "paper")
    written = write_model(
        files["model"],
        built,
        title="Backbone traced from predicted C-alphas",
        calibration=words,
        pdb_path=files["pdb"],
        kept=kept,
    )
    write_confidence(files["confidence"], built, words)
    return {
        "notes": list(written.notes),
        "calibration": words,
        "geometry": geometry(built),
        "chains": [
            {
                "chain": one.name,
                "residues": len(one.sequence),
                "placed": len(one),
                "coverage": round(one.coverage, 4),
                "interpolated": int(one.interpolated.sum()),
                "fragments": len(set(one.fragment.tolist())),
                "mean_confidence": round(float(one.confidence.mean()), 4) if len(one) else 0.0,
            }
            for one in built
        ],
    }


def _write_report(
    request: BackboneRequest, done: dict[str, StageResult], files: dict[str, Path]
) -> dict[str, Any]:
    from c2s_model.backbone.backbone_report import write_report  # noqa: PLC0415 - matplotlib

    write_report(files["report"], files["picture"], files["confidence"], done, request.out.name)
    return {}
