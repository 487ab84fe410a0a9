"""A copy is the store it was made of, whole or in part, however often it was stopped."""

from __future__ import annotations

import numpy as np
import pytest
from grown_store import FAILED, WITHDRAWN, make_grown_store
from memory_objects import MemoryObjects

from c2s_data.copying import copy
from c2s_data.errors import ConfigError, StoreError
from c2s_data.store.begin import load_plan
from c2s_data.store.commit import outcomes
from c2s_data.store.layout import LATEST, LEASES
from c2s_data.store.local_objects import LocalObjects
from c2s_data.store.reader import open_store
from c2s_data.store.verify import verify


@pytest.fixture(scope="module")
def grown() -> dict[str, bytes]:
    objects = MemoryObjects()
    make_grown_store(objects)
    return objects.stored


@pytest.fixture
def source(grown) -> MemoryObjects:
    return MemoryObjects(grown, url="source")


@pytest.fixture
def target() -> MemoryObjects:
    return MemoryObjects(url="target")


def content(objects: MemoryObjects) -> dict[str, bytes]:
    return {k: v for k, v in objects.stored.items() if not k.startswith(LEASES)}


class KilledError(Exception):
    pass


class StopsAfter(MemoryObjects):
    """Takes so many objects, then is killed."""

    def __init__(self, n: int):
        super().__init__(url="target")
        self.left = n

    def put(self, key, data, *, durable=True):
        if not key.startswith(LEASES):
            self.left -= 1
            if self.left < 0:
                raise KilledError
        super().put(key, data, durable=durable)


def test_a_copy_has_every_generation_to_the_byte(source, target) -> None:
    done = copy(source, target)
    assert content(target) == content(source)
    assert (done.written, done.found) == (len(content(source)), 0)
    assert done.nbytes == sum(map(len, content(source).values()))
    assert set(done.entries) == {"MADE-0", "MADE-1", "MADE-4", "MADE-5"}
    again = copy(source, target)
    assert (again.written, again.found) == (0, len(content(source)))


@pytest.mark.parametrize("n", [0, 1, 17, 60, 100_000])
def test_a_stopped_copy_goes_on_and_was_no_store_before(source, n: int) -> None:
    target = StopsAfter(min(n, len(content(source)) - 1))
    with pytest.raises(KilledError):
        copy(source, target)
    assert LATEST not in target.stored
    n_there = len(content(target))
    target.left = 10**6
    done = copy(source, target)
    assert content(target) == content(source)
    assert (done.written, done.found) == (len(content(source)) - n_there, n_there)


def test_what_lies_there_is_read_not_believed(source, target) -> None:
    copy(source, target)
    key = next(key for key in target.stored if key.startswith("subgrids/density/c/"))
    damaged = bytearray(target.stored[key])
    damaged[7] ^= 1
    target.stored[key] = bytes(damaged)
    assert copy(source, target).written == 1
    assert content(target) == content(source)


def test_damage_is_not_copied(source, target) -> None:
    key = next(key for key in source.stored if key.startswith("subgrids/density/c/"))
    source.stored[key] = source.stored[key][:-1] + b"x"
    with pytest.raises(StoreError, match=f"{key}.*not what was committed.*repair"):
        copy(source, target)
    assert LATEST not in target.stored
    assert key not in target.stored


@pytest.mark.parametrize("how", ["entries", "splits"])
def test_chosen_entries_are_a_store_of_their_own(source, tmp_path, how: str) -> None:
    here = LocalObjects(tmp_path / "whole")
    for key, data in source.stored.items():
        here.put(key, data, durable=False)
    target = LocalObjects(tmp_path / "part")
    whole = open_store(here.url)
    wanted = ["MADE-5", "MADE-0"]
    if how == "splits":
        wanted = [e.entry_id for e in whole.entries if e.split == whole.entry("MADE-0").split]
    chosen = {"entries": wanted} if how == "entries" else {"splits": [whole.entries[0].split]}
    done = copy(here, target, **chosen)
    assert set(done.entries) == set(wanted)
    part = open_store(target.url)
    assert part.generation == 1
    assert {entry.entry_id for entry in part.entries} == set(wanted)
    for name in wanted:
        mine, other = part.entry(name), whole.entry(name)
        assert (mine.first_subgrid, mine.n_subgrids) == (other.first_subgrid, other.n_subgrids)
        for array in ("density", "atom"):
            np.testing.assert_array_equal(part.read_map(name, array), whole.read_map(name, array))
        assert part.sequences(name) == whole.sequences(name)
    rows_of = {part.entry(name).map_index for name in wanted}
    assert set(np.unique(part.index()[0])) - {-1} == rows_of
    assert verify(target, "full").faults == ()
    again = copy(here, target, **chosen)
    assert again.written == 0
    assert open_store(target.url).generation == 1
    assert None not in outcomes(target, load_plan(target)).values()


def test_a_folder_that_is_no_store_is_copied_too(target) -> None:
    source = MemoryObjects({"splits.csv": b"a,b\n", "EMD-1/map.mrc": b"voxels"}, url="records")
    assert copy(source, target).written == 2
    assert target.stored == source.stored
    with pytest.raises(ConfigError, match="no committed store"):
        copy(source, target, entries=["EMD-1"])


def test_what_makes_no_sense_is_refused(source, target) -> None:
    with pytest.raises(ConfigError, match="to itself"):
        copy(source, source)
    with pytest.raises(StoreError, match="holds nothing"):
        copy(MemoryObjects(url="empty"), target)
    for name in ("MADE-9", FAILED, WITHDRAWN):
        with pytest.raises(ConfigError, match=f"no finished entry or split '{name}'"):
            copy(source, target, entries=[name])
    with pytest.raises(ConfigError, match="no finished entry or split 'nope'"):
        copy(source, target, splits=["nope"])
    target.stored["mine.txt"] = b"precious"
    for chosen in ({}, {"entries": ["MADE-0"]}):
        with pytest.raises(StoreError, match=r"1 objects that the source has not.*mine\.txt"):
            copy(source, target, **chosen)
    assert target.stored["mine.txt"] == b"precious"
    del target.stored["mine.txt"]
    copy(source, target, entries=["MADE-0"])
    with pytest.raises(StoreError, match="another choice of entries"):
        copy(source, target, entries=["MADE-1"])


def test_a_source_that_is_committed_to_meanwhile_is_noticed(source, target) -> None:
    plain, old = source.get, source.stored[LATEST]

    def get(key, *, check=None):
        data = plain(key, check=check)
        if key == LATEST and target.stored.get(LATEST) == old:
            return plain("_c2s/LATEST.json", check=check).replace(b"2", b"3", 1)
        return data

    source.get = get
    with pytest.raises(StoreError, match=r"committed to meanwhile|damaged"):
        copy(source, target)
