"""Certificates of clusters that talk TLS: what holds the key belongs to the cluster."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from distributed import Security

from c2s_data.cluster.spec import Address, Kubernetes, SchedulerFile, Ssh
from c2s_data.errors import ClusterError, ConfigError

_ROLES: Final = ("client", "worker", "scheduler")
_LOOK_EVERY_S: Final = 0.2


def tls_of(spec: Address | SchedulerFile | Ssh | Kubernetes) -> Security | None:
    """Return the certificates that a specification names; None for those of Dask's configuration.

    Raises
    ------
    ConfigError
        If one of the three is missing.
    """
    files = {"ca_file": spec.ca_file, "cert": spec.cert, "key": spec.key}
    if all(path is None for path in files.values()):
        return None
    for name, path in files.items():
        if path is None or not path.is_file():
            raise ConfigError(
                f"{name}: {path or 'not given'}; TLS needs ca_file, cert and key, three PEM files"
            )
    ca_file, cert, key = (str(path) for path in files.values())
    return _one_for_all(ca_file, cert, key)


def _one_for_all(ca_file: str, cert: str, key: str) -> Security:
    of_roles = {
        f"tls_{role}_{part}": value
        for role in _ROLES
        for part, value in (("cert", cert), ("key", key))
    }
    return Security(tls_ca_file=ca_file, require_encryption=True, **of_roles)


def write_temporary(folder: Path) -> Security:
    """Make certificates for one run and leave them for its other processes.

    The folder appears when all is in it, and only its owner can read it.
    """
    made = Security.temporary()
    beside = folder.with_name(f".{folder.name}.part")
    beside.mkdir(mode=0o700, parents=True)
    for name, text in (("cert", made.tls_client_cert), ("key", made.tls_client_key)):
        with os.fdopen(os.open(beside / name, os.O_WRONLY | os.O_CREAT, 0o600), "w") as stream:
            stream.write(text)
    beside.rename(folder)
    return read_temporary(folder, timeout_s=0)


def read_temporary(folder: Path, timeout_s: float) -> Security:
    """Take the certificates that another process of the run makes.

    Raises
    ------
    ClusterError
        If there are none in time.
    """
    until = time.monotonic() + timeout_s
    while not folder.is_dir():
        if time.monotonic() > until:
            raise ClusterError(
                f"{folder}: the scheduler's process has not left its certificates there for "
                f"{timeout_s:.0f} s; all nodes must share that folder (key shared_directory)"
            )
        time.sleep(_LOOK_EVERY_S)
    cert, key = str(folder / "cert"), str(folder / "key")
    return _one_for_all(cert, cert, key)


def remove_temporary(folder: Path) -> None:
    """Remove what `write_temporary` made."""
    for name in ("cert", "key"):
        (folder / name).unlink(missing_ok=True)
    if folder.is_dir():
        folder.rmdir()
