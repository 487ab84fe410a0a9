"""Row I: whatever is changed, lost, swapped or added in a store, the default level finds it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from grown_store import make_grown_store
from memory_objects import MemoryObjects

from c2s_data.store.verify import verify

Stored = dict[str, bytes]


class Corruption(NamedTuple):
    """What is done to a store: the objects that end up otherwise, None for one that is gone."""

    what: str
    changed: dict[str, bytes | None]


def flip_bit(rng: random.Random, stored: Stored, key: str) -> dict[str, bytes | None]:
    data = bytearray(stored[key])
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return {key: bytes(data)}


def flip_byte(rng: random.Random, stored: Stored, key: str) -> dict[str, bytes | None]:
    data = bytearray(stored[key])
    data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
    return {key: bytes(data)}


def delete(rng: random.Random, stored: Stored, key: str) -> dict[str, bytes | None]:
    return {key: None}


def truncate(rng: random.Random, stored: Stored, key: str) -> dict[str, bytes | None]:
    data = stored[key]
    return {key: data[: rng.choice([len(data) - 1, len(data) // 2, 0])]}


def append(rng: random.Random, stored: Stored, key: str) -> dict[str, bytes | None]:
    return {key: stored[key] + rng.choice([b"\0", b"\n", b" ", rng.randbytes(1)])}


def swap(rng: random.Random, stored: Stored, key: str) -> dict[str, bytes | None]:
    other = another(rng, stored, key)
    return {key: stored[other], other: stored[key]}


def duplicate(rng: random.Random, stored: Stored, key: str) -> dict[str, bytes | None]:
    return {key: stored[another(rng, stored, key)]}


def add_copy(rng: random.Random, stored: Stored, key: str) -> dict[str, bytes | None]:
    folder, _, name = key.rpartition("/")
    further = re.sub(r"/c/[0-9]+", f"/c/{rng.randrange(50, 90)}", key)
    beside = f"{folder}/{name[:-1]}" if folder else f"_{name}"
    names = [f"{key}.bak", f"copy/{key}", f"{key}/c/0", further, beside]
    return {rng.choice([free for free in names if free not in stored]): stored[key]}


def another(rng: random.Random, stored: Stored, key: str) -> str:
    """An object with other bytes, half of the time of the same kind."""
    others = [k for k in stored if stored[k] != stored[key]]
    alike = [k for k in others if kind_of(k) == kind_of(key)]
    return rng.choice(alike if alike and rng.random() < 0.5 else others)


WAYS: list[Callable[[random.Random, Stored, str], dict[str, bytes | None]]] = [
    *(flip_bit, flip_byte, delete, truncate, append, swap, duplicate, add_copy)
]


PARTS = 10


def kind_of(key: str) -> str:
    """Fold entries, generations and numbers: ``maps/*/s0/atom/c/*/*/*``."""
    return re.sub(r"MADE-\d(\.r\d)?|\d{6}|(?<=/)\d+", "*", key)


def means_nothing(way: str, key: str) -> bool:
    """A lease that is gone is one that has ended: the store is as good as before."""
    return way == "delete" and key.startswith("_c2s/leases/")


def corruptions(stored: Stored, part: int) -> Iterator[Corruption]:
    """Yield a part's share of each way for each kind of object, then any way for any object."""
    rng = random.Random(part)
    kinds: dict[str, list[str]] = {}
    for key in sorted(stored):
        kinds.setdefault(kind_of(key), []).append(key)
    pairs = [(way, keys) for keys in kinds.values() for way in WAYS]
    chosen = [(way, rng.choice(keys)) for way, keys in pairs[part::PARTS]]
    keys = sorted(stored)
    while True:
        way, key = chosen.pop() if chosen else (rng.choice(WAYS), rng.choice(keys))
        if not means_nothing(way.__name__, key):
            yield Corruption(f"{way.__name__} {key}", way(rng, stored, key))


def apply(stored: Stored, changed: dict[str, bytes | None]) -> dict[str, bytes | None]:
    """Change a store and return what undoes it."""
    before = {key: stored.get(key) for key in changed}
    for key, data in changed.items():
        if data is None:
            del stored[key]
        else:
            stored[key] = data
    return before


@pytest.fixture(scope="module")
def objects() -> MemoryObjects:
    made = MemoryObjects()
    make_grown_store(made)
    return made


@pytest.mark.parametrize("part", range(PARTS))
def test_every_corruption_is_found_and_named(objects, part, budget, row) -> None:
    times = budget(1_000, 10_000) // PARTS
    source = corruptions(objects.stored, part)
    missed, unnamed = [], []
    for _ in range(times):
        what, changed = next(source)
        undo = apply(objects.stored, changed)
        faults = verify(objects).faults
        apply(objects.stored, undo)
        if not faults:
            missed.append(what)
        elif not {fault.key for fault in faults} & set(changed):
            unnamed.append((what, [str(fault) for fault in faults]))
    assert missed == []
    assert unnamed == []
    kinds = len({kind_of(key) for key in objects.stored})
    row("I", "bits, bytes, whole objects changed, lost, swapped, copied, added", times, 0,
        f"all found by the default level, in {kinds} kinds of objects")  # fmt: skip


def test_the_store_under_test_is_without_fault(objects) -> None:
    assert verify(objects, "full").faults == ()


def test_the_parts_share_every_way_for_every_kind(objects) -> None:
    """Each part's first corruptions are its share; together they are all of them."""
    kinds = {kind_of(key) for key in objects.stored}
    seen = set()
    for part in range(PARTS):
        source = corruptions(objects.stored, part)
        for _ in range(-(-len(kinds) * len(WAYS) // PARTS)):
            way, _, key = next(source).what.partition(" ")
            seen.add((way, kind_of(key)))
    expected = {(way.__name__, kind) for way in WAYS for kind in kinds}
    exempt = {("delete", kind) for kind in kinds if kind.startswith("_c2s/leases/")}
    assert expected - exempt <= seen
