"""The real Dask scheduler under 50,000 maps and up to 1,000 workers that only take time.

    python benchmarks/scale_cluster.py [--points 10:1000,100:5000,400:50000,1000:50000]
        [--seconds 200] [--curve FILE.svg] [--json FILE]

A point ``workers:maps`` starts one scheduler process and one process that is all the workers, each
with its own connections, and runs the product's own `run_on_client` from a third. Sizes of the maps
follow a lognormal distribution whose mean is that of the published dataset (43 million subgrids in
7,600 maps); a worker sleeps as long as `c2s_data.estimate` says that the map takes, compressed so
that a perfect schedule takes ``--seconds``. Compression makes scheduling harder, never easier.

Per point: makespan over the lower bound max(sum of durations / workers, longest); seconds of
processor of the scheduler and of the client a map; their largest resident memory. The overhead
that counts for the goal is that of scheduler and client together, which alone are on the way of
every map, less what they take in as much time when the same workers are connected and idle.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dask
import numpy as np
from noop_build import noop_build

from c2s_data import distribute
from c2s_data.cluster.settings import SETTINGS
from c2s_data.config import make_config
from c2s_data.estimate import build_seconds
from c2s_data.plan import PlannedEntry, plan_of, with_rows
from c2s_data.rates import read_rates
from c2s_data.sources.catalog import CatalogEntry
from c2s_data.transforms.windows import n_windows

MEDIAN_A, SIGMA, LARGEST_A = 300.0, 0.34, 820
_REST_S = 15.0
MAX_OVERHEAD_MS, MAX_MAKESPAN = 3.0, 1.1


def simulated_entries(n: int, seed: int = 0) -> list[PlannedEntry]:
    """Return planned entries of realistic sizes and with names and paths as long as real ones."""
    rng, config = np.random.default_rng(seed), make_config("recommended")
    sides = np.clip(rng.lognormal(math.log(MEDIAN_A), SIGMA, n), 60, LARGEST_A).astype(int)
    voxels_A = rng.uniform(0.65, 1.35, n)
    entries, first = [], 0
    for index, (side, voxel_A) in enumerate(zip(sides.tolist(), voxels_A.tolist(), strict=True)):
        name = f"{10_000 + index}_{index:04x}"
        folder = "/gpfs/project/cryo-em/inputs"
        entry = CatalogEntry(name, f"{folder}/emd_{name}.map.gz", f"{folder}/{name}.cif.gz", 3.1)
        shape, source = (side,) * 3, (min(1024, round(side / voxel_A)),) * 3
        planned = PlannedEntry(
            index,
            entry,
            source_shape_zyx=source,
            voxel_size_zyx_A=(voxel_A,) * 3,
            shape_zyx=shape,
            n_subgrids=n_windows(shape, config.core),
            map_bytes=math.prod(source) * 3,
            map_ends_sha256="0" * 64,
            model_bytes=500_000,
            model_sha256="0" * 64,
            predicted_bytes=math.prod(shape) * 8,
        )
        planned = with_rows(planned, first, config)
        first += planned.n_shards * 512
        entries.append(planned)
    return entries


def run_point(workers: int, n_maps: int, seconds: float) -> dict[str, Any]:
    """Run ``n_maps`` on ``workers``; return the measurements of the point."""
    entries = simulated_entries(n_maps)
    config, rates = make_config("recommended"), read_rates()
    plan = plan_of(config, entries, 0)
    durations = [build_seconds(entry, config, rates) for entry in entries]
    ideal = max(sum(durations) / workers, *durations)
    compression = ideal / seconds
    distribute.build_and_write = noop_build
    with tempfile.TemporaryDirectory(prefix="c2s-scale-") as folder:
        environment = os.environ | {
            "C2S_NOOP_COMPRESSION": str(compression),
            "DASK_LOGGING__DISTRIBUTED": "error",
        }
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        )
        scheduler = _start("scheduler", folder, environment)
        pool = None
        try:
            address = _address(Path(folder), scheduler)
            pool = _start("workers", folder, environment, "--at", address, "--count", str(workers))
            with distribute.connect(address) as client:
                client.wait_for_workers(workers, timeout=600)
                pids = scheduler.pid, os.getpid(), pool.pid
                resting = [_cpu_s(pid) for pid in pids]
                time.sleep(_REST_S)
                resting = [(_cpu_s(p) - b) / _REST_S for p, b in zip(pids, resting, strict=True)]
                before = [(_cpu_s(pid), _waited_s(pid)) for pid in pids]
                started, ended = time.perf_counter(), []
                distribute.run_on_client(client, "/nowhere.zarr", plan, entries, ended.append)
                wall = time.perf_counter() - started
                after = [(_cpu_s(pid), _waited_s(pid)) for pid in pids]
            assert sorted(o.entry_id for o in ended) == sorted(e.entry_id for e in entries)
            peak = _peak_bytes(scheduler.pid)
        finally:
            for process in (pool, scheduler):
                if process is not None:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
    spent = [1e3 * (b[0] - a[0]) / n_maps for a, b in zip(before, after, strict=True)]
    idle = [1e3 * rate * wall / n_maps for rate in resting]
    waited = [(b[1] - a[1]) / wall for a, b in zip(before, after, strict=True)]
    return {
        "workers": workers,
        "maps": n_maps,
        "compression": compression,
        "mean_ms": 1e3 * sum(durations) / n_maps / compression,
        "ideal_s": seconds,
        "makespan_s": wall,
        "makespan_over_ideal": wall / seconds,
        "scheduler_ms_a_map": spent[0],
        "client_ms_a_map": spent[1],
        "simulated_workers_ms_a_map": spent[2],
        "overhead_ms_a_map": spent[0] + spent[1] - idle[0] - idle[1],
        "waited_for_a_core": max(waited),
        "scheduler_peak_MB": peak / 1e6,
        "client_peak_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }


def _start(role: str, folder: str, environment: dict[str, str], *more: str) -> subprocess.Popen:
    command = [sys.executable, __file__, "--role", role, "--in", folder, *more]
    return subprocess.Popen(command, env=environment)


def _address(folder: Path, scheduler: subprocess.Popen) -> str:
    path = folder / "address"
    for _ in range(600):
        if path.exists():
            return path.read_text()
        assert scheduler.poll() is None, "the scheduler ended"
        time.sleep(0.1)
    raise TimeoutError("the scheduler did not start within 60 s")


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _waited_s(pid: int) -> float:
    """Return how long the threads of a process were ready to run and had no core."""
    stats = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(nanoseconds) for _, nanoseconds, _ in stats) / 1e9


def _peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


async def _be_scheduler(folder: Path) -> None:
    from distributed import Scheduler

    async with Scheduler(host="127.0.0.1", port=0, dashboard=False) as scheduler:
        partial = folder / "address.part"
        partial.write_text(scheduler.address)
        partial.rename(folder / "address")
        await scheduler.finished()


async def _be_workers(address: str, count: int, folder: Path) -> None:
    from distributed import Worker

    workers = [
        Worker(address, nthreads=1, memory_limit=0, local_directory=str(folder), dashboard=False)
        for _ in range(count)
    ]
    for first in range(0, count, 50):
        await asyncio.gather(*workers[first : first + 50])
    await asyncio.gather(*(worker.finished() for worker in workers))


# What a thousand real worker processes would do on a thousand machines, and one process on this
# machine cannot: sample themselves many times a second. Heartbeats, connections and messages stay.
_ONE_PROCESS = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1h",
    "distributed.admin.system-monitor.interval": "1h",
}


def _play(role: str, options: argparse.Namespace) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with dask.config.set(SETTINGS | (_ONE_PROCESS if role == "workers" else {})):
        if role == "scheduler":
            asyncio.run(_be_scheduler(options.folder))
        else:
            asyncio.run(_be_workers(options.at, options.count, options.folder))


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the curves of docs/scale.md."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "c2s"
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8, 3), layout="constrained")
    workers = [row["workers"] for row in rows]
    left.plot(workers, [row["makespan_over_ideal"] for row in rows], "o-")
    left.axhline(MAX_MAKESPAN, color="gray", linestyle=":")
    left.set(xscale="log", xlabel="workers", ylabel="makespan / lower bound", ylim=(0.98, None))
    for name in ("scheduler", "client", "overhead"):
        right.plot(workers, [row[f"{name}_ms_a_map"] for row in rows], "o-", label=name)
    right.axhline(MAX_OVERHEAD_MS, color="gray", linestyle=":")
    right.set(xscale="log", xlabel="workers", ylabel="processor time, ms a map", ylim=(0, None))
    right.legend()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", default="10:1000,30:1500,100:5000,400:50000,1000:50000")
    parser.add_argument(
        "--seconds", type=float, default=200.0, help="what a perfect schedule takes"
    )
    parser.add_argument("--curve", type=Path, help="picture to draw")
    parser.add_argument("--json", type=Path, help="where to keep the measurements")
    for name in ("--role", "--at"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--in", dest="folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        _play(options.role, options)
        return
    rows = []
    for point in options.points.split(","):
        workers, n_maps = map(int, point.split(":"))
        rows.append(row := run_point(workers, n_maps, options.seconds))
        print(
            f"{workers:5} workers, {n_maps:6} maps: makespan {row['makespan_over_ideal']:.3f} x "
            f"the lower bound; scheduler {row['scheduler_ms_a_map']:.2f} + client "
            f"{row['client_ms_a_map']:.2f} ms a map, {row['overhead_ms_a_map']:.2f} of it for the "
            f"maps and the rest for workers that are connected (simulated workers "
            f"{row['simulated_workers_ms_a_map']:.2f}, waiting for a core "
            f"{row['waited_for_a_core']:.0%} of the time), at most "
            f"{row['scheduler_peak_MB']:.0f} and {row['client_peak_MB']:.0f} MB; "
            f"compressed {row['compression']:.1f} x",
            flush=True,
        )
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1))
    if options.curve:
        draw(rows, options.curve)


if __name__ == "__main__":
    main()
