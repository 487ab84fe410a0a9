"""Scheduler and workers started over SSH."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import dask
from distributed import SSHCluster

from c2s_data.cluster.certificates import tls_of
from c2s_data.cluster.settings import DEATH_TIMEOUT_S
from c2s_data.cluster.spec import Ssh
from c2s_data.cluster.started import Started, need
from c2s_data.errors import ClusterError, ConfigError


@contextlib.contextmanager
def ssh(spec: Ssh, memory_bytes: int, *, insecure: bool) -> Iterator[Started]:
    """Start the scheduler on the first host and workers on the others.

    Raises
    ------
    ConfigError
        If the hosts would talk without TLS, unless ``insecure``, or asyncssh is not installed.
    ClusterError
        If a host cannot be reached or its Python not started.
    """
    need("asyncssh", "ssh", "--cluster of kind ssh")
    security = tls_of(spec)
    is_local = all(host in ("localhost", "127.0.0.1") for host in spec.hosts)
    if security is None and not (insecure or is_local):
        raise ConfigError(
            "hosts of kind ssh talk to each other without TLS; name ca_file, cert and key, PEM "
            "files that lie at the same path on every host, or accept the risk with --insecure"
        )
    settings = {}
    if security is not None:
        # Paths, not keys: what a process starts with, its whole machine can read.
        settings = {
            "distributed.comm.require-encryption": True,
            "distributed.comm.tls.ca-file": str(spec.ca_file),
        } | {
            f"distributed.comm.tls.{role}.{part}": str(path)
            for role in ("client", "worker", "scheduler")
            for part, path in (("cert", spec.cert), ("key", spec.key))
        }
    protocol = "tcp://" if security is None else "tls://"
    common = {"protocol": protocol} | ({"host": "127.0.0.1"} if is_local else {})
    with dask.config.set(settings), contextlib.ExitStack() as stack:
        try:
            cluster = stack.enter_context(
                SSHCluster(
                    list(spec.hosts),
                    connect_options=_connect_options(spec),
                    remote_python=spec.python,
                    scheduler_options=common | {"port": 0, "dashboard_address": "127.0.0.1:0"},
                    worker_options=common
                    | {
                        "n_workers": spec.workers_per_host,
                        "nthreads": 1,
                        "memory_limit": memory_bytes,
                        "death_timeout": DEATH_TIMEOUT_S,
                        "dashboard_address": "127.0.0.1:0",
                    },
                    security=security,
                    silence_logs=logging.CRITICAL,
                )
            )
        except Exception as error:
            raise ClusterError(
                f"the hosts {', '.join(spec.hosts)} did not start over SSH: {error}; try `ssh "
                f"HOST {spec.python or 'python'} -m distributed.cli.dask_worker --version` by hand"
            ) from error
        yield Started(cluster)


def _connect_options(spec: Ssh) -> dict[str, object]:
    given = {
        "username": spec.username,
        "port": spec.port,
        "client_keys": _path(spec.client_key),
        "known_hosts": _path(spec.known_hosts),
        "connect_timeout": spec.connect_timeout,
        "login_timeout": spec.connect_timeout,
    }
    # asyncssh takes a None for "trust any host"; what was not given is left to ~/.ssh.
    return {name: value for name, value in given.items() if value is not None}


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path.expanduser())
