"""What a user is told, and how soon, when the place of a store cannot be used."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bucket import command, listed

TOLD_WITHIN_S = 60


@pytest.fixture
def dead_endpoints() -> Iterator[dict[str, str]]:
    """A port where nobody listens, and one where somebody does who never answers."""
    with socket.socket() as refusing, socket.socket() as silent:
        for one in (refusing, silent):
            one.bind(("127.0.0.1", 0))
        silent.listen(64)
        yield {
            "refused": f"http://127.0.0.1:{refusing.getsockname()[1]}",
            "silent": f"http://127.0.0.1:{silent.getsockname()[1]}",
        }


def test_an_endpoint_that_does_not_answer(
    dead_endpoints: dict[str, str], catalog: Path, tmp_path: Path
) -> None:
    store = "s3://place/nowhere.zarr"
    build, inspect = ("build", catalog, store, "--workers=1"), ("inspect", store)
    cases = [
        *(("silent", build, "obstore"), ("silent", inspect, "s3fs")),
        *(("refused", build, "s3fs"), ("refused", inspect, "obstore")),
    ]
    begun = time.monotonic()
    with ThreadPoolExecutor(len(cases)) as pool:  # They only wait.
        runs = pool.map(
            lambda case: command(
                tmp_path, dead_endpoints[case[0]], *case[1], C2S_S3_CLIENT=case[2]
            ),
            cases,
        )
        for done in runs:
            assert done.process.returncode == 2, done.output
            error = done.output[done.output.index("error:") :]
            assert store in error
            assert "tries" in error
            assert "Traceback" not in done.output
    # A minute, and what four interpreters need to start on two cores.
    assert time.monotonic() - begun < TOLD_WITHIN_S + 20


@pytest.mark.parametrize(
    ("fault", "settings", "said"),
    [
        ("secret", {"AWS_SECRET_ACCESS_KEY": "wrong-0451"}, "credentials"),
        ("key", {"AWS_ACCESS_KEY_ID": "nobody"}, "credentials"),
        ("bucket", {}, "NoSuchBucket"),
    ],
)
@pytest.mark.parametrize(
    ("doing", "client"), [("build", "obstore"), ("inspect", "s3fs"), ("verify", "obstore")]
)
def test_wrong_credentials_and_a_missing_bucket(
    endpoint: str,
    client: str,
    doing: str,
    fault: str,
    settings: dict[str, str],
    said: str,
    catalog: Path,
    tmp_path: Path,
) -> None:
    store = "s3://place/refused.zarr" if fault != "bucket" else "s3://no-such-place/refused.zarr"
    arguments = ("build", catalog, store, "--workers=1") if doing == "build" else (doing, store)
    begun = time.monotonic()
    done = command(tmp_path, endpoint, *arguments, who="owner", C2S_S3_CLIENT=client, **settings)
    assert time.monotonic() - begun < TOLD_WITHIN_S
    assert done.process.returncode == 2, done.output
    error = done.output[done.output.index("error:") :]
    assert store in error
    assert said in error
    assert "Traceback" not in done.output
    assert "wrong-0451" not in done.output
    assert listed(endpoint, "refused.zarr") == {}
