"""Read every document of a store once: what is intact, and what is wrong with the rest.

Nothing here believes a document that its checksum does not vouch for, and a damaged one never
hides the others: the chain of generations is followed past it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from c2s_data.config import make_config
from c2s_data.errors import C2SError, MissingChunkError, StoreError
from c2s_data.plan import Failure, Plan
from c2s_data.plan_document import plan_from_document
from c2s_data.store.catalog_table import decode_catalog
from c2s_data.store.embeddings import EMBEDDINGS, decode_embeddings
from c2s_data.store.generation import Generation, plan_of_copy, read_generation
from c2s_data.store.layout import (
    LATEST,
    LEASES,
    LINEAGE,
    PLAN,
    failure_key,
    generation_key,
    receipt_key,
)
from c2s_data.store.lease import Holder
from c2s_data.store.manifest import decode_manifest, stored_digest
from c2s_data.store.objects import Objects
from c2s_data.store.receipt import InputFile, Receipt, read_receipt
from c2s_data.store.sealed import is_sealed, unseal
from c2s_data.store.verify_known import (
    Kept,
    Known,
    generation_of,
    manifest_rows,
    plan_from_catalogs,
)
from c2s_data.store.verify_report import Fault, Kind

Parsed = TypeVar("Parsed")
_MISSING: Final = {
    "LATEST.json": "was lost, or a commit was stopped just before its last step",
    "COMMITTED": "was lost, or a removal was stopped: `c2s-data gc` then removes what is left",
}
_PARSING: Final = (C2SError, KeyError, TypeError, ValueError, AttributeError)


def read_documents(objects: Objects, listing: Mapping[str, int]) -> Known:
    """Read and check all documents.

    Raises
    ------
    StoreError
        If the store has another schema version, or does not answer.
    """
    return _Reading(objects, listing).all()


class _Reading:
    def __init__(self, objects: Objects, listing: Mapping[str, int]) -> None:
        self._objects = objects
        self._listing = listing
        self._wrong: list[tuple[Fault, str | None]] = []
        self._names: dict[str, str] = {}
        self._lost: set[int] = set()
        self._pointer: tuple[int, str] | None = None
        self._notes: list[str] = []

    def all(self) -> Known:
        kept = tuple(self._chain())
        plan = self._plan(kept)
        entries = plan or plan_from_catalogs(kept)
        receipts = self._receipts(entries, kept) if entries else {}
        if entries:
            self._failures(entries, kept)
        self._leases()
        faults = tuple(self._faults(kept))
        lost = frozenset(self._lost)
        return Known(
            kept,
            plan,
            entries,
            receipts,
            self._pointer,
            lost,
            self._names,
            faults,
            tuple(self._notes),
        )

    def _chain(self) -> Iterator[Kept]:
        numbers = sorted(
            {n for key in self._listing if key.endswith("/COMMITTED") and (n := generation_of(key))}
        )
        pointer = self._latest(numbers)
        while pointer is not None:
            number, sha256 = pointer
            older = [n for n in numbers if n < number]
            found = self._kept(number, sha256)
            if found is not None:
                yield found
                pointer = found.generation.previous
                if pointer is not None and self._was_given_up(pointer[0]):
                    return
            else:
                pointer = (older[-1], None) if older else None

    def _latest(self, numbers: list[int]) -> tuple[int, str | None] | None:
        def parse(document: dict[str, Any]) -> tuple[int, str]:
            return int(document["generation"]), str(document["committed_sha256"])

        self._pointer = self._sealed(LATEST, parse)
        return self._pointer or ((numbers[-1], None) if numbers else None)

    def _was_given_up(self, number: int) -> bool:
        """Whether `gc` removed a generation and not chance: from the oldest on, and all of it."""
        names = {n for key in self._listing if (n := generation_of(key)) is not None}
        return not any(n <= number for n in names)

    def _kept(self, number: int, sha256: str | None) -> Kept | None:
        key = generation_key(number, "COMMITTED")
        document = self._sealed(key, dict, sha256)
        if document is None:
            self._lost.add(number)
            return None
        try:
            generation = read_generation(self._objects, number, sha256)
            options = dict(document["config"])
            config = make_config(options.pop("preset"), **options)
        except (KeyError, TypeError, ValueError) as error:
            self._fault("swapped", key, f"is another kind of document ({error!r})")
            return None
        rows = self._committed(generation, "catalog.parquet", decode_catalog)
        manifest = self._committed(generation, "manifest.parquet", decode_manifest)
        if EMBEDDINGS in generation.sha256:
            self._committed(generation, EMBEDDINGS, decode_embeddings)
        if manifest and stored_digest(manifest.objects) != generation.stored_sha256:
            self._fault("inconsistent", key, "its digest is not that of its manifest")
        plan = self._sealed(
            generation_key(number, "plan.json"), lambda copy: plan_of_copy(copy, number)
        )
        if plan is not None and plan.fingerprint != generation.fingerprint:
            self._fault(
                "inconsistent",
                generation_key(number, "plan.json"),
                "is the plan of another commit than the one that was finished",
            )
            plan = None
        return Kept(generation, config, rows, manifest, plan)

    def _committed(
        self, generation: Generation, name: str, decode: Callable[[bytes, str], Parsed]
    ) -> Parsed | None:
        key, expected = generation_key(generation.number, name), generation.sha256[name]
        data = self._get(key, lambda data: hashlib.sha256(data).hexdigest() == expected)
        if data is None:
            self._fault("missing", key, "was committed")
            return None
        digest = hashlib.sha256(data).hexdigest()
        if digest != expected:
            self._fault("changed", key, "its sha256 is not the committed one", digest)
            return None
        self._names[digest] = key
        return decode(data, key)

    def _plan(self, kept: tuple[Kept, ...]) -> Plan | None:
        plan = self._sealed(PLAN, plan_from_document)
        found = self._sealed(LINEAGE, lambda document: str(document["lineage"]))
        lineages = {one.generation.lineage for one in kept}
        if found is not None and lineages and found not in lineages:
            self._fault("inconsistent", LINEAGE, "belongs to another build than the generations")
        if plan is not None and lineages and plan.lineage not in lineages:
            self._fault("inconsistent", PLAN, "belongs to another build than the generations")
        return plan

    def _receipts(self, plan: Plan, kept: tuple[Kept, ...]) -> dict[str, Receipt]:
        inputs: dict[str, tuple[InputFile, ...]] = {}
        for one in reversed(kept):
            inputs |= one.manifest.inputs if one.manifest else {}
        # A receipt and the manifest name the same objects, millions of them: keep each name once.
        named = {item.key: item for _, item in manifest_rows(kept)}
        receipts = {}
        for entry in plan.entries:
            key, was_committed = receipt_key(entry.group), entry.group in inputs
            if key not in self._listing and not was_committed:
                continue
            receipt = self._receipt(entry.group, key)
            if receipt is None:
                continue
            if entry.fingerprint not in ("", receipt.fingerprint):
                if was_committed:
                    self._fault("inconsistent", key, "belongs to other inputs or rows than planned")
                else:
                    self._notes.append(f"{key}: of an earlier plan; it will be built again")
            elif was_committed and receipt.inputs != inputs[entry.group]:
                self._fault("inconsistent", key, "names other inputs than the manifest")
            else:
                shared = (named.get(item.key) for item in receipt.objects)
                both = zip(receipt.objects, shared, strict=True)
                objects = tuple(item if item != known else known for item, known in both)
                receipts[entry.group] = replace(receipt, objects=objects)
        return receipts

    def _receipt(self, group: str, key: str) -> Receipt | None:
        try:
            receipt = read_receipt(self._objects, group)
        except StoreError as error:
            # Read anew, to tell a changed document from an intact one in a wrong place.
            if self._sealed(key, dict) is not None:
                self._fault("swapped", key, str(error))
            return None
        if receipt is None:
            self._fault("missing", key, "it proves what a committed entry consists of")
        return receipt

    def _failures(self, plan: Plan, kept: tuple[Kept, ...]) -> None:
        rows = kept[0].rows if kept else None
        failed = {
            row["map_index"]
            for row in rows or ()
            if row["failure_stage"] not in (None, "withdrawn")
        }
        for entry in plan.entries:
            key = failure_key(entry.group)

            def parse(document: dict[str, Any], group: str = entry.group) -> Failure:
                if document.pop("group") != group:
                    raise ValueError("it belongs to another entry")
                document.pop("fingerprint")
                return Failure(**document)

            needed = entry.withdrawn is None and entry.map_index in failed
            if key in self._listing:
                self._sealed(key, parse)
            elif needed and receipt_key(entry.group) not in self._listing:
                self._fault("missing", key, "the generation says that the entry failed")

    def _leases(self) -> None:
        tokens: dict[str, str] = {}
        for key in [key for key in self._listing if key.startswith(f"{LEASES}/")]:
            # A lease that has meanwhile ended may be gone.
            holder = self._sealed(key, lambda document: Holder(**document), optional=True)
            if holder is not None and tokens.setdefault(holder.token, key) != key:
                self._fault("swapped", key, f"is a copy of {tokens[holder.token]}")

    def _sealed(
        self,
        key: str,
        parse: Callable[[dict[str, Any]], Parsed],
        sha256: str | None = None,
        *,
        optional: bool = False,
    ) -> Parsed | None:
        """Read one sealed document; None, and a fault, if it is not what it should be."""
        data = self._get(key, is_sealed)
        if data is None:
            if not optional:
                self._fault("missing", key, _MISSING.get(key.rpartition("/")[2], "is needed"))
            return None
        digest = hashlib.sha256(data).hexdigest()
        if sha256 not in (None, digest):
            self._fault("changed", key, "its sha256 is not the one that was committed", digest)
            return None
        try:
            content = unseal(data, key)
        except StoreError:
            self._fault("changed", key, "its checksum does not fit its content", digest)
            return None
        try:
            found = parse(content)
        except _PARSING as error:
            self._fault("swapped", key, f"holds another document ({error})", digest)
            return None
        self._names.setdefault(digest, key)
        return found

    def _get(self, key: str, check: Callable[[bytes], bool]) -> bytes | None:
        try:
            return self._objects.get(key, check=check)
        except MissingChunkError:
            return None

    def _fault(self, kind: Kind, key: str, message: str, digest: str | None = None) -> None:
        self._wrong.append((Fault(kind, key, message), digest))

    def _faults(self, kept: tuple[Kept, ...]) -> Iterator[Fault]:
        """Yield what was found; a document with the bytes of another object is told as swapped."""
        names = dict(self._names)
        if self._wrong:
            names |= {item.sha256: item.key for _, item in manifest_rows(kept)}
        for fault, digest in self._wrong:
            name = names.get(digest) if digest else None
            if name is None or name == fault.key:
                yield fault
            else:
                yield replace(fault, kind="swapped", message=f"holds the bytes of {name}")
