"""A dataset keeps to one generation of a store that grows."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest
from grown_store import make_first_generation, second_plan, write_unfinished
from small_store import all_rows, rows, small
from torch.utils.data import DataLoader

from c2s_data.errors import NotCommittedError, StoreError
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import open_store
from c2s_model.data.store_handle import StoreHandle


@pytest.fixture
def folder(tmp_path) -> Path:
    """A store of one generation."""
    make_first_generation(open_objects(tmp_path / "store.zarr"))
    return tmp_path / "store.zarr"


def grow(folder: Path) -> None:
    objects = open_objects(folder)
    plan = begin_store(objects, second_plan(), rebuild=True)
    write_unfinished(objects, plan)
    assert commit(objects, plan).generation == 2


def own_rows(folder: Path, generation: int) -> list[int]:
    return sorted(all_rows(open_store(folder, generation)))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_commit_during_training_changes_nothing(folder, workers):
    dataset = small(folder, batch_size=2)
    loader = DataLoader(dataset, batch_size=None, num_workers=workers)
    first = rows(loader)
    grow(folder)
    assert own_rows(folder, 1) != own_rows(folder, 2)
    assert rows(loader) == first
    assert sorted(first) == own_rows(folder, 1)
    assert sorted(rows(small(folder, batch_size=2))) == own_rows(folder, 2)


def test_an_open_store_stays_at_its_generation_in_workers(folder):
    store = open_store(folder)
    grow(folder)
    loader = DataLoader(small(store), batch_size=None, num_workers=1)
    assert sorted(rows(loader)) == own_rows(folder, 1)
    assert sorted(rows(small(store, generation=2))) == own_rows(folder, 2)


def test_a_state_names_the_generation_that_continues_it(folder):
    dataset = small(folder, batch_size=2)
    batches = list(dataset)
    state = dataset.state_dict(batches[2])
    grow(folder)
    with pytest.raises(StoreError, match=r"open the one of the state with generation=1"):
        small(folder, batch_size=2).load_state_dict(state)
    older = small(folder, batch_size=2, generation=1)
    older.load_state_dict(state)
    assert rows(older) == rows(batches[3:])


def test_a_generation_that_is_not_there(folder):
    with pytest.raises(NotCommittedError, match="no generation 7"):
        list(small(folder, generation=7))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_store_that_was_built_anew_is_not_the_same_generation(folder, workers):
    dataset = small(folder, batch_size=2)
    loader = DataLoader(dataset, batch_size=None, num_workers=workers)
    first = open_store(folder)
    assert sorted(rows(loader)) == own_rows(folder, 1)
    shutil.rmtree(folder)
    make_first_generation(open_objects(folder), compressor="zstd")
    other = open_store(folder)
    assert (other.generation, other.fingerprint == first.fingerprint) == (1, False)
    # This process has not opened it before where a worker did; the worker of this epoch neither.
    dataset = pickle.loads(pickle.dumps(dataset)) if not workers else dataset
    with pytest.raises(StoreError, match=f"{other.fingerprint}.* {first.fingerprint}"):
        rows(DataLoader(dataset, batch_size=None, num_workers=workers))
    with pytest.raises(StoreError, match=r"make a new dataset"):
        dataset.state_dict()
    assert sorted(rows(small(folder, batch_size=2))) == own_rows(folder, 1)


def test_an_open_store_is_pinned_by_its_content(folder):
    dataset = small(open_store(folder))
    shutil.rmtree(folder)
    make_first_generation(open_objects(folder), compressor="zstd")
    with pytest.raises(StoreError, match="the store was replaced"):
        rows(DataLoader(dataset, batch_size=None, num_workers=1))


def test_of_two_processes_that_opened_another_content_the_first_notices(folder):
    first, second = StoreHandle(folder), StoreHandle(folder)
    first.open()
    grow(folder)
    second.open()
    # As if both had opened it at the same moment, and the second had pinned it last.
    first._generation.copy_(second._generation)
    first._content.copy_(second._content)
    with pytest.raises(StoreError, match=r"generation 1 with .* reads generation 2 with"):
        first.open()
