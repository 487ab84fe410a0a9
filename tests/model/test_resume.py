"""A dataset that goes on where another one stopped."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from small_store import all_rows, rows, small, write_store
from torch.utils.data import DataLoader

from c2s_data.errors import StoreError
from c2s_data.store.subgrid_reader import SubgridReader


def loaders(opener, world, workers, state=None, **options):
    """Return dataset and DataLoader of every rank, gone on after a state."""
    datasets = [small(opener, rank=rank, world_size=world, **options) for rank in range(world)]
    if state is not None:
        for dataset in datasets:
            dataset.load_state_dict(state)
    return [
        (dataset, DataLoader(dataset, batch_size=None, num_workers=workers)) for dataset in datasets
    ]


def in_steps(ranks):
    turns = itertools.zip_longest(*(list(loader) for _, loader in ranks))
    return [batch for turn in turns for batch in turn if batch is not None]


def content(batches):
    return [(batch["row"].tolist(), batch["density"].sum().item()) for batch in batches]


def test_after_any_batch_the_rest_comes_in_the_same_order(plain_store):
    dataset = small(plain_store, seed=4)
    dataset.set_epoch(2)
    batches = list(dataset)
    expected = content(batches)
    for used, batch in enumerate(batches, 1):
        state = json.loads(json.dumps(dataset.state_dict(batch)))
        other = small(plain_store, seed=4)
        other.load_state_dict(state)
        assert other.epoch == 2
        assert other.n_batches() == len(batches) - used
        assert content(other) == expected[used:]
    assert content(batches) == expected  # kept batches stay as they are


@pytest.mark.parametrize("ends", ["exact", "drop", "pad"])
@pytest.mark.parametrize(
    ("before", "after"), [((1, 2), (2, 2)), ((2, 1), (3, 0)), ((4, 0), (1, 1)), ((3, 2), (2, 0))]
)
def test_other_ranks_and_workers_go_on_with_the_same_sequence(plain_store, before, after, ends):
    ranks = loaders(plain_store, *before, ends=ends)
    batches = in_steps(ranks)
    steps = 5
    last = batches[steps * before[0] - 1]
    state = ranks[0][0].state_dict(last)
    assert all(dataset.state_dict(last) == state for dataset, _ in ranks)
    resumed = loaders(plain_store, *after, state, ends=ends)
    rest, left = in_steps(resumed), content(batches)[steps * before[0] :]
    extra = len(left) % after[0]
    assert [dataset.n_batches(after[1]) for dataset, _ in resumed] == [
        len(range(rank, len(rest), after[0])) for rank in range(after[0])
    ]
    if ends == "drop":
        left = left[: len(left) - extra]
    assert content(rest)[: len(left)] == left
    again = rest[len(left) :]
    assert len(again) == (-extra % after[0] if ends == "pad" else 0)
    assert all(batch["repeated"].all() for batch in again)


def test_the_numbers_of_batches_count_the_whole_epoch(plain_store):
    ranks = loaders(plain_store, 2, 2)
    batches = in_steps(ranks)
    assert [batch["place"][1].item() for batch in batches] == list(range(len(batches)))
    state = ranks[0][0].state_dict(batches[9])
    assert state["done"] == 10
    rest = in_steps(loaders(plain_store, 1, 0, state))
    assert [batch["place"][1].item() for batch in rest] == list(range(10, len(batches)))


def test_a_state_of_the_resumed_part_is_as_good(plain_store):
    seen = Counter()
    state = None
    for world, workers, steps in [(2, 1, 4), (3, 0, 3), (1, 2, 5), (2, 0, 100)]:
        ranks = loaders(plain_store, world, workers, state)
        for batches in [list(loader)[:steps] for _, loader in ranks]:
            seen.update(rows(batches))
            # The last of any rank names the same step.
            state = ranks[0][0].state_dict(batches[-1])
    assert seen == Counter(all_rows(plain_store()))


def test_the_epoch_after_is_like_any_other(plain_store):
    first = small(plain_store)
    state = first.state_dict(next(iter(first)))
    dataset, fresh = small(plain_store), small(plain_store)
    dataset.load_state_dict(state)
    rest = rows(dataset)
    dataset.set_epoch(0)  # a loop begins with the epoch that was loaded
    assert rows(dataset) == rest
    for epoch in (1, 0):
        dataset.set_epoch(epoch)
        fresh.set_epoch(epoch)
        assert rows(dataset) == rows(fresh)


def test_workers_that_persist_go_on_too(plain_store):
    dataset = small(plain_store)
    loader = DataLoader(dataset, batch_size=None, num_workers=2, persistent_workers=True)
    batches = list(loader)
    dataset.load_state_dict(dataset.state_dict(batches[7]))
    assert content(loader) == content(batches[8:])
    dataset.set_epoch(1)
    assert sorted(rows(loader)) == all_rows(plain_store())
    del loader


def test_what_workers_have_ready_does_not_count(plain_store):
    loader = DataLoader(
        dataset := small(plain_store), batch_size=None, num_workers=2, prefetch_factor=4
    )
    used = list(itertools.islice(loader, 3))
    assert dataset.state_dict(used[-1])["done"] == 3


def test_before_the_first_batch_and_after_the_last(plain_store):
    dataset = small(plain_store)
    dataset.set_epoch(3)
    start = dataset.state_dict()
    other = small(plain_store, rank=1, world_size=3)
    other.load_state_dict(start)
    expected = small(plain_store, rank=1, world_size=3)
    expected.set_epoch(3)
    assert rows(other) == rows(expected)
    assert dataset.state_dict() == start  # nothing was used in this process
    end = dataset.state_dict(list(dataset)[-1])
    for options in ({}, {"rank": 2, "world_size": 5}):
        other = small(plain_store, **options)
        other.load_state_dict(end)
        assert list(other) == []
        assert other.state_dict() == end
        other.set_epoch(4)
        assert rows(other)


def test_what_was_used_is_not_read_again(plain_store, monkeypatch):
    read = Counter()
    scatter = SubgridReader.scatter_rows

    def counted(self, shard, start, stop, *rest):
        read[self.location.rsplit("/", 1)[1]] += stop - start
        scatter(self, shard, start, stop, *rest)

    monkeypatch.setattr(SubgridReader, "scatter_rows", counted)
    dataset = small(plain_store, shuffle=False, buffer_rows=32)
    batches = list(dataset)
    assert read == {"density": 331, "atom": 331}
    read.clear()
    dataset.load_state_dict(dataset.state_dict(batches[-3]))
    assert len(list(dataset)) == 2
    # Two batches of 7, and what shares a run of 8 rows with them.
    assert 14 <= read["density"] == read["atom"] <= 14 + 2 * 8


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"split": "train"},
        {"batch_size": 8},
        {"ends": "pad"},
        {"shuffle": False},
        {"subgrids": "occupied"},
        {"subgrids": "occupied", "rest_share": 0.5},
        {"rows_per_read": 4},
        {"buffer_rows": 64},
    ],
    ids="-".join,
)
def test_other_options_are_refused_by_name(plain_store, other):
    dataset = small(plain_store)
    state = dataset.state_dict(next(iter(dataset)))
    with pytest.raises(ValueError, match="other options") as caught:
        small(plain_store, **other).load_state_dict(state)
    for name, value in other.items():
        assert f"{name}={value!r} instead of" in str(caught.value)
    assert str(caught.value).count("instead of") == len(other)


def test_what_does_not_change_the_order_may_change(plain_store):
    dataset = small(plain_store)
    batches = list(dataset)
    other = small(
        plain_store, targets=("amino",), density_dtype="float32", threads=1, on_corrupt="skip"
    )
    other.load_state_dict(dataset.state_dict(batches[3]))
    assert rows(other) == rows(batches[4:])


def with_identity(opener, **identity):
    def opened():
        store = opener()
        vars(store).update(identity)
        return store

    return opened


def test_another_store_or_generation_is_refused(plain_store):
    dataset = small(plain_store)
    state = dataset.state_dict(next(iter(dataset)))
    grown = with_identity(plain_store, generation=2, fingerprint="ab" * 32)
    with pytest.raises(StoreError, match=r"generation 1 .*generation 2 .*generation=1"):
        small(grown).load_state_dict(state)
    other = with_identity(plain_store, fingerprint="ab" * 32)
    with pytest.raises(StoreError, match=r"abababababab: another store"):
        small(other).load_state_dict(state)


@pytest.mark.parametrize(
    "damage",
    [
        {"version": 2},
        {"version": None},
        {"epoch": -1},
        {"epoch": "1"},
        {"done": 10**6},
        {"done": 0},
        {"done": 1.5},
        {"done": True},
        {"readers": 0},
        {"readers": 10**9},
        {"order": "0" * 16},
        {"store": None},
        {"options": None},
        {"options": {}},
    ],
    ids=str,
)
def test_damaged_states_are_refused(plain_store, damage):
    dataset = small(plain_store)
    state = dataset.state_dict(next(iter(dataset)))
    with pytest.raises(ValueError, match="state"):
        dataset.load_state_dict(state | damage)
    assert dataset.state_dict()["done"] == 0


@pytest.mark.parametrize("garbage", [None, [], "state", {}, {"epoch": 1}])
def test_what_is_no_state_is_refused(plain_store, garbage):
    with pytest.raises(ValueError, match="state"):
        small(plain_store).load_state_dict(garbage)


def test_a_batch_of_something_else_is_refused(plain_store):
    with pytest.raises(ValueError, match="no 'place'"):
        small(plain_store).state_dict({"row": torch.zeros(3)})


def test_values_after_a_resume_are_those_that_zarr_reads(tmp_path):
    opener = write_store(Path(tmp_path / "s.zarr"), [("train", 150, 70), (None, 77, 5)])
    group = zarr.open_group(opener().url, path="subgrids", mode="r")
    dataset = small(opener, rank=0, world_size=2)
    state = dataset.state_dict(list(itertools.islice(dataset, 3))[-1])
    arrays = {name: group[name][...] for name in ("density", "atom", "map", "corner_zyx")}
    for rank in range(5):
        resumed = small(opener, rank=rank, world_size=5)
        resumed.load_state_dict(state)
        for batch in resumed:
            at = batch["row"].numpy()
            np.testing.assert_array_equal(batch["density"][:, 0].numpy(), arrays["density"][at])
            for name in ("atom", "map", "corner_zyx"):
                np.testing.assert_array_equal(batch[name].numpy(), arrays[name][at])
