"""Spread a build over Dask workers: the only module that knows Dask.

One future builds one map. The scheduler holds nothing that the store does not: a future returns a
few numbers, and what it made is already written and receipted when it does.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from pathlib import Path

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, as_completed

from c2s_data.build import EntryOutcome, PlanFacts, build_and_write
from c2s_data.config import BuildConfig
from c2s_data.errors import C2SError, ClusterError, ConfigError
from c2s_data.plan import DEFAULT_TASK_MEMORY, Failure, Plan, PlannedEntry, largest_first, make_plan
from c2s_data.sources.catalog import read_catalog
from c2s_data.store.commit import Committed, begin_store, commit
from c2s_data.store.objects import open_objects
from c2s_data.store.receipt import valid_receipt, write_failure

_CONNECT_TIMEOUT = "20s"
_WORKERS_TIMEOUT_S = 300.0
# Of a cluster on this machine; a running scheduler keeps its own settings.
_SETTINGS = {
    # A map that kills its worker takes three workers with it before it is quarantined.
    "distributed.scheduler.allowed-failures": 2,
    # With no worker left a build ends with an error instead of waiting for ever.
    "distributed.scheduler.no-workers-timeout": "300s",
    # Maps are large and workers need no memory of finished ones; spilling would only hide a leak.
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    # Threads of numerical libraries would fight over the cores of single-threaded workers.
    "distributed.nanny.pre-spawn-environ": {
        "OMP_NUM_THREADS": 1,
        "MKL_NUM_THREADS": 1,
        "OPENBLAS_NUM_THREADS": 1,
        "NUMBA_NUM_THREADS": 1,
        "MALLOC_TRIM_THRESHOLD_": 65536,
    },
    "distributed.comm.retry.count": 3,
    # Ctrl-C reaches every process of a terminal; the client stops its workers in good order.
    "distributed.worker.preload": ["import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)"],
}


@contextlib.contextmanager
def connect(
    scheduler: str | None = None,
    workers: int | None = None,
    task_memory_bytes: int = DEFAULT_TASK_MEMORY,
) -> Iterator[Client]:
    """Give a client of a running cluster, or of one made on this machine for as long as needed.

    Parameters
    ----------
    scheduler
        Address of a running scheduler such as ``tcp://10.0.0.1:8786``; None makes a local
        cluster that listens on the loopback interface alone.
    workers
        Single-threaded worker processes of the local cluster; by default one a core.
    task_memory_bytes
        What one task may need; a local worker is stopped at twice as much.

    Raises
    ------
    ConfigError
        If the scheduler cannot be reached, or ``workers`` is given with one.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(_SETTINGS))
        if scheduler is not None:
            if workers is not None:
                raise ConfigError(
                    "--workers makes a cluster on this machine; a running scheduler has its own"
                )
            yield stack.enter_context(_client_of(scheduler))
            return
        cluster = stack.enter_context(
            LocalCluster(
                n_workers=workers or len(os.sched_getaffinity(0)),
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                memory_limit=2 * task_memory_bytes,
                # Workers that are told to stop warn of the task they leave; ours may be left.
                silence_logs=logging.ERROR,
            )
        )
        yield stack.enter_context(Client(cluster))


def _client_of(scheduler: str) -> Client:
    try:
        client = Client(scheduler, timeout=_CONNECT_TIMEOUT)
    except (OSError, ValueError, TimeoutError) as error:
        raise ConfigError(
            f"no Dask scheduler answers at {scheduler}: {error}; start one with `dask scheduler` "
            "or leave --scheduler out"
        ) from error
    try:
        # A scheduler that somebody else started may be set to wait for workers for ever.
        client.wait_for_workers(1, timeout=_WORKERS_TIMEOUT_S)
    except TimeoutError as error:
        client.close()
        raise ClusterError(
            f"the scheduler at {scheduler} had no worker for {_WORKERS_TIMEOUT_S:.0f} s; start "
            "workers, then run again"
        ) from error
    return client


def run_on_client(
    client: Client,
    url: str,
    plan: Plan,
    entries: Sequence[PlannedEntry],
    on_outcome: Callable[[EntryOutcome], None],
) -> None:
    """Build entries on the workers of ``client``, largest first.

    Two entries a worker are in flight, so that a scheduler never holds thousands of tasks and a
    stopped build loses little. An entry whose worker dies again and again is quarantined.

    Raises
    ------
    ClusterError
        If the cluster is lost or cannot run the tasks.
    StoreError
        If a worker cannot write the store.
    """
    facts = PlanFacts.of(plan)
    waiting = iter(largest_first(entries))
    running = as_completed([])
    names: dict[str, PlannedEntry] = {}

    def submit_next() -> None:
        planned = next(waiting, None)
        if planned is None:
            return
        key = f"build-{planned.entry_id}-{plan.fingerprint[:12]}"
        names[key] = planned
        running.add(client.submit(build_and_write, url, planned, facts, key=key, pure=False))

    def fill_window() -> None:
        # Anew each time, because a cluster may grow or shrink while it works.
        workers = len(client.scheduler_info(n_workers=-1)["workers"])
        for _ in range(max(1, 2 * workers) - len(names)):
            submit_next()

    try:
        fill_window()
        for future in running:
            on_outcome(_outcome_of(future, url, names.pop(future.key)))
            # A key that is still held would give a resumed run the old result.
            future.release()
            fill_window()
    except (CancelledError, OSError) as error:
        raise ClusterError(
            f"the connection to the Dask cluster was lost ({type(error).__name__}); finished maps "
            "are kept, and the same command goes on from here"
        ) from error


def _outcome_of(future: Future[EntryOutcome], url: str, planned: PlannedEntry) -> EntryOutcome:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, C2SError | CancelledError):
        raise error  # The store's fault, or the cluster's: the next map would meet it too.
    if not isinstance(error, KilledWorker):
        raise ClusterError(
            f"{planned.entry_id}: the Dask cluster could not run its task: {error}; check that the "
            "workers have this package and see the store's folder, then run again"
        ) from error
    failure = Failure(
        "build",
        "worker-killed",
        f"{planned.entry.map}: the worker died each time it built this map (out of memory, or a "
        "crash in native code); try it alone with more memory",
    )
    write_failure(open_objects(url), planned.entry_id, failure)
    return EntryOutcome(planned.entry_id, failure)


def build_store(
    catalog: str | Path,
    url: str | Path,
    config: BuildConfig,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    task_memory_bytes: int = DEFAULT_TASK_MEMORY,
    on_plan: Callable[[Plan, int, str | None], None] = lambda plan, pending, dashboard: None,
    on_outcome: Callable[[EntryOutcome], None] = lambda outcome: None,
) -> Committed:
    """Plan, build every entry on a Dask cluster, commit.

    Entries that an earlier run finished are not built again; entries that failed are tried again.

    Parameters
    ----------
    catalog
        CSV file; see `c2s_data.sources.catalog.read_catalog`.
    url
        Path or URL of the store.
    config
        The options; see `c2s_data.config.make_config`.
    scheduler, workers, task_memory_bytes
        See `connect`.
    on_plan, on_outcome
        Called with the plan, how many entries are left to build and the dashboard's address (None
        when no cluster is needed), and with each entry as it ends.

    Raises
    ------
    C2SError
        If the catalog, the options, the store or the cluster is not usable. An entry that cannot
        be built raises nothing: it is in the result's ``failures``.
    """
    objects = open_objects(url)
    if objects.url.startswith("memory:"):
        raise ConfigError(f"{objects.url}: workers cannot see the memory of this process")
    plan = make_plan(read_catalog(catalog), config, task_memory_bytes=task_memory_bytes)
    begin_store(objects, plan)
    pending = pending_entries(objects.url, plan)
    if not pending:
        on_plan(plan, 0, None)
        return commit(objects, plan)
    with connect(scheduler, workers, task_memory_bytes) as client:
        on_plan(plan, len(pending), client.dashboard_link)
        run_on_client(client, objects.url, plan, pending, on_outcome)
    return commit(objects, plan)


def pending_entries(url: str, plan: Plan) -> list[PlannedEntry]:
    """Return the buildable entries that have no valid receipt."""
    objects = open_objects(url)
    return [
        entry
        for entry in plan.buildable
        if valid_receipt(objects, entry.entry_id, plan.fingerprint) is None
    ]
