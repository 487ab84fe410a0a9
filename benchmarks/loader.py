"""Subgrids a second that the loader gives, against the codec's own limit and .npz files.

    python benchmarks/loader.py [--maps 8] [--repeats 7] [--compressor lz4]

Everything runs in one process with warm files, in turns: `SubgridDataset` (shuffled batches of
density and one mask), the limit (``preadv`` of each whole shard, crc32c and blosc of each chunk
into one chunk-sized buffer, one thread, nothing kept), and one uncompressed .npz a subgrid in a
shuffling DataLoader. The maps are band-limited noise with denser parts, normalized and
clipped like a density map, in float16: 31 KB a subgrid with lz4.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import google_crc32c
import numpy as np
import torch
from numcodecs import blosc
from scipy.ndimage import gaussian_filter
from torch.utils.data import DataLoader, Dataset

from c2s_data.schema import BOX, CORE, SUBGRIDS_PER_CHUNK, SUBGRIDS_PER_SHARD
from c2s_data.store.shard import shard_index
from c2s_data.store.shard_encoder import encode_shard
from c2s_data.store.shard_spec import Compressor, ShardSpec
from c2s_data.transforms.subgrid import extract, window_corners
from c2s_model.data import SubgridDataset

Row = dict[str, Any]
GOAL_OF_LIMIT, GOAL_OF_NPZ = 0.8, 8.0
ARRAYS = ("density", "atom")


@dataclass(frozen=True)
class StandIn:
    """What the loader asks of a store, and nothing else; it can be sent to other processes."""

    url: str
    entries: list[Any]
    columns: tuple[np.ndarray, np.ndarray, None]
    specs: dict[str, ShardSpec]
    generation: int = 1
    fingerprint: str = "0" * 64

    def index(self) -> tuple[np.ndarray, np.ndarray, None]:
        """Return map and corner of each row."""
        return self.columns

    def subgrid_spec(self, array: str) -> ShardSpec:
        """Return how an array is stored."""
        return self.specs[array]


def noisy_map(side: int, seed: int) -> np.ndarray:
    """Normalized density (z, y, x) float16: noise of a few voxels' length, half of it clipped."""
    rng = np.random.default_rng(seed)
    values = gaussian_filter(rng.standard_normal((side,) * 3, dtype=np.float32), 1.0)
    values /= values.std()
    low, high = 3 * side // 8, side - 3 * side // 8
    inner = gaussian_filter(rng.standard_normal((high - low,) * 3, dtype=np.float32), 1.5)
    values[low:high, low:high, low:high] += 3 * inner / inner.std() + 1
    divisor = np.percentile(values[values > 0], 95)
    normalized: np.ndarray = np.clip(values / divisor, 0, 1).astype(np.float16)
    return normalized


def write_store(folder: Path, n_maps: int, compressor: Compressor) -> Callable[[], Any]:
    """Write the shards of a store and return what opens it."""
    shape = (SUBGRIDS_PER_SHARD, *(BOX,) * 3)
    chunk = (SUBGRIDS_PER_CHUNK, *(BOX,) * 3)
    dtypes = {"density": "f2", "atom": "u1"}
    packed: Compressor = "lz4" if compressor == "none" else compressor  # as a store has masks
    codecs = {"density": compressor, "atom": packed}
    specs = {n: ShardSpec(shape, chunk, np.dtype(d), codecs[n]) for n, d in dtypes.items()}
    entries, map_index, corners_of, first = [], [], [], 0
    for number in range(n_maps):
        side = 160 + 20 * (number % 4)
        corners = window_corners((side,) * 3, BOX, CORE)
        values = {"density": extract(noisy_map(side, number), corners, BOX)}
        values["atom"] = np.zeros(values["density"].shape, np.uint8)
        rng = np.random.default_rng(number)
        labeled = rng.integers(0, values["atom"].size, 30 * len(corners))
        values["atom"].reshape(-1)[labeled] = rng.integers(1, 4, len(labeled))
        for name, spec in specs.items():
            put_shards(folder / "subgrids" / name, values[name], spec, first)
        padded = -(-len(corners) // SUBGRIDS_PER_SHARD) * SUBGRIDS_PER_SHARD
        entries.append(
            SimpleNamespace(
                split="train", first_subgrid=first, n_subgrids=len(corners), n_occupied=0
            )
        )
        map_index.append(np.full(padded, number, np.int32))
        corners_of.append(np.resize(corners, (padded, 3)))
        first += padded
    columns = np.concatenate(map_index), np.concatenate(corners_of), None
    # A lambda could not be sent to workers that are started anew.
    return partial(replace, StandIn(str(folder), entries, columns, specs))


def put_shards(folder: Path, values: np.ndarray, spec: ShardSpec, first: int) -> None:
    for place in range(0, len(values), SUBGRIDS_PER_SHARD):
        path = folder / spec.shard_key((first + place) // SUBGRIDS_PER_SHARD)
        path.parent.mkdir(parents=True)
        path.write_bytes(encode_shard(values[place : place + SUBGRIDS_PER_SHARD], spec))


def write_npz(
    folder: Path, opener: Callable[[], Any], save: Callable[..., None] = np.savez
) -> list[Path]:
    folder.mkdir()
    paths = []
    for batch in SubgridDataset(opener, targets=("atom",), batch_size=256, shuffle=False):
        for row, density, atom in zip(batch["row"], batch["density"], batch["atom"], strict=True):
            paths.append(folder / f"{int(row):08d}.npz")
            save(paths[-1], density=density[0].numpy(), atom=atom.numpy())
    return paths


def read_loader(dataset: SubgridDataset, batch_size: int) -> int:
    n = 0
    for batch in dataset:
        n += len(batch["density"])
        assert len(batch["density"]) <= batch_size
    dataset.set_epoch(dataset.epoch + 1)
    return n


def read_workers(loader: DataLoader[Any]) -> int:
    return sum(len(batch["density"]) for batch in loader)


def chunks_of(path: Path, spec: ShardSpec, n_chunks: int, buffer: np.ndarray) -> Iterator[Any]:
    """Read a whole shard once and yield the bytes of the chunks that hold samples."""
    descriptor = os.open(path, os.O_RDONLY)
    n = os.preadv(descriptor, [buffer.data], 0)
    os.close(descriptor)
    index = shard_index(buffer[:n], spec)
    for start, size in zip(index.offset[:n_chunks], index.nbytes[:n_chunks], strict=True):
        yield buffer[int(start) : int(start) + int(size)]


def read_limit(store: Any, buffer: np.ndarray) -> int:  # noqa: ANN401 - a stand-in store
    n = 0
    for name in ARRAYS:
        spec = store.subgrid_spec(name)
        out = np.empty(spec.chunk_shape, spec.dtype)
        for entry in store.entries:
            for place in range(0, entry.n_subgrids, SUBGRIDS_PER_SHARD):
                rows = min(SUBGRIDS_PER_SHARD, entry.n_subgrids - place)
                shard = (entry.first_subgrid + place) // SUBGRIDS_PER_SHARD
                path = Path(store.url, "subgrids", name, spec.shard_key(shard))
                for chunk in chunks_of(path, spec, -(-rows // SUBGRIDS_PER_CHUNK), buffer):
                    assert google_crc32c.value(chunk[:-4]) == int(chunk[-4:].view("<u4")[0])
                    blosc.decompress(chunk[:-4], out)
                n += rows if name == "density" else 0
    return n


class NpzDataset(Dataset[dict[str, torch.Tensor]]):
    """The ordinary way: one file, one item."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        with np.load(self._paths[number]) as file:
            density, atom = (torch.from_numpy(file[name]) for name in ARRAYS)
        return {"density": density.unsqueeze(0), "atom": atom}


def read_npz(paths: list[Path], batch_size: int) -> int:
    loader = DataLoader(NpzDataset(paths), batch_size=batch_size, shuffle=True)
    return sum(len(batch["density"]) for batch in loader)


def rate(read: Callable[[], int]) -> float:
    start = time.perf_counter()
    n = read()
    return n / (time.perf_counter() - start)


def measure(
    folder: Path, n_maps: int, repeats: int, batch_size: int, compressor: Compressor
) -> dict[str, list[float]]:
    opener = write_store(folder / "store.zarr", n_maps, compressor)
    paths = write_npz(folder / "npz", opener)
    buffer = np.zeros(SUBGRIDS_PER_SHARD * BOX**3 * 2 + 2**20, np.uint8)
    datasets = {
        f"loader, {threads} thread{'s'[: threads > 1]}": SubgridDataset(
            opener, batch_size=batch_size, threads=threads
        )
        for threads in (1, 2)
    }
    readers: dict[str, Callable[[], int]] = {
        name: partial(read_loader, dataset, batch_size) for name, dataset in datasets.items()
    }
    readers["limit"] = lambda: read_limit(opener(), buffer)
    readers["npz"] = partial(read_npz, paths, batch_size)
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for turn in range(repeats + 1):
        for name, read in readers.items():
            measured = rate(read)
            if turn:  # the first turn warms files and memory
                rates[name].append(measured)
    return rates


def run(
    n_maps: int = 8, repeats: int = 7, batch_size: int = 32, compressor: Compressor = "lz4"
) -> list[Row]:
    """Measure; one row per figure. ``ratio`` is the median of the ratios within each turn."""
    folder = Path(tempfile.mkdtemp(prefix="loader-"))
    try:
        rates = measure(folder, n_maps, repeats, batch_size, compressor)
    finally:
        shutil.rmtree(folder)
    middle = {name: statistics.median(values) for name, values in rates.items()}
    rows = []
    for name in rates:
        if not name.startswith("loader"):
            continue
        for peer, goal in (("limit", GOAL_OF_LIMIT), ("npz", GOAL_OF_NPZ)):
            pairs = zip(rates[name], rates[peer], strict=True)
            ratio = statistics.median(ours / theirs for ours, theirs in pairs)
            rows.append(
                {
                    "name": f"{name}, {compressor}, against {peer}",
                    "value": round(middle[name]),
                    "unit": "subgrids/s",
                    "peer": round(middle[peer]),
                    "limit": round(middle["limit"]),
                    "ratio": round(ratio, 2),
                    "goal": goal,
                    "met": ratio >= goal,
                }
            )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--maps", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--compressor", choices=["lz4", "zstd", "none"], default="lz4")
    given = parser.parse_args()
    for row in run(given.maps, given.repeats, given.batch_size, given.compressor):
        print(json.dumps(row))
