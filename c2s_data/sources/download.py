"""Fetch over https from a list of allowed origins, and from nowhere else.

Every hop of a redirect is checked as the first address is: scheme, host, port, and the network
addresses that the name stands for. The connection is made to an address that was checked, so a
name cannot stand for another one a moment later. Proxies of the environment are not used.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Final
from urllib.parse import SplitResult, urljoin

from c2s_data import __version__
from c2s_data.sources.web_origin import (
    ALLOWED_ORIGINS,
    DownloadError,
    as_address,
    check_url,
    is_public,
    refuse,
    shown,
)

__all__ = [
    "ALLOWED_ORIGINS",
    "USER_AGENT",
    "Body",
    "DownloadError",
    "check_url",
    "is_public",
    "open_url",
]

USER_AGENT: Final = f"cryo2struct-store/{__version__}"
MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII)
_VALIDATOR: Final = re.compile(r'"[\x21\x23-\x7e]{0,200}"|[A-Za-z0-9 ,:+-]{1,60}', re.ASCII)


@contextmanager
def open_url(
    url: str,
    *,
    max_bytes: int,
    allowed_origins: Sequence[str] = ALLOWED_ORIGINS,
    timeout_s: float = 30.0,
    deadline_s: float = 3600.0,
    start: int = 0,
    validator: str | None = None,
    encodings: Collection[str] = (),
) -> Iterator[Body]:
    """Open a URL for reading; redirects are followed where they lead to allowed origins.

    Parameters
    ----------
    url, allowed_origins
        As for `check_url`.
    max_bytes
        A whole body of more raises; a larger declared length raises before anything is read.
    timeout_s
        Longest wait for the server at any one moment.
    deadline_s
        Longest time for everything: a server that sends a byte a second does not hold the caller.
    start, validator
        Ask for the bytes from ``start`` on, if the content is still the one whose `Body.validator`
        this is. The body's own ``start`` says where it begins: a server that knows no ranges, or
        has other content by now, sends all of it from 0.
    encodings
        Values of Content-Encoding to take, the body as it is: many servers call a stored ``.gz``
        file encoded.

    Yields
    ------
    Body
        A raw binary stream.

    Raises
    ------
    DownloadError
        A refused address, a status other than 200 (in ``status``) or than 206 with just the range
        that was asked for, a lost connection, a body that is longer than allowed or shorter than
        declared.
    """
    asked = _range_headers(start, validator)
    deadline = time.monotonic() + deadline_s
    for _ in range(MAX_REDIRECTS + 1):
        parts = check_url(url, allowed_origins)
        with (
            closing(_connect(parts, timeout_s)) as connection,
            _cut_at(deadline, connection),
            closing(_request(connection, parts, url, asked)) as response,
        ):
            if response.status not in _REDIRECTS:
                begin = _check_answer(response, url, start, encodings)
                yield _bounded_body(response, url, begin, max_bytes, deadline)
                return
            url = _redirected(url, response.headers.get("Location") or "")
    raise DownloadError(f"{shown(url)}: more than {MAX_REDIRECTS} redirects", transient=False)


def _redirected(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        refuse(location, str(error))


def _range_headers(start: int, validator: str | None) -> dict[str, str]:
    if start == 0:
        return {}
    if start < 0 or validator is None or not _VALIDATOR.fullmatch(validator):
        raise ValueError("a range is asked for with the validator of the content it belongs to")
    return {"Range": f"bytes={start}-", "If-Range": validator}


class Body(io.RawIOBase):
    """What a server sends, bounded in bytes and time.

    ``url`` is where it came from in the end; ``start`` the place of its first byte in the whole,
    ``nbytes`` the length the server declared for what it sends, if any, and ``validator`` names
    this content at this server (a strong ETag, else the time of its last change), if it said any;
    ``is_framed`` whether a body that ends too early is noticed.
    """

    def __init__(
        self,
        response: http.client.HTTPResponse,
        url: str,
        start: int,
        max_bytes: int,
        deadline: float,
    ) -> None:
        self.url = url
        self.start = start
        self.nbytes = response.length
        self.validator = _validator(response)
        self.is_framed = response.length is not None or response.chunked
        self._response, self._max_bytes, self._deadline = response, max_bytes, deadline
        self._done = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Read some bytes; `DownloadError` once a bound is passed or the body is cut off."""
        limit = self._max_bytes - self.start + 1 if self.nbytes is None else self.nbytes
        view = memoryview(buffer)[: limit - self._done]
        try:
            data = self._response.read1(len(view)) if view else b""
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(f"the connection broke: {error!r}") from error
        self._done += len(data)
        if self.start + self._done > self._max_bytes:
            raise self._broken(f"more than {self._max_bytes:,} bytes", transient=False)
        if view and not data and self.nbytes is not None:
            raise self._broken(f"cut off after {self._done:,} of {self.nbytes:,} bytes")
        view[: len(data)] = data
        return len(data)

    def _broken(self, fact: str, *, transient: bool = True) -> DownloadError:
        if time.monotonic() > self._deadline:
            fact = "not complete within the time allowed"
        return DownloadError(f"{shown(self.url)}: {fact}; fetch it again", transient=transient)


def _validator(response: http.client.HTTPResponse) -> str | None:
    # A weak ETag (W/...) says that two contents mean the same, not that their bytes agree.
    for name in ("ETag", "Last-Modified"):
        text = str(response.headers.get(name) or "")
        if _VALIDATOR.fullmatch(text):
            return text
    return None


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


def _check_answer(
    response: http.client.HTTPResponse, url: str, start: int, encodings: Collection[str]
) -> int:
    """Return where in the whole the body begins."""
    if response.status == http.HTTPStatus.PARTIAL_CONTENT and start > 0:
        _check_range(response, url, start)
    elif response.status != http.HTTPStatus.OK:
        raise DownloadError(
            f"{shown(url)}: status {response.status} {ascii(response.reason)[1:-1]}",
            response.status,
            response.headers.get("Retry-After"),
        )
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity" and encoding not in encodings:
        fact = f"sent as {encoding!a}, which was not asked for"
        raise DownloadError(f"{shown(url)}: {fact}", transient=False)
    return start if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0


def _bounded_body(
    response: http.client.HTTPResponse, url: str, start: int, max_bytes: int, deadline: float
) -> Body:
    if response.length is not None and start + response.length > max_bytes:
        fact = f"{start + response.length:,} bytes, {max_bytes:,} allowed"
        raise DownloadError(f"{shown(url)}: {fact}", transient=False)
    return Body(response, url, start, max_bytes, deadline)


def _check_range(response: http.client.HTTPResponse, url: str, start: int) -> None:
    """Refuse any other bytes than from ``start`` to the end."""
    text = str(response.headers.get("Content-Range") or "")
    found = _CONTENT_RANGE.fullmatch(text)
    first, last, total = map(int, found.groups()) if found else (-1, -1, -1)
    if first != start or last + 1 != total or response.length not in (None, total - start):
        fact = f"asked for the bytes from {start:,} on, it sent {ascii(text)[:60]}"
        raise DownloadError(
            f"{shown(url)}: {fact}", http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        )


def _request(
    connection: http.client.HTTPConnection,
    parts: SplitResult,
    url: str,
    asked: dict[str, str],
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
        connection.request("GET", target, headers=headers | asked)
        return connection.getresponse()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DownloadError(f"{shown(url)}: no answer: {error!r}") from error


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
    if as_address(host) is None and host != "localhost":
        for text in addresses:
            address = as_address(text)
            if address is None or not is_public(address):
                raise DownloadError(
                    f"{host}: stands for {text}, which is no public address", transient=False
                )
    return addresses[0]
