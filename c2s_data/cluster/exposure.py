"""Which addresses of a Dask cluster others could reach: Dask runs whatever it is sent."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from c2s_data.errors import ConfigError


def refuse_exposed(addresses: Iterable[str]) -> None:
    """Refuse what other machines can reach unencrypted.

    Raises
    ------
    ConfigError
        If an address such as ``tcp://10.0.0.1:8786`` is neither TLS nor of this machine alone.
    """
    for address in addresses:
        if not _is_guarded(address):
            raise ConfigError(
                f"{address}: this part of the Dask cluster lies beyond this machine and uses no "
                "TLS: others could read what it computes and run code as its owner; start it with "
                "certificates (`dask scheduler --protocol tls`, deploy/README.md) and name it as "
                "tls://..., bind it to 127.0.0.1, or accept the risk with --insecure"
            )


def _is_guarded(address: str) -> bool:
    scheme, separator, place = address.rpartition("://")
    if separator and scheme in ("tls", "wss", "inproc"):
        return True
    try:
        host = urlsplit(f"//{place}").hostname
        found = socket.getaddrinfo(host, None) if host else []
    except (OSError, ValueError):
        return False
    hosts = [str(item[4][0]).partition("%")[0] for item in found]
    return bool(hosts) and all(ipaddress.ip_address(host).is_loopback for host in hosts)
