"""The command that turns confidences of built residues into probabilities."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from c2s_data.errors import ConfigError
from c2s_data.outputs import local_place, output_folder, output_place
from c2s_data.staged import staged_network
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
    ThresholdOption,
    candidate_options,
    check_hmm,
    network_source,
    predict_options,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from c2s_data.store.reader import Store
    from c2s_model.backbone.candidate_voxels import CandidateOptions
    from c2s_model.backbone.pipeline import Hmm, PredictionSource

_PICTURE = "calibration.png"


@app.command()
def calibrate(
    run: Annotated[
        str,
        typer.Argument(
            parser=output_place, metavar="RUN", help="Folder of a training, path or URL."
        ),
    ],
    store: Annotated[str, typer.Option(help="The store whose validation maps are built.")],
    split: Annotated[str, typer.Option(help="Which maps of the store.")] = "validation",
    most: Annotated[int, typer.Option("--entries", min=1, help="At most so many maps.")] = 50,
    work: Annotated[
        Path | None,
        typer.Option(
            parser=local_place,
            metavar="PATH",
            help="Gets the predictions, on this machine's disk.",
            show_default="RUN/calibration; none is left where RUN is a URL",
        ),
    ] = None,
    also: AlsoOption = None,
    preset: PresetOption = "recommended",
    threshold: ThresholdOption = None,
    radius: RadiusOption = None,
    decode_offset: DecodeOffsetOption = None,
    hmm: HmmOption = "gap",
    lambda_: LambdaOption = 10.0,
    overlap: OverlapOption = 1,
    rotations: RotationsOption = 1,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    batch_size: BatchOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build the validation maps, see which residues are right, and fit confidences to that.

    Writes RUN/calibration.json, which `c2s-model backbone` takes, and a reliability diagram.
    """
    from c2s_data.store.reader import open_store
    from c2s_model.backbone.backbone_report import reliability_figure, save_figure
    from c2s_model.backbone.calibration import (
        FILE_NAME,
        fit_calibration,
        reliability,
        write_calibration,
    )

    check_hmm(hmm, lambda_)
    network = staged_network(run)
    if not network.is_dir():
        raise ConfigError(f"{run} is no folder of a training; the calibration is kept there")
    opened = open_store(store)
    names = [one.entry_id for one in opened.entries if one.split == split][:most]
    if not names:
        raise ConfigError(f"{store} has no map in split {split!r}; give another --split")
    options = predict_options(overlap, rotations, device, precision, batch_size)
    candidates = candidate_options(preset, threshold, radius, decode_offset)
    tell = (lambda text: None) if as_json else say
    # A name with a dot is not sent: predictions are large, and of use to this machine alone.
    own = ".calibration" if "://" in run else "calibration"

    def source_of(folder: Path, entry_id: str) -> PredictionSource:
        from c2s_model.predict.prepared_density import prepare_stored_map

        return network_source(
            [network, *(also or [])],
            lambda config: prepare_stored_map(opened, entry_id, config),
            {"fingerprint": opened.fingerprint, "entry": entry_id},
            folder,
            options,
        )

    with output_folder(run, choose=lambda names: ()) as kept:
        find = partial(source_of, work or kept.path / own)
        judged = _judged(opened, names, find, candidates, hmm, lambda_, tell)
        facts = {"hmm": hmm, "candidates": candidates.as_json(), "entries": names, "store": store}
        made, after = fit_calibration(*judged, facts)
        confidence, right, _ = judged
        before = reliability(confidence, right)
        save_figure(
            reliability_figure(made, before, reliability(after, right)), kept.path / _PICTURE
        )
        write_calibration(kept.path / FILE_NAME, made)
    document, picture = f"{run}/{FILE_NAME}", f"{run}/{_PICTURE}"
    if as_json:
        from dataclasses import asdict

        print_json({"out": document, "picture": picture, **asdict(made)})
        return
    scores = ", ".join(f"{name} {score:.4f}" for name, score in made.brier.items())
    say(f"{made.n_residues:,} residues of {made.n_entries} maps, {made.share_right:.1%} right")
    say(f"Brier score: {scores}; kept: {made.method}")
    say(f"expected calibration error {made.ece_before:.4f} before, {made.ece_after:.4f} after")
    say(f"wrote {document} and {picture}")


def _judged(
    store: Store,
    names: list[str],
    source_of: Callable[[str], PredictionSource],
    candidates: CandidateOptions,
    hmm: Hmm,
    lambda_: float,
    tell: Callable[[str], None],
) -> tuple[Any, Any, Any]:
    """Return confidence, whether right, and number of the entry, of all residues built."""
    import numpy as np

    from c2s_data.sources.fasta import parse_fasta
    from c2s_model.backbone.assemble import built_chains
    from c2s_model.backbone.candidate_voxels import predicted_points
    from c2s_model.backbone.judged_residues import right_residues, stored_residues, true_residues
    from c2s_model.backbone.pipeline import traced
    from c2s_model.backbone.target_chains import chains_of_records

    confidence, right, entry = [], [], []
    for number, entry_id in enumerate(names):
        text = store.sequences(entry_id)
        if not text:
            tell(f"{entry_id}: the store has no sequences of it; left out")
            continue
        source = source_of(entry_id)
        source.make()
        records = parse_fasta(text, name=entry_id)
        chains, _ = chains_of_records(records, entry_id)
        points = predicted_points(source.open(), candidates)
        if len(points.candidates) == 0:
            tell(f"{entry_id}: no C-alpha candidate")
            continue
        result = traced(points, chains, hmm=hmm, lambda_=lambda_)
        built = built_chains(points, chains, result.chains)
        truth = true_residues(stored_residues(store.residues(entry_id), records))
        found = right_residues(built, truth)
        confidence += [one.confidence for one in built]
        right.append(found)
        entry.append(np.full(len(found), number))
        tell(f"{entry_id}: {int(found.sum())} of {len(found)} residues are right")
    if not right:
        raise ConfigError("no residue was built; there is nothing to calibrate with")
    return np.concatenate(confidence), np.concatenate(right), np.concatenate(entry)
