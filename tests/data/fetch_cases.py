"""What the tests of fetching share: one map on a local server, and how it is asked for."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from archive_tree import ArchiveTree, TreeEntry

from c2s_data.sources.fetch import Fetcher, Wanted
from c2s_data.sources.fetched_bytes import Expected
from c2s_data.sources.ledger import LEDGER_NAME
from c2s_data.sources.politeness import FetchPolicy, Hosts

MAP = gzip.compress(np.random.default_rng(5).bytes(300_000), mtime=0)
OTHER = gzip.compress(b"other content" * 1000, mtime=0)
ENTRY = TreeEntry("EMD-1001", MAP, "7kjr", "data_7KJR\n", ">7KJR_1\nAG\n")
QUICK = FetchPolicy(tries=3, pause_s=0.01, file_pace_s=0.0001, api_pace_s=0.0001, timeout_s=2.0)
NAME = "EMD-1001/emd_1001.map.gz"


def fetcher(folder: Path, tree: ArchiveTree, policy: FetchPolicy = QUICK, **options) -> Fetcher:
    return Fetcher(folder, Hosts(policy), [tree.url], **options)


def wanted(tree: ArchiveTree, *bases: str, max_bytes: int = 10**6, **expected) -> Wanted:
    path = "/pub/emdb/structures/EMD-1001/map/emd_1001.map.gz"
    urls = tuple(base + path for base in bases or (tree.url,))
    return Wanted(NAME, urls, Expected(max_bytes, **({"gzipped": True} | expected)))


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()} - {LEDGER_NAME}
