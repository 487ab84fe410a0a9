"""What a user is told, and how soon, when the place of a store cannot be used."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from bucket import command, listed
from builds import Build

TOLD_WITHIN_S = 60


class Waited(NamedTuple):
    """A command that asked an endpoint in vain, and how long it took."""

    build: Build
    seconds: float


@pytest.fixture(scope="module", autouse=True)
def waiting(
    catalog: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Future[Waited]]]:
    """Commands that wait for endpoints that never answer, while the tests before them run."""
    folder, store = tmp_path_factory.mktemp("waiting"), "s3://place/nowhere.zarr"
    build, inspect = ("build", catalog, store, "--workers=1"), ("inspect", store)
    with socket.socket() as refusing, socket.socket() as silent, ThreadPoolExecutor(4) as pool:
        for one in (refusing, silent):
            one.bind(("127.0.0.1", 0))
        silent.listen(64)

        def ask(dead: socket.socket, arguments: tuple[str | Path, ...], client: str) -> Waited:
            address, begun = f"http://127.0.0.1:{dead.getsockname()[1]}", time.monotonic()
            done = command(folder / client, address, *arguments, C2S_S3_CLIENT=client)
            return Waited(done, time.monotonic() - begun)

        yield [
            pool.submit(ask, silent, build, "obstore"),
            pool.submit(ask, silent, inspect, "s3fs"),
            pool.submit(ask, refusing, build, "s3fs"),
            pool.submit(ask, refusing, inspect, "obstore"),
        ]


SECRET = ("secret", {"AWS_SECRET_ACCESS_KEY": "wrong-0451"}, "credentials")
KEY = ("key", {"AWS_ACCESS_KEY_ID": "nobody"}, "credentials")
NO_BUCKET = ("bucket", {}, "NoSuchBucket")


@pytest.mark.parametrize(
    ("doing", "client", "fault", "settings", "said"),
    [
        *(("build", "obstore", *case) for case in (SECRET, KEY, NO_BUCKET)),
        *(("inspect", "s3fs", *case) for case in (SECRET, NO_BUCKET)),
        ("verify", "obstore", *KEY),
    ],
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


def test_an_endpoint_that_does_not_answer(waiting: list[Future[Waited]]) -> None:
    for done, seconds in (future.result() for future in waiting):
        assert done.process.returncode == 2, done.output
        error = done.output[done.output.index("error:") :]
        assert "s3://place/nowhere.zarr" in error
        assert "tries" in error
        assert "Traceback" not in done.output
        # A minute, and what an interpreter needs to start beside other tests on two cores.
        assert seconds < TOLD_WITHIN_S + 20
