"""The cache of what is read from object storage: bounded, shared, and never believed unread."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from c2s_data.errors import ConfigError, StoreError
from c2s_data.store.object_cache import CacheOptions, ObjectCache, parse_size

KB = 1000


def held(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.cached"))


def test_what_is_put_is_found_until_forgotten(tmp_path: Path) -> None:
    cache = ObjectCache(CacheOptions(str(tmp_path), 10 * KB), "store a")
    assert cache.get("x") is None
    cache.put("x", b"content")
    cache.put("empty", b"")
    assert (cache.get("x"), cache.get("empty")) == (b"content", b"")
    assert ObjectCache(CacheOptions(str(tmp_path), 10 * KB), "store a").get("x") == b"content"
    assert ObjectCache(CacheOptions(str(tmp_path), 10 * KB), "store b").get("x") is None
    cache.forget("x")
    cache.forget("x")
    assert cache.get("x") is None
    assert held(tmp_path) == 4


@pytest.mark.parametrize("kept_bytes", [0, 3, 500, 1003])
def test_a_file_that_was_cut_or_changed_is_nothing(tmp_path: Path, kept_bytes: int) -> None:
    cache = ObjectCache(CacheOptions(str(tmp_path), 10 * KB), "store")
    cache.put("x", bytes(1000))
    (path,) = tmp_path.glob("*.cached")
    path.write_bytes(path.read_bytes()[:kept_bytes])
    assert cache.get("x") is None
    assert not path.exists()
    cache.put("x", b"again")
    assert cache.get("x") == b"again"


def test_a_full_cache_keeps_what_this_time_has_used(tmp_path: Path) -> None:
    options = CacheOptions(str(tmp_path), 5 * KB)
    cache = ObjectCache(options, "store")
    for number in range(9):
        cache.put(f"{number}", bytes([number]) * 996)
    assert [cache.get(f"{number}") is not None for number in range(9)] == [True] * 5 + [False] * 4
    assert held(tmp_path) == 5 * KB
    assert ObjectCache(options, "later")  # The count survives who wrote it.
    assert (tmp_path / "bytes").read_text() == "5000"


def test_what_nobody_used_since_makes_room(tmp_path: Path) -> None:
    options = CacheOptions(str(tmp_path), 5 * KB)
    before = ObjectCache(options, "store")
    for number in range(5):
        before.put(f"{number}", bytes([number]) * 996)
    for path in tmp_path.glob("*.cached"):
        os.utime(path, (time.time() - 100,) * 2)
    now = ObjectCache(options, "store")
    assert now.get("3") == bytes([3]) * 996  # used now, so it stays
    for name in "abcdef":
        now.put(name, name.encode() * 996)
    assert [now.get(name) is not None for name in "01234abcdef"] == (
        [False, False, False, True, False] + [True] * 4 + [False] * 2
    )
    assert held(tmp_path) <= 5 * KB


def test_processes_together_stay_within_the_bound(tmp_path: Path) -> None:
    program = (
        "import sys; from c2s_data.store.object_cache import *\n"
        "cache = ObjectCache(CacheOptions(sys.argv[1], 50_000), 'store')\n"
        "for number in range(60): cache.put(f'{sys.argv[2]}-{number}', bytes(996))\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(number)])
        for number in range(3)
    ]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert held(tmp_path) == 50 * KB


def test_what_a_killed_process_left_is_removed_in_time(tmp_path: Path) -> None:
    old, young = tmp_path / "a.cached.1.ff.part", tmp_path / "b.cached.1.ff.part"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    (tmp_path / "bytes").write_text("999999999")  # Counted, and then killed.
    cache = ObjectCache(CacheOptions(str(tmp_path), 5 * KB), "store")
    assert (old.exists(), young.exists()) == (False, True)
    cache.put("x", b"there is room")
    assert cache.get("x") == b"there is room"


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        CacheOptions(str(tmp_path), 0)
    assert [parse_size(text) for text in ("20GB", "1.5 MB", "7", "3k", "2T")] == [
        20 * 10**9, 1_500_000, 7, 3000, 2 * 10**12,
    ]  # fmt: skip
    for text in ("", "GB", "-1GB", "1 GiB", "nan"):
        with pytest.raises(ConfigError, match="write it as"):
            parse_size(text)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cache cannot be written"):
        ObjectCache(CacheOptions(str(tmp_path / "file"), 1), "store")
