"""What no generation needs: found by listing the store once, removed on request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from c2s_data.errors import StoreError
from c2s_data.plan import Plan
from c2s_data.store.catalog_table import group_of_row
from c2s_data.store.generation import (
    Generation,
    generations,
    latest_generation,
    read_catalog_rows,
    read_committed,
)
from c2s_data.store.layout import (
    LATEST,
    LEASES,
    LINEAGE,
    PLAN,
    Layout,
    generation_key,
    receipt_key,
)
from c2s_data.store.manifest import decode_manifest
from c2s_data.store.objects import Objects
from c2s_data.store.ownership import Ownership, entry_keys

LEFTOVER_AGE_S: Final = 3600.0
"""A file beside its name that is older than this was left by a killed writer."""


@dataclass(frozen=True)
class Garbage:
    """Objects that nothing needs, key and bytes, in the order of removal; and leftover files."""

    objects: tuple[tuple[str, int], ...]
    leftovers: tuple[str, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the objects."""
        return sum(nbytes for _, nbytes in self.objects)


def find_garbage(objects: Objects, plan: Plan, keep: int | None = None) -> Garbage:
    """List what neither a kept generation nor an unfinished build needs.

    Parameters
    ----------
    objects, plan
        The store and the plan in force.
    keep
        How many of the newest generations to keep; None for all.

    Raises
    ------
    StoreError
        If the store has no generation, or one that is kept is damaged: then nothing is certain.
    """
    if not latest_generation(objects):
        raise StoreError(
            f"{objects.url}: nothing is committed yet, so everything may still be needed"
        )
    kept = list(islice(generations(objects), keep))
    needed = {PLAN, LINEAGE, LATEST}
    for generation in kept:
        needed |= set(_needed_by(objects, generation))
    committed = {group_of_row(r) for r in read_catalog_rows(objects, kept[0])
                 if r["failure_reason"] is None}  # fmt: skip
    owners, layout = Ownership(plan), Layout.of(plan.config)
    keys_of: dict[str, frozenset[str]] = {}

    def is_needed(key: str) -> bool:
        if key in needed or key.startswith(f"{LEASES}/"):
            return True
        owner = owners.of(key)
        if owner is None:
            return False
        if owner.withdrawn is not None or owner.group in committed:
            return key == receipt_key(owner.group)
        # What an unfinished entry has written so far, a part may be about to vouch for.
        if owner.group not in keys_of:
            keys_of[owner.group] = entry_keys(owner, layout)
        return key in keys_of[owner.group]

    found = [(key, nbytes) for key, nbytes in objects.walk() if not is_needed(key)]
    # Without its COMMITTED a generation is gone, whatever else of it a killed removal leaves.
    found.sort(key=lambda item: (not item[0].endswith("/COMMITTED"), item[0]))
    old = [name for name, age_s in objects.leftovers() if age_s > LEFTOVER_AGE_S]
    return Garbage(tuple(found), tuple(old))


def remove(objects: Objects, garbage: Garbage, guard: Callable[[], None] = lambda: None) -> None:
    """Remove what `find_garbage` found.

    ``guard`` is called before each removal and raises if this process has lost the right to it
    (`c2s_data.store.lease.Lease.check`).
    """
    for key in (*(key for key, _ in garbage.objects), *garbage.leftovers):
        guard()
        objects.delete(key)


def _needed_by(objects: Objects, generation: Generation) -> Iterator[str]:
    for name in ("COMMITTED", "plan.json", *generation.sha256):
        yield generation_key(generation.number, name)
    manifest = decode_manifest(
        read_committed(objects, generation, "manifest.parquet"), f"{objects.url}: manifest"
    )
    for item in manifest.objects:
        yield item.key
    yield from map(receipt_key, manifest.inputs)
