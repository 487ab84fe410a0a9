"""The command that trains a network."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from c2s_data.errors import ConfigError
from c2s_data.outputs import local_place, output_place
from c2s_model.cli.app import JsonOption, app, console, print_json, say
from c2s_model.nets.variants import TARGETS, VARIANTS

if TYPE_CHECKING:
    from c2s_model.training.loop import TrainSummary
    from c2s_model.training.train_config import TrainConfig

_PRESET = "as the preset"


def _choice(text: str) -> Any:  # noqa: ANN401 - typer's own type is private
    return typer.Option(help=text, show_default=_PRESET)


@app.command()
def train(
    store: Annotated[str, typer.Argument(help="Path or URL of a committed store.")],
    run: Annotated[
        str,
        typer.Argument(
            parser=output_place,
            metavar="RUN",
            help="New folder, or one of a training to go on with; path or URL.",
        ),
    ],
    variant: Annotated[
        str | None, typer.Option(help=f"One of {', '.join(VARIANTS)}.", show_default="small")
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            help=f"One of {', '.join(TARGETS)}; more than one for a network with several heads.",
            show_default="atom",
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="paper or recommended.", show_default="paper")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the folder's training and its options.")
    ] = False,
    epochs: Annotated[int | None, _choice("Passes over the data, at most.")] = None,
    batch_size: Annotated[int | None, _choice("Subgrids of a step, on each process.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of all chance.", show_default="0")] = None,
    subgrids: Annotated[str | None, _choice("all, or occupied: those with C-alphas.")] = None,
    rest_share: Annotated[
        float | None, _choice("Share of the other subgrids under occupied, others each epoch.")
    ] = None,
    rotations: Annotated[
        bool | None,
        typer.Option(
            "--rotations/--no-rotations",
            help="Turn subgrids by the 24 rotations of a cube; needs labels at the nearest voxel.",
            show_default=_PRESET,
        ),
    ] = None,
    windows: Annotated[
        int | None,
        typer.Option(
            help="Windows cut from the maps for each subgrid, anywhere near it, each epoch.",
            show_default="0: the stored subgrids",
        ),
    ] = None,
    ignore_mask: Annotated[
        bool | None,
        typer.Option(
            "--ignore-mask/--no-ignore-mask",
            help="Leave out what the store's ignore mask marks.",
            show_default=_PRESET,
        ),
    ] = None,
    loss: Annotated[str | None, _choice("cross-entropy or focal-dice.")] = None,
    class_weights: Annotated[str | None, _choice("batch, balanced or none.")] = None,
    gamma: Annotated[float | None, _choice("Of the focal loss.")] = None,
    dice_share: Annotated[float | None, _choice("Share of Dice in focal-dice.")] = None,
    type_at_ca: Annotated[
        bool | None,
        typer.Option(
            "--type-at-ca/--type-everywhere",
            help="Ask for amino acid and secondary structure only at C-alphas.",
            show_default=_PRESET,
        ),
    ] = None,
    dropout: Annotated[float | None, typer.Option(help="Probability.", show_default="0.1")] = None,
    optimizer: Annotated[str | None, _choice("nadam or adamw.")] = None,
    learning_rate: Annotated[float | None, _choice("The highest.")] = None,
    weight_decay: Annotated[float | None, _choice("Pull of matrices to zero.")] = None,
    schedule: Annotated[str | None, _choice("plateau or cosine.")] = None,
    warmup_share: Annotated[float | None, _choice("Share of the steps that warm up.")] = None,
    clip_norm: Annotated[float | None, _choice("Longest gradient; 0 for any.")] = None,
    average_decay: Annotated[
        float | None, _choice("Of the running average of the weights; 0 for none.")
    ] = None,
    best_by: Annotated[str | None, _choice("loss or macro-f1, of validation.")] = None,
    train_split: Annotated[
        str | None, typer.Option(help="Maps to train on.", show_default="train")
    ] = None,
    validation_split: Annotated[
        str | None, typer.Option(help="Maps to validate on.", show_default="validation")
    ] = None,
    validation: Annotated[
        bool, typer.Option("--validation/--no-validation", help="Validate after each epoch.")
    ] = True,
    precision: Annotated[
        str | None, typer.Option(help="auto, float32, bf16 or fp16.", show_default="auto")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workers: Annotated[int, typer.Option(help="Processes that read; 0: threads alone.")] = 0,
    threads: Annotated[
        int | None,
        typer.Option(help="Threads that read, in each of them.", show_default="2, from a bucket 6"),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            parser=local_place,
            metavar="PATH",
            help="Folder of this machine that keeps what is read from a bucket.",
            show_default="none",
        ),
    ] = None,
    cache_size: Annotated[str, typer.Option(help="The most it holds.")] = "20GB",
    generation: Annotated[
        int | None, typer.Option(help="Of the store, for a new run.", show_default="the newest")
    ] = None,
    checkpoint_minutes: Annotated[
        float, typer.Option(help="Time between checkpoints within an epoch.")
    ] = 10.0,
    checkpoint_steps: Annotated[
        int | None, typer.Option(help="Steps between them.", show_default="none")
    ] = None,
    keep_last: Annotated[int, typer.Option(help="Newest checkpoints to keep.")] = 2,
    keep_best: Annotated[int, typer.Option(help="Best checkpoints to keep.")] = 5,
    max_steps: Annotated[
        int | None, typer.Option(help="Stop here, to be gone on with.", show_default="none")
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option(help="Stop then, to be gone on with.", show_default="none")
    ] = None,
    logs: Annotated[bool, typer.Option("--logs/--no-logs", help="Write TensorBoard logs.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Train a network on the subgrids of a store; the same command goes on with what stopped."""
    from c2s_data.store.object_cache import CacheOptions, parse_size
    from c2s_model.training.logs import reporter_on
    from c2s_model.training.loop import train as trained
    from c2s_model.training.run_options import RunOptions
    from c2s_model.training.train_config import NO_SPLIT

    chosen = {
        "epochs": epochs, "batch_size": batch_size, "seed": seed, "subgrids": subgrids,
        "rest_share": rest_share, "rotations": rotations, "windows": windows,
        "ignore_mask": ignore_mask,
        "dropout": dropout, "optimizer": optimizer, "learning_rate": learning_rate,
        "weight_decay": weight_decay, "schedule": schedule, "warmup_share": warmup_share,
        "clip_norm": clip_norm, "average_decay": average_decay, "best_by": best_by,
        "train_split": train_split, "precision": precision,
        "validation_split": validation_split if validation else NO_SPLIT,
    }  # fmt: skip
    of_loss = {
        "kind": loss, "class_weights": class_weights, "gamma": gamma, "dice_share": dice_share,
        "type_at_ca": type_at_ca,
    }  # fmt: skip
    config = _config(preset, variant, target, chosen, of_loss, resume=resume)
    options = RunOptions(
        device=device,
        workers=workers,
        threads=threads,
        cache=None if cache is None else CacheOptions(str(cache), parse_size(cache_size)),
        generation=generation,
        must_resume=resume,
        checkpoint_steps=checkpoint_steps,
        checkpoint_seconds=60 * checkpoint_minutes,
        keep_last=keep_last,
        keep_best=keep_best,
        max_steps=max_steps,
        max_seconds=None if max_minutes is None else 60 * max_minutes,
        logs=logs,
    )
    is_first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun started
    with reporter_on(console(stderr=as_json)) if is_first else nullcontext() as reporter:
        done = trained(store, run, config, options, reporter)
    if is_first:
        _tell(done, as_json=as_json)
    if done.stopped.signal:
        raise typer.Exit(128 + done.stopped.signal)


def _config(
    preset: str | None,
    variant: str | None,
    target: list[str] | None,
    chosen: dict[str, Any],
    of_loss: dict[str, Any],
    *,
    resume: bool,
) -> TrainConfig | None:
    """Return the options; None for those of the folder."""
    from c2s_model.training.train_config import make_train_config

    given = [preset, variant, target, *chosen.values(), *of_loss.values()]
    if resume and all(value is None or value == [] for value in given):
        return None
    if resume:
        raise ConfigError(
            "--resume goes on with the options of the folder; give none that decide the weights, "
            "or give all of them as before without --resume"
        )
    loss = of_loss if any(value is not None for value in of_loss.values()) else None
    targets = tuple(target or ("atom",))
    return make_train_config(preset or "paper", variant or "small", targets, loss=loss, **chosen)


def _tell(done: TrainSummary, *, as_json: bool) -> None:
    if as_json:
        print_json(done.as_json())
        return
    rate = done.subgrids / done.seconds if done.seconds else 0.0
    say(f"{done.run}: {done.step:,} steps, {done.epoch} epochs, {rate:,.1f} subgrids a second")
    if done.network is not None:
        say(f"best network: {done.network}" + (
            f", of step {done.best_step:,}" if done.best_step is not None else ""
        ))  # fmt: skip
    if not done.finished:
        say(f"stopped: {done.stopped.reason}; the same command goes on, or --resume")
