"""SeaweedFS on this machine: a real S3 server, started for a test and stopped after it.

`make test-cloud` installs the program into ``.cache``; any other on the PATH will do.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
IDENTITIES: Final = Path(__file__).with_name("seaweed.json")
BUCKET: Final = "place"
UP_WITHIN_S: Final = 90.0
_LISTENERS: Final = ("master", "volume", "filer", "s3")


def find_weed() -> str | None:
    """Return the server program: what ``C2S_WEED`` names, of the cache, or on the PATH."""
    installed = ROOT / ".cache" / "seaweedfs" / "bin" / "weed"
    named = os.environ.get("C2S_WEED")
    return named or (str(installed) if installed.is_file() else shutil.which("weed"))


def credentials(who: str) -> dict[str, str]:
    """Return the environment of ``owner``, ``writer``, ``reader`` or anyone with a wrong secret."""
    return {
        "AWS_ACCESS_KEY_ID": f"c2s-{who}",
        "AWS_SECRET_ACCESS_KEY": f"c2s-{who}-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextlib.contextmanager
def serve(weed: str) -> Iterator[str]:
    """Serve an empty bucket ``place`` from free ports of the loopback; give the endpoint."""
    with tempfile.TemporaryDirectory(prefix="c2s-seaweed-") as folder:
        ports = _free_ports(2 * len(_LISTENERS))
        options = [
            f"-{name}.{kind}={ports.pop()}" for name in _LISTENERS for kind in ("port", "port.grpc")
        ]
        s3 = next(o for o in options if o.startswith("-s3.port=")).partition("=")[2]
        log = Path(folder) / "log"
        with log.open("wb") as stream:
            server = subprocess.Popen(
                [
                    *(weed, "-logtostderr=true", "server", f"-dir={folder}"),
                    *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"),
                    *("-master.volumeSizeLimitMB=256", "-volume.max=40"),
                    *("-master.telemetry=false", "-s3.autoCreateBucket=false", "-s3.iam=false"),
                    # Two more services, whose fixed ports a second server would miss.
                    *("-s3.port.iceberg=0", "-s3.port.lance=0"),
                    *(f"-s3.config={IDENTITIES}", f"-filer.localSocket={folder}/filer.sock"),
                    *options,
                ],
                stdout=stream,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=folder,
            )
        try:
            endpoint = f"http://127.0.0.1:{s3}"
            _make_bucket(endpoint, server, log)
            yield endpoint
        finally:
            server.terminate()
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def sign_in(monkeypatch: pytest.MonkeyPatch, endpoint: str, who: str) -> None:
    """Set the environment of this process; nothing of another account is left in it."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "C2S_S3_"))]:
        monkeypatch.delenv(name)
    for name, value in (credentials(who) | {"AWS_ENDPOINT_URL": endpoint}).items():
        monkeypatch.setenv(name, value)
    with contextlib.suppress(ImportError):
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()  # One with the credentials of before.


def boto_client(endpoint: str, who: str = "owner") -> Any:
    """Return a client that is none of ours, to see what a server really holds."""
    import boto3
    from botocore.config import Config

    given = credentials(who)
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=20),
    )


def _make_bucket(endpoint: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a bucket can be made and an object written: only then the volumes are there."""
    from botocore.exceptions import BotoCoreError, ClientError

    client, deadline = boto_client(endpoint), time.monotonic() + UP_WITHIN_S
    while True:
        try:
            with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
                client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"ready")
            client.delete_object(Bucket=BUCKET, Key="ready")
            return
        except (BotoCoreError, ClientError) as error:
            ended = server.poll() is not None
            if ended or time.monotonic() > deadline:
                tail = log.read_text("utf-8", "replace")[-2000:]
                raise RuntimeError(f"SeaweedFS does not serve ({error}):\n{tail}") from error
            time.sleep(0.3)


def _free_ports(n: int) -> list[int]:
    """Return ports that nobody listens on just now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
