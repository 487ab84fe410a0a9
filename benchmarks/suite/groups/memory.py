"""Peak memory in processes of their own: of building a map, of one of 800³ voxels, of epochs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.loader import write_store
from benchmarks.memory import run, run_giant
from benchmarks.suite.loader_memory import (
    Peak,
    in_own_process,
    of_threads,
    of_windows,
    of_workers,
)
from benchmarks.suite.made_store import built_store
from benchmarks.suite.rows import Row, at_most, compared
from benchmarks.suite.size import Size


def rows(size: Size, folder: Path) -> Iterator[Row]:
    """Yield tasks against what the plan promised and 2 GB, and epochs against their buffers."""
    yield from rows_of_tasks(size, folder)
    yield from rows_of_epochs(size, folder)


def rows_of_tasks(size: Size, folder: Path) -> Iterator[Row]:
    """Yield what tasks take against what the plan promised, and the giant map against 2 GB."""
    sides = size.pick((100,), (300,), (150, 300, 400))
    found = run(sides) + run_giant(size.pick(240, 800, 800), 1.0, folder, size.pick(
        ("paper",), ("recommended",), ("recommended", "released")))  # fmt: skip
    for one in found:
        value, beside = [float(one["value"])], [float(one["limit"])]
        is_giant = one["goal"].startswith("<=")
        against = "2 GB" if is_giant else "what the plan promises"
        yield compared(one["name"], "B", value, beside, against=against, role="limit",
                       better="lower", goal=at_most(1))  # fmt: skip


def rows_of_epochs(size: Size, folder: Path) -> Iterator[Row]:
    """Yield epochs of the loader against what its documentation says that it holds."""
    # More subgrids than the loader holds, so that an epoch fills it.
    opener = write_store(folder / "subgrids.zarr", size.pick(2, 15, 32), "lz4")
    for threads in (1, 2):
        yield row_of_epoch(f"a shuffled epoch, {threads} thread{'s'[: threads > 1]}",
                           in_own_process(of_threads, opener, threads))  # fmt: skip
    yield row_of_epoch("a shuffled epoch, 2 workers", in_own_process(of_workers, opener, 2),
                       "PSS of the three processes, which counts shared pages once")  # fmt: skip
    # Six lanes hold four parts each, and two blocks more are read: 32 of these 40.
    store = built_store(folder / "windows", side=size.pick(80, 200, 200))
    yield row_of_epoch("an epoch of random windows",
                       in_own_process(of_windows, store, size.pick(48, 40, 40)))  # fmt: skip


def row_of_epoch(name: str, peak: Peak, note: str = "") -> Row:
    return compared(f"peak memory above an open store, {name}", "B", [float(peak.nbytes)],
                    [float(peak.documented)], against="its buffers as documented", role="limit",
                    goal=at_most(1), note=note)  # fmt: skip
