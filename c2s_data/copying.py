"""Copy a store, chosen entries of it, or any other folder from one place to another.

Each object is read, compared with what its generation says of it, written, and shown to have
arrived. What makes a store of objects comes last, so a copy that was stopped is no store yet; the
same command goes on, and reads what lies there already instead of believing it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from c2s_data.errors import ConfigError, StoreError
from c2s_data.growth import withdraw
from c2s_data.plan import Plan
from c2s_data.store.begin import load_plan, put_plan
from c2s_data.store.commit import commit, outcomes
from c2s_data.store.embeddings import encode_embeddings, read_embeddings
from c2s_data.store.generation import generations, latest_pointer, read_committed, read_generation
from c2s_data.store.layout import LATEST, LEASES, LINEAGE, PLAN, receipt_key
from c2s_data.store.lease import hold, refuse_if_held
from c2s_data.store.manifest import decode_manifest
from c2s_data.store.objects import Objects
from c2s_data.store.receipt import Receipt

COPIERS: Final = 4
"""Objects under way at a time; each is in memory, up to some 20 MB."""
_LARGEST: Final = 5 * 2**30
_WHY: Final = "not among what was chosen when the store was copied"
Step = Callable[[int, int], None]


@dataclass(frozen=True)
class Copied:
    """What a copy did.

    ``written`` and ``found`` count the objects that were written and those that were there
    already, ``nbytes`` are those of both; ``entries`` is empty for a folder that is no store.
    """

    written: int
    found: int
    nbytes: int
    entries: tuple[str, ...]


@dataclass(frozen=True)
class _Item:
    key: str
    nbytes: int
    sha256: str | None


def copy(
    source: Objects,
    target: Objects,
    *,
    entries: Sequence[str] = (),
    splits: Sequence[str] = (),
    on_bytes: Step = lambda done, total: None,
) -> Copied:
    """Copy everything, or a store of chosen entries.

    Parameters
    ----------
    source, target
        Two places; the target is empty, or holds an earlier copy of the same.
    entries, splits
        Entries by entry_id and by the split of the newest generation; none for all. The copy is a
        store of its own, at generation 1, in which rows keep their numbers and the other entries
        are left out.
    on_bytes
        Called with the bytes that are done and all of them.

    Raises
    ------
    ConfigError
        There is no such entry or split, or the source is no store and some were chosen.
    StoreError
        An object differs from what was committed, the source changed meanwhile, the target holds
        something else, or a place fails.
    """
    if source.url == target.url:
        raise ConfigError(f"{source.url} cannot be copied to itself")
    pointer = latest_pointer(source)
    if pointer is None:
        if entries or splits:
            raise ConfigError(f"{source.url} is no committed store, so it has no entries to choose")
        items = [_Item(key, nbytes, None) for key, nbytes in _listed(source)]
        if not items:
            raise StoreError(f"{source.url} holds nothing; correct the address")
        return _copy_items(source, target, items, on_bytes)
    refuse_if_held(source, "copy")
    with hold(target, "copy") as lease:
        if entries or splits:
            done = _copy_chosen(source, target, pointer, entries, splits, lease.check, on_bytes)
        else:
            done = _copy_store(source, target, lease.check, on_bytes)
    if latest_pointer(source) != pointer:
        raise StoreError(f"{source.url} was committed to meanwhile; run the same command again")
    return done


def _copy_store(
    source: Objects, target: Objects, guard: Callable[[], None], on_bytes: Step
) -> Copied:
    known = _committed(source)
    items = [_Item(key, nbytes, known.get(key)) for key, nbytes in _listed(source)]
    _refuse_others(target, {item.key for item in items})
    plan = load_plan(source)
    guard()
    done = _copy_items(source, target, sorted(items, key=_last_of_all), on_bytes)
    built = (e.entry_id for e in plan.live if receipt_key(e.group) in {i.key for i in items})
    return replace(done, entries=tuple(built))


def _copy_chosen(
    source: Objects,
    target: Objects,
    pointer: tuple[int, str],
    entries: Sequence[str],
    splits: Sequence[str],
    guard: Callable[[], None],
    on_bytes: Step,
) -> Copied:
    plan = load_plan(source)
    receipts = {
        name: outcome
        for name, outcome in outcomes(source, plan).items()
        if isinstance(outcome, Receipt)
    }
    chosen = _chosen(source.url, plan, receipts, entries, splits)
    reduced = plan
    for name in [entry.entry_id for entry in plan.live if entry.entry_id not in chosen]:
        reduced = withdraw(reduced, name, _WHY, is_built=False)
    _refuse_another_plan(target, reduced)
    items = [
        _Item(item.key, item.nbytes, item.sha256)
        for name in chosen
        for item in receipts[name].objects
    ]
    sizes = dict(_listed(source))
    # A receipt vouches for its objects, so all receipts come after them.
    items += [_Item(k, sizes[k], None) for k in (receipt_key(receipts[n].group) for n in chosen)]
    guard()
    put_plan(target, reduced)
    done = _copy_items(source, target, items, on_bytes)
    groups = {receipts[name].group for name in chosen}
    found = read_embeddings(source, read_generation(source, *pointer))
    kept = {group: row for group, row in found.items() if group in groups}
    commit(target, reduced, guard, embeddings=encode_embeddings(kept) if kept else None)
    return replace(done, entries=tuple(chosen))


def _chosen(
    url: str,
    plan: Plan,
    receipts: Iterable[str],
    entries: Sequence[str],
    splits: Sequence[str],
) -> list[str]:
    """Return the wanted entries in the order of the plan."""
    built = {entry.entry_id: entry.entry.split for entry in plan.live if entry.entry_id in receipts}
    unknown = [name for name in entries if name not in built]
    unknown += [name for name in splits if name not in built.values()]
    if unknown:
        raise ConfigError(
            f"{url} has no finished entry or split {', '.join(map(repr, unknown))}; "
            "`c2s-data inspect` lists what it has"
        )
    return [name for name, split in built.items() if name in entries or split in splits]


def _committed(objects: Objects) -> dict[str, str]:
    """Return the sha256 of every object that some generation vouches for."""
    known: dict[str, str] = {}
    for generation in generations(objects):
        data = read_committed(objects, generation, "manifest.parquet")
        manifest = decode_manifest(data, f"{objects.url}: manifest")
        # A document that all generations share is what the newest says of it.
        known = {item.key: item.sha256 for item in manifest.objects} | known
    return known


def _listed(objects: Objects) -> Iterator[tuple[str, int]]:
    return (item for item in objects.walk() if not item[0].startswith(f"{LEASES}/"))


def _last_of_all(item: _Item) -> tuple[int, str]:
    """Order objects so that none comes before what it vouches for."""
    stages = {PLAN: 2, LINEAGE: 2, LATEST: 5}
    of_generation = 4 if item.key.endswith("/COMMITTED") else 3
    stage = of_generation if item.key.startswith("_c2s/generations/") else 0
    stage = 1 if item.key.startswith("_c2s/receipts/") else stage
    return stages.get(item.key, stage), item.key


def _refuse_others(target: Objects, keys: set[str]) -> None:
    others = [key for key, _ in _listed(target) if key not in keys]
    if others:
        raise StoreError(
            f"{target.url} holds {len(others):,} objects that the source has not, such as "
            f"{others[0]}; choose another place, or remove what lies there"
        )


def _refuse_another_plan(target: Objects, plan: Plan) -> None:
    if target.size(PLAN) is None:
        _refuse_others(target, set())
    elif load_plan(target).fingerprint != plan.fingerprint:
        raise StoreError(
            f"{target.url} holds another store, or another choice of entries; choose another place"
        )


def _copy_items(source: Objects, target: Objects, items: Sequence[_Item], on_bytes: Step) -> Copied:
    """Copy in order, a few at a time; a later stage waits for all of the one before."""
    sizes, total = dict(target.walk()), sum(item.nbytes for item in items)
    done = Copied(0, 0, 0, ())
    stages: dict[int, list[_Item]] = {}
    for item in items:
        stages.setdefault(_last_of_all(item)[0], []).append(item)
    with ThreadPoolExecutor(COPIERS) as pool:
        for _, stage in sorted(stages.items()):
            for item, wrote in _spread(
                pool, stage, lambda item: _copy_one(source, target, item, sizes)
            ):
                done = Copied(
                    done.written + wrote, done.found + (not wrote), done.nbytes + item.nbytes, ()
                )
                on_bytes(done.nbytes, total)
            target.flush(item.key for item in stage)
    return done


def _spread(
    pool: ThreadPoolExecutor, items: Iterable[_Item], one: Callable[[_Item], bool]
) -> Iterator[tuple[_Item, bool]]:
    """Yield what becomes of items; few are under way, and after an error no other is begun."""
    waiting = iter(items)
    running: dict[Future[bool], _Item] = {}
    while True:
        for item in islice(waiting, 2 * COPIERS - len(running)):
            running[pool.submit(one, item)] = item
        if not running:
            return
        for ended in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(ended), ended.result()


def _copy_one(source: Objects, target: Objects, item: _Item, sizes: dict[str, int]) -> bool:
    """Copy an object unless the target has it; say whether it was written."""
    if item.nbytes > _LARGEST:
        raise StoreError(f"{source.url}: {item.key!r} has over 5 GiB; take it by other means")
    expected = item.sha256
    is_there = sizes.get(item.key) == item.nbytes
    if is_there and expected is not None and _sha256(target.get(item.key)) == expected:
        return False
    data = source.get(
        item.key, check=None if expected is None else lambda data: _sha256(data) == expected
    )
    if expected is not None and _sha256(data) != expected:
        raise StoreError(
            f"{source.url}: {item.key!r} is not what was committed; run `c2s-data verify` and "
            "`c2s-data repair` there, then copy again"
        )
    if is_there and expected is None and target.holds(item.key, data):
        return False
    target.put(item.key, data, durable=False)
    if not target.confirms and not target.holds(item.key, data):
        raise StoreError(
            f"{target.url}: {item.key!r} reads back changed; the disk or the service is failing"
        )
    return True


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
