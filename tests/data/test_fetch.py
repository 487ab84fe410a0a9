"""Fetch files from a server that misbehaves: what is kept, resumed, and asked for again."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_tree import ArchiveTree, Fault, archive_tree
from fetch_cases import ENTRY, MAP, NAME, OTHER, fetcher, left, wanted

from c2s_data.sources.download import DownloadError, open_url
from c2s_data.sources.fetch import Wanted
from c2s_data.sources.fetched_bytes import Expected
from c2s_data.sources.part_file import PartFile
from c2s_data.sources.politeness import FetchPolicy, StoppedError


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[ArchiveTree]:
    with archive_tree(tmp_path, [ENTRY]) as served:
        yield served


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "fetched"
    made.mkdir()
    return made


def test_a_file_is_stored_recorded_and_not_asked_for_again(tree, folder: Path) -> None:
    first = fetcher(folder, tree).fetch(wanted(tree))
    assert (folder / NAME).read_bytes() == MAP
    assert first.record.sha256 == hashlib.sha256(MAP).hexdigest()
    assert (first.record.nbytes, first.was_there) == (len(MAP), False)
    assert left(folder) == {"emd_1001.map.gz"}
    again = fetcher(folder, tree, reread=True).fetch(wanted(tree))
    assert again.was_there
    assert again.record == first.record
    assert len(tree.asked) == 1


@pytest.mark.parametrize("cut", [1, 100_000, len(MAP) - 1])
def test_a_cut_body_is_resumed_where_it_ended(tree, folder: Path, cut: int) -> None:
    tree.fault("map.gz", Fault(cut=cut))
    fetcher(folder, tree).fetch(wanted(tree))
    assert (folder / NAME).read_bytes() == MAP
    assert [(asked.start, asked.status) for asked in tree.asked] == [(0, 200), (cut, 206)]
    assert sum(asked.sent for asked in tree.asked) == len(MAP)


def test_another_run_resumes_what_an_earlier_one_left(tree, folder: Path) -> None:
    once = FetchPolicy(tries=1, timeout_s=2.0)
    tree.fault("map.gz", Fault(cut=200_000))
    with pytest.raises(DownloadError, match="asked 1 times"):
        fetcher(folder, tree, once).fetch(wanted(tree))
    assert left(folder) == {"emd_1001.map.gz.part", "emd_1001.map.gz.part.json"}
    fetcher(folder, tree, once).fetch(wanted(tree))
    assert (folder / NAME).read_bytes() == MAP
    assert [asked.start for asked in tree.asked] == [0, 200_000]


def test_progress_counts_so_that_a_poor_line_brings_a_large_file(tree, folder: Path) -> None:
    cuts = [Fault(cut=30_000) for _ in range(9)]
    tree.fault("map.gz", *cuts)
    fetcher(folder, tree).fetch(wanted(tree))  # three tries, ten requests
    assert (folder / NAME).read_bytes() == MAP
    assert len(tree.asked) == 10


def test_without_progress_the_tries_are_counted(tree, folder: Path) -> None:
    tree.fault("map.gz", *[Fault(status=503) for _ in range(9)])
    with pytest.raises(DownloadError, match=r"status 503.*asked 3 times"):
        fetcher(folder, tree).fetch(wanted(tree))
    assert len(tree.asked) == 3
    assert left(folder) == set()


@pytest.mark.parametrize("what", ["has_ranges", "has_etags"])
def test_a_server_that_cannot_resume_is_asked_from_the_start(tree, folder, what: str) -> None:
    setattr(tree, what, False)
    tree.fault("map.gz", Fault(cut=100_000))
    fetcher(folder, tree).fetch(wanted(tree))
    assert (folder / NAME).read_bytes() == MAP
    assert [asked.start for asked in tree.asked] == [0, 0]


def test_content_that_changes_between_two_tries_is_not_mixed(tree, folder: Path) -> None:
    once = FetchPolicy(tries=1, timeout_s=2.0)
    tree.fault("map.gz", Fault(cut=100_000))
    with pytest.raises(DownloadError, match="cut off after 100,000"):
        fetcher(folder, tree, once).fetch(wanted(tree))
    tree.path("emd_1001.map.gz").write_bytes(OTHER)
    fetcher(folder, tree, once).fetch(wanted(tree))
    assert (folder / NAME).read_bytes() == OTHER


def test_what_came_of_one_mirror_is_not_gone_on_with_at_another(tree, folder: Path) -> None:
    once = FetchPolicy(tries=1, pause_s=0.01, timeout_s=2.0)
    tree.fault("/first/", Fault(body=MAP, cut=100_000))
    found = fetcher(folder, tree, once).fetch(wanted(tree, f"{tree.url}/first", tree.url))
    assert [(a.start, a.path.startswith("/first")) for a in tree.asked] == [(0, True), (0, False)]
    assert found.record.url == wanted(tree).urls[0]


def test_a_damaged_part_is_found_out_and_fetched_from_the_start(tree, folder: Path) -> None:
    once = FetchPolicy(tries=1, timeout_s=2.0)
    tree.fault("map.gz", Fault(cut=100_000))
    with pytest.raises(DownloadError):
        fetcher(folder, tree, once).fetch(wanted(tree))
    part = folder / f"{NAME}.part"
    part.write_bytes(part.read_bytes()[:50_000] + bytes(50_000))  # as after a power cut
    fetcher(folder, tree, once).fetch(wanted(tree))
    assert (folder / NAME).read_bytes() == MAP
    assert [asked.start for asked in tree.asked] == [0, 100_000, 0]


WRONG = {
    "page": (b"<html>busy</html>", "no gzip file"),
    "cut": (MAP[:-5], "cut off gzip"),
    "header alone": (MAP[:10], "cut off gzip"),
    "crc": (MAP[:-8] + bytes(8), "damaged gzip"),
    "bit": (MAP[:1000] + bytes([MAP[1000] ^ 1]) + MAP[1001:], "damaged gzip"),
    "trailing": (MAP + b"<html>", "damaged gzip"),
    "twice": (gzip.compress(MAP), "gzip within gzip"),
    "empty": (b"", "cut off gzip"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_gzip_is_not_kept(tree, folder: Path, kind: str) -> None:
    body, words = WRONG[kind]
    tree.fault("map.gz", Fault(body=body))
    with pytest.raises(DownloadError, match=words) as caught:
        fetcher(folder, tree).fetch(wanted(tree))
    assert "emd_1001.map.gz" in str(caught.value)
    assert left(folder) == set()
    assert len(tree.asked) == 1


def test_the_next_mirror_is_asked(tree, folder: Path) -> None:
    tree.fault("/gone/", Fault(status=404))
    found = fetcher(folder, tree).fetch(wanted(tree, f"{tree.url}/gone", tree.url))
    assert found.record.url.startswith(tree.url + "/pub")
    assert [asked.status for asked in tree.asked] == [404, 200]


def test_missing_everywhere_is_told_from_not_to_be_had(tree, folder: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        fetcher(folder, tree).fetch(wanted(tree, f"{tree.url}/a", f"{tree.url}/b"))
    assert caught.value.says_missing
    assert str(caught.value).count("status 404") == 2
    tree.fault("/b/", *[Fault(status=500)] * 3)
    with pytest.raises(DownloadError) as caught:
        fetcher(folder, tree).fetch(wanted(tree, f"{tree.url}/a", f"{tree.url}/b"))
    assert not caught.value.says_missing


def test_a_redirect_to_a_forbidden_host_is_refused_at_once(tree, folder: Path) -> None:
    tree.fault("map.gz", Fault(redirect="https://evil.example/emd_1001.map.gz"))
    with pytest.raises(DownloadError, match="not opened"):
        fetcher(folder, tree).fetch(wanted(tree))
    assert len(tree.asked) == 1


def test_too_much_is_not_asked_for_again(tree, folder: Path) -> None:
    with pytest.raises(DownloadError, match="1,000 allowed"):
        fetcher(folder, tree).fetch(wanted(tree, max_bytes=1000))
    assert len(tree.asked) == 1


def test_a_server_that_asks_for_too_long_a_wait_is_given_up(tree, folder: Path) -> None:
    tree.fault("map.gz", Fault(status=503, retry_after="86400"))
    with pytest.raises(DownloadError, match="come back in 86,400 s"):
        fetcher(folder, tree).fetch(wanted(tree))
    assert len(tree.asked) == 1


def test_a_slow_body_is_cut_at_the_deadline_and_resumed(tree, folder: Path) -> None:
    tree.fault("map.gz", Fault(drip_s=0.01))
    slow = FetchPolicy(tries=2, pause_s=0.01, deadline_s=0.6)
    fetcher(folder, tree, slow).fetch(wanted(tree))
    assert 0 < max(asked.start for asked in tree.asked) < len(MAP)
    assert (folder / NAME).read_bytes() == MAP


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_stops_everything(tree, folder: Path, monkeypatch) -> None:
    full = fetcher(folder, tree)
    with Path("/dev/full").open("wb", buffering=0) as device:
        monkeypatch.setattr(PartFile, "opened", lambda *_: device)
        with pytest.raises(StoppedError, match="disk is full; free space"):
            full.fetch(wanted(tree))
    with pytest.raises(StoppedError):
        full.hosts.check()


def test_a_file_that_will_not_fit_is_an_error_of_its_own(tree, folder, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1000))
    crowded = fetcher(folder, tree)
    with pytest.raises(DownloadError, match="do not fit"):
        crowded.fetch(wanted(tree))
    crowded.hosts.check()


def test_a_stored_gzip_file_may_be_called_encoded(tree, folder: Path) -> None:
    tree.fault("map.gz", Fault(headers={"Content-Encoding": "x-gzip"}))
    fetcher(folder, tree).fetch(wanted(tree))
    assert (folder / NAME).read_bytes() == MAP
    tree.fault("map.gz", Fault(headers={"Content-Encoding": "gzip"}))
    with pytest.raises(DownloadError, match="sent as 'gzip'"):
        fetcher(folder, tree, accept_changed=True).fetch(
            Wanted("x", wanted(tree).urls, Expected(10**6))
        )


@pytest.mark.parametrize("text", ["bytes 99999-{end}/{all}", "bytes 100000-{end}/*", "x", ""])
def test_a_range_that_was_not_asked_for_begins_anew(tree, folder: Path, text: str) -> None:
    lie = text.format(end=len(MAP) - 1, all=len(MAP))
    tree.fault("map.gz", Fault(cut=100_000), Fault(headers={"Content-Range": lie}))
    fetcher(folder, tree).fetch(wanted(tree))
    assert (folder / NAME).read_bytes() == MAP
    assert [asked.start for asked in tree.asked] == [0, 100_000, 0]


def test_a_range_needs_the_validator_of_its_content(tree: ArchiveTree) -> None:
    for validator in (None, 'W/"x"', '"x"\r\nHost: evil', ""):
        with (
            pytest.raises(ValueError, match="validator"),
            open_url(tree.url, max_bytes=9, start=5, validator=validator),
        ):
            pass


def test_stopping_ends_a_transfer_that_can_be_resumed(tree, folder: Path) -> None:
    tree.fault("map.gz", Fault(drip_s=0.005))
    stopped = fetcher(folder, tree)
    timer = threading.Timer(0.5, stopped.hosts.stop)
    timer.start()
    with pytest.raises(StoppedError):
        stopped.fetch(wanted(tree))
    timer.join()
    assert 0 < (folder / f"{NAME}.part").stat().st_size < len(MAP)
    fetcher(folder, tree).fetch(wanted(tree))
    assert tree.asked[-1].start > 0 or tree.asked[0].start > 0
