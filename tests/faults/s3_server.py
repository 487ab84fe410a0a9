"""An S3 server of this machine with one bucket, and what a test needs around it."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import quote

import pytest

CLIENTS = ("s3fs", "obstore")
BUCKET = "place"
SECRET = "CANARY-wJalrXUtnFEMI"
NEEDED = ("aiohttp", "moto", "flask_cors", *CLIENTS)

missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
needs_s3 = pytest.mark.skipif(
    bool(missing), reason=f"not installed: {', '.join(missing)} (dependency group `test`)"
)


@contextlib.contextmanager
def serve_s3() -> Iterator[str]:
    """Serve from a free port of the loopback; give the endpoint."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    try:
        _send(endpoint, BUCKET, b"")
        yield endpoint
    finally:
        server.stop()


def environment(endpoint: str, client: str) -> dict[str, str]:
    """Return what tells both clients where the server is and who asks."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": f"AKIA{SECRET[:6]}",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "C2S_S3_CLIENT": client,
    }


def store_directly(endpoint: str, key: str, data: bytes) -> None:
    """Put an object into the bucket past every client."""
    _send(endpoint, f"{BUCKET}/{key}", data)


def stored(endpoint: str, key: str) -> bytes | None:
    """Return what the server holds, read past every client; None if nothing."""
    request = urllib.request.Request(
        f"{endpoint}/{BUCKET}/{quote(key)}", headers={"Authorization": "AWS canary:unchecked"}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return None


def _send(endpoint: str, path: str, data: bytes) -> None:
    request = urllib.request.Request(
        f"{endpoint}/{quote(path)}",
        data=data,
        method="PUT",
        headers={"Content-Type": "application/octet-stream"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200
