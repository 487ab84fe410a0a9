"""Dask settings of our own clusters: nothing waits for ever, and nothing is left to chance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from c2s_data.cluster.spec import ClusterSpec, Kubernetes, Local, Slurm, SlurmRunner
from c2s_data.endpoint import endpoint_variables

CONNECT_TIMEOUT: Final = "20s"
WORKERS_TIMEOUT_S: Final = 300.0
"""How long a build waits for a worker where there is none and none is queued."""
ANSWER_TIMEOUT_S: Final = 60.0
"""How long a build waits for a scheduler that says nothing."""

# Logging of what a stopped worker left unfinished, and the one signal that Ctrl-C sends to all
# processes of a terminal: the client stops its workers in good order.
_WORKER_PRELOAD: Final = """
import logging, signal
logging.getLogger("tornado.application").setLevel(logging.CRITICAL)
signal.signal(signal.SIGINT, signal.SIG_IGN)
"""

SETTINGS: Final[dict[str, Any]] = {
    # An entry that loses two workers is set aside, and built alone when all others are done.
    "distributed.scheduler.allowed-failures": 1,
    # With no worker left a build ends with an error instead of waiting for ever.
    "distributed.scheduler.no-workers-timeout": f"{WORKERS_TIMEOUT_S:.0f}s",
    # A worker that is stopped or stuck gives its map to another; numerical code lets the worker's
    # event loop run, so that a busy one is never taken for it.
    "distributed.scheduler.worker-ttl": "120s",
    # A peer that vanished is given up soon: all wait while the result of a worker that has just
    # died is asked for, as often as the retries say, each time as long as a connection may take.
    "distributed.comm.timeouts.connect": "10s",
    "distributed.comm.timeouts.tcp": "30s",
    "distributed.comm.retry.count": 1,
    # A nanny starts its worker again by itself. Dask looks some seconds after each death, and where
    # that finds the worker dead once more, between two starts, it ends the nanny: a map that kills
    # several workers would cost the cluster one of them for good.
    "distributed.deploy.lost-worker-timeout": "365d",
    # Maps are large and workers need no memory of finished ones; spilling would only hide a leak,
    # and a worker that pauses for lack of memory may never go on: let it be replaced instead.
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.pause": False,
    # Threads of numerical libraries would fight over the cores of single-threaded workers.
    "distributed.nanny.pre-spawn-environ": {
        "OMP_NUM_THREADS": 1,
        "MKL_NUM_THREADS": 1,
        "OPENBLAS_NUM_THREADS": 1,
        "NUMBA_NUM_THREADS": 1,
        "MALLOC_TRIM_THRESHOLD_": 65536,
    },
    "distributed.worker.preload": [_WORKER_PRELOAD],
}
"""Of a cluster on this machine, and of the client; a running scheduler keeps its own."""

SPREAD_SETTINGS: Final[dict[str, Any]] = {
    # Between machines a connection may fail for a moment, and half-open ones are no proof of a
    # dead peer: ask more often than on one machine, and wait for a busy login node.
    "distributed.comm.retry.count": 3,
    "distributed.comm.timeouts.connect": "30s",
    "distributed.comm.timeouts.tcp": "60s",
    # A job takes minutes to begin and a map to build: idle workers are given back after a minute
    # (12 looks, 5 s apart), not after the 3 s that suit tasks of milliseconds.
    "distributed.adaptive.interval": "5s",
    "distributed.adaptive.wait-count": 12,
    # How long a map will take is unknown before the first has ended: Dask's guess of 0.5 s would
    # ask for a tenth of the workers that are wanted.
    "distributed.scheduler.unknown-task-duration": "60s",
}
"""Of clusters that we start beyond this machine, besides `SETTINGS`."""

# A scheduler that is gone for so long will not come back: its workers end, and their jobs.
DEATH_TIMEOUT_S: Final = 60


def settings_of(spec: ClusterSpec) -> dict[str, Any]:
    """Return the Dask settings of this process for a kind of cluster."""
    if isinstance(spec, Local):
        return SETTINGS
    settings = SETTINGS | SPREAD_SETTINGS
    name = "distributed.nanny.pre-spawn-environ"
    settings[name] = settings[name] | endpoint_variables()
    # Of one terminal; its empty lines in a log also make Dask give up a worker over SSH.
    del settings["distributed.worker.preload"]
    if isinstance(spec, Slurm | Kubernetes):
        # The scheduler is there at once, and its workers in a queue, for hours.
        settings["distributed.scheduler.no-workers-timeout"] = f"{spec.queue_timeout}s"
        # Adaptive scaling replaces a job that ended only when it is forgotten.
        settings["distributed.deploy.lost-worker-timeout"] = "15s"
    if isinstance(spec, Slurm | SlurmRunner):
        # The dashboard has neither TLS nor passwords and stays on the loopback interface.
        settings["distributed.dashboard.link"] = "http://127.0.0.1:{port}/status"
    return settings


def lifetime_s(walltime_s: int) -> tuple[int, int]:
    """Return lifetime and stagger of workers in a job of a walltime, in seconds.

    A worker that ends by itself hands its map to another; one that the walltime kills counts as a
    failure of its map. A tenth of the walltime, between one and ten minutes, is kept for that. The
    stagger spreads the ends by half of it either way, so that never all workers end at once.
    """
    margin_s = max(60, min(600, walltime_s // 10))
    return walltime_s - margin_s, margin_s // 2


def as_environment(settings: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Return settings as the variables that Dask reads them from, for jobs of other machines.

    What Dask cannot read back from a variable is left out: snippets of code, and the names of other
    variables, which a job script sets itself.
    """
    for name, value in settings.items():
        if isinstance(value, str | int | bool):
            text = value if isinstance(value, str) else json.dumps(value).capitalize()
            variable = name.upper().replace(".", "__").replace("-", "_")
            yield f"DASK_{variable}", text
