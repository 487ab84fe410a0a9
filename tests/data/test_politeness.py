"""Pace, connections, waits that servers ask for, and the policy's settings."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from archive_tree import ArchiveTree, Fault, archive_tree
from fetch_cases import ENTRY, QUICK, fetcher, wanted

from c2s_data.sources.download import DownloadError
from c2s_data.sources.politeness import FetchPolicy, Hosts, StoppedError, _asked_wait


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[ArchiveTree]:
    with archive_tree(tmp_path, [ENTRY]) as served:
        yield served


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "fetched"
    made.mkdir()
    return made


def test_the_wait_that_a_server_asks_for_is_kept(tree, folder: Path) -> None:
    tree.fault("map.gz", Fault(status=429, retry_after="1"))
    fetcher(folder, tree).fetch(wanted(tree))
    first, second = tree.asked
    assert second.at - first.at >= 0.95


def test_a_wait_holds_one_host_for_all_threads_and_no_other() -> None:
    hosts, answered, begun = Hosts(QUICK), [], threading.Event()
    in_a_while = format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True)

    def busy() -> None:
        begun.set()
        raise DownloadError("busy", 429, in_a_while)

    def ask(url: str, attempt: Callable[[], object]) -> None:
        with suppress(StoppedError):
            hosts.ask(url, attempt, pace_s=0.0001)

    threads = [threading.Thread(target=ask, args=("https://h/x", busy))]
    threads[0].start()
    assert begun.wait(30)
    for _ in range(3000):
        if hosts._hosts["h"].next_start > time.monotonic() + 200:
            break
        time.sleep(0.01)
    answers = {url: lambda url=url: answered.append(url) for url in ("https://h/y", "https://k/z")}
    threads += [threading.Thread(target=ask, args=item) for item in answers.items()]
    for thread in threads[1:]:
        thread.start()
    threads[2].join(30)
    hosts.stop()
    for thread in threads:
        thread.join(30)
    assert answered == ["https://k/z"]


def test_what_retry_after_may_say() -> None:
    assert _asked_wait("120") == 120.0
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 90 < _asked_wait(later) <= 100
    for text in (None, "", "soon", "-5", "1.5", "Mon, 01 Jan 2001 00:00:00 GMT", "٣", "x" * 10**6):
        assert _asked_wait(text) == 0.0
    assert _asked_wait("9" * 5000) > 1e11


def test_pace_and_connections_are_bounded_per_host() -> None:
    hosts = Hosts(FetchPolicy(per_host=2))
    starts, busy, most = [], 0, 0
    begin = time.monotonic()
    lock = threading.Lock()

    def attempt() -> None:
        nonlocal busy, most
        with lock:
            starts.append(time.monotonic())
            busy += 1
            most = max(most, busy)
        time.sleep(0.06)
        with lock:
            busy -= 1

    threads = [
        threading.Thread(target=lambda: hosts.ask("https://h/x", attempt, pace_s=0.03))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2
    assert max(starts) - begin >= 7 * 0.03 - 1e-3


def test_the_environment_sets_the_policy(monkeypatch) -> None:
    from c2s_data.errors import ConfigError

    monkeypatch.setenv("C2S_FETCH_TRIES", "9")
    monkeypatch.setenv("C2S_FETCH_PAUSE_S", "0.5")
    assert FetchPolicy.from_environment() == FetchPolicy(tries=9, pause_s=0.5)
    for bad in ("0", "-1", "x", "nan", "inf", "1.5"):
        monkeypatch.setenv("C2S_FETCH_TRIES", bad)
        with pytest.raises(ConfigError, match="C2S_FETCH_TRIES"):
            FetchPolicy.from_environment()
