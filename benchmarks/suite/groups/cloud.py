"""The loader and a build over S3: `benchmarks.cloud`, where SeaweedFS is on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.suite.results import ROOT
from benchmarks.suite.rows import Row, without_figure
from benchmarks.suite.size import Size


def rows(size: Size, folder: Path) -> Iterator[Row]:
    """Yield the loader against plain GETs and the codec, requests and bytes, and a build."""
    sys.path.insert(0, str(ROOT / "tests" / "cloud"))
    from seaweed import find_weed

    if find_weed() is None:
        yield without_figure("loader and build over S3", "plain GETs",
                             "no SeaweedFS here; `make test-cloud` installs it")  # fmt: skip
        return
    from benchmarks.cloud import bucket, build_samples, loader_samples, traffic_rows
    from benchmarks.suite.cloud_rows import (
        build_row,
        loader_rows,
        traffic_row,
        worker_rows,
        worker_samples,
    )

    with bucket() as url:
        n_maps, side = size.pick((1, 120), (8, 220), (8, 300))
        store = folder / "store"
        local, remote, found = loader_samples(store, f"{url}/loader", n_maps, size.repeats)
        yield from loader_rows(found)
        counts = [n for n in (1, 2) if n <= len(os.sched_getaffinity(0))]
        yield from worker_rows(worker_samples(partial(replace, remote), counts, size.repeats))
        for row in traffic_rows(local, remote, store):
            yield traffic_row(row)
        yield build_row(build_samples(folder, f"{url}/builds", side, size.pick(1, 2, 5)))
