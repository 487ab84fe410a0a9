"""Looking at a large map in a bucket, and how soon anything answers.

    python -m benchmarks.explore [--side 400] [--repeats 7] [--json]

A simulated map of side^3 voxels of 1 A is built under preset recommended and put into a SeaweedFS
of this machine (`make test-cloud` installs it). Each time the store is opened anew: ``open_map`` of
the local store, of which nothing is read; the first picture of the map in the bucket, as the viewer
draws it from the coarsest level; and a whole plane along each axis, as xarray reads it. Bytes are
those that came over the network. ``--help`` is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import c2s_data
from benchmarks.cloud import bucket, upload
from benchmarks.report import ENTRY, built
from c2s_data.explore.pages.lazy_maps import LazyMaps
from c2s_data.store.reader import open_store
from c2s_data.store.traffic import traffic

OPEN_S, PICTURE_S, PICTURE_BYTES, PLANE_BYTES, HELP_S = 0.02, 1.0, 2e6, 10e6, 0.3
_HELP: Final = (
    "import sys; sys.argv = ['c2s-data', '--help']; from c2s_data.cli import main; main()"
)


def measured(work: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Return the median seconds of a call, after one that warms, and the bytes of the last."""
    work()
    times, before = [], traffic()
    for _ in range(repeats):
        before = traffic()
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times), float((traffic() - before).bytes_read)


def rows_here(url: str, repeats: int) -> list[dict[str, Any]]:
    """Return what opening costs on this machine's disk, and what the first answer costs."""
    opening, _ = measured(lambda: c2s_data.open_map(url, ENTRY), 3 * repeats)
    command = [sys.executable, "-c", _HELP]
    helping, _ = measured(
        lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), repeats
    )
    return [
        _row("open_map, s", opening, OPEN_S),
        _row("c2s-data --help, s", helping, HELP_S),
    ]


def rows_there(url: str, side: int, repeats: int) -> list[dict[str, Any]]:
    """Return seconds and bytes of the first picture and of whole planes of a map in a bucket."""
    seconds, nbytes = measured(lambda: LazyMaps(open_store(url)).overview(ENTRY), repeats)
    rows = [
        _row(f"first picture of {side}³ in a bucket, s", seconds, PICTURE_S),
        _row("bytes of it", nbytes, PICTURE_BYTES),
    ]
    for axis in "zyx":
        at = {axis: side // 2}
        seconds, nbytes = measured(
            lambda at=at: c2s_data.open_map(url, ENTRY)["density"].isel(at).load(), repeats
        )
        rows.append(_row(f"a whole plane along {axis}, s", seconds))
        rows.append(_row("bytes of it", nbytes, PLANE_BYTES))
    return rows


def _row(what: str, value: float, most: float | None = None) -> dict[str, Any]:
    return {"what": what, "value": value, "most": most, "reached": most and value <= most}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--side", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, bucket() as url:
        store = built(Path(scratch), given.side)
        upload(Path(store.url.removeprefix("file://")), f"{url}/explore.zarr")
        rows = rows_here(store.url, given.repeats)
        rows += rows_there(f"{url}/explore.zarr", given.side, given.repeats)
    if given.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        goal = "" if row["most"] is None else f"  at most {row['most']:g}: {row['reached']}"
        print(f"{row['what']:42} {row['value']:14,.3f}{goal}")


if __name__ == "__main__":
    main()
