"""What may be opened: hostile addresses, redirects and servers against a server on this machine."""

from __future__ import annotations

import ipaddress
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from c2s_data.sources import download
from c2s_data.sources.download import (
    ALLOWED_ORIGINS,
    USER_AGENT,
    DownloadError,
    check_url,
    is_public,
    open_url,
)

GOOD = "https://ftp.ebi.ac.uk/pub/databases/emdb/structures/EMD-22898/map/emd_22898.map.gz"
HOSTILE = [
    *("http://ftp.ebi.ac.uk/x", "ftp://ftp.ebi.ac.uk/x", "file:///etc/passwd", "FILE:///etc/passwd"),
    *("gopher://ftp.ebi.ac.uk/x", "s3://bucket/x", "data:text/plain,x", "javascript:1", "//evil/x"),
    *("https://evil.example/x", "https://ftp.ebi.ac.uk.evil.example/x", "https://evil/ftp.ebi.ac.uk"),
    *("https://ftp.ebi.ac.uk@evil.example/x", "https://user:word@ftp.ebi.ac.uk/x"),
    *("https://@ftp.ebi.ac.uk/x", "https://ftp.ebi.ac.uk:8443/x", "https://ftp.ebi.ac.uk:80/x"),
    *("https://ftp.ebi.ac.uk:99999/x", "https://ftp.ebi.ac.uk:x/y", "https://ftp.ebi.ac.uk./x"),
    *("https://127.0.0.1/x", "https://10.0.0.1/x", "https://169.254.169.254/latest/meta-data"),
    *("https://[::1]/x", "https://[::ffff:127.0.0.1]/x", "https://2130706433/x", "https://0x7f.1/x"),
    *("https://localhost/x", "http://localhost/x", "http://127.0.0.1:1/x", "https://0/x"),
    *("simplecache::https://ftp.ebi.ac.uk/x", "https://ftp.ebi.ac.uk/x::file:///etc/passwd"),
    *("zip://x::https://ftp.ebi.ac.uk/a.zip", "https://ftp.ebi.ac.uk\\@evil.example/x"),
    *("https://ftp.ebi.ac.uk\\.evil.example/x", "https://ftp%2eebi.ac.uk/x"),
    *("https://ftp.ebi.ac.uk%00", "https://ftp.ebi.ac.uk/x\r\nHost: evil"),
    *("https://ftp.ebi.ac.uk/\0", "https://ftp.ebi.ac.uk/ x"),
    *("https://ftp.ébi.ac.uk/x", "https://ⓕtp.ebi.ac.uk/x", "https://ftp。ebi.ac.uk/x", "https:///x"),
    *("https://ftp.ebi.ac.uk/" + "x" * 2048, "", "x", "/etc/passwd", "https://[ftp.ebi.ac.uk]/x"),
]  # fmt: skip

ELSEWHERE = dict(
    enumerate(url for url in HOSTILE if "//" in url and url.isascii() and "\n" not in url)
)


@pytest.mark.parametrize("url", HOSTILE)
def test_hostile_addresses_are_refused_without_a_lookup(url: str, monkeypatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("looked up"))
    with pytest.raises(DownloadError) as caught, open_url(url, max_bytes=10):
        pass
    assert "not opened" in str(caught.value)
    assert "word" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_the_archives_are_allowed() -> None:
    assert len(HOSTILE) >= 20
    assert check_url(GOOD).hostname == "ftp.ebi.ac.uk"
    assert check_url("https://WWW.rcsb.org:443/fasta/entry/7KJR").port == 443
    for origin in ALLOWED_ORIGINS:
        assert check_url(f"{origin}/x").scheme == "https"
    with pytest.raises(ValueError, match="is no origin"):
        check_url(GOOD, ["https://ftp.ebi.ac.uk/pub"])


PRIVATE = [
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1"),
    *("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "2001:0:a00:1::", "fe80::1%lo"),
]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_that_stands_for_a_private_address_is_refused(address: str, monkeypatch) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    public = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("193.62.193.80", 443))
    private = (family, socket.SOCK_STREAM, 6, "", (address, 443))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [public, private])
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("connected"))
    with pytest.raises(DownloadError, match="no public address"), open_url(GOOD, max_bytes=10):
        pass


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch) -> None:
    public = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("193.62.193.80", 443))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [public])
    asked: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], _: float) -> socket.socket:
        asked.append(address)
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(DownloadError, match="cannot be reached"), open_url(GOOD, max_bytes=10):
        pass
    assert asked == [("193.62.193.80", 443)]
    assert is_public(ipaddress.ip_address("2a00:1450::1"))


def test_the_certificate_is_checked_against_the_name(monkeypatch) -> None:
    public = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("193.62.193.80", 443))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [public])
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(socket, "create_connection", lambda *_: ours)
    with theirs, closing(download._connect(check_url(GOOD), 1.0)) as connection:
        assert isinstance(connection.sock, ssl.SSLSocket)
        assert connection.sock.server_hostname == "ftp.ebi.ac.uk"
        assert connection.sock.context.check_hostname
        assert connection.sock.context.verify_mode == ssl.CERT_REQUIRED


class Handler(BaseHTTPRequestHandler):
    """Answers as the path says."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str | None]] = []  # noqa: RUF012 - emptied by the fixture

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["User-Agent"]))
        assert self.headers["Host"] == f"127.0.0.1:{self.server.server_address[1]}"
        kind, _, rest = self.path.partition("?")[0].lstrip("/").partition("/")
        self.close_connection = True
        getattr(self, f"serve_{kind}")(rest)

    def reply(self, status: int, body: bytes = b"", length: int | None = None, **headers) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length != -1:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def serve_body(self, n: str) -> None:
        self.reply(200, b"x" * int(n))

    def serve_endless(self, _: str) -> None:
        self.reply(200, b"x" * 100_000, length=-1)

    def serve_short(self, n: str) -> None:
        self.reply(200, b"x" * 10, length=int(n))

    def serve_long(self, n: str) -> None:
        self.reply(200, b"x" * 50, length=int(n))

    def serve_chunked(self, n: str) -> None:
        self.reply(200, length=-1, Transfer_Encoding="chunked")
        for _ in range(int(n)):
            self.wfile.write(b"a\r\n0123456789\r\n")
        self.wfile.write(b"0\r\n\r\n" if int(n) < 5 else b"")

    def serve_packed(self, _: str) -> None:
        self.reply(200, b"x", Content_Encoding="gzip")

    def serve_status(self, status: str) -> None:
        self.reply(int(status), b"no", Retry_After="7")

    def serve_to(self, target: str) -> None:
        self.reply(302, Location=ELSEWHERE[int(target)])

    def serve_nowhere(self, _: str) -> None:
        self.reply(302)

    def serve_loop(self, n: str) -> None:
        self.reply(307, Location=f"/loop/{int(n) + 1}")

    def serve_hops(self, n: str) -> None:
        self.reply(301, Location=f"/hops/{int(n) - 1}" if int(n) > 1 else "/body/5")

    def serve_drip(self, _: str) -> None:
        self.reply(200, length=1000)
        for _ in range(200):
            self.wfile.write(b"x")
            time.sleep(0.05)

    def serve_silence(self, _: str) -> None:
        time.sleep(3)

    def serve_noise(self, _: str) -> None:
        self.wfile.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that hangs up is what these tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


Fetch = Callable[..., bytes]


@pytest.fixture
def fetch(origin: str) -> Fetch:
    Handler.seen.clear()

    def read(path: str, max_bytes: int = 1000, **options) -> bytes:
        where = {"allowed_origins": [*ALLOWED_ORIGINS, origin], "timeout_s": 2.0}
        with open_url(origin + path, max_bytes=max_bytes, **(where | options)) as body:
            return body.read()

    return read


def test_a_body_is_read_and_the_server_told_who_asks(fetch: Fetch, origin: str, tmp_path: Path):
    assert fetch("/body/1000") == b"x" * 1000
    assert fetch("/body/0") == b""
    assert fetch("/chunked/3") == b"0123456789" * 3
    assert fetch("/long/20") == b"x" * 20
    assert Handler.seen[0] == ("/body/1000", USER_AGENT)
    with (
        open_url(f"{origin}/body/70000?q=1", max_bytes=70000, allowed_origins=[origin]) as body,
        (tmp_path / "x").open("wb") as file,
    ):
        assert body.nbytes == 70000
        shutil.copyfileobj(body, file)
    assert (tmp_path / "x").stat().st_size == 70000


def test_redirects_among_allowed_origins_are_followed(fetch: Fetch) -> None:
    assert fetch("/hops/5") == b"x" * 5
    assert len(Handler.seen) == 6


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/body/1001", "1,001 bytes, 1,000 allowed"),
        ("/endless/", "more than 1,000 bytes"),
        ("/short/20", "cut off after 10 of 20 bytes"),
        ("/chunked/7", "connection broke"),
        ("/packed/", "sent as 'gzip'"),
        ("/status/404", "status 404"),
        ("/status/206", "status 206"),
        ("/status/304", "status 304"),
        ("/loop/0", "more than 5 redirects"),
        ("/hops/6", "more than 5 redirects"),
        ("/silence/", "no answer"),
        ("/noise/", "no answer"),
    ],
)
def test_servers_that_misbehave(fetch: Fetch, path: str, words: str) -> None:
    options = {"timeout_s": 0.5} if path == "/silence/" else {}
    with pytest.raises(DownloadError, match=words):
        fetch(path, **options)


def test_a_status_comes_with_what_the_server_asked_for(fetch: Fetch) -> None:
    with pytest.raises(DownloadError) as caught:
        fetch("/status/429")
    assert (caught.value.status, caught.value.retry_after) == (429, "7")


@pytest.mark.parametrize("number", range(len(ELSEWHERE)))
def test_a_redirect_is_checked_like_the_first_address(fetch: Fetch, number: int) -> None:
    with pytest.raises(DownloadError, match="not opened"):
        fetch(f"/to/{number}")
    assert len(Handler.seen) == 1


def test_a_redirect_to_a_private_address_behind_an_allowed_name(fetch: Fetch, monkeypatch) -> None:
    real = socket.getaddrinfo

    def lie(host: str, port: int, *rest, **options):
        if host == "ftp.ebi.ac.uk":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        return real(host, port, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lie)
    monkeypatch.setitem(ELSEWHERE, 0, "https://ftp.ebi.ac.uk/x")
    with pytest.raises(DownloadError, match=r"stands for 127\.0\.0\.1"):
        fetch("/to/0")


def test_a_server_that_drips_is_cut_at_the_deadline(fetch: Fetch) -> None:
    started = time.monotonic()
    with pytest.raises(DownloadError, match="within the time allowed"):
        fetch("/drip/", deadline_s=0.4)
    assert time.monotonic() - started < 5


def test_nobody_listening(origin: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{free.getsockname()[1]}"
        with (
            pytest.raises(DownloadError, match="cannot be reached"),
            open_url(gone, max_bytes=1, allowed_origins=[gone]),
        ):
            pass
