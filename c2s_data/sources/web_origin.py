"""Which addresses of the web may be asked at all: a list of origins, compared part by part."""

from __future__ import annotations

import http
import ipaddress
from collections.abc import Sequence
from typing import Final, NoReturn
from urllib.parse import SplitResult, urlsplit

from c2s_data.errors import C2SError

ALLOWED_ORIGINS: Final = (
    "https://ftp.ebi.ac.uk",
    "https://www.ebi.ac.uk",
    "https://files.wwpdb.org",
    "https://files.pdbj.org",
    "https://files.rcsb.org",
    "https://www.rcsb.org",
)
"""Where maps, headers, models and sequences are published."""
MAX_URL: Final = 2048
_TRANSIENT_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class DownloadError(C2SError):
    """An address is refused or a download failed.

    ``status`` is the HTTP status where the server gave one; ``retry_after`` what it said of when
    to come back, as it said it; ``transient`` whether asking again can help.
    """

    def __init__(
        self,
        message: str,
        status: int | None = None,
        retry_after: str | None = None,
        *,
        transient: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        if transient is None:
            transient = status is None or status in _TRANSIENT_STATUSES
        self.transient = transient

    @property
    def says_missing(self) -> bool:
        """Whether the server said that there is no such thing."""
        return self.status in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.GONE)


def check_url(url: str, allowed_origins: Sequence[str] = ALLOWED_ORIGINS) -> SplitResult:
    """Return the parts of a URL if it lies at an allowed origin.

    Parameters
    ----------
    url
        The address; a fragment is dropped by whoever opens it.
    allowed_origins
        Each ``https://host`` or ``https://host:port``. ``http`` is taken for this machine alone
        (``http://127.0.0.1:8000``), for a server that stands in for the archives. An origin that
        names a network address allows just that address, private or not.

    Raises
    ------
    DownloadError
        Another scheme, host or port; credentials; a chain of addresses (``::``); characters that
        programs read differently.
    """
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        refuse(url, "more than 2048 characters, or such as belong into no address")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        refuse(url, str(error))
    if "\\" in url or "@" in parts.netloc or "%" in parts.netloc or not host:
        refuse(url, "an address has no credentials, no backslash and a plain host")
    if "::" in url and "::" not in parts.netloc:
        refuse(url, "an address that goes through another (::) is refused")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        refuse(url, f"the scheme {parts.scheme!r} is not https")
    if _origin(parts.scheme, host, port) not in {_origin_of(text) for text in allowed_origins}:
        refuse(url, f"{host} is not one of {', '.join(allowed_origins)}")
    return parts


def origin_of_url(url: str) -> str:
    """Return ``scheme://host[:port]`` of an address that a user gave.

    Raises
    ------
    DownloadError
        If it could not be opened even where its own origin is allowed.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        refuse(url, str(error))
    origin = f"{parts.scheme}://{parts.netloc}"
    if not parts.netloc or "@" in parts.netloc:
        refuse(url, "write it as https://host/path")
    check_url(url, [origin])
    return origin


def is_public(address: Address) -> bool:
    """Say whether an address is one of the open Internet, also where it wraps an older one."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast


def as_address(host: str) -> Address | None:
    """Return the network address that a host's name spells out, if it is one."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def shown(url: str) -> str:
    """Return a URL as it may stand in a message: without query and credentials, not too long."""
    return ascii(url.split("?", maxsplit=1)[0].rpartition("@")[2])[1:-1][:200]


def refuse(url: str, fact: str) -> NoReturn:
    """Raise the error of an address that is not opened."""
    raise DownloadError(f"{shown(url)}: {fact}; this address is not opened", transient=False)


def _is_loopback(host: str) -> bool:
    address = as_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _origin(scheme: str, host: str, port: int | None) -> tuple[str, str, int]:
    return scheme, host, port if port is not None else (443 if scheme == "https" else 80)


def _origin_of(text: str) -> tuple[str, str, int]:
    parts = urlsplit(text)
    if not parts.hostname or parts.path.strip("/") or parts.query or "@" in parts.netloc:
        raise ValueError(f"{text!r} is no origin; write https://host or https://host:port")
    return _origin(parts.scheme, parts.hostname, parts.port)
