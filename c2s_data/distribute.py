"""Spread work over Dask workers: beside `c2s_data.cluster` the only module that knows Dask.

One future builds one map. The scheduler holds nothing that the store does not: a future returns a
few numbers, and what it made is already written and receipted when it does.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, Final, TypeVar

from distributed import Client, Future, KilledWorker

from c2s_data.build import EntryOutcome, PlanFacts, build_and_write
from c2s_data.cluster.connect import connect
from c2s_data.cluster.membership import WorkerWatch, n_in_flight
from c2s_data.cluster.spec import ClusterSpec, read_cluster
from c2s_data.config import BuildConfig
from c2s_data.errors import C2SError, ClusterError, ConfigError
from c2s_data.plan import DEFAULT_TASK_MEMORY, Failure, Plan, PlannedEntry, largest_first, make_plan
from c2s_data.sources.catalog import read_catalog
from c2s_data.sources.density_map import MAX_VOXELS
from c2s_data.store.begin import begin_store, check_place
from c2s_data.store.commit import Committed, commit, pending_entries
from c2s_data.store.free_space import require_space
from c2s_data.store.lease import hold
from c2s_data.store.objects import open_objects
from c2s_data.store.receipt import write_failure

_LOOK_EVERY_S: Final = 5.0
_COUNT_EVERY_S: Final = 2.0
_TOGETHER_S: Final = 0.05
_GATHER_TIMEOUT_S: Final = 15.0
"""Of a few numbers an entry, longer than a connection to a dead worker is tried."""
_RUNS_AGAIN: Final = ("pending", "lost")
"""States of a task whose result died with its worker."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def run_on_client(
    client: Client,
    url: str,
    plan: Plan,
    entries: Sequence[PlannedEntry],
    on_outcome: Callable[[EntryOutcome], None],
) -> None:
    """Build entries on the workers of ``client``, largest first.

    Two entries a worker are in flight, for as many workers as the cluster may grow to: a scheduler
    never holds thousands of tasks, and a stopped build loses little. A worker that dies takes all
    its entries with it, and Dask cannot tell which one was to blame: those that lost several
    workers are built again at the end, each alone, and are quarantined if they then still kill
    their workers.

    Raises
    ------
    ClusterError
        If the cluster is lost or cannot run the tasks.
    StoreError
        If a worker cannot write the store.
    """
    tasks = _Tasks(client, url, PlanFacts.of(plan))
    waiting = deque(largest_first(entries))
    suspects: list[PlannedEntry] = []
    try:
        while waiting or len(tasks):
            tasks.submit([waiting.popleft() for _ in range(min(tasks.room(), len(waiting)))])
            for planned, outcome in tasks.ended():
                if outcome is None:
                    suspects.append(planned)
                else:
                    on_outcome(outcome)
        for suspect in suspects:
            tasks.submit([suspect], "-alone")
            while len(tasks):
                for _, outcome in tasks.ended():
                    on_outcome(outcome or _quarantine(url, suspect))
    except (CancelledError, OSError, RuntimeError) as error:
        # A client that is just losing its scheduler says so by a plain RuntimeError.
        is_lost = client.status != "running" or "ConnectionPool is closed" in str(error)
        if isinstance(error, RuntimeError) and not is_lost:
            raise
        raise ClusterError(
            f"the connection to the Dask cluster was lost ({type(error).__name__}); finished maps "
            "are kept, and the same command goes on from here"
        ) from error


class _Tasks:
    """The entries that workers are building just now."""

    def __init__(self, client: Client, url: str, facts: PlanFacts) -> None:
        self._client = client
        self._url = url
        self._facts = facts
        self._running: dict[str, tuple[PlannedEntry, Future[EntryOutcome]]] = {}
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._watch = WorkerWatch(client)
        self._n_workers, self._count_at = 0, 0.0

    def __len__(self) -> int:
        return len(self._running)

    def room(self) -> int:
        """Return how many more entries may be in flight: two a worker, at least one."""
        # A cluster may grow or shrink while it works, but to ask after every entry about a thousand
        # workers costs more than all else that is said about it.
        if time.monotonic() >= self._count_at:
            self._n_workers = self._watch.look()
            self._count_at = time.monotonic() + _COUNT_EVERY_S
        return max(0, max(1, n_in_flight(self._client, self._n_workers)) - len(self))

    def submit(self, entries: Sequence[PlannedEntry], suffix: str = "") -> None:
        """Give entries to the cluster: the URL and what the plan says of them, nothing else."""
        if not entries:
            return
        keys = [f"build-{e.group}-{e.fingerprint[:12]}{suffix}" for e in entries]
        urls, facts = [self._url] * len(keys), [self._facts] * len(keys)
        futures = self._client.map(build_and_write, urls, entries, facts, key=keys, pure=False)
        for key, planned, future in zip(keys, entries, futures, strict=True):
            self._running[key] = (planned, future)  # Dask forgets a task that nobody holds.
            self._tell_end_of(future)

    def ended(self) -> Iterator[tuple[PlannedEntry, EntryOutcome | None]]:
        """Wait for entries to end and yield all that have; None stands for lost several workers.

        Results of all are asked for at once: each question costs the scheduler as much as a task.
        A worker may die before it has given its results: such an entry is built again, and ends
        another time.
        """
        first = self._wait()
        time.sleep(_TOGETHER_S)  # No worker waits for it: each has a second entry.
        keys = [first, *(self._ended.get() for _ in range(self._ended.qsize()))]
        outcomes = self._gather(keys)
        for key in keys:
            planned, future = self._running[key]
            outcome = outcomes.get(key)
            if outcome is None and future.status in _RUNS_AGAIN:
                self._watch.look()  # Of a lost one the end is told at once, again and again.
                self._tell_end_of(future)
                continue
            del self._running[key]
            outcome = outcome or _outcome_of(future, planned, self._watch)
            future.release()  # A key that is still held would give a resumed run the old result.
            yield planned, outcome

    def _gather(self, keys: Iterable[str]) -> Mapping[str, EntryOutcome]:
        """Return the results of all that have one, or nothing if one is lost and not made anew."""
        futures = {key: self._running[key][1] for key in keys}
        finished = {key: future for key, future in futures.items() if future.status == "finished"}

        outcomes: dict[str, EntryOutcome] = {}
        if not finished:
            return outcomes

        async def gather() -> Any:  # noqa: ANN401 - Dask does not say
            return await self._client.gather(finished, asynchronous=True)

        with contextlib.suppress(KilledWorker, TimeoutError):
            outcomes = self._client.sync(gather, callback_timeout=_GATHER_TIMEOUT_S)
        return outcomes

    def _tell_end_of(self, future: Future[EntryOutcome]) -> None:
        future.add_done_callback(lambda ended: self._ended.put(str(ended.key)))

    def _wait(self) -> str:
        """Wait for the key of an entry that ended, as long as there are workers."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self._ended.get(timeout=_LOOK_EVERY_S)
            self._watch.look()


def map_over_workers(
    client: Client, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[tuple[Item, Result | Exception]]:
    """Apply a function to items on the workers of ``client``; yield each with what became of it.

    In the order in which they end. Two items a worker are in flight; an exception of the function,
    or a worker that died of an item several times, stands in the place of its result.

    Raises
    ------
    ClusterError
        If the cluster is lost, or has no worker.
    """
    waiting, name = iter(items), getattr(function, "__name__", "item")
    running: dict[str, tuple[Item, Future[Result]]] = {}
    ended: queue.SimpleQueue[str] = queue.SimpleQueue()
    watch = WorkerWatch(client)
    for number in itertools.count():
        n_workers = watch.look()
        room = max(0, n_in_flight(client, n_workers) - len(running))
        for place, item in enumerate(itertools.islice(waiting, room)):
            key = f"{name}-{number}-{place}-{id(running)}"
            future = client.submit(function, item, key=key, pure=False)
            running[key] = (item, future)
            future.add_done_callback(lambda done: ended.put(str(done.key)))
        if not running and n_workers:
            return
        with contextlib.suppress(queue.Empty):
            item, future = running.pop(ended.get(timeout=_LOOK_EVERY_S))
            result = _result_of(future, watch)
            if isinstance(result, CancelledError):
                raise ClusterError("the connection to the Dask cluster was lost") from result
            yield item, result
            future.release()


def _result_of(future: Future[Result], watch: WorkerWatch) -> Result | Exception:
    """Return what became of a task; even then its result may be lost, with all who rebuild it."""
    while True:
        try:
            error = future.exception(timeout=_LOOK_EVERY_S)
            if isinstance(error, Exception):
                return error
            result: Result = future.result(timeout=_LOOK_EVERY_S)
        except KilledWorker as killed:
            return killed
        except TimeoutError:
            watch.look()
        else:
            return result


def _outcome_of(
    future: Future[EntryOutcome], planned: PlannedEntry, watch: WorkerWatch
) -> EntryOutcome | None:
    error = _result_of(future, watch)
    if isinstance(error, EntryOutcome):
        return error
    if isinstance(error, C2SError | CancelledError):
        raise error  # The store's fault, or the cluster's: the next map would meet it too.
    if isinstance(error, KilledWorker):
        return None
    raise ClusterError(
        f"{planned.entry_id}: the Dask cluster could not run its task: {error}; check that the "
        "workers have this package and see the store's folder, then run again"
    ) from error


def _quarantine(url: str, planned: PlannedEntry) -> EntryOutcome:
    failure = Failure(
        "build",
        "worker-killed",
        f"{planned.entry.map}: the worker died each time it built this map, and nothing else (out "
        "of memory, or a crash in native code); try it with more memory",
    )
    write_failure(open_objects(url), planned, failure)
    return EntryOutcome(planned.entry_id, failure)


def build_store(
    catalog: str | Path,
    url: str | Path,
    config: BuildConfig,
    *,
    cluster: str | Path | ClusterSpec | None = None,
    workers: int | None = None,
    task_memory_bytes: int = DEFAULT_TASK_MEMORY,
    insecure: bool = False,
    report: Path | None = None,
    tell: Callable[[str], None] = lambda line: None,
    max_voxels: int = MAX_VOXELS,
    rebuild: bool = False,
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
    cluster, workers, task_memory_bytes, insecure, report, tell
        See `c2s_data.cluster.connect.connect`.
    max_voxels
        Maps of more voxels are refused from their headers.
    rebuild
        Build entries anew whose inputs changed; see `c2s_data.growth.extend_plan`.
    on_plan, on_outcome
        Called with the plan, how many entries are left to build and the dashboard's address (None
        when no cluster is needed), and with each entry as it ends.

    Raises
    ------
    C2SError
        If the catalog, the options, the store or the cluster is not usable, or another process
        holds the store's lease. An entry that cannot be built raises nothing: it is in the
        result's ``failures``.
    """
    spec = read_cluster(cluster, workers)
    objects = open_objects(url)
    if objects.url.startswith("memory:"):
        raise ConfigError(f"{objects.url}: workers cannot see the memory of this process")
    entries = read_catalog(catalog)
    check_place(objects)
    with hold(objects, "build") as lease:
        fresh = make_plan(
            entries, config, task_memory_bytes=task_memory_bytes, max_voxels=max_voxels
        )
        plan = begin_store(objects, fresh, rebuild=rebuild, guard=lease.check)
        pending = pending_entries(objects, plan)
        if not pending:
            on_plan(plan, 0, None)
            return commit(objects, plan, lease.check)
        require_space(objects, pending)
        with connect(
            spec, None, task_memory_bytes, insecure=insecure, report=report, tell=tell
        ) as client:
            on_plan(plan, len(pending), client.dashboard_link)
            run_on_client(client, objects.url, plan, pending, on_outcome)
        return commit(objects, plan, lease.check)
