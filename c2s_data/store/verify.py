"""Verify a committed store: every object that a kept generation needs, and nothing besides.

======== ==========================================================================================
level    what is done
======== ==========================================================================================
quick    presence and size of every object, the checksums of all documents
default  also the sha256 of every object; a fault is located by the crc32c of chunks
full     also every chunk decoded, index columns and Zarr documents recomputed, maps held against
         their subgrids, and the digest over decoded content
======== ==========================================================================================

A build may be under way: nothing that it writes is a fault.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import Final, TypeVar

from c2s_data import __version__
from c2s_data.config import BuildConfig
from c2s_data.errors import StoreError
from c2s_data.store.commit import shared_objects
from c2s_data.store.digest import decoded_digest
from c2s_data.store.index_columns import index_columns
from c2s_data.store.layout import Layout
from c2s_data.store.objects import Objects
from c2s_data.store.receipt import Receipt, WrittenObject
from c2s_data.store.spread import Spread, in_order
from c2s_data.store.verify_documents import read_documents
from c2s_data.store.verify_known import Kept, manifest_rows, refuse_uncommitted
from c2s_data.store.verify_objects import Comparison, Places, are_intact
from c2s_data.store.verify_report import Fault, Level, Report
from c2s_data.store.verify_shared import NextGeneration
from c2s_data.store.verify_strays import Strays
from c2s_data.store.verify_values import (
    CheckedEntry,
    EntryRows,
    EntryValues,
    check_entry,
    stored_columns,
)

__all__ = ["Fault", "Level", "Report", "verify"]

_THREADS: Final = 8
_AT_ONCE, _A_TASK, _A_WORKERS_TASK = 256, 8, 64
_Compared = list[tuple[WrittenObject, list[Fault]]]
Some = TypeVar("Some")
OnFault = Callable[[Fault], None]
OnProgress = Callable[[int, int], None]


def verify(
    objects: Objects,
    level: Level = "default",
    on_fault: OnFault = lambda fault: None,
    on_progress: OnProgress = lambda done, total: None,
    spread: Spread | None = None,
) -> Report:
    """Verify the newest generation of a store and every older one that is kept.

    Parameters
    ----------
    objects
        The store. Nothing is written, and no lease is needed.
    level
        How thoroughly.
    on_fault
        Called with each fault as it is found.
    on_progress
        Called with the bytes that are done and the bytes there are.
    spread
        Reads objects and decodes entries on workers, which see the store under the same URL; None
        for threads of this process.

    Raises
    ------
    NotCommittedError
        If no generation was ever committed.
    StoreError
        If the store has another schema version, or does not answer.
    """
    return _Verifying(objects, level, on_fault, on_progress, spread).all()


class _Verifying:
    def __init__(
        self,
        objects: Objects,
        level: Level,
        on_fault: OnFault,
        on_progress: OnProgress,
        spread: Spread | None,
    ) -> None:
        self._objects = objects
        self._spread = spread
        self._level = level
        self._on_fault = on_fault
        self._on_progress = on_progress
        self._faults: list[Fault] = []
        self._linked: set[tuple[str, str]] = set()
        self._notes: list[str] = []
        self._done = self._total = 0

    def all(self) -> Report:
        started = time.perf_counter()
        refuse_uncommitted(self._objects)
        self._listing = dict(self._walk(""))
        self._known = known = read_documents(self._objects, self._listing)
        self._take(known.faults)
        self._notes += known.notes
        expected = self._expected()
        strays = Strays(known, self._listing)
        self._take(strays.faults(expected))
        self._notes += strays.notes()
        self._compare(list(expected.values()))
        digest = self._decode() if self._level == "full" and known.entries else None
        self._notes += self._leftovers()
        newest = known.kept[0].generation if known.kept else None
        return Report(
            url=self._objects.url,
            level=self._level,
            generations=tuple(one.generation.number for one in known.kept),
            faults=tuple(self._faults),
            notes=tuple(self._notes),
            n_objects=len(expected),
            nbytes=sum(item.nbytes for item in expected.values()),
            seconds=time.perf_counter() - started,
            stored_sha256=newest.stored_sha256 if newest else None,
            decoded_sha256=digest if not self._faults else None,
        )

    def _take(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            # A link is met twice: in the listing, and in an object's place.
            if (fault.kind, fault.key) not in self._linked:
                self._faults.append(fault)
                self._on_fault(fault)
            if fault.kind == "unreadable":
                self._linked.add((fault.kind, fault.key))

    def _walk(self, prefix: str) -> Iterator[tuple[str, int]]:
        """List everything; what refuses to be listed (a link) is named, the rest still seen."""
        try:
            yield from list(self._objects.walk(prefix))
        except StoreError:
            yield from self._walk_apart(prefix)

    def _walk_apart(self, prefix: str) -> Iterator[tuple[str, int]]:
        try:
            names = list(self._objects.names(prefix))
        except StoreError as error:
            if not prefix:
                raise
            self._take([Fault("unreadable", prefix, str(error))])
            return
        for name in names:
            key = f"{prefix}/{name}" if prefix else name
            below = list(self._walk(key))
            yield from below
            if below or any(f"{fault.key}/".startswith(f"{key}/") for fault in self._faults):
                continue
            if (nbytes := self._objects.size(key)) is not None:
                yield key, nbytes

    def _expected(self) -> dict[str, WrittenObject]:
        """Return every object that must be there, as it must be, by name."""
        known = self._known
        places = Places(known.entries) if known.entries else None
        newest = known.kept[0].generation.number if known.kept else 0
        expected: dict[str, WrittenObject] = {}
        for number, item in manifest_rows(known.kept):
            is_shared = places is None or places.group_of(item.key) is None
            if is_shared and number != newest:
                continue  # Written anew by each generation; the newest holds what older ones need.
            if expected.setdefault(item.key, item).sha256 != item.sha256:
                what = f"generation {number} was committed with other bytes than {newest}"
                self._take([Fault("inconsistent", item.key, what)])
        for receipt in known.receipts.values():
            if receipt.group in self._skipped_receipts:
                continue
            for item in receipt.objects:
                if expected.setdefault(item.key, item).sha256 != item.sha256:
                    what = "its receipt names other bytes than the manifest"
                    self._take([Fault("inconsistent", item.key, what, receipt.group)])
        if not (known.kept and known.kept[0].manifest):
            for key, data in self._leads_to.items():
                digest = hashlib.sha256(data).hexdigest()
                expected.setdefault(key, WrittenObject(key, len(data), digest))
        return dict(sorted(expected.items()))

    @cached_property
    def _skipped_receipts(self) -> frozenset[str]:
        """Groups whose objects may be gone: withdrawn, and in no generation that is kept."""
        kept = frozenset().union(*(one.groups for one in self._known.kept))
        entries = self._known.entries.entries if self._known.entries else ()
        return frozenset(e.group for e in entries if e.withdrawn and e.group not in kept)

    @cached_property
    def _checked(self) -> list[Receipt]:
        """The receipts of all entries of kept generations, by map_index."""
        kept = frozenset().union(*(one.groups for one in self._known.kept))
        return [receipt for group, receipt in self._known.receipts.items() if group in kept]

    @cached_property
    def _leads_to(self) -> dict[str, bytes]:
        """Shared objects as the plan in force leads to."""
        plan = self._known.plan
        if plan is None:
            return {}
        done = [e.entry_id for e in plan.buildable if e.group in self._known.receipts]
        return shared_objects(plan, self._known.receipts, done)

    def _compare(self, items: list[WrittenObject]) -> None:
        places = Places(self._known.entries) if self._known.entries else None
        compare = Comparison(self._objects, self._level, self._known.names, items, places)
        self._total = sum(item.nbytes for item in items)
        if self._level == "full":
            self._total += sum(item.nbytes for r in self._checked for item in r.objects)

        # Sizes were listed already: there is nothing to give to workers.
        spread = None if self._level == "quick" else self._spread
        compared = (
            self._by_threads(compare, items) if spread is None else self._by(spread, compare, items)
        )
        for few in compared:
            for item, faults in few:
                if faults and not self._is_newer(item.key, places):
                    self._take(faults)
            self._progress(item for item, _ in few)

    def _by_threads(self, compare: Comparison, items: list[WrittenObject]) -> Iterator[_Compared]:
        def compared(few: Sequence[WrittenObject]) -> _Compared:
            return [(item, compare.faults(item, self._listing.get(item.key))) for item in few]

        with ThreadPoolExecutor(_THREADS) as pool:
            for some in _batches(items, _AT_ONCE):
                yield from pool.map(compared, _batches(some, _A_TASK))

    def _by(
        self, spread: Spread, compare: Comparison, items: list[WrittenObject]
    ) -> Iterator[_Compared]:
        """Let workers read everything, and look again at what they do not find intact."""
        listed = [(item, self._listing.get(item.key)) for item in items]
        ask = partial(are_intact, self._objects.url, self._level)
        for few, found in in_order(spread, ask, _batches(listed, _A_WORKERS_TASK)):
            intact = [False] * len(few) if isinstance(found, Exception) else found
            yield [
                (item, [] if good else compare.faults(item, nbytes))
                for (item, nbytes), good in zip(few, intact, strict=True)
            ]

    def _progress(self, items: Iterable[WrittenObject]) -> None:
        self._done += sum(item.nbytes for item in items)
        self._on_progress(self._done, self._total)

    def _is_newer(self, key: str, places: Places | None) -> bool:
        """Whether a commit under way, or one that was killed, has written a shared object."""
        if places is None or places.group_of(key) is not None:
            return False
        try:
            data = self._objects.get(key)
        except StoreError:
            return False
        newer = self._next.may_hold(key, data) or self._next_by_now.may_hold(key, data)
        if newer:
            self._notes.append(f"{key} is written already for the next generation")
        return newer

    @cached_property
    def _next(self) -> NextGeneration:
        return NextGeneration(self._known)

    @cached_property
    def _next_by_now(self) -> NextGeneration:
        """The same, should a build have gone on since the documents were read."""
        return NextGeneration(read_documents(self._objects, dict(self._walk(""))))

    def _decode(self) -> str | None:
        """Check the values of every entry without a fault; return the digest of the newest."""
        known = self._known
        entries = known.entries
        assert entries is not None
        damaged = {fault.entry for fault in self._faults}
        newest = known.kept[0] if known.kept else None
        live = newest.groups if newest else frozenset()
        n_rows = max((one.generation.n_rows for one in known.kept), default=0)
        try:
            stored = stored_columns(self._objects, n_rows)
        except StoreError:
            return None  # Its damage was told already.
        expected = index_columns(known.plan, known.receipts) if known.plan else None
        values = EntryValues(self._objects, Layout.of(entries.config), stored, expected)
        by_group = {planned.group: planned for planned in entries.entries}
        digests = []
        whole = (
            values.rows_of(by_group[receipt.group])
            for receipt in self._checked
            if receipt.group not in damaged
        )
        checked = self._checked_entries(values, entries.config, whole)
        for receipt in self._checked:
            if receipt.group not in damaged:
                found = next(checked)
                self._take(found.faults)
                if receipt.group in live:
                    digests.append(found.digests)
            self._progress(receipt.objects)
        self._take(self._recomputed(newest))
        return decoded_digest(digests)

    def _checked_entries(
        self, values: EntryValues, config: BuildConfig, entries: Iterable[EntryRows]
    ) -> Iterator[CheckedEntry]:
        if self._spread is None:
            yield from map(values.check, entries)
            return
        check = partial(check_entry, self._objects.url, config)
        for rows, found in in_order(self._spread, check, entries):
            yield values.check(rows) if isinstance(found, Exception) else found

    def _recomputed(self, newest: Kept | None) -> Iterator[Fault]:
        """Compare the shared objects with what they follow from."""
        plan = self._known.plan
        if newest is None or plan is None or newest.generation.n_rows != plan.n_rows:
            return
        if newest.generation.code_version != __version__ or newest.manifest is None:
            return  # Another version may well write other documents.
        if {e.group for e in plan.buildable if e.group in self._known.receipts} != set(
            newest.manifest.inputs
        ):
            return
        committed = {item.key: item.sha256 for item in newest.manifest.objects}
        for key, data in self._leads_to.items():
            if committed.get(key) != hashlib.sha256(data).hexdigest():
                yield Fault("inconsistent", key, "not what plan and receipts lead to")

    def _leftovers(self) -> Iterator[str]:
        try:
            names = [name for name, _ in self._objects.leftovers()]
        except StoreError:
            return  # A link that was told of already.
        if names:
            yield (
                f"{len(names)} unfinished files of killed writers, such as {names[0]}; "
                "`c2s-data gc` removes old ones"
            )


def _batches(items: Sequence[Some], n: int) -> Iterator[Sequence[Some]]:
    for first in range(0, len(items), n):
        yield items[first : first + n]
