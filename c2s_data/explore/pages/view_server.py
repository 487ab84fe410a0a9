"""Serve one store to a browser on this machine, and to nobody else.

Only the loopback interface listens; each address begins with a secret that is made at the start,
so other users of the machine learn nothing; a name that was pointed at this machine (DNS
rebinding) is refused by its Host header, a page from elsewhere by what browsers say of it. Only
GET exists. No path of a request reaches a file: entries are looked up in the catalog.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from c2s_data.errors import C2SError, ConfigError, StoreError
from c2s_data.explore.pages.catalog_document import catalog_document
from c2s_data.explore.pages.constants import constants
from c2s_data.explore.pages.lazy_maps import LazyMaps
from c2s_data.explore.pages.packed import as_text, pack
from c2s_data.explore.pages.page import page, policy

if TYPE_CHECKING:
    from c2s_data.store.reader import Store

ADDRESS: Final = "127.0.0.1"
IDLE_S: Final = 60
PROGRAMS: Final = (
    "packed.js", "colors.js", "plots.js", "surface.js", "tube.js", "scene.js", "planes.js",
    "map_page.js", "catalog.js", "slices.js", "view.js",
)  # fmt: skip


class ViewServer(ThreadingHTTPServer):
    """The server of one store; ``url`` is what to open. Use it as a context, and serve_forever.

    Parameters
    ----------
    store
        An opened store.
    port
        0 for any that is free.

    Raises
    ------
    ConfigError
        If the port cannot be had.
    """

    daemon_threads = True

    def __init__(self, store: Store, port: int = 0) -> None:
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise ConfigError(
                f"port {port} of this machine cannot be had: {error}; leave out --port for any"
            ) from error
        self.maps = LazyMaps(store)
        self.token = secrets.token_urlsafe(24)
        self.hosts = frozenset(f"{name}:{self.server_port}" for name in (ADDRESS, "localhost"))
        self.page = _page(store)

    @property
    def url(self) -> str:
        """Address of the first page."""
        return f"http://{ADDRESS}:{self.server_port}/{self.token}/"


def _page(store: Store) -> bytes:
    data = {
        "constants": as_text(pack(constants())),
        "catalog": as_text(pack(catalog_document(store, "server"))),
    }
    return page("maps", PROGRAMS, data, connects=True).encode()


class _Handler(BaseHTTPRequestHandler):
    """Answers one request after another of a connection."""

    server: ViewServer
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S

    def do_GET(self) -> None:
        """Answer."""
        refused = self._refusal()
        if refused is not None:
            self._send(*refused)
            return
        parts = [unquote(part) for part in self.path.split("?")[0].split("/")[2:]]
        if parts == [""]:
            self._send(HTTPStatus.OK, self.server.page, "text/html; charset=utf-8")
            return
        try:
            self._send(HTTPStatus.OK, pack(self._answer(parts)), "application/octet-stream")
        except _NoSuchAddressError:
            self._send(HTTPStatus.NOT_FOUND, b"no such page")
        except (C2SError, OSError) as error:
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, str(error).encode())

    def _refusal(self) -> tuple[HTTPStatus, bytes] | None:
        host = self.headers.get("Host", "")
        if host not in self.server.hosts:
            allowed = " or ".join(sorted(self.server.hosts))
            return HTTPStatus.FORBIDDEN, f"this server is {allowed} and no other".encode()
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return HTTPStatus.FORBIDDEN, b"asked from another page"
        token = self.path.split("/")[1] if self.path.startswith("/") else ""
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            return HTTPStatus.NOT_FOUND, b"no such page; open the address that the command printed"
        return None

    def _answer(self, parts: list[str]) -> dict[str, Any]:
        maps = self.server.maps
        one_entry: dict[str, Callable[[str], dict[str, Any]]] = {
            "overview": maps.overview,
            "volume": maps.volume,
        }
        match parts:
            case [kind, entry_id] if kind in one_entry:
                return one_entry[kind](self._known(entry_id))
            case ["plane", entry_id, name, axis, index] if axis.isdecimal() and index.isdecimal():
                try:
                    return maps.plane(self._known(entry_id), name, int(axis), int(index))
                except StoreError as error:
                    if name in ("density", *maps.masks):
                        raise
                    raise _NoSuchAddressError from error
        raise _NoSuchAddressError

    def _known(self, entry_id: str) -> str:
        if all(entry_id != entry.entry_id for entry in self.server.maps.store.entries):
            raise _NoSuchAddressError
        return entry_id

    def _send(
        self, status: HTTPStatus, body: bytes, kind: str = "text/plain; charset=utf-8"
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", policy(PROGRAMS, True))
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Return what the server says it is: nothing about Python."""
        return "c2s-data"

    def log_message(self, *_: object) -> None:
        """Keep quiet: a log would hold the secret."""


class _NoSuchAddressError(Exception):
    """Nothing is served under this path."""
