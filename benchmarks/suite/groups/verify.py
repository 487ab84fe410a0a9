"""What it costs that a store can be trusted, opening it, and how fast it is verified."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import google_crc32c
import numpy as np
from numcodecs import blosc

from benchmarks.build import make_input, on_one_core
from benchmarks.integrity import build_rows, byte_rows, read_all
from benchmarks.suite.limits import files_below
from benchmarks.suite.made_store import built_store
from benchmarks.suite.rows import Row, at_least, at_most, compared, figure, within
from benchmarks.suite.size import Size
from benchmarks.suite.turns import Measure, in_turns, rate_of, timed
from c2s_data.config import make_config
from c2s_data.plan import make_plan
from c2s_data.schema import MASKS
from c2s_data.sources.catalog import read_catalog
from c2s_data.store.commit import commit
from c2s_data.store.layout import Layout, level_shape, n_levels
from c2s_data.store.objects import LocalObjects, Objects, open_objects
from c2s_data.store.reader import open_store
from c2s_data.store.shard import shard_index
from c2s_data.store.shard_spec import ShardSpec
from c2s_data.store.verify import verify

OBJECTS_A_S: Final = 10_000.0
_NO_CHUNK: Final = 2**64 - 1


def rows(size: Size, folder: Path) -> Iterator[Row]:
    """Yield shares of the build, the levels of `verify` on one core, and opening."""
    on_one_core()
    yield from integrity_rows(size, folder)
    store = built_store(folder / "many", size.pick(2, 24, 60), size.pick(80, 130, 130))
    objects = open_objects(store)
    sizes = dict(objects.walk())
    n_bytes = sum(sizes.values())

    def quick() -> int:
        verify(objects, "quick")
        return len(sizes)

    def full() -> int:
        verify(objects, "full")
        return n_bytes

    def hashed() -> int:
        read_all(store, hashlib.sha256().update)
        return n_bytes

    measures = {
        "quick": rate_of(quick),
        "full": rate_of(full),
        "sha256 and decode": sha256_and_decode(store, n_bytes),
        "sha256": rate_of(hashed),
        "stat": rate_of(lambda: sum(1 for key in sizes if (store / key).stat().st_size >= 0)),
        "open": timed(lambda: open_store(store)),
    }
    found = in_turns(measures, size.repeats)
    note = f"{len(sizes):,} objects, {n_bytes / 1e6:,.0f} MB"
    yield within(
        "verify --quick, on one core", "objects/s", found["quick"], OBJECTS_A_S, note, ">="
    )
    yield compared("verify --quick, on one core", "objects/s", found["quick"], found["stat"],
                   against="a stat of every file", role="limit")  # fmt: skip
    yield compared("verify full, on one core", "B/s", found["full"], found["sha256 and decode"],
                   against="sha256 and decoding of the same bytes", role="limit",
                   goal=at_least(0.8), note=note)  # fmt: skip
    yield compared("verify full, on one core", "B/s", found["full"], found["sha256"],
                   against="sha256 of every file", role="limit")  # fmt: skip
    yield figure("open a store", "s", found["open"], f"{size.pick(2, 24, 60)} maps")


def sha256_and_decode(store: Path, n_bytes: int) -> Measure:
    """Return the measure of hashing every file and decoding every chunk, once each, alone."""
    shards = list(shards_of(store))

    def measure() -> float:
        started = time.perf_counter()
        read_all(store, hashlib.sha256().update)
        for spec, path in shards:
            values = np.fromfile(path, np.uint8)
            out = np.empty(spec.chunk_shape, spec.dtype)
            index = shard_index(values, spec)
            for start, length in zip(index.offset.tolist(), index.nbytes.tolist(), strict=True):
                if start == _NO_CHUNK:
                    continue
                chunk = values[start : start + length]
                assert google_crc32c.value(chunk[:-4]) == int(chunk[-4:].view("<u4")[0])
                blosc.decompress(chunk[:-4], out)
        return n_bytes / (time.perf_counter() - started)

    return measure


def shards_of(store: Path) -> Iterator[tuple[ShardSpec, Path]]:
    """Yield every shard of subgrids and of maps, with how it is encoded."""
    layout = Layout.of(make_config("recommended"))
    opened = open_store(store)
    for name in ("density", *MASKS):
        for path in files_below(store / "subgrids" / name / "c"):
            yield layout.subgrid_spec(name), path
    for entry in opened.entries:
        for level in range(n_levels(entry.shape_zyx)):
            shape = level_shape(entry.shape_zyx, level)
            for name in ("density", *MASKS):
                folder = store / "maps" / entry.entry_id / f"s{level}" / name / "c"
                for path in files_below(folder):
                    yield layout.map_spec(name, shape), path


def integrity_rows(size: Size, folder: Path) -> Iterator[Row]:
    """Yield the share of build time and of bytes that guarding takes."""
    place = folder / "one"
    place.mkdir()
    catalog = read_catalog(make_input(place, size.pick(120, 300, 300)))
    plan = make_plan(catalog, make_config("recommended"), task_memory_bytes=10**12)
    (share,) = build_rows(plan, place, size.pick(1, 3, 5))
    whole_s = float(share["value"])
    yield compared(
        "hashing, read-back and flushing in a build",
        "s",
        [share["ratio"] * whole_s],
        [whole_s],
        against="the whole build",
        role="limit",
        goal=at_most(0.15),
    )
    objects: Objects = open_objects(place / "ours.zarr")
    assert isinstance(objects, LocalObjects)
    commit(objects, plan)
    (extra,) = byte_rows(objects, plan)
    n = float(extra["value"])
    yield compared("bytes for integrity alone", "B", [n], [n / extra["ratio"]],
                   against="bytes of density", role="limit", goal=at_most(0.001))  # fmt: skip
