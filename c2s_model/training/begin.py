"""How a training begins, or goes on: everything checked before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import torch

from c2s_data import __version__
from c2s_data.errors import ConfigError, StoreError
from c2s_data.schema import CLASS_NAMES
from c2s_data.store.reader import Store
from c2s_model.data.store_handle import StoreSource
from c2s_model.nets.checkpoint_error import CheckpointError
from c2s_model.nets.network_file import NetworkCard
from c2s_model.nets.unetr import make_network
from c2s_model.training.distributed import Ranks
from c2s_model.training.epoch_totals import EpochTotals
from c2s_model.training.examples import ExampleMaker
from c2s_model.training.inputs import (
    check_batches,
    check_store,
    make_dataset,
    make_loader,
    open_generation,
    sequence_of,
    store_facts,
)
from c2s_model.training.logs import Reporter
from c2s_model.training.loss import SegmentationLoss
from c2s_model.training.run import Run
from c2s_model.training.run_folder import (
    CHECKPOINTS,
    CONFIG,
    check_place,
    locked,
    read_json,
    remove_leftovers,
    write_json,
)
from c2s_model.training.run_options import RunOptions
from c2s_model.training.schedule import make_optimizer, make_schedule
from c2s_model.training.step import ResolvedPrecision, TrainingStep
from c2s_model.training.step_records import StepRecords
from c2s_model.training.stopping import Clock
from c2s_model.training.train_config import TrainConfig, differences, train_config_from
from c2s_model.training.validation import Validation
from c2s_model.training.weight_average import WeightAverage

FORMAT: Final = 1


@contextmanager
def begun_run(
    source: StoreSource,
    folder: Path,
    config: TrainConfig | None,
    options: RunOptions,
    ranks: Ranks,
    reporter: Reporter,
    send: Callable[[], None] = lambda: None,
) -> Iterator[Run]:
    """Put a training together, new or from its folder's newest checkpoint; arguments as `train`.

    ``send`` takes what is new in the folder to where it is kept, if that is elsewhere.

    Raises
    ------
    ConfigError, StoreError, CheckpointError
        As `train`. What was there is left as it is.
    """
    recorded = recorded_run(folder, ranks, options)
    config = agreed_config(folder, recorded, config)
    generation = recorded["store"]["generation"] if recorded else options.generation
    store = open_generation(source, generation)
    if recorded:
        check_same_store(folder, recorded["store"], store)
    for note in check_store(store, config):
        reporter.say(f"note: {note}")
    run = assembled(folder, store, config, options, ranks, reporter)
    run.send = send
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder) if ranks.is_first else nullcontext():
        if ranks.is_first:
            remove_leftovers(folder)
            (folder / CHECKPOINTS).mkdir(exist_ok=True)
            if not recorded:
                facts = {"config": config.as_json(), "store": store_facts(store)}
                write_json(folder / CONFIG, {"format": FORMAT, **facts})
                send()
        ranks.wait()
        if run.go_on():
            reporter.say(f"goes on after step {run.step:,}, epoch {run.epoch + 1}")
        if ranks.is_first:
            run.tidy()
        yield run


def recorded_run(folder: Path, ranks: Ranks, options: RunOptions) -> dict[str, Any] | None:
    """Return what a folder says of its run, None for a new one; a call of all processes.

    Raises
    ------
    ConfigError
        The folder holds something else, or no run where one must be.
    CheckpointError
        What it says is damaged.
    """
    # The first process decides: others may look when it has begun to write.
    if not ranks.largest(int(ranks.is_first and check_place(folder))):
        if options.must_resume:
            raise ConfigError(f"{folder}: there is no run to go on with; leave out --resume")
        return None
    document = read_json(folder / CONFIG)
    if document.get("format") != FORMAT or not isinstance(document.get("store"), dict):
        raise CheckpointError(
            f"{folder / CONFIG}: format {document.get('format')!r} of a run, this version reads "
            f"{FORMAT}; go on with the version that began it"
        )
    return document


def agreed_config(
    folder: Path, recorded: dict[str, Any] | None, config: TrainConfig | None
) -> TrainConfig:
    """Return the options of a training; refuse others than its folder's.

    Raises
    ------
    ConfigError
        They differ, or there are none.
    """
    if recorded is None:
        if config is None:
            raise ConfigError(f"{folder}: there is no run to take the options from")
        return config
    theirs = train_config_from(recorded["config"])
    others = [] if config is None else differences(config, theirs)
    if others:
        raise ConfigError(
            f"{folder} holds a training with other options: {'; '.join(others)}. Give the same "
            "options or only --resume to go on with it, or choose another folder"
        )
    return theirs


def check_same_store(folder: Path, facts: dict[str, Any], store: Store) -> None:
    """Refuse another store than the one that a run began with."""
    if facts["fingerprint"] != store.fingerprint:
        raise StoreError(
            f"{folder}: its training began on a store with fingerprint "
            f"{str(facts['fingerprint'])[:12]} (generation {facts['generation']}), {store.url} has "
            f"{store.fingerprint[:12]} (generation {store.generation}); give the path of that "
            "store, or choose another folder"
        )


def resolved_precision(config: TrainConfig, device: torch.device) -> ResolvedPrecision:
    """Return the precision of a training on a device."""
    if config.precision != "auto":
        return config.precision
    if device.type == "cpu":
        return "float32"
    return "fp16" if config.preset == "paper" else "bf16"


def card_of(store: Store, config: TrainConfig) -> NetworkCard:
    """Return what the networks of a training say of themselves."""
    return NetworkCard(
        variant=config.variant,
        architecture=config.architecture,
        classes={target: CLASS_NAMES[target] for target in config.targets},
        preset=store.attrs["preset"],
        label_rule=store.attrs["label_rule"],
        decode_offset_voxel=store.attrs["decode_offset_voxel"],
        source={
            "trained_by": f"c2s-model {__version__}",
            "store": store_facts(store),
            "training": config.as_json(),
        },
    )


def assembled(
    folder: Path,
    store: Store,
    config: TrainConfig,
    options: RunOptions,
    ranks: Ranks,
    reporter: Reporter,
) -> Run:
    """Return a training at its very beginning; nothing is written.

    Raises
    ------
    ConfigError
        A split is empty, or too small for the batches.
    """
    sequence = sequence_of(store, config)
    dataset = make_dataset(store, config, config.train_split, ranks, options)
    total_steps = config.epochs * check_batches(dataset, options.workers)
    plain = ExampleMaker(config.targets, ranks.device, sequence=sequence)
    # Windows are turned when they are cut.
    turn_here = config.rotations and not config.windows
    turned = ExampleMaker(
        config.targets, ranks.device, config.seed if turn_here else None, sequence
    )
    generator = torch.Generator().manual_seed(config.seed)
    network = make_network(config.architecture, config.heads, generator).to(ranks.device)
    optimizer = make_optimizer(config.optimizer, network, config.learning_rate, config.weight_decay)
    precision = resolved_precision(config, ranks.device)
    scaler = torch.amp.GradScaler(ranks.device.type, enabled=precision == "fp16")
    average = None
    if config.average_decay is not None:
        average = WeightAverage(network, config.average_decay)
    validation = None
    if config.validation_split is not None:
        split = make_dataset(store, config, config.validation_split, ranks, options)
        loader = make_loader(split, options.workers, ranks.device)
        validation = Validation(network, average, loader, plain, config.heads, precision)
    loss = SegmentationLoss(config.loss, config.heads, ranks.sum)
    return Run(
        folder=folder,
        config=config,
        options=options,
        ranks=ranks,
        dataset=dataset,
        loader=make_loader(dataset, options.workers, ranks.device),
        examples=turned,
        network=network,
        take_step=TrainingStep(
            ranks.wrap(network), loss, optimizer, scaler, precision, config.clip_norm, average
        ),
        schedule=make_schedule(config.schedule, optimizer, total_steps, config.warmup_share),
        validation=validation,
        totals=EpochTotals(config.heads, ranks.device),
        records=StepRecords(config.targets, ranks, checks_gradient=precision != "fp16"),
        card=card_of(store, config),
        total_steps=total_steps,
        clock=Clock(options.checkpoint_seconds, options.max_seconds),
        reporter=reporter,
    )
