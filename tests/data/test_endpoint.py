"""``--endpoint``: for this command alone, before its inputs are read, and on its workers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from distributed import Client, LocalCluster
from typer.testing import CliRunner

from c2s_data import endpoint
from c2s_data.cli import app
from c2s_data.cluster.common_ground import check_common_ground
from c2s_data.cluster.settings import settings_of
from c2s_data.cluster.spec import Local, Ssh
from c2s_data.endpoint import VARIABLES, asked_endpoint, endpoint_here, use_endpoint
from c2s_data.errors import ClusterError, ConfigError

URL = "http://127.0.0.1:8333"


@pytest.fixture(autouse=True)
def no_endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    yield
    endpoint._ASKED.clear()  # A command line that is refused ends its process without undoing it.
    for name in VARIABLES:
        os.environ.pop(name, None)


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A server that has nothing, and the paths that it was asked for."""
    asked: list[str] = []

    class Nothing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *what: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Nothing) as made:
        thread = Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_address[1]}", asked
        made.shutdown()
        thread.join()


def test_a_command_asks_that_server(
    server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = server
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "made-up")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    done = CliRunner().invoke(app, ["status", "s3://bucket/store", "--endpoint", url])
    assert "s3://bucket/store" in str(done.exception)
    assert any(path.startswith("/bucket/store/") for path in asked)
    assert os.environ["AWS_ENDPOINT_URL_S3"] == "http://127.0.0.1:9"
    assert "AWS_ENDPOINT_URL" not in os.environ
    assert asked_endpoint() is None
    # An input is fetched as the command line is read: the option counts wherever it stands.
    arguments = ["split", "catalog.csv", "--held-out", "s3://bucket/ids.txt", "--endpoint", url]
    done = CliRunner().invoke(app, arguments)
    assert "s3://bucket/ids.txt" in str(done.exception)
    assert any(path.startswith("/bucket/ids.txt") for path in asked)


@pytest.mark.parametrize(
    "url",
    ["s3.example.org", "ftp://host", "http://", "https://h/?key=1", "https://h/'; rm x", "s3://b"],
)
def test_what_is_no_server_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="--endpoint is the address of a server"):
        use_endpoint(url)
    assert endpoint_here() is None


def test_credentials_are_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="environment") as told:
        use_endpoint("https://key:s3cr3t@host")
    assert "s3cr3t" not in str(told.value)


def test_workers_that_are_started_elsewhere_are_told() -> None:
    name = "distributed.nanny.pre-spawn-environ"
    ssh = Ssh(hosts=("a", "b"))
    assert not settings_of(ssh)[name].keys() & set(VARIABLES)
    undo = use_endpoint(URL)
    assert {settings_of(ssh)[name][variable] for variable in VARIABLES} == {URL}
    assert not settings_of(Local())[name].keys() & set(VARIABLES), "they inherit it"
    undo()
    assert not settings_of(ssh)[name].keys() & set(VARIABLES)


@pytest.fixture
def client() -> Iterator[Client]:
    """Workers of somebody else: threads of this process would know what it knows."""
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def test_workers_of_others_must_ask_the_same_server_and_see_the_files(
    client: Client, tmp_path: Path
) -> None:
    check_common_ground(client, [])
    undo = use_endpoint(URL)
    with pytest.raises(ClusterError, match=f"asks Amazon for s3://, .*AWS_ENDPOINT_URL={URL} in"):
        check_common_ground(client, [])
    client.run(lambda: os.environ.update(AWS_ENDPOINT_URL=URL))
    check_common_ground(client, [])
    undo()
    (tmp_path / "net").write_bytes(b"1234")
    check_common_ground(client, [str(tmp_path), str(tmp_path / "net")])
    # What another machine has under the name: a file of another size, or none.
    client.run(os.chdir, tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/relative").write_bytes(b"12")
    before = Path.cwd()
    os.chdir(tmp_path / "sub")
    try:
        with pytest.raises(ClusterError, match="has no relative; use a folder that all machines"):
            check_common_ground(client, ["relative"])
        (tmp_path / "relative").write_bytes(b"123")
        with pytest.raises(ClusterError, match="has another relative"):
            check_common_ground(client, ["relative"])
    finally:
        os.chdir(before)
