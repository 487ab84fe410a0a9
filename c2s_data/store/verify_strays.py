"""Objects that no generation names: what a build may leave, and what must not be there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from c2s_data.plan import PlannedEntry
from c2s_data.schema import INDEX_CHUNK_ROWS
from c2s_data.store.embeddings import EMBEDDINGS
from c2s_data.store.index_columns import index_key
from c2s_data.store.layout import (
    INDEX_COLUMNS,
    LATEST,
    LEASES,
    LINEAGE,
    PLAN,
    Layout,
    failure_key,
    receipt_key,
)
from c2s_data.store.ownership import Ownership, entry_keys
from c2s_data.store.verify_known import Known, generation_of
from c2s_data.store.verify_report import Fault

_GC = "; nothing needs it: `c2s-data gc` removes it"
_GENERATION_NAMES = ("COMMITTED", "catalog.parquet", "manifest.parquet", "plan.json", EMBEDDINGS)


class Strays:
    """Judges objects that are there though nothing asked for them."""

    def __init__(self, known: Known, listing: Mapping[str, int]) -> None:
        self._known = known
        self._listing = listing
        self._latest = max((one.generation.number for one in known.kept), default=0)
        self._numbers = {one.generation.number for one in known.kept} | known.lost
        self._keys_of: dict[str, frozenset[str]] = {}
        self._counts: Counter[str] = Counter()
        entries = known.entries
        self._owners = Ownership(entries) if entries else None
        self._index_keys = {
            index_key(name, chunk)
            for name in INDEX_COLUMNS
            for chunk in range(-(-entries.n_rows // INDEX_CHUNK_ROWS) if entries else 0)
        }

    def faults(self, expected: Mapping[str, object]) -> Iterator[Fault]:
        """Yield those of the listing that must not be there."""
        for key in self._listing:
            if key in expected or key in (PLAN, LINEAGE, LATEST):
                continue
            if key.startswith(f"{LEASES}/"):
                stem = key.removeprefix(f"{LEASES}/").removesuffix(".json")
                why = None if stem.isdecimal() and len(stem) >= 6 else f"is no lease{_GC}"
            elif (number := generation_of(key)) is not None:
                why = self._of_generation(key, number)
            else:
                why = self._of_entry(key)
            if why:
                yield Fault("unexpected", key, why)

    def notes(self) -> Iterator[str]:
        """Say what else is there; after `faults`."""
        for what, count in sorted(self._counts.items()):
            yield f"{count} objects {what}"

    def _of_generation(self, key: str, number: int) -> str | None:
        name = key.rpartition("/")[2]
        if name in _GENERATION_NAMES and key.count("/") == 3:
            if number in self._numbers:
                return None
            committed = key.rpartition("/")[0] + "/COMMITTED" in self._listing
            if number > self._latest or committed:
                self._counts["of a commit that was stopped before its last step"] += 1
                return None
        return f"is part of no generation{_GC}"

    def _of_entry(self, key: str) -> str | None:
        owner = self._owners.of(key) if self._owners else None
        if self._known.plan is None and (owner is None or not owner.n_shards):
            self._counts["cannot be judged, because the plan is damaged"] += 1
            return None
        if owner is None:
            return None if key in self._index_keys else f"has a name that no store has{_GC}"
        if key in (receipt_key(owner.group), failure_key(owner.group)):
            return None  # Judged by what is in it.
        if key not in self._keys(owner):
            return f"is no part of entry {owner.group}{_GC}"
        what = "of withdrawn entries, which `c2s-data gc` can remove"
        self._counts[what if owner.withdrawn else "of entries that are not committed yet"] += 1
        return None

    def _keys(self, owner: PlannedEntry) -> frozenset[str]:
        assert self._known.entries is not None
        if owner.group not in self._keys_of:
            layout = Layout.of(self._known.entries.config)
            self._keys_of[owner.group] = entry_keys(owner, layout)
        return self._keys_of[owner.group]
