"""What a client and its cluster have agreed on: how many workers there are, and how long to wait.

A client belongs to the process that made it. Its connection does not live on in a forked child,
where every question would wait for ever: there it is refused.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

from distributed import Client

from c2s_data.cluster import settings
from c2s_data.errors import ClusterError


@dataclass(frozen=True)
class Membership:
    """Of one client.

    ``most_workers`` is how many the cluster may grow to, None if it is not ours to say;
    ``workers_timeout_s`` how long it may be without any, which for a queue is hours.
    """

    pid: int
    most_workers: int | None = None
    workers_timeout_s: float | None = None


_MEMBERSHIPS: Final[WeakKeyDictionary[Client, Membership]] = WeakKeyDictionary()


def join(client: Client, most_workers: int | None, workers_timeout_s: float | None) -> None:
    """Note of a client what its cluster can become."""
    _MEMBERSHIPS[client] = Membership(os.getpid(), most_workers, workers_timeout_s)


def membership_of(client: Client) -> Membership:
    """Return what was noted of a client; of an unknown one, that it belongs to this process.

    Raises
    ------
    ClusterError
        If the client was inherited over a fork.
    """
    found = _MEMBERSHIPS.setdefault(client, Membership(os.getpid()))
    if found.pid != os.getpid():
        raise ClusterError(
            f"this process ({os.getpid()}) was forked from process {found.pid}, whose connection "
            "to the Dask cluster it inherited and cannot use; connect in the process that works, "
            "or start processes with multiprocessing's spawn or forkserver"
        )
    return found


def workers_timeout_s(client: Client) -> float:
    """Return how long to wait for a worker where there is none."""
    return membership_of(client).workers_timeout_s or settings.WORKERS_TIMEOUT_S


def n_in_flight(client: Client, n_workers: int) -> int:
    """Return how many tasks to keep in flight: two a worker, as many workers as there may be.

    An adaptive cluster grows to what it has to do, so it must see work for all of them.
    """
    return 2 * max(n_workers, membership_of(client).most_workers or 0)


def count_workers(client: Client) -> int:
    """Ask the scheduler, which may be stopped: a question without an answer ends too."""
    membership_of(client)
    if client.scheduler is None:
        raise OSError("the client is closed")
    try:
        return len(client.sync(client.scheduler.ncores, callback_timeout=settings.ANSWER_TIMEOUT_S))
    except TimeoutError as error:
        raise ClusterError(
            f"the Dask scheduler has not answered for {settings.ANSWER_TIMEOUT_S:.0f} s; see "
            "whether it still runs, then run the same command again: finished work is kept"
        ) from error


def no_workers(client: Client) -> ClusterError:
    """Return the error of a cluster that had no worker for too long."""
    address = client.scheduler.address if client.scheduler else "that was given"
    return ClusterError(
        f"the scheduler {address} had no worker for {workers_timeout_s(client):.0f} s; start "
        "workers, then run the same command again: finished maps are kept"
    )


class WorkerWatch:
    """Ends a wait once the cluster has had no worker for as long as it may be without any.

    Whoever waits for a result looks here every few seconds: Dask waits for ever for a task that no
    worker is left to run, also for one that had ended and whose result died with its worker.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._seen_at = time.monotonic()

    def look(self) -> int:
        """Return how many workers there are.

        Raises
        ------
        ClusterError
            If there has been none for too long, or the scheduler does not answer.
        """
        n_workers = count_workers(self._client)
        if n_workers:
            self._seen_at = time.monotonic()
        elif time.monotonic() - self._seen_at > workers_timeout_s(self._client):
            raise no_workers(self._client)
        return n_workers
