"""Predict one map: its subgrids, their cores put together, block by block into a Zarr group."""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from c2s_data.errors import ConfigError
from c2s_data.schema import BOX, CORE
from c2s_data.store.prediction_facts import Block, PredictionFacts
from c2s_data.store.prediction_store import PredictionWriter
from c2s_model.nets.checkpoint_error import CheckpointError
from c2s_model.nets.network_file import NetworkCard
from c2s_model.nets.unetr import Unetr
from c2s_model.predict.blocks import Predictor, Progress, predicted_blocks
from c2s_model.predict.prepared_density import PreparedDensity, recorded_build
from c2s_model.predict.probabilities import Compute, Precision, check_rotations, make_compute
from c2s_model.predict.window_plan import WindowGrid

_WRITES_WAITING: Final = 2
"""Blocks that wait for the disk while the next one is filled."""

_LEFT_IN_THE_FILE: Final = ("config", "build_config", "training", "hyper_parameters")


@dataclass(frozen=True)
class PredictOptions:
    """How a map is predicted.

    Parameters
    ----------
    overlap
        Cores that cover a voxel along each axis: their mean counts, and time grows by the cube.
    rotations
        1, or 24: the mean over all turned copies of each subgrid.
    device, precision, batch_size
        See `make_compute`.
    """

    overlap: int = 1
    rotations: int = 1
    device: str = "auto"
    precision: Precision = "auto"
    batch_size: int | None = None


@dataclass(frozen=True)
class Predicted:
    """What became of a map.

    Parameters
    ----------
    url
        Where the prediction is.
    windows, skipped
        Subgrids of the map, and how many of them hold no voxel of interest.
    seconds
        What this run took.
    was_finished
        Whether an earlier run had finished it.
    """

    url: str
    windows: int
    skipped: int
    seconds: float
    was_finished: bool


def predict_map(
    network: Unetr,
    card: NetworkCard,
    density: PreparedDensity,
    out: str,
    options: PredictOptions | None = None,
    *,
    sequence: NDArray[np.float32] | None = None,
    network_source: Mapping[str, Any] | None = None,
    on_windows: Progress = lambda done, total: None,
) -> Predicted:
    """Predict the probability of every class at every voxel of a map and write it.

    A prediction that was interrupted goes on where it was; a finished one is left alone. Beside
    density, network and two batches this holds at most two blocks of 20 x 240 x 240 voxels that are
    being filled and three that are being written, however large the map.

    Parameters
    ----------
    network
        It is put into evaluation mode and moved to the device.
    card
        What its weights mean.
    density
        From `prepare_raw_map` or `prepare_stored_map`.
    out
        Path or URL of the prediction.
    options
        None for the defaults.
    sequence
        (S,) embedding of the map's sequences, for a network that takes one.
    network_source
        ``file`` and ``sha256`` of the network file; without, the weights are digested.
    on_windows
        Called with how many subgrids are predicted and how many there are to do.

    Returns
    -------
    Predicted

    Raises
    ------
    ConfigError
        Options that do not fit each other or the network, or a place that holds something else.
    CheckpointError
        The network predicts values that are not finite.
    StoreError
        The prediction cannot be written.
    """
    started, options = time.perf_counter(), options or PredictOptions()
    check_rotations(options.rotations, card)
    grid = grid_of(card, density.values_zyx.shape, options.overlap)
    compute = make_compute(options.device, options.precision, options.batch_size)
    check_sequence(card, sequence)
    needed = grid.needed(density.interest_zyx)
    source = dict(network_source or {"sha256": digest_of_weights(network)})
    facts = _facts(card, density, grid, needed, options, compute, source, sequence)
    writer = PredictionWriter(out, facts)
    was_finished = writer.is_finished
    if not was_finished:
        embedding = None if sequence is None else torch.from_numpy(sequence).to(compute.device)
        predictor = Predictor(
            network.to(compute.device).eval(), compute, grid, options.rotations, embedding
        )
        with _written_behind(writer) as put:
            for block, values in predicted_blocks(
                predictor, density.values_zyx, facts, needed, has=writer.has, on_windows=on_windows
            ):
                _check_finite(values, facts, compute)
                put(block, values)
        writer.finish()
    skipped = needed.size - int(np.count_nonzero(needed))
    seconds = time.perf_counter() - started
    return Predicted(writer.url, needed.size, skipped, seconds, was_finished)


def grid_of(card: NetworkCard, shape_zyx: tuple[int, ...], overlap: int = 1) -> WindowGrid:
    """Return the subgrids that a network takes of a map.

    Raises
    ------
    ConfigError
        Its box is no cube, or the overlap does not divide its core.
    """
    box, *others = card.architecture.box_zyx
    if set(others) != {box}:
        raise ConfigError(
            f"the network takes subgrids of {card.architecture.box_zyx} voxels; maps are cut into "
            "cubes, so predict with a network for a cubic box"
        )
    build = recorded_build(card)
    core = box * CORE // BOX // 2 * 2
    if build is not None and build.box == box:
        core = build.core
    nz, ny, nx = shape_zyx
    return WindowGrid((nz, ny, nx), box, core, overlap)


def check_sequence(card: NetworkCard, sequence: NDArray[np.float32] | None) -> None:
    """Refuse a sequence embedding that a network does not take, or the lack of one that it needs.

    Raises
    ------
    ConfigError
        Also for values that are not finite float32.
    """
    width = card.architecture.sequence_width
    if sequence is None:
        if width:
            raise ConfigError(
                f"the network ({card.variant}) needs an embedding of the map's sequences, {width} "
                "numbers: give --sequence-embedding FILE.npy, or predict a map of a store that "
                "`c2s-model embed` has seen"
            )
        return
    if sequence.shape != (width,) or sequence.dtype != np.float32:
        what = f"{width} float32 numbers" if width else "none"
        raise ConfigError(
            f"a sequence embedding of shape {sequence.shape} and type {sequence.dtype} was given, "
            f"the network ({card.variant}) takes {what}"
        )
    if not np.isfinite(sequence).all():
        raise ConfigError("the sequence embedding holds values that are not finite; mend it")


def digest_of_weights(network: Unetr) -> str:
    """Return the sha256 (hex) of a network's weights by name."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(np.ascontiguousarray(value.detach().cpu().float().numpy()).data)
    return digest.hexdigest()


def _facts(
    card: NetworkCard,
    density: PreparedDensity,
    grid: WindowGrid,
    needed: NDArray[np.bool_],
    options: PredictOptions,
    compute: Compute,
    network_source: Mapping[str, Any],
    sequence: NDArray[np.float32] | None,
) -> PredictionFacts:
    embedding = None if sequence is None else hashlib.sha256(sequence.tobytes()).hexdigest()
    deciding = {
        "overlap": options.overlap,
        "rotations": options.rotations,
        "precision": str(compute.dtype).removeprefix("torch."),
        "sequence_sha256": embedding,
        "windows": list(grid.windows_zyx),
        "skipped": needed.size - int(np.count_nonzero(needed)),
        "needed_sha256": hashlib.sha256(np.packbits(needed).tobytes()).hexdigest(),
    }
    identity = json.dumps([network_source["sha256"], density.digest, deciding], sort_keys=True)
    network = {"variant": card.variant, **network_source, "source": _brief(card.source)}
    return PredictionFacts(
        shape_zyx=grid.shape_zyx,
        origin_xyz_A=density.origin_xyz_A,
        classes=card.classes,
        preset=card.preset,
        label_rule=card.label_rule,
        decode_offset_voxel=card.decode_offset_voxel,
        core=grid.core,
        options=deciding | {"box": grid.box},
        sources={"network": network, "map": dict(density.source)},
        identity=hashlib.sha256(identity.encode()).hexdigest(),
    )


def _brief(source: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the options of build and training, which stay in the network's file."""
    return {
        name: _brief(value) if isinstance(value, Mapping) else value
        for name, value in source.items()
        if name not in _LEFT_IN_THE_FILE
    }


def _check_finite(values: NDArray[Any], facts: PredictionFacts, compute: Compute) -> None:
    first = np.cumsum([0, *(len(names) for names in facts.classes.values())])[:-1]
    if not np.isfinite(values[first]).all():  # One class tells: softmax makes all of them nan.
        raise CheckpointError(
            f"the network predicts values that are not finite (in {compute.dtype}); try "
            "--precision bf16 or float32, else its training has diverged"
        )


@contextmanager
def _written_behind(writer: PredictionWriter) -> Iterator[Any]:
    """Give a function that writes blocks in another thread while the next ones are predicted."""
    with ThreadPoolExecutor(_WRITES_WAITING, thread_name_prefix="write-block") as pool:
        waiting: deque[Future[None]] = deque()

        def put(block: Block, values: NDArray[np.float16]) -> None:
            if len(waiting) == _WRITES_WAITING:
                waiting.popleft().result()
            waiting.append(pool.submit(writer.put, block, values))

        yield put
        for written in waiting:
            written.result()
