"""Clusters that cannot do the work: each is told at the start, and nothing waits for ever."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import c2s_data
from c2s_data.cluster.connect import connect
from c2s_data.cluster.membership import count_workers, join, n_in_flight
from c2s_data.cluster.spec import Address, Local
from c2s_data.cluster.versions import versions_here
from c2s_data.distribute import map_over_workers
from c2s_data.errors import C2SError, ClusterError, ConfigError

DEADLINE_S = 60.0
BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "c2s_data":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
"""


class Processes:
    """A scheduler and workers as others start them, each with an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "scheduler.json"
        self._folder = folder
        self._running: list[subprocess.Popen[bytes]] = []

    def scheduler(self, python_path: str = "") -> None:
        self._start("scheduler", ["--port=0"], python_path)
        deadline = time.monotonic() + DEADLINE_S
        while not (self.file.exists() and self.file.read_text().endswith("}")):
            assert time.monotonic() < deadline, "the scheduler did not start"
            time.sleep(0.05)

    def worker(self, python_path: str = "") -> None:
        self._start("worker", ["--nthreads=1", "--death-timeout=60", "--no-nanny"], python_path)

    def _start(self, what: str, options: list[str], python_path: str) -> None:
        package = str(Path(c2s_data.__file__).parents[1])
        path = os.pathsep.join(part for part in (python_path, package) if part)
        with (self._folder / f"{what}.out").open("ab") as stream:
            command = [f"distributed.cli.dask_{what}", "--host=127.0.0.1", "--no-dashboard"]
            self._running.append(
                subprocess.Popen(
                    [sys.executable, "-m", *command, f"--scheduler-file={self.file}", *options],
                    env=os.environ | {"PYTHONPATH": path},
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                )
            )

    def stop(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path)
    yield made
    made.stop()


def without_package(folder: Path) -> str:
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BLOCKED)
    return str(folder)


def with_other(folder: Path, name: str, version: str) -> str:
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return str(folder)


def test_a_scheduler_file_leads_to_its_cluster(processes: Processes) -> None:
    processes.scheduler()
    processes.worker()
    with connect(processes.file) as client:
        assert dict(map_over_workers(client, abs, [-3, 4])) == {-3: 3, 4: 4}
        # Workers of a cluster that is not ours: two tasks each, and no guess at more.
        assert n_in_flight(client, count_workers(client)) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "no scheduler file: No such file"),
        ("", "half written"),
        ('{"address": ', "half written"),
        ("[]", "half written"),
    ],
)
def test_a_scheduler_file_that_is_none_is_told(text: str | None, told: str, tmp_path: Path) -> None:
    path = tmp_path / "scheduler.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=told), connect(path):
        pass


def test_the_file_of_a_dead_scheduler_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scheduler.json"
    path.write_text(json.dumps({"address": "tcp://127.0.0.1:9"}))
    monkeypatch.setattr("c2s_data.cluster.connect.CONNECT_TIMEOUT", "1s")
    with (
        pytest.raises(ConfigError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"),
        connect(path),
    ):
        pass


def test_a_worker_without_the_package_is_told(processes: Processes, tmp_path: Path) -> None:
    processes.scheduler()
    processes.worker(without_package(tmp_path / "bare"))
    with (
        pytest.raises(ClusterError, match=r"worker tcp://\S+ has no cryo2struct-store") as caught,
        connect(processes.file),
    ):
        pass
    assert "No module named" in str(caught.value)
    assert "Install there what is installed here" in str(caught.value)


def test_a_scheduler_without_the_package_is_told(processes: Processes, tmp_path: Path) -> None:
    processes.scheduler(without_package(tmp_path / "bare"))
    processes.worker()
    with (
        pytest.raises(ClusterError, match=r"scheduler tcp://\S+ has no cryo2struct-store"),
        connect(processes.file),
    ):
        pass


def connect_until_all_are_there(file: Path) -> None:
    for _ in range(50):
        with connect(file) as client:
            count_workers(client)


@pytest.mark.parametrize(("who", "name"), [("worker", "zarr"), ("scheduler", "dask")])
def test_other_versions_are_told(who: str, name: str, processes: Processes, tmp_path: Path) -> None:
    other = with_other(tmp_path / "other", name, "0.0.7")
    processes.scheduler(other if who == "scheduler" else "")
    processes.worker()
    processes.worker(other if who == "worker" else "")
    here = versions_here()[name]
    told = rf"\n  {who} \S+ has {name} 0\.0\.7 where this process has {re.escape(str(here))}\n"
    with pytest.raises(ClusterError, match=told) as caught:
        connect_until_all_are_there(processes.file)
    assert str(caught.value).count("0.0.7") == 1


def test_a_client_that_was_inherited_over_a_fork_is_refused() -> None:
    with connect(Local(workers=1)) as client:
        receiver, sender = multiprocessing.Pipe(duplex=False)
        pid = os.fork()
        if pid == 0:
            try:
                list(map_over_workers(client, abs, [1]))
                sender.send("it answered")
            except BaseException as error:  # noqa: BLE001 - the child must end here
                sender.send(f"{type(error).__name__}: {error}")
            os._exit(0)
        said = receiver.recv() if receiver.poll(DEADLINE_S) else "it hung"
        os.waitpid(pid, 0)
        assert said.startswith("ClusterError: "), said
        assert f"was forked from process {os.getpid()}" in said
        assert "spawn or forkserver" in said
        assert dict(map_over_workers(client, abs, [-1])) == {-1: 1}


def test_an_adaptive_cluster_sees_work_for_all_it_may_become() -> None:
    with connect(Local(workers=1)) as client:
        assert n_in_flight(client, 1) == 2
        join(client, 40, 5.0)
        assert n_in_flight(client, 1) == 80
        assert n_in_flight(client, 100) == 200


def test_a_report_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("bokeh", reason="bokeh is not installed")
    report = tmp_path / "report.html"
    with connect(Local(workers=1), report=report) as client:
        assert dict(map_over_workers(client, abs, [-1, -2])) == {-1: 1, -2: 2}
    page = report.read_text("utf-8")
    assert "abs" in page
    page = re.sub(r"(<script[^>]*>).*?</script>", r"\1", page, flags=re.S)
    assert "<script" in page
    assert "<style" in page or "text/css" in page
    loaded = re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=[\"']([^\"']+)", page)
    assert [url for url in loaded if not url.startswith("data:")] == []
    with pytest.raises(RuntimeError, match="mine"), connect(Local(workers=1), report=report):
        raise RuntimeError("mine")


def test_a_report_that_cannot_be_written_is_told_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        pytest.raises(ConfigError, match="give a file in a folder that exists"),
        connect(report=tmp_path / "none" / "report.html"),
    ):
        pass
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with (
        pytest.raises(ConfigError, match=r"pip install 'cryo2struct-store\[dashboard\]'"),
        connect(report=tmp_path / "report.html"),
    ):
        pass


@pytest.mark.parametrize("missing", ["ca_file", "cert", "key"])
def test_certificates_come_in_threes(missing: str, tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("ca_file", "cert", "key")}
    for name, path in files.items():
        if name != missing:
            path.write_text("pem")
    with (
        pytest.raises(C2SError, match=f"{missing}: .*three PEM files"),
        connect(Address(address="tls://127.0.0.1:1", **files)),
    ):
        pass
