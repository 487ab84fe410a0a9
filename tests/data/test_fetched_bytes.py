"""Gzip, sizes, digests and first characters of what was fetched."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

import pytest
from fetch_cases import MAP, OTHER

from c2s_data.sources.fetched_bytes import ContentError, Expected, digest_of


def test_several_gzip_members_and_padding_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(MAP + OTHER + bytes(512))
    expected = Expected(10**9, gzipped=True)
    assert digest_of(path, expected, lambda: None) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_bomb_costs_no_memory(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(bytes(50_000_000), 9))
    tracemalloc.start()
    digest_of(path, Expected(10**9, gzipped=True), lambda: None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


def test_size_digest_and_first_characters_are_enforced(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b">7KJR\nAG\n")
    md5 = "md5:" + hashlib.md5(b">7KJR\nAG\n", usedforsecurity=False).hexdigest()
    right = Expected(99, begins=re.compile(rb">"), nbytes=9, digest=md5)
    assert len(digest_of(path, right, lambda: None)) == 64
    wrong = [
        (Expected(99, nbytes=10), "9 bytes instead of 10"),
        (Expected(99, digest="md5:" + "0" * 32), "not the published"),
        (Expected(99, begins=re.compile(rb"data_")), "not the format"),
    ]
    for expected, words in wrong:
        with pytest.raises(ContentError, match=words):
            digest_of(path, expected, lambda: None)
