"""The loader against other loaders: the same samples, shuffled, ready batches of 32, warm."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.loader import read_loader, write_store
from benchmarks.suite.peers import PEERS, PeerProcess, PeerUnavailableError
from benchmarks.suite.rows import Row, at_least, compared, without_figure
from benchmarks.suite.size import Size
from benchmarks.suite.turns import Measure, in_turns, rate_of
from c2s_model.data import SubgridDataset

BATCH: Final = 32
LOADERS: Final = ("WebDataset", "MosaicML streaming", "LitData", "HDF5")
ARRAYS: Final = ("zarr-python", "zarrs", "tensorstore", "dask.array")
_HDF5_BLOCKS: Final = "HDF5, blocks mixed in a buffer"
_OURS, _PLAIN = "ours", "ours, uncompressed"
_NAMES: Final = {
    _OURS: "shuffled epoch, one process",
    _PLAIN: "shuffled epoch, one process, uncompressed as theirs",
}


def rows(size: Size, folder: Path) -> Iterator[Row]:
    """Yield our shuffled epoch against that of each peer, and against the best loader."""
    opener = write_store(folder / "store.zarr", size.pick(1, 4, 8), "lz4")
    samples = folder / "samples"
    write_samples(samples, opener)
    plain = write_store(folder / "plain.zarr", size.pick(1, 4, 8), "none")
    measures: dict[str, Measure] = {}
    for name, store in ((_OURS, opener), (_PLAIN, plain)):
        dataset = SubgridDataset(store, batch_size=BATCH, rank=0, world_size=1)
        measures[name] = rate_of(partial(read_loader, dataset, BATCH))
    missing, notes = {}, {}
    with contextlib.ExitStack() as stack:
        for number, name in enumerate((*LOADERS, *ARRAYS)):
            arguments = {"samples": samples, "folder": folder / f"peer{number}"}
            try:
                process = stack.enter_context(PeerProcess(PEERS[name], arguments))
                process.measure("epoch")
            except PeerUnavailableError as error:
                missing[name] = str(error)
                continue
            measures[name] = partial(process.measure, "epoch")
            notes[name] = ", ".join(f"{library} {v}" for library, v in process.versions.items())
            if name == "HDF5":
                measures[_HDF5_BLOCKS] = partial(process.measure, "blocks")
        found = in_turns(measures, size.few)
    yield from compared_rows(found, notes)
    for name, reason in missing.items():
        yield without_figure(_NAMES[_OURS], name, reason)


def compared_rows(found: dict[str, list[float]], notes: dict[str, str]) -> Iterator[Row]:
    """Yield a row a peer; the goal is held against the best of those that are loaders."""
    peers = [name for name in found if name not in (_OURS, _PLAIN)]
    loaders = [name for name in peers if name in (*LOADERS, _HDF5_BLOCKS)]
    against = partial(compared, unit="subgrids/s")
    if loaders:
        best = max(loaders, key=lambda name: statistics.median(found[name]))
        for name in (_OURS, _PLAIN):
            yield against(_NAMES[name], own=found[name], other=found[best],
                          against="the best of these loaders", goal=at_least(4),
                          note=f"the best: {best}")  # fmt: skip
    for name in peers:
        yield against(_NAMES[_OURS], own=found[_OURS], other=found[name], against=name,
                      note=notes.get(name, ""))  # fmt: skip


def write_samples(folder: Path, opener: object) -> None:
    """Write all subgrids and masks of a store as two .npy files, which peers map."""
    folder.mkdir()
    batches = list(
        SubgridDataset(opener, batch_size=512, shuffle=False, rank=0, world_size=1)  # type: ignore[arg-type]
    )
    for name in ("density", "atom"):
        values = np.concatenate([batch[name].numpy().reshape(-1, 32, 32, 32) for batch in batches])
        np.save(folder / f"{name}.npy", values)
