"""What the benchmarks of memory and workers stand on: stand-in stores, limits, processes."""

from __future__ import annotations

import pickle
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.loader import write_store  # noqa: E402
from benchmarks.suite.cloud_rows import worker_rows  # noqa: E402
from benchmarks.suite.groups.build import row_of_inflating  # noqa: E402
from benchmarks.suite.loader_memory import (  # noqa: E402
    OPTIONS,
    documented,
    in_own_process,
    listed_again,
    of_threads,
    of_workers,
)
from benchmarks.suite.made_store import built_store  # noqa: E402
from c2s_model.data import SubgridDataset, WindowDataset  # noqa: E402


@pytest.fixture(scope="module")
def opener(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("memory") / "store.zarr", 1, "lz4")


def test_an_opener_reaches_a_spawned_process_and_opens_the_same_store(opener):
    one, other = opener(), pickle.loads(pickle.dumps(opener))()
    assert (one.url, one.entries, one.specs) == (other.url, other.entries, other.specs)
    np.testing.assert_array_equal(one.index()[1], other.index()[1])


def test_an_epoch_takes_at_least_its_subgrids_and_counts_workers_once(opener):
    n_bytes = 512 * 32**3 * 3  # one shard of one map, all of which is held
    peak = in_own_process(of_threads, opener, 1)
    assert n_bytes < peak.nbytes < peak.documented
    peak = in_own_process(of_workers, opener, 2)
    assert n_bytes < peak.nbytes < peak.documented


def test_the_documented_subgrids_are_those_of_all_lanes_and_two_blocks_a_reader(opener):
    dataset = SubgridDataset(opener, **OPTIONS)
    assert dataset.order().n_lanes == 1
    assert documented(dataset) == 3 * 8192 * 32**3 * 3
    assert dataset.order(2).n_lanes == 2
    assert documented(dataset, 2) == 2 * 3 * 4096 * 32**3 * 3


def test_a_map_that_is_listed_three_times_gives_each_window_three_times(tmp_path):
    path = built_store(tmp_path, side=80)
    dataset = WindowDataset(partial(listed_again, path, 3), **OPTIONS)
    rows = Counter(row for batch in dataset for row in batch["row"].tolist())
    assert len(rows) == 3 * 4**3
    assert set(rows.values()) == {1}
    values = {int(n) for batch in dataset for n in batch["map"].unique()}
    assert values == {0, 1, 2}


def test_workers_stand_against_none_in_the_same_turn():
    rows = list(worker_rows({"0": [10.0, 20.0, 30.0], "1": [5.0, 5.0, 5.0], "2": [10.0] * 3}))
    assert [row.name for row in rows] == [
        "shuffled epoch from S3, 1 worker",
        "shuffled epoch from S3, 2 workers",
    ]
    assert [row.ratio for row in rows] == [0.25, 0.5]


@pytest.mark.parametrize(("published_s", "word"), [(8.7, "beyond"), (9.0, "within")])
def test_inflating_says_whether_it_leaves_thirty_times(published_s, word):
    row = row_of_inflating("inflating", [0.3, 0.3, 0.3], [published_s])
    assert row.note == f"30 x, for occupied subgrids alone, is {word} what it leaves"
    assert (row.better, row.goal) == (None, None)
