"""The command that compares a prediction with a store's mask, voxel by voxel."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from c2s_data.errors import ConfigError
from c2s_data.outputs import output_folder, output_place
from c2s_model.cli.app import JsonOption, app, print_json, say

_RESULTS = ("voxels.json", "voxels.png")


@app.command()
def voxels(
    prediction: Annotated[
        str, typer.Argument(help="Prediction of a whole map, of `c2s-model predict`.")
    ],
    store: Annotated[str, typer.Argument(help="Store that holds the map and its mask.")],
    entry: Annotated[str, typer.Argument(metavar="ENTRY", help="entry_id of the map.")],
    out: Annotated[
        str | None,
        typer.Option(
            parser=output_place, metavar="PATH", help=f"Folder for {' and '.join(_RESULTS)}."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files of an earlier run.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare predicted with true C-alpha voxels at every threshold (the paper's Figure 6).

    The picture also shows the true voxels beside the predicted ones (Figures 7, 9 and 11).
    """
    from c2s_data.store.prediction_store import open_prediction
    from c2s_data.store.reader import open_store
    from c2s_model.evaluation.result_files import write_results
    from c2s_model.stored_voxels import as_document, score_prediction

    with output_folder(out, choose=set(_RESULTS).intersection) if out else nullcontext() as folder:
        there = [name for name in _RESULTS if folder and (folder.path / name).exists()]
        if there and not overwrite:
            raise ConfigError(
                f"{out} holds {', '.join(there)} of an earlier run; choose another --out, or add "
                "--overwrite"
            )
        opened = open_prediction(prediction)
        scores = score_prediction(opened, open_store(store), entry)
        document = as_document(scores, entry, opened)
        if as_json:
            print_json(document)
        else:
            at, best = scores.curve.best
            say(
                f"{entry}: C-alpha F1 {best:.3f} at p >= {at:.2f} over {scores.curve.n_voxels:,} "
                f"voxels, {scores.curve.n_true:,} of them true; uniform scores reach "
                f"{scores.curve.random.max():.1e}"
            )
        if folder is not None:
            from c2s_model.evaluation.voxel_pictures import voxel_figure

            contents = (document, voxel_figure(scores, entry))
            write_results(folder.path, dict(zip(_RESULTS, contents, strict=True)))
