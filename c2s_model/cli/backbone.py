"""The command that builds a model from a map."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2s_data.errors import ConfigError
from c2s_data.outputs import local_place, output_file, output_place
from c2s_data.staged import staged_input
from c2s_model.cli.app import JsonOption, app, print_json, say
from c2s_model.cli.backbone_options import (
    AlsoOption,
    BatchOption,
    DecodeOffsetOption,
    DeviceOption,
    HmmOption,
    LambdaOption,
    OverlapOption,
    PrecisionOption,
    PresetOption,
    RadiusOption,
    RotationsOption,
    RunArgument,
    ThresholdOption,
    candidate_options,
    check_hmm,
    network_source,
    predict_options,
)

if TYPE_CHECKING:
    from c2s_model.backbone.pipeline import BackboneRequest, BackboneResult


@app.command()
def backbone(
    run: RunArgument,
    density_map: Annotated[
        Path, typer.Argument(parser=staged_input, metavar="MAP", help="Map, MRC2014 or CCP4.")
    ],
    fasta: Annotated[
        Path | None,
        typer.Argument(
            parser=staged_input,
            metavar="[FASTA]",
            help="Sequences of all chains, copies named in the headers as in files of the PDB; "
            "without it, fragments with predicted residues.",
        ),
    ] = None,
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            parser=output_place,
            metavar="PATH",
            help="mmCIF file, path or URL; PDB, CSV and report beside it.",
        ),
    ] = "model.cif",
    work: Annotated[
        Path | None,
        typer.Option(
            parser=local_place,
            metavar="PATH",
            help="Folder of the stages, on this machine's disk.",
            show_default="OUT with .work for .cif; none is left where OUT is a URL",
        ),
    ] = None,
    also: AlsoOption = None,
    preset: PresetOption = "recommended",
    threshold: ThresholdOption = None,
    radius: RadiusOption = None,
    decode_offset: DecodeOffsetOption = None,
    hmm: HmmOption = "gap",
    lambda_: LambdaOption = 10.0,
    keep: Annotated[
        Path | None,
        typer.Option(
            parser=staged_input,
            metavar="PATH",
            help="A model that is built already: only what it lacks is.",
        ),
    ] = None,
    sequence_from_answer: Annotated[
        Path | None,
        typer.Option(
            parser=staged_input,
            metavar="PATH",
            help="Take sequences and observed residues from the model that is looked for: for "
            "comparisons with published numbers only, this uses the answer.",
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            parser=staged_input,
            metavar="PATH",
            help="From `c2s-model calibrate`.",
            show_default="RUN/calibration.json if it fits",
        ),
    ] = None,
    contour: Annotated[
        float | None, typer.Option(help="Predict only above this level of the map.")
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(parser=staged_input, metavar="PATH", help="Predict only inside this mask."),
    ] = None,
    overlap: OverlapOption = 1,
    rotations: RotationsOption = 1,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    batch_size: BatchOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a model made elsewhere.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Predict a map, trace its chains and write a model; what is done is not done again."""
    from c2s_data.sources.file_digest import digest_of_file
    from c2s_model.backbone.pipeline import BackboneRequest, build_backbone
    from c2s_model.predict.prepared_density import Interest, prepare_raw_map

    check_hmm(hmm, lambda_)
    if not density_map.is_file():
        raise ConfigError(f"{density_map}: there is no such map")
    candidates = candidate_options(preset, threshold, radius, decode_offset)
    interest = Interest(contour, None if mask is None else str(mask))
    with output_file(out) as (path, told):
        # A name with a dot is not sent: the stages are large, and of use to this machine alone.
        hidden = path.with_name(f".{path.stem}.work")
        folder = work or (hidden if "://" in out else path.with_suffix(".work"))
        source = network_source(
            [run, *(also or [])],
            lambda config: prepare_raw_map(str(density_map), config, interest),
            {
                "sha256": digest_of_file(str(density_map)),
                "contour": contour,
                "mask": None if mask is None else digest_of_file(str(mask)),
            },
            folder,
            predict_options(overlap, rotations, device, precision, batch_size),
        )
        request = BackboneRequest(
            out=path,
            work=folder,
            kept_at=out if "://" in out else None,
            fasta=fasta,
            answer=sequence_from_answer,
            keep=keep,
            calibration=calibration or _of_run(run),
            candidates=candidates,
            hmm=hmm,
            lambda_=lambda_,
            overwrite=overwrite,
        )
        request = _with_fitting_calibration(request, asked=calibration is not None)
        result = build_backbone(source, request, say=_quiet if as_json else say)
        files = {name: told(str(one)) for name, one in result.files.items()}
    if as_json:
        print_json(result.as_json() | {"files": files})
    else:
        _print(result, files)


def _quiet(text: str) -> None:
    pass


def _of_run(run: Path) -> Path | None:
    from c2s_model.backbone.calibration import FILE_NAME

    path = (run if run.is_dir() else run.parent) / FILE_NAME
    return path if path.is_file() else None


def _with_fitting_calibration(request: BackboneRequest, *, asked: bool) -> BackboneRequest:
    """Leave out a calibration of other options, or refuse it where it was asked for."""
    from dataclasses import replace

    from c2s_model.backbone.calibration import read_calibration

    if request.calibration is None or (request.fasta is None and request.answer is None):
        return replace(request, calibration=None)
    facts = read_calibration(request.calibration).facts
    wanted = {"hmm": request.hmm, "candidates": request.candidates.as_json()}
    differs = [name for name, value in wanted.items() if facts.get(name) != value]
    if not differs:
        return request
    fact = f"{request.calibration} was made with other options of {' and '.join(differs)}"
    if asked:
        raise ConfigError(f"{fact}; run `c2s-model calibrate` with these")
    say(f"note: {fact}, so confidences stay uncalibrated")
    return replace(request, calibration=None)


def _print(result: BackboneResult, files: dict[str, str]) -> None:
    built = result.stages["structure"].facts
    for note in [*result.stages["trace"].facts["notes"], *built["notes"]]:
        say(f"note: {note}")
    for one in built["chains"]:
        say(
            f"chain {one['chain']}: {one['placed']} of {one['residues']} residues in "
            f"{one['fragments']} fragments, mean confidence {one['mean_confidence']:.2f}"
        )
    say(f"confidences {built['calibration']}")
    say("wrote " + ", ".join(files.values()))
