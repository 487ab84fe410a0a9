"""What a training reads: its store, checked against its options, and the batches of each split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader

from c2s_data.errors import ConfigError, StoreError
from c2s_data.store.reader import Store, open_store
from c2s_model.data.dataset import Batch, SubgridDataset
from c2s_model.data.sequence_features import SequenceFeatures
from c2s_model.data.store_handle import StoreSource
from c2s_model.data.windows import WindowDataset
from c2s_model.training.distributed import Ranks
from c2s_model.training.examples import IGNORE_MASK
from c2s_model.training.run_options import RunOptions
from c2s_model.training.step import SequenceEmbeddings
from c2s_model.training.stopping import take_signals_as_worker
from c2s_model.training.train_config import TrainConfig

_ROTATABLE = "nearest"


def open_generation(source: StoreSource, generation: int | None) -> Store:
    """Return a store at a generation; an open one is taken as it is."""
    if isinstance(source, Store):
        return source
    if callable(source):
        opened = source()
        assert isinstance(opened, Store)
        return opened
    return open_store(source, generation)


def check_store(store: Store, config: TrainConfig) -> list[str]:
    """Refuse a store that cannot serve a training, and tell what to know about one that can.

    Returns
    -------
    list
        Notes, a sentence each.

    Raises
    ------
    ConfigError
        A mask or embedding is not there, a box does not fit, or labels do not turn.
    """
    for target in config.targets:
        if not has_array(store, target):
            raise ConfigError(
                f"{store.url}: the store has no mask {target!r}; train for another --target, or "
                "build a store that has it"
            )
    box = config.architecture.box_zyx
    if tuple(store.subgrid_spec("density").shard_shape[1:]) != box:
        raise ConfigError(
            f"{store.url}: its subgrids have sides {store.subgrid_spec('density').shard_shape[1:]}"
            f", the network takes {box}; build the store with that box"
        )
    rule, preset = store.attrs["label_rule"], store.attrs["preset"]
    if config.rotations and rule != _ROTATABLE:
        raise ConfigError(
            f"{store.url}: its labels follow {rule!r}, which puts them half a voxel low on each "
            "axis; turned with the density they would all be wrong. Give --no-rotations, or train "
            "on a store of preset recommended, whose labels are at the nearest voxel"
        )
    notes = []
    if preset != config.preset and not (config.preset == "paper" and preset == "released"):
        notes.append(
            f"the store was built with preset {preset} (labels {rule}, scale "
            f"{store.attrs['config']['scale']}) and is trained on with preset {config.preset}: "
            "scores compare only with trainings on the same kind of store"
        )
    if config.ignore_mask and not has_array(store, IGNORE_MASK):
        notes.append(f"the store has no mask {IGNORE_MASK!r}: every voxel counts")
    return notes


def has_array(store: Store, name: str) -> bool:
    """Say whether a store has an array of subgrids."""
    try:
        store.subgrid_spec(name)
    except (StoreError, KeyError):
        return False
    return True


def sequence_of(store: Store, config: TrainConfig) -> SequenceEmbeddings | None:
    """Return the embeddings that a variant with a sequence needs, or None for the others."""
    width = config.architecture.sequence_width
    if not width:
        return None
    splits = {config.train_split, config.validation_split}
    needed = [entry.entry_id for entry in store.entries if entry.split in splits]
    features = SequenceFeatures(store, needed)
    if features.width != width:
        raise ConfigError(
            f"{store.url}: its embeddings ({features.model}) have {features.width} numbers, the "
            f"network takes {width}; run `c2s-model embed` with the model of that width"
        )
    return features


def make_dataset(
    store: Store, config: TrainConfig, split: str, ranks: Ranks, options: RunOptions
) -> SubgridDataset:
    """Return the subgrids of a split: shuffled and of equal batches for training, else as stored.

    Raises
    ------
    ConfigError
        The split is empty.
    """
    training = split == config.train_split
    masks = config.targets
    if config.ignore_mask and has_array(store, IGNORE_MASK):
        masks = (*masks, IGNORE_MASK)
    with _refusals(store, split):
        dataset = _dataset_of(config, training=training)(
            store,
            split=split,
            targets=masks,
            batch_size=config.batch_size,
            seed=config.seed,
            subgrids=config.subgrids,
            rest_share=config.rest_share,
            shuffle=training,
            # Processes wait for each other's gradients, so they need equally many batches.
            ends="drop" if training else "exact",
            rank=ranks.rank,
            world_size=ranks.size,
            threads=options.threads,
            cache=options.cache,
        )
        n_rows = dataset.order().n_rows
    if not n_rows:
        raise ConfigError(
            f"{store.url}: split {split!r} has no {config.subgrids} subgrids; take another split "
            "(`c2s-data split`), or --subgrids all"
        )
    return dataset


def _dataset_of(config: TrainConfig, *, training: bool) -> Callable[..., SubgridDataset]:
    if not (training and config.windows):
        return SubgridDataset
    return partial(WindowDataset, per_subgrid=config.windows, rotate=config.rotations)


def check_batches(dataset: SubgridDataset, workers: int) -> int:
    """Return how many steps an epoch has; refuse one without a whole batch for every reader."""
    order = dataset.order(workers)
    steps = order.n_batches // dataset.world_size
    if not steps:
        raise ConfigError(
            f"split {dataset.split!r} has {order.n_rows} subgrids an epoch, which make no batch of "
            f"{order.options.batch_size} for each of {order.n_readers} readers (processes x "
            "workers); take a smaller --batch-size, or fewer of them"
        )
    return steps


def make_loader(dataset: SubgridDataset, workers: int, device: torch.device) -> DataLoader[Batch]:
    """Return what gives the batches of a dataset."""
    # A generator of its own: a loader draws a number whenever it begins, and the weights must not
    # depend on how often a training was resumed.
    return DataLoader(
        dataset,
        batch_size=None,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),
        worker_init_fn=take_signals_as_worker,
    )


@contextmanager
def _refusals(store: Store, split: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ConfigError(
            f"{error}; name another split than {split!r}, or divide {store.url} with "
            "`c2s-data split`"
        ) from error


def store_facts(store: Store) -> dict[str, Any]:
    """Return what a run and its networks keep of their store."""
    attrs = store.attrs
    return {
        "fingerprint": store.fingerprint,
        "generation": store.generation,
        **{name: attrs[name] for name in ("preset", "label_rule", "decode_offset_voxel")},
        **{name: attrs[name] for name in ("config", "box", "core")},
    }
