"""A dataset keeps to one generation of a store that grows."""

from __future__ import annotations

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
