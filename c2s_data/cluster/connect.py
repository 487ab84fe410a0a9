"""A client of a cluster of any kind, checked before any work is given to it."""

from __future__ import annotations

import contextlib
import re
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import dask
from distributed import Client, performance_report
from distributed.versions import VersionMismatchWarning

from c2s_data.cluster.common_ground import check_common_ground
from c2s_data.cluster.exposure import refuse_exposed
from c2s_data.cluster.membership import count_workers, join, no_workers, workers_timeout_s
from c2s_data.cluster.settings import CONNECT_TIMEOUT, settings_of
from c2s_data.cluster.spec import ClusterSpec, read_cluster
from c2s_data.cluster.start import started
from c2s_data.cluster.started import Started, Tell, need
from c2s_data.cluster.versions import check_versions
from c2s_data.errors import ClusterError, ConfigError
from c2s_data.plan import DEFAULT_TASK_MEMORY

_LOOK_EVERY_S: Final = 0.2
_ICON: Final = re.compile(r'<link rel="(?:shortcut )?icon"[^>]*>')


def _no_one(line: str) -> None:
    pass


@contextlib.contextmanager
def connect(
    cluster: str | Path | ClusterSpec | None = None,
    workers: int | None = None,
    task_memory_bytes: int = DEFAULT_TASK_MEMORY,
    *,
    insecure: bool = False,
    report: Path | None = None,
    files: Sequence[str] = (),
    tell: Tell = _no_one,
) -> Iterator[Client]:
    """Give a client of a cluster that has a worker and runs the versions of this process.

    Parameters
    ----------
    cluster
        A kind, an address such as ``tls://10.0.0.1:8786``, a scheduler file, a YAML file or what
        was made of it: see `c2s_data.cluster.spec.read_cluster`. None makes worker processes on
        this machine, which listen on the loopback interface alone.
    workers
        How many to start, at most.
    task_memory_bytes
        What one task may need; a worker that is started here is stopped at twice as much.
    insecure
        Accept a cluster that other machines can reach and that uses no TLS: whoever reaches it
        runs code as its owner.
    report
        Where Dask's performance report goes at the end: one HTML file that loads nothing.
    files
        Absolute paths of files and folders that every worker must see.
    tell
        Called with what a user who waits wants to know.

    Raises
    ------
    ConfigError
        If the scheduler cannot be reached or is not secure, or what was asked for is not usable.
    ClusterError
        If no worker comes, if scheduler or workers lack the package or run other versions, or if
        workers lack files or the endpoint.
    """
    spec = read_cluster(cluster, workers)
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(settings_of(spec)))
        if report is not None:
            _check_report(report)
        place = stack.enter_context(started(spec, task_memory_bytes, tell, insecure=insecure))
        client = stack.enter_context(_client_of(place))
        join(client, place.most_workers, place.workers_timeout_s)
        _wait_for_a_worker(client, place)
        if not insecure:
            info = client.scheduler_info(n_workers=-1)
            refuse_exposed([info["address"], *info["workers"]])
        versions = check_versions(client)
        check_common_ground(client, files)
        if report is not None:
            if versions["bokeh"] is None:
                raise ConfigError("--performance-report: the scheduler has no package bokeh")
            stack.enter_context(_reported(client, report))
        yield client


@contextlib.contextmanager
def _client_of(place: Started) -> Iterator[Client]:
    try:
        with warnings.catch_warnings():
            # Dask warns of other versions and goes on; `check_versions` refuses them.
            warnings.simplefilter("ignore", VersionMismatchWarning)
            client = Client(place.target, timeout=CONNECT_TIMEOUT, security=place.security)
    except (OSError, ValueError, TimeoutError) as error:
        raise ConfigError(
            f"no Dask scheduler answers at {place.target}: {error}; start one with `dask "
            "scheduler`, correct --cluster, or leave it out for workers on this machine"
        ) from error
    except TypeError as error:
        if not str(place.target).startswith("tls://"):
            raise
        raise ConfigError(
            f"{place.target}: Dask has no certificates for TLS ({error}); name them in Dask's "
            "configuration, distributed.comm.tls.ca-file and distributed.comm.tls.client.cert "
            "and .key, or in a YAML file such as deploy/address.yaml"
        ) from error
    with client:
        yield client


def _wait_for_a_worker(client: Client, place: Started) -> None:
    """Wait no longer than there is hope; a scheduler that others started may wait for ever."""
    until = time.monotonic() + workers_timeout_s(client)
    while not count_workers(client):
        if why := place.why_none():
            raise ClusterError(why)
        if time.monotonic() > until:
            raise no_workers(client)
        time.sleep(_LOOK_EVERY_S)


def _check_report(path: Path) -> None:
    need("bokeh", "dashboard", "--performance-report")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ConfigError(f"--performance-report {path}: give a file in a folder that exists")


@contextlib.contextmanager
def _reported(client: Client, path: Path) -> Iterator[None]:
    """Write the report, of a run that failed too; its own failure hides no other."""
    with client.as_current():
        # The default page loads its scripts from the network.
        report = performance_report(str(path), mode="inline")
        report.__enter__()
        try:
            yield
        except BaseException:
            with contextlib.suppress(Exception):
                report.__exit__(None, None, None)
            raise
        try:
            report.__exit__(None, None, None)
            # The one thing that is left to load: the icon of the browser's tab.
            path.write_text(_ICON.sub("", path.read_text("utf-8")), "utf-8")
        except OSError as error:
            raise ClusterError(f"--performance-report {path}: not written: {error}") from error
