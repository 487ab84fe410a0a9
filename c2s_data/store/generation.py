"""Generations: what a commit adds, which one is the newest, and what each of them vouches for.

``COMMITTED`` of a generation names the checksums of its catalog and manifest, and of the
``COMMITTED`` before it; ``LATEST.json`` names the newest one and is swapped last.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from c2s_data.errors import MissingChunkError, StoreError
from c2s_data.plan import Plan
from c2s_data.plan_document import plan_document, plan_from_document
from c2s_data.schema import SCHEMA_VERSION
from c2s_data.store.catalog_table import decode_catalog, group_of_row
from c2s_data.store.layout import LATEST, generation_key
from c2s_data.store.objects import Objects
from c2s_data.store.sealed import is_sealed, seal, unseal


@dataclass(frozen=True)
class Generation:
    """The document ``COMMITTED`` of one generation.

    ``sha256`` maps ``catalog.parquet`` and ``manifest.parquet`` to their checksums,
    ``committed_sha256`` is that of the document itself, ``previous`` the number and checksum of the
    generation before, ``fingerprint`` that of the plan, ``stored_sha256`` the digest over all
    stored objects (`c2s_data.store.manifest.stored_digest`).
    """

    number: int
    committed_sha256: str
    code_version: str
    fingerprint: str
    lineage: str
    n_rows: int
    sha256: Mapping[str, str]
    previous: tuple[int, str] | None
    stored_sha256: str


def latest_pointer(objects: Objects) -> tuple[int, str] | None:
    """Return number and checksum of the newest generation, None where nothing is committed.

    Raises
    ------
    StoreError
        If the pointer is damaged.
    """
    try:
        data = objects.get(LATEST, check=is_sealed)
    except MissingChunkError:
        return None
    document = unseal(data, f"{objects.url}: {LATEST}")
    with _of_another_kind(f"{objects.url}: {LATEST}"):
        return int(document["generation"]), str(document["committed_sha256"])


def latest_generation(objects: Objects) -> int:
    """Return the number of the newest generation, 0 where nothing is committed."""
    pointer = latest_pointer(objects)
    return pointer[0] if pointer else 0


def read_generation(objects: Objects, number: int, committed_sha256: str | None) -> Generation:
    """Return what a generation vouches for.

    Raises
    ------
    StoreError
        If it is damaged, of another schema version, or not the one with this checksum.
    """
    key = generation_key(number, "COMMITTED")
    where = f"{objects.url}: {key}"
    data = objects.get(key, check=is_sealed)
    document = unseal(data, where)
    digest = hashlib.sha256(data).hexdigest()
    if committed_sha256 not in (None, digest):
        raise StoreError(f"{where} is not the one that was committed; run `c2s-data verify`")
    with _of_another_kind(where):
        if document["schema_version"] != SCHEMA_VERSION:
            raise StoreError(
                f"{objects.url}: the store has schema version {document['schema_version']}, this "
                f"program reads {SCHEMA_VERSION}; use the version it was written with, "
                f"{document['code_version']}"
            )
        previous = document["previous"]
        return Generation(
            number=number,
            committed_sha256=digest,
            code_version=document["code_version"],
            fingerprint=document["fingerprint"],
            lineage=document["lineage"],
            n_rows=int(document["n_rows"]),
            sha256=dict(document["sha256"]),
            previous=(int(previous[0]), str(previous[1])) if previous else None,
            stored_sha256=document["stored_sha256"],
        )


def plan_copy(plan: Plan, number: int) -> bytes:
    """Return the plan as a generation keeps it, for the case that the plan itself is lost."""
    return seal({"generation": number, "plan": plan_document(plan)})


def plan_of_copy(document: dict[str, Any], number: int) -> Plan:
    """Read what `plan_copy` sealed.

    Raises
    ------
    StoreError
        If it is the copy of another generation, or no plan.
    """
    if document.get("generation") != number or not isinstance(document.get("plan"), dict):
        raise StoreError(f"it is not the plan of generation {number}")
    return plan_from_document(document["plan"])


@contextlib.contextmanager
def _of_another_kind(where: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise StoreError(
            f"{where} is damaged: it holds another document ({error!r}); run `c2s-data verify`"
        ) from error


def generations(objects: Objects) -> Iterator[Generation]:
    """Yield the generations of a store, the newest first, as far back as they are kept.

    Raises
    ------
    StoreError
        If one is damaged or missing before the oldest.
    """
    pointer = latest_pointer(objects)
    while pointer is not None:
        found = read_generation(objects, *pointer)
        yield found
        pointer = found.previous
        # Generations that were given up are removed from the oldest on.
        if pointer and objects.size(generation_key(pointer[0], "COMMITTED")) is None:
            return


def read_catalog_rows(objects: Objects, generation: Generation) -> list[dict[str, Any]]:
    """Return the rows of a generation's catalog.

    Raises
    ------
    StoreError
        If it is not the one that was committed.
    """
    key = generation_key(generation.number, "catalog.parquet")
    return decode_catalog(read_committed(objects, generation, "catalog.parquet"), key)


def read_committed(objects: Objects, generation: Generation, name: str) -> bytes:
    """Return an object that ``COMMITTED`` names, after checking it."""
    key, expected = generation_key(generation.number, name), generation.sha256[name]

    def check(data: bytes) -> bool:
        return hashlib.sha256(data).hexdigest() == expected

    data = objects.get(key, check=check)
    if not check(data):
        raise StoreError(
            f"{objects.url}: {key} is not the one that was committed; run `c2s-data verify`"
        )
    return data


def committed_groups(objects: Objects) -> frozenset[str]:
    """Return the groups of the entries that the newest generation holds."""
    pointer = latest_pointer(objects)
    if pointer is None:
        return frozenset()
    rows = read_catalog_rows(objects, read_generation(objects, *pointer))
    return frozenset(group_of_row(row) for row in rows if row["failure_reason"] is None)


def swap_latest(objects: Objects, number: int, committed: bytes) -> None:
    """Make a generation the one that readers open."""
    digest = hashlib.sha256(committed).hexdigest()
    objects.put(LATEST, seal({"generation": number, "committed_sha256": digest}))
