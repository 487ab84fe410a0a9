"""Fetch over https from a list of allowed origins, and from nowhere else.

Every hop of a redirect is checked as the first address is: scheme, host, port, and the network
addresses that the name stands for. The connection is made to an address that was checked, so a
name cannot stand for another one a moment later. Proxies of the environment are not used.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Final, NoReturn
from urllib.parse import SplitResult, urljoin, urlsplit

from c2s_data import __version__
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
USER_AGENT: Final = f"cryo2struct-store/{__version__}"
MAX_URL: Final = 2048
MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class DownloadError(C2SError):
    """An address is refused or a download failed.

    ``status`` is the HTTP status where the server gave one; ``retry_after`` what it said of when
    to come back, as it said it.
    """

    def __init__(
        self, message: str, status: int | None = None, retry_after: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


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
        _refuse(url, "more than 2048 characters, or such as belong into no address")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        _refuse(url, str(error))
    if "\\" in url or "@" in parts.netloc or "%" in parts.netloc or not host:
        _refuse(url, "an address has no credentials, no backslash and a plain host")
    if "::" in url and "::" not in parts.netloc:
        _refuse(url, "an address that goes through another (::) is refused")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        _refuse(url, f"the scheme {parts.scheme!r} is not https")
    if _origin(parts.scheme, host, port) not in {_origin_of(text) for text in allowed_origins}:
        _refuse(url, f"{host} is not one of {', '.join(allowed_origins)}")
    return parts


@contextmanager
def open_url(
    url: str,
    *,
    max_bytes: int,
    allowed_origins: Sequence[str] = ALLOWED_ORIGINS,
    timeout_s: float = 30.0,
    deadline_s: float = 3600.0,
) -> Iterator[Body]:
    """Open a URL for reading; redirects are followed where they lead to allowed origins.

    Parameters
    ----------
    url, allowed_origins
        As for `check_url`.
    max_bytes
        Reading more raises; a larger declared length raises before anything is read.
    timeout_s
        Longest wait for the server at any one moment.
    deadline_s
        Longest time for everything: a server that sends a byte a second does not hold the caller.

    Yields
    ------
    Body
        A raw binary stream.

    Raises
    ------
    DownloadError
        A refused address, a status other than 200 (in ``status``), a lost connection, a body that
        is longer than allowed or shorter than declared.
    """
    deadline = time.monotonic() + deadline_s
    for _ in range(MAX_REDIRECTS + 1):
        parts = check_url(url, allowed_origins)
        with (
            closing(_connect(parts, timeout_s)) as connection,
            _cut_at(deadline, connection),
            closing(_request(connection, parts, url)) as response,
        ):
            if response.status not in _REDIRECTS:
                yield _checked_body(response, url, max_bytes, deadline)
                return
            url = _redirected(url, response.headers.get("Location") or "")
    raise DownloadError(f"{_shown(url)}: more than {MAX_REDIRECTS} redirects")


def _redirected(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        _refuse(location, str(error))


class Body(io.RawIOBase):
    """What a server sends, bounded in bytes and time.

    ``url`` is where it came from in the end, ``nbytes`` the length the server declared, if any.
    """

    def __init__(
        self, response: http.client.HTTPResponse, url: str, max_bytes: int, deadline: float
    ) -> None:
        self.url = url
        self.nbytes = response.length
        self._response, self._max_bytes, self._deadline = response, max_bytes, deadline
        self._done = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Read some bytes; `DownloadError` once a bound is passed or the body is cut off."""
        limit = self._max_bytes + 1 if self.nbytes is None else self.nbytes
        view = memoryview(buffer)[: limit - self._done]
        try:
            data = self._response.read1(len(view)) if view else b""
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(f"the connection broke: {error!r}") from error
        self._done += len(data)
        if self._done > self._max_bytes:
            raise self._broken(f"more than {self._max_bytes:,} bytes")
        if view and not data and self.nbytes is not None:
            raise self._broken(f"cut off after {self._done:,} of {self.nbytes:,} bytes")
        view[: len(data)] = data
        return len(data)

    def _broken(self, fact: str) -> DownloadError:
        if time.monotonic() > self._deadline:
            fact = "not complete within the time allowed"
        return DownloadError(f"{_shown(self.url)}: {fact}; fetch it again")


@contextmanager
def _cut_at(deadline: float, connection: http.client.HTTPConnection) -> Iterator[None]:
    """Shut the connection at the deadline, whatever is being waited for."""
    timer = threading.Timer(deadline - time.monotonic(), _shut, [connection.sock])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _checked_body(
    response: http.client.HTTPResponse, url: str, max_bytes: int, deadline: float
) -> Body:
    if response.status != http.HTTPStatus.OK:
        raise DownloadError(
            f"{_shown(url)}: status {response.status} {response.reason}",
            response.status,
            response.headers.get("Retry-After"),
        )
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise DownloadError(f"{_shown(url)}: sent as {encoding!r}, which was not asked for")
    if response.length is not None and response.length > max_bytes:
        raise DownloadError(f"{_shown(url)}: {response.length:,} bytes, {max_bytes:,} allowed")
    return Body(response, url, max_bytes, deadline)


def _request(
    connection: http.client.HTTPConnection, parts: SplitResult, url: str
) -> http.client.HTTPResponse:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {
        "Host": parts.netloc,
        "User-Agent": USER_AGENT,
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    try:
        if isinstance(connection.sock, ssl.SSLSocket):
            connection.sock.do_handshake()
        connection.request("GET", target, headers=headers)
        return connection.getresponse()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DownloadError(f"{_shown(url)}: no answer: {error!r}") from error


def _connect(parts: SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    """Connect to a checked address of the host; the certificate is checked against its name."""
    assert parts.hostname
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    address = _checked_address(parts.hostname, port)
    connection = http.client.HTTPConnection(parts.hostname, port, timeout=timeout_s)
    try:
        connection.sock = socket.create_connection((address, port), timeout_s)
        if secure:
            context = ssl.create_default_context()
            connection.sock = context.wrap_socket(
                connection.sock, server_hostname=parts.hostname, do_handshake_on_connect=False
            )
    except OSError as error:
        connection.close()
        raise DownloadError(f"{parts.hostname}: cannot be reached: {error}") from error
    return connection


def _checked_address(host: str, port: int) -> str:
    """Return an address that the host stands for, after checking all of them."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DownloadError(f"{host}: the name stands for no address: {error}") from error
    addresses = [str(item[4][0]) for item in found]
    if _as_address(host) is None and host != "localhost":
        for text in addresses:
            address = _as_address(text)
            if address is None or not is_public(address):
                raise DownloadError(f"{host}: stands for {text}, which is no public address")
    return addresses[0]


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


def _as_address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    address = _as_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _origin(scheme: str, host: str, port: int | None) -> tuple[str, str, int]:
    return scheme, host, port if port is not None else (443 if scheme == "https" else 80)


def _origin_of(text: str) -> tuple[str, str, int]:
    parts = urlsplit(text)
    if not parts.hostname or parts.path.strip("/") or parts.query or "@" in parts.netloc:
        raise ValueError(f"{text!r} is no origin; write https://host or https://host:port")
    return _origin(parts.scheme, parts.hostname, parts.port)


def _shown(url: str) -> str:
    """Return a URL as it may stand in a message: without query and credentials, not too long."""
    return ascii(url.split("?", maxsplit=1)[0].rpartition("@")[2])[1:-1][:200]


def _refuse(url: str, fact: str) -> NoReturn:
    raise DownloadError(f"{_shown(url)}: {fact}; this address is not opened")
