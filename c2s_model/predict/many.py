"""Predict maps one after another, or on workers: a map that fails is told, the others go on."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from c2s_data.errors import C2SError, ConfigError
from c2s_data.sources.density_map import OriginRule
from c2s_data.sources.file_digest import digest_of_file
from c2s_data.staged import staged_input, staged_network
from c2s_data.store.reader import Store, open_store
from c2s_model.data.sequence_features import SequenceFeatures
from c2s_model.nets.network_file import LoadedNetwork, NetworkCard, load_network, read_card
from c2s_model.predict.blocks import Progress
from c2s_model.predict.predict_map import (
    Predicted,
    PredictOptions,
    check_sequence,
    grid_of,
    predict_map,
)
from c2s_model.predict.prepared_density import (
    Interest,
    PreparedDensity,
    build_config_of,
    check_store_density,
    prepare_raw_map,
    prepare_stored_map,
)
from c2s_model.predict.probabilities import check_rotations, make_compute
from c2s_model.predict.write_mrc import check_mrc, write_mrc_maps
from c2s_model.training.run_folder import find_network

_MAX_EMBEDDING_BYTES: Final = 2**22
_LEAST_MEMORY: Final = 2_000_000_000


@dataclass(frozen=True)
class PredictTask:
    """One map to predict; nothing but plain values, so that any worker can take it.

    Parameters
    ----------
    network
        Path or URL of a network file or a run, fetched by whoever predicts with it.
    out
        Path or URL of the prediction.
    map
        Path of a raw map; None for one of a store.
    store, generation, entry_id
        The store's map where ``map`` is None.
    interest
        Where protein may be.
    origin
        Which header words place a raw map.
    sequence
        ``.npy`` file of the sequence embedding, path or URL; None for that of the store, where one
        is needed.
    options
        How it is predicted.
    mrc
        Also write maps of the C-alpha probability and of the classes.
    number
        Counts the tasks: workers with several GPUs take them in turn.
    """

    network: str
    out: str
    map: str | None = None
    store: str | None = None
    generation: int | None = None
    entry_id: str | None = None
    interest: Interest = field(default_factory=Interest)
    origin: OriginRule = "auto"
    sequence: str | None = None
    options: PredictOptions = field(default_factory=PredictOptions)
    mrc: bool = False
    number: int = 0

    @property
    def name(self) -> str:
        """What reports call it."""
        return self.entry_id or Path(self.map or self.out).name


@dataclass(frozen=True)
class PredictOutcome:
    """What became of a task: a prediction, or why there is none."""

    name: str
    out: str
    predicted: Predicted | None
    failure: str | None = None
    notes: tuple[str, ...] = ()
    mrc: tuple[str, ...] = ()


Outcomes = Iterable[tuple[PredictTask, PredictOutcome | Exception]]
Spread = Callable[[Callable[[PredictTask], PredictOutcome], Sequence[PredictTask]], Outcomes]


def predict_task(
    task: PredictTask, on_windows: Progress = lambda done, total: None
) -> PredictOutcome:
    """Do one task.

    Raises
    ------
    C2SError
        The network, the map or the options are refused, or the prediction cannot be written.
    OSError
        A file cannot be read.
    """
    options = replace(task.options, device=_device_of(task))
    loaded, digest, file_name = _loaded(task.network)
    network, card = loaded
    if task.mrc:
        check_mrc(task.out, card)
    sequence = _sequence_of(task, card)
    check_sequence(card, sequence)  # Before minutes are spent on the map.
    density = _density_of(task, card)
    predicted = predict_map(
        network,
        card,
        density,
        task.out,
        options,
        sequence=sequence,
        network_source={"file": file_name, "sha256": digest},
        on_windows=on_windows,
    )
    mrc = write_mrc_maps(predicted.url) if task.mrc else ()
    return PredictOutcome(task.name, predicted.url, predicted, notes=density.notes, mrc=mrc)


def outcome_of(task: PredictTask) -> PredictOutcome:
    """Do one task; whatever goes wrong with it is in the outcome."""
    try:
        return predict_task(task)
    except Exception as error:  # noqa: BLE001 - one map must never stop the others
        return PredictOutcome(task.name, task.out, None, failure=_told(error))


def one_after_another(
    function: Callable[[PredictTask], PredictOutcome], tasks: Sequence[PredictTask]
) -> Iterator[tuple[PredictTask, PredictOutcome]]:
    """Predict in this process."""
    for task in tasks:
        yield task, function(task)


def predict_many(
    tasks: Sequence[PredictTask], spread: Spread = one_after_another
) -> Iterator[PredictOutcome]:
    """Predict maps, and yield what became of each as it ends.

    Parameters
    ----------
    tasks
        No two with the same ``out``.
    spread
        Applies a function to tasks in any order: in this process, or on workers, where a worker
        that died gives an exception in the place of an outcome.
    """
    for task, outcome in spread(outcome_of, tasks):
        if isinstance(outcome, Exception):
            outcome = PredictOutcome(task.name, task.out, None, failure=_told(outcome))  # noqa: PLW2901
        yield outcome


def tasks_of_store(
    store: Store, split: str | None, entry_ids: Sequence[str], folder: str, template: PredictTask
) -> list[PredictTask]:
    """Return a task for each map of a split, or for each one that is named; largest first.

    Raises
    ------
    ConfigError
        The split has no map, or both a split and names were given.
    StoreError
        The store has no such entry.
    """
    if split is not None and entry_ids:
        raise ConfigError("--split and --entry were both given; take one")
    entries = [store.entry(name) for name in dict.fromkeys(entry_ids)] or [
        entry for entry in store.entries if split in (None, entry.split)
    ]
    if not entries:
        known = sorted({str(entry.split) for entry in store.entries})
        raise ConfigError(
            f"{store.url}: no map is in split {split!r}; its splits are {', '.join(known)}"
        )
    entries = sorted(entries, key=lambda entry: -entry.n_subgrids)
    return [
        replace(
            template,
            store=store.url,
            generation=store.generation,
            entry_id=entry.entry_id,
            out=f"{folder.rstrip('/')}/{entry.entry_id}.zarr",
            number=number,
        )
        for number, entry in enumerate(entries)
    ]


def check_options(task: PredictTask, store: Store) -> NetworkCard:
    """Refuse what would fail for every map of a store alike, and return what the network means.

    Raises
    ------
    ConfigError
        Options, rotations, store and network do not fit each other.
    CheckpointError
        The network file is refused.
    """
    card = read_card(network_file(task.network))
    make_compute(task.options.device, task.options.precision, task.options.batch_size)
    check_rotations(task.options.rotations, card)
    grid_of(card, (1, 1, 1), task.options.overlap)
    check_store_density(store, build_config_of(card))
    return card


def task_memory(card: NetworkCard, largest_voxels: int) -> int:
    """Return the bytes that a worker may need: weights, density, blocks and a batch."""
    width, layers = card.architecture.width, card.architecture.layers
    weights = 16 * width * width * layers * 4
    return _LEAST_MEMORY + 2 * weights + 12 * largest_voxels


@lru_cache(maxsize=2)
def network_file(address: str) -> Path:
    """Return the file of a network on this machine's disk, fetched once a process.

    Raises
    ------
    CheckpointError, StoreError
        There is none.
    """
    return find_network(staged_network(address))


@lru_cache(maxsize=1)
def _loaded(address: str) -> tuple[LoadedNetwork, str, str]:
    """Load a network once a process; a worker predicts many maps with it."""
    path = network_file(address)
    return load_network(path), digest_of_file(str(path)), path.name


@lru_cache(maxsize=2)
def _opened(url: str, generation: int | None) -> Store:
    return open_store(url, generation)


def _density_of(task: PredictTask, card: NetworkCard) -> PreparedDensity:
    config = build_config_of(card)
    if task.map is not None:
        return prepare_raw_map(task.map, config, task.interest, origin=task.origin)
    assert task.store is not None
    assert task.entry_id is not None
    store = _opened(task.store, task.generation)
    return prepare_stored_map(store, task.entry_id, config, task.interest)


def _sequence_of(task: PredictTask, card: NetworkCard) -> NDArray[np.float32] | None:
    if task.sequence is not None:
        return read_embedding(staged_input(task.sequence))
    if task.store is None or task.entry_id is None or not card.architecture.sequence_width:
        return None
    features = SequenceFeatures(_opened(task.store, task.generation), [task.entry_id])
    found: NDArray[np.float32] = features.of_entry(task.entry_id).numpy()
    return found


def read_embedding(path: Path) -> NDArray[np.float32]:
    """Read a sequence embedding (S,) of a ``.npy`` file.

    Raises
    ------
    ConfigError
        It is no such file.
    OSError
        It cannot be read.
    """
    if path.stat().st_size > _MAX_EMBEDDING_BYTES:
        raise ConfigError(f"{path}: {path.stat().st_size:,} bytes are no embedding of a sequence")
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ConfigError(f"{path}: not a .npy file of numbers ({error})") from error
    if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind != "f":
        raise ConfigError(f"{path}: an embedding is one row of float numbers in a .npy file")
    return values.astype(np.float32)


def _device_of(task: PredictTask) -> str:
    n_gpus = torch.cuda.device_count()
    if task.options.device in ("auto", "cuda") and n_gpus > 1:
        return f"cuda:{task.number % n_gpus}"
    return task.options.device


def _told(error: Exception) -> str:
    if isinstance(error, C2SError | OSError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {error} (unforeseen{where})"
