"""Dask settings of our own builds: nothing waits for ever, and nothing is left to chance."""

from __future__ import annotations

from typing import Any, Final

CONNECT_TIMEOUT: Final = "20s"
WORKERS_TIMEOUT_S: Final = 300.0
"""How long a build waits for a worker where there is none."""
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
