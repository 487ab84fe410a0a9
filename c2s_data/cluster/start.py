"""Start the cluster that is asked for, or find the one that runs."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from distributed import LocalCluster

from c2s_data.cluster.certificates import tls_of
from c2s_data.cluster.exposure import refuse_exposed
from c2s_data.cluster.kubernetes import kubernetes
from c2s_data.cluster.slurm import slurm
from c2s_data.cluster.slurm_runner import slurm_runner
from c2s_data.cluster.spec import (
    Address,
    ClusterSpec,
    Kubernetes,
    Local,
    SchedulerFile,
    Slurm,
    SlurmRunner,
    Ssh,
)
from c2s_data.cluster.ssh import ssh
from c2s_data.cluster.started import Started, Tell
from c2s_data.errors import ConfigError


@contextlib.contextmanager
def started(
    spec: ClusterSpec, task_memory_bytes: int, tell: Tell, *, insecure: bool
) -> Iterator[Started]:
    """Start or find a cluster; what was started is stopped at the end.

    Parameters
    ----------
    spec
        Which.
    task_memory_bytes
        What one task may need; a worker that we start may use twice as much before it is stopped.
    tell
        Called with what a user who waits wants to know.
    insecure
        Accept what other machines can reach without TLS.

    Raises
    ------
    ConfigError
        If something is wrong with what was asked for, or a package for it is missing.
    ClusterError
        If the cluster does not start.
    """
    memory = getattr(spec, "memory_per_worker", None) or 2 * task_memory_bytes
    with contextlib.ExitStack() as stack:
        match spec:
            case Local():
                yield stack.enter_context(_local(spec, memory))
            case Address() | SchedulerFile():
                yield _running(spec, insecure=insecure)
            case Slurm():
                yield stack.enter_context(slurm(spec, memory, tell, insecure=insecure))
            case SlurmRunner():
                yield stack.enter_context(slurm_runner(spec, memory, insecure=insecure))
            case Ssh():
                yield stack.enter_context(ssh(spec, memory, insecure=insecure))
            case Kubernetes():
                yield stack.enter_context(kubernetes(spec, memory, tell))


@contextlib.contextmanager
def _local(spec: Local, memory_bytes: int) -> Iterator[Started]:
    with LocalCluster(
        n_workers=spec.workers or len(os.sched_getaffinity(0)),
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        memory_limit=memory_bytes,
        # Workers that are told to stop complain of what they leave; what matters comes back with
        # the future.
        silence_logs=logging.CRITICAL,
    ) as cluster:
        yield Started(cluster)


def _running(spec: Address | SchedulerFile, *, insecure: bool) -> Started:
    address = spec.address if isinstance(spec, Address) else _address_in(spec.file)
    if not insecure:
        refuse_exposed([address])
    return Started(address, security=tls_of(spec))


def _address_in(path: Path) -> str:
    try:
        return str(json.loads(path.read_text("utf-8"))["address"])
    except OSError as error:
        raise ConfigError(
            f"{path}: no scheduler file: {error.strerror}; start the scheduler with `dask "
            f"scheduler --scheduler-file {path}`, in a folder that it and this machine share"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: not a scheduler file, or one half written; `dask scheduler --scheduler-file "
            f"{path}` writes it anew"
        ) from error
