"""Options that `backbone` and `calibrate` share: how candidates are made, traced and predicted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from c2s_data.errors import ConfigError
from c2s_data.staged import staged_network

if TYPE_CHECKING:
    from c2s_model.backbone.candidate_voxels import CandidateOptions
    from c2s_model.backbone.pipeline import Hmm, PredictionSource
    from c2s_model.predict.predict_map import PredictOptions
    from c2s_model.predict.prepared_density import PreparedDensity
    from c2s_model.predict.probabilities import Precision

RunArgument = Annotated[
    Path,
    typer.Argument(
        parser=staged_network, metavar="RUN", help="Folder of a training, or a network file."
    ),
]
AlsoOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--also",
        parser=staged_network,
        metavar="RUN",
        help="A further network, where atoms and amino acids are predicted by two.",
    ),
]
PresetOption = Annotated[
    Literal["paper", "recommended"],
    typer.Option(help="How candidates are made: as published, or by probability."),
]
ThresholdOption = Annotated[
    float | None,
    typer.Option(help="Least probability of a C-alpha.", show_default="paper 0.4, else 0.2"),
]
RadiusOption = Annotated[
    float | None,
    typer.Option(
        "--radius",
        help="Radius of a cluster, or distance between peaks, A.",
        show_default="paper 2.0, else 2.5",
    ),
]
DecodeOffsetOption = Annotated[
    str | None,
    typer.Option(
        help="Voxels to add to an index; auto: what the prediction recorded.",
        show_default="paper 0, else auto",
    ),
]
HmmOption = Annotated[
    Literal["gap", "paper"], typer.Option(help="Hidden Markov model: with gaps, or as published.")
]
LambdaOption = Annotated[
    float, typer.Option("--lambda", min=0.01, help="Width of the published model's transitions.")
]
OverlapOption = Annotated[int, typer.Option(min=1, help="Cores over each voxel along each axis.")]
RotationsOption = Annotated[int, typer.Option(help="1, or 24 for the mean over all rotations.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
PrecisionOption = Annotated[
    Literal["auto", "float32", "bf16", "fp16"], typer.Option(help="Of the numbers of the network.")
]
BatchOption = Annotated[
    int | None, typer.Option("--batch-size", min=1, help="Subgrids at once.", show_default="auto")
]


def candidate_options(
    preset: str, threshold: float | None, radius_A: float | None, decode_offset: str | None
) -> CandidateOptions:
    """Return the options of a preset with single ones replaced; those that are None are not."""
    from c2s_model.backbone.candidate_voxels import PAPER, RECOMMENDED

    given: dict[str, Any] = {"threshold": threshold, "radius_A": radius_A}
    if decode_offset is not None:
        given["decode_offset"] = _offset(decode_offset)
    found = {name: value for name, value in given.items() if value is not None}
    return replace(PAPER if preset == "paper" else RECOMMENDED, **found)


def predict_options(
    overlap: int, rotations: int, device: str, precision: Precision, batch_size: int | None
) -> PredictOptions:
    """Return the options of a prediction."""
    from c2s_model.predict.predict_map import PredictOptions

    return PredictOptions(
        overlap=overlap,
        rotations=rotations,
        device=device,
        precision=precision,
        batch_size=batch_size,
    )


def network_source(
    networks: list[Path],
    prepare: Any,  # noqa: ANN401 - (BuildConfig) -> PreparedDensity; torch is imported late
    of_map: dict[str, Any],
    folder: Path,
    options: PredictOptions,
) -> PredictionSource:
    """Return how one map is predicted by one or several networks, for a pipeline.

    Parameters
    ----------
    networks
        Folders of trainings, or network files.
    prepare
        Makes the density that a network takes from its build configuration.
    of_map
        Plain values that tell this density from others.
    folder
        Gets one prediction per network, named by what decides it, so that one of other options
        is neither lost nor taken for this one.
    options
        Of the prediction.
    """
    from c2s_data.sources.file_digest import digest_of_file
    from c2s_model.backbone.joined_prediction import JoinedPrediction
    from c2s_model.backbone.pipeline import PredictionSource
    from c2s_model.backbone.stages import fingerprint_of
    from c2s_model.training.run_folder import find_network

    files = [find_network(one) for one in networks]
    digests = [digest_of_file(str(one)) for one in files]
    decides = {"overlap": options.overlap, "rotations": options.rotations}
    made_from = {"networks": digests, "map": of_map, "options": decides}
    place = folder / f"prediction-{fingerprint_of(made_from)[:12]}"
    places = [place / f"{number}.zarr" for number in range(len(files))]

    def make() -> dict[str, Any]:
        place.mkdir(parents=True, exist_ok=True)
        pairs = zip(files, places, strict=True)
        return {
            f"network_{number}": _predict(file, prepare, out, options)
            for number, (file, out) in enumerate(pairs)
        }

    def open_all() -> JoinedPrediction:
        from c2s_data.store.prediction_store import open_prediction

        return JoinedPrediction([open_prediction(str(one)) for one in places])

    return PredictionSource(made_from, place, make, open_all)


def _predict(file: Path, prepare: Any, out: Path, options: PredictOptions) -> dict[str, Any]:  # noqa: ANN401
    from c2s_data.sources.file_digest import digest_of_file
    from c2s_model.nets.network_file import load_network
    from c2s_model.predict.predict_map import predict_map
    from c2s_model.predict.prepared_density import build_config_of

    loaded = load_network(file)
    density: PreparedDensity = prepare(build_config_of(loaded.card))
    source = {"file": str(file), "sha256": digest_of_file(str(file))}
    with _progress() as on_windows:
        done = predict_map(
            loaded.network,
            loaded.card,
            density,
            str(out),
            options,
            network_source=source,
            on_windows=on_windows,
        )
    return {"file": str(file), "windows": done.windows, "skipped": done.skipped}


def _progress() -> Any:  # noqa: ANN401 - a context that gives (done, total) -> None
    import contextlib

    from rich.progress import Progress

    from c2s_model.cli.app import console

    @contextlib.contextmanager
    def bar() -> Any:  # noqa: ANN401
        screen = console(stderr=True)
        with Progress(console=screen, disable=not screen.is_terminal, transient=True) as drawn:
            task = drawn.add_task("predicting", total=None)
            yield lambda done, total: drawn.update(task, completed=done, total=total)

    return bar()


def _offset(text: str) -> float | Literal["auto"]:
    if text == "auto":
        return "auto"
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(f"decode offset {text!r}; give a number of voxels, or auto") from error


def check_hmm(hmm: Hmm, lambda_: float) -> None:
    """Refuse a width that the chosen model does not have."""
    if hmm != "paper" and lambda_ != 10.0:
        raise ConfigError("--lambda belongs to --hmm paper; the model with gaps has no such width")
