"""Row F, below the loader: a client on the other side of a fork works, or says at once why not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from s3_server import BUCKET, CLIENTS, environment, needs_s3, serve_s3, store_directly, stored

pytestmark = needs_s3

SCRIPT = Path(__file__).with_name("forked_client.py")


@pytest.fixture(scope="module")
def server():
    with serve_s3() as endpoint:
        yield endpoint


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("used", ["used", "unused"])
@pytest.mark.parametrize("inherited", ["inherited", "reopened"])
def test_a_client_after_a_fork(server, client, used, inherited, row) -> None:
    folder = f"{client}-{used}-{inherited}"
    store_directly(server, f"{folder}/k", b"value")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), f"s3://{BUCKET}/{folder}", used, inherited],
        env=os.environ | environment(server, client),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    *said, result = [json.loads(line) for line in done.stdout.splitlines()]
    assert result["parent_reads"]
    written = stored(server, f"{folder}/of the child")
    if (client, used) == ("obstore", "used"):
        assert result["code"] == 7
        assert result["seconds"] < 1
        assert 'multiprocessing_context="forkserver"' in said[0]["error"]
        assert "C2S_S3_CLIENT=s3fs" in said[0]["error"]
        assert written is None
    else:
        assert (result["code"], said, written) == (0, [], b"value")
    row("F", f"fork under {client}", 1, 0)
