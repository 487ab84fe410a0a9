"""What was fetched is recorded and enforced: changes here and at the server are refused."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_tree import ArchiveTree, Fault, archive_tree
from fetch_cases import ENTRY, MAP, NAME, OTHER, fetcher, left, wanted

from c2s_data.sources.fetch import ChangedError
from c2s_data.sources.ledger import LEDGER_NAME, Ledger, LedgerError, locked


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[ArchiveTree]:
    with archive_tree(tmp_path, [ENTRY]) as served:
        yield served


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "fetched"
    made.mkdir()
    return made


def test_a_file_that_changed_here_is_refused_then_replaced_on_request(tree, folder) -> None:
    fetcher(folder, tree).fetch(wanted(tree))
    path = folder / NAME
    path.write_bytes(MAP[:-1] + b"?")
    with pytest.raises(ChangedError, match=r"its sha256 is .* move it away .*--accept-changed"):
        fetcher(folder, tree).fetch(wanted(tree))
    path.write_bytes(MAP[:-1])
    with pytest.raises(ChangedError, match="instead of the recorded"):
        fetcher(folder, tree).fetch(wanted(tree))
    assert len(tree.asked) == 1
    fetcher(folder, tree, accept_changed=True).fetch(wanted(tree))
    assert path.read_bytes() == MAP


def test_a_change_that_keeps_size_and_time_is_found_when_asked(tree, folder: Path) -> None:
    fetcher(folder, tree).fetch(wanted(tree))
    path = folder / NAME
    before = path.stat()
    path.write_bytes(MAP[:-1] + b"?")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert fetcher(folder, tree).fetch(wanted(tree)).was_there
    with pytest.raises(ChangedError):
        fetcher(folder, tree, reread=True).fetch(wanted(tree))


def test_a_copied_folder_is_read_once_more_and_then_known(tree, folder: Path) -> None:
    fetcher(folder, tree).fetch(wanted(tree))
    os.utime(folder / NAME, ns=(1, 10**18))
    assert fetcher(folder, tree).fetch(wanted(tree)).record.mtime_ns == 10**18
    assert Ledger(folder).get(NAME).mtime_ns == 10**18


def test_content_that_changed_at_the_server_is_refused_then_taken_on_request(tree, folder):
    first = fetcher(folder, tree).fetch(wanted(tree))
    (folder / NAME).unlink()
    tree.path("emd_1001.map.gz").write_bytes(OTHER)
    with pytest.raises(ChangedError, match="the archive now has other content") as caught:
        fetcher(folder, tree).fetch(wanted(tree))
    assert first.record.sha256 in str(caught.value)
    assert "--accept-changed" in str(caught.value)
    assert left(folder) == set()
    taken = fetcher(folder, tree, accept_changed=True).fetch(wanted(tree))
    assert taken.record.sha256 == hashlib.sha256(OTHER).hexdigest()
    assert fetcher(folder, tree).fetch(wanted(tree)).was_there


def test_a_mirror_that_lags_does_not_hide_one_with_the_recorded_content(tree, folder) -> None:
    fetcher(folder, tree).fetch(wanted(tree))
    (folder / NAME).unlink()
    tree.fault("/lagging/", Fault(body=OTHER))
    found = fetcher(folder, tree).fetch(wanted(tree, f"{tree.url}/lagging", tree.url))
    assert found.record.sha256 == hashlib.sha256(MAP).hexdigest()


def test_a_file_of_someone_else_is_left_alone(tree, folder: Path, tmp_path: Path) -> None:
    (folder / NAME).parent.mkdir()
    (folder / NAME).write_bytes(b"mine")
    with pytest.raises(ChangedError, match="not fetched by this program"):
        fetcher(folder, tree).fetch(wanted(tree))
    (folder / NAME).unlink()
    (tmp_path / "elsewhere").write_bytes(b"mine")
    (folder / NAME).symlink_to(tmp_path / "elsewhere")
    for accept in (False, True):
        with pytest.raises(ChangedError, match="no regular file"):
            fetcher(folder, tree, accept_changed=accept).fetch(wanted(tree))
    (folder / NAME).unlink()
    (folder / f"{NAME}.part").symlink_to(tmp_path / "elsewhere")
    etag = f'"{hashlib.sha1(MAP, usedforsecurity=False).hexdigest()}"'
    note = {"url": wanted(tree).urls[0], "validator": etag}
    (folder / f"{NAME}.part.json").write_text(json.dumps(note))
    fetcher(folder, tree).fetch(wanted(tree))
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"
    assert (folder / NAME).read_bytes() == MAP


def test_a_run_killed_before_the_rename_finishes_without_a_request(tree, folder, monkeypatch):
    rename = Path.replace

    def killed_at_last(self: Path, target: Path) -> Path:
        if self.suffix == ".part":
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed_at_last)
        with pytest.raises(KeyboardInterrupt):
            fetcher(folder, tree).fetch(wanted(tree))
    assert not (folder / NAME).exists()
    fetcher(folder, tree).fetch(wanted(tree))
    assert (folder / NAME).read_bytes() == MAP
    assert len(tree.asked) == 1


def test_the_ledger_survives_a_torn_line_and_refuses_a_changed_one(tree, folder: Path) -> None:
    record = fetcher(folder, tree).fetch(wanted(tree)).record
    path = folder / LEDGER_NAME
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    assert Ledger(folder).get(NAME) == record
    assert path.read_bytes() == whole
    path.write_bytes(whole.replace(b'"nbytes": 3', b'"nbytes": 4') + whole)
    with pytest.raises(LedgerError, match="line 1 is not as it was written"):
        Ledger(folder)
    for junk in (b"[]\n", b"null\n", b"{}\n", b"[" * 100_000 + b"\n", b"\xff\n"):
        path.write_bytes(junk)
        with pytest.raises(LedgerError, match="line 1"):
            Ledger(folder)
    assert json.loads(whole)["path"] == NAME


def test_two_runs_do_not_fetch_into_one_folder(folder: Path) -> None:
    with locked(folder), pytest.raises(LedgerError, match="another process"), locked(folder):
        pass
