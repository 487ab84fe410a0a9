"""Azurite on this machine: Microsoft's own emulator of Azure's blob storage."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
ACCOUNT: Final = "c2stest"
KEY: Final = base64.b64encode(b"a secret of the tests alone, of 64 bytes" + bytes(24)).decode()
CONTAINER: Final = "place"


def find_azurite() -> str | None:
    """Return the program that `make test-cloud AZURE=1` installs, or what ``C2S_AZURITE`` names."""
    installed = ROOT / ".cache" / "azurite" / "node_modules" / ".bin" / "azurite-blob"
    return os.environ.get("C2S_AZURITE") or (str(installed) if installed.is_file() else None)


@contextlib.contextmanager
def serve(program: str, folder: Path) -> Iterator[dict[str, str]]:
    """Serve one container from a free port; give the environment of who may use it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "azurite.log").open("wb") as log:
        server = subprocess.Popen(
            [
                *(program, "--blobHost=127.0.0.1", f"--blobPort={port}"),
                *("--disableTelemetry", "--skipApiVersionCheck", "--inMemoryPersistence"),
            ],
            env=os.environ | {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
        _make_container(endpoint, server)
        yield {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
            "AZURE_STORAGE_ENDPOINT": endpoint,
        }
    finally:
        server.terminate()
        server.wait(20)


def _make_container(endpoint: str, server: subprocess.Popen[bytes]) -> None:
    """Create the container by a signed request, which no client of ours makes."""
    deadline = time.monotonic() + 60
    while True:
        date = formatdate(usegmt=True)
        # https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
        headers = f"x-ms-date:{date}\nx-ms-version:2021-12-02\n"
        resource = f"/{ACCOUNT}/{ACCOUNT}/{CONTAINER}\nrestype:container"
        text = "PUT" + "\n" * 12 + headers + resource
        digest = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
        request = urllib.request.Request(
            f"{endpoint}/{CONTAINER}?restype=container",
            method="PUT",
            headers={
                "x-ms-date": date,
                "x-ms-version": "2021-12-02",
                "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert answer.status == 201
                return
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{error}: {error.read()[:500]!r}") from error
        except OSError:
            assert server.poll() is None, "Azurite ended"
            assert time.monotonic() < deadline, "Azurite does not answer"
            time.sleep(0.3)
