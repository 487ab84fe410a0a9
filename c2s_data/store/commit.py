"""Commit: once every part has left a receipt, make what they wrote the newest generation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from c2s_data import __version__
from c2s_data.errors import MissingChunkError, StoreError
from c2s_data.plan import Failure, Plan, PlannedEntry
from c2s_data.schema import INDEX_CHUNK_ROWS, SCHEMA_VERSION
from c2s_data.store.begin import claim_lineage
from c2s_data.store.catalog_table import catalog_row, encode_catalog
from c2s_data.store.embeddings import EMBEDDINGS, embeddings_bytes
from c2s_data.store.generation import (
    committed_groups,
    latest_pointer,
    plan_copy,
    read_generation,
    swap_latest,
)
from c2s_data.store.index_columns import index_objects, read_index_chunk
from c2s_data.store.layout import failure_key, generation_key
from c2s_data.store.manifest import encode_manifest, manifest_of, stored_digest
from c2s_data.store.objects import Objects
from c2s_data.store.receipt import (
    Receipt,
    WrittenObject,
    put_checked,
    read_failure,
    read_receipt,
    valid_receipt,
)
from c2s_data.store.root_documents import root_documents
from c2s_data.store.sealed import seal

Outcome = Receipt | Failure


@dataclass(frozen=True)
class Committed:
    """What a commit made: its number, whether it was new, and the entries it leaves out."""

    generation: int
    is_new: bool
    n_subgrids: int
    nbytes: int
    n_objects: int
    failures: dict[str, Failure]


def outcomes(objects: Objects, plan: Plan) -> dict[str, Outcome | None]:
    """Return for every live entry its valid receipt, why it failed, or None where work is left."""
    sizes = dict(objects.walk())
    return {entry.entry_id: _outcome(objects, entry, sizes) for entry in plan.live}


def _outcome(objects: Objects, entry: PlannedEntry, sizes: Mapping[str, int]) -> Outcome | None:
    if entry.failure is not None:
        return entry.failure
    receipt = valid_receipt(objects, entry, sizes)
    if receipt is not None or failure_key(entry.group) not in sizes:
        return receipt
    return read_failure(objects, entry)


def pending_entries(objects: Objects, plan: Plan) -> list[PlannedEntry]:
    """Return the buildable entries that have no valid receipt.

    Raises
    ------
    StoreError
        If a committed generation holds one of them: what is damaged there must come back to the
        byte, which is for ``repair``; other bytes in its place would change the past.
    """
    sizes = dict(objects.walk())
    pending = [e for e in plan.buildable if valid_receipt(objects, e, sizes) is None]
    committed = committed_groups(objects) if pending else frozenset()
    _refuse_damaged(objects.url, [e.entry_id for e in pending if e.group in committed])
    return pending


def _refuse_damaged(url: str, names: Sequence[str]) -> None:
    if names:
        raise StoreError(
            f"{url}: objects of {_few(names)} are missing or damaged, though committed; run "
            "`c2s-data verify`, then `c2s-data repair`, then this command again"
        )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (" ..." if len(names) > 10 else "")


def commit(
    objects: Objects,
    plan: Plan,
    guard: Callable[[], None] = lambda: None,
    *,
    embeddings: bytes | None = None,
) -> Committed:
    """Make what the parts have written the store's newest generation.

    Index columns, Zarr documents, catalog and manifest come first, then ``COMMITTED``, and last
    the swap of ``LATEST.json``. A second commit of the same parts changes nothing.

    Parameters
    ----------
    objects, plan
        The store and the plan in force.
    guard
        Called before each step that cannot be taken back; raises if this process has lost the
        right to commit (`c2s_data.store.lease.Lease.check`).
    embeddings
        Table of `c2s_data.store.embeddings`; None to keep that of the newest generation, if any.

    Raises
    ------
    StoreError
        If an entry is neither finished nor failed, or if not one entry is finished.
    """
    found = outcomes(objects, plan)
    _refuse_pending(objects, plan, found)
    done = {name: o for name, o in found.items() if isinstance(o, Receipt)}
    failures = {name: o for name, o in found.items() if isinstance(o, Failure)}
    if not done:
        raise StoreError(
            f"{objects.url}: no entry could be built; nothing to commit\n{failure_lines(failures)}"
        )
    guard()
    claim_lineage(objects, plan.lineage)
    receipts = {receipt.group: receipt for receipt in done.values()}
    receipts |= _receipts_of_withdrawn(objects, plan)
    written = _put_shared(objects, shared_objects(plan, receipts, done), guard)
    catalog = encode_catalog([catalog_row(entry, _of(entry, found)) for entry in plan.entries])
    left_out = failures | {e.group: e.withdrawn for e in plan.entries if e.withdrawn is not None}
    manifest = manifest_of(
        [*written, *(item for receipt in done.values() for item in receipt.objects)],
        done.values(),
        left_out,
    )
    parts = {"catalog.parquet": catalog, "manifest.parquet": encode_manifest(manifest)}
    if (table := _embeddings(objects) if embeddings is None else embeddings) is not None:
        parts[EMBEDDINGS] = table
    digest = stored_digest(manifest.objects)
    generation, is_new = _put_generation(objects, plan, parts, digest, guard)
    return Committed(
        generation=generation,
        is_new=is_new,
        n_subgrids=sum(e.n_subgrids for e in plan.buildable if e.entry_id in done),
        nbytes=sum(item.nbytes for receipt in done.values() for item in receipt.objects),
        n_objects=sum(len(receipt.objects) for receipt in done.values()),
        failures=failures,
    )


def _embeddings(objects: Objects) -> bytes | None:
    pointer = latest_pointer(objects)
    if pointer is None:
        return None
    return embeddings_bytes(objects, read_generation(objects, *pointer))


def failure_lines(failures: Mapping[str, Failure]) -> str:
    """Return one line per failed entry: its name, the step, the reason code, the message."""
    return "\n".join(
        f"  {name}: {failure.stage}: [{failure.reason}] {failure.message}"
        for name, failure in failures.items()
    )


def shared_objects(
    plan: Plan, receipts: Mapping[str, Receipt], done: Iterable[str]
) -> dict[str, bytes]:
    """Return key and bytes of every object that belongs to no single entry.

    Parameters
    ----------
    plan
        The plan in force.
    receipts
        By group, of all entries whose rows hold something: see
        `c2s_data.store.index_columns.index_columns`.
    done
        The entry_id of every entry of the generation.
    """
    names = set(done)
    finished = [entry for entry in plan.buildable if entry.entry_id in names]
    return dict(index_objects(plan, receipts)) | root_documents(plan, finished)


def _receipts_of_withdrawn(objects: Objects, plan: Plan) -> dict[str, Receipt]:
    """Return the receipts of entries that older generations may still hold.

    Without one of them its index rows would turn into padding under their readers.
    """
    found = {}
    for entry in plan.entries:
        if entry.withdrawn is None or not entry.holds_rows:
            continue
        try:
            receipt = read_receipt(objects, entry.group)
        except StoreError as error:
            raise StoreError(f"{error}; run `c2s-data repair`, then this command again") from error
        if receipt is not None and receipt.fingerprint == entry.fingerprint:
            found[entry.group] = receipt
        elif _is_indexed(objects, entry):
            raise StoreError(
                f"{objects.url}: the receipt of {entry.group} is missing, which an older "
                "generation may still need; run `c2s-data repair`, then this command again"
            )
    return found


def _is_indexed(objects: Objects, entry: PlannedEntry) -> bool:
    chunk, row = divmod(entry.first_subgrid, INDEX_CHUNK_ROWS)
    try:
        return int(read_index_chunk(objects, "map", chunk)[row]) == entry.map_index
    except MissingChunkError:
        return False


def _refuse_pending(objects: Objects, plan: Plan, found: Mapping[str, Outcome | None]) -> None:
    pending = [name for name, outcome in found.items() if outcome is None]
    if not pending:
        return
    committed = committed_groups(objects)
    groups = {entry.entry_id: entry.group for entry in plan.live}
    _refuse_damaged(objects.url, [name for name in pending if groups[name] in committed])
    raise StoreError(
        f"{objects.url}: {len(pending)} of {len(found)} entries are not built yet "
        f"({_few(pending)}); run their parts, or `c2s-data build` again, then commit"
    )


def _of(entry: PlannedEntry, found: Mapping[str, Outcome | None]) -> Outcome:
    outcome = entry.withdrawn or found[entry.entry_id]
    assert outcome is not None, "pending entries were refused"
    return outcome


def _put_shared(
    objects: Objects, made: Mapping[str, bytes], guard: Callable[[], None]
) -> list[WrittenObject]:
    """Write what no single entry owns, flushed; what is there already stays as it is."""
    written = []
    for key, data in made.items():
        written.append(_put(objects, key, data, guard, keep=True))
    objects.flush(item.key for item in written)
    return written


def _put_generation(
    objects: Objects,
    plan: Plan,
    parts: Mapping[str, bytes],
    stored_sha256: str,
    guard: Callable[[], None],
) -> tuple[int, bool]:
    pointer = latest_pointer(objects)
    if pointer is not None:
        latest = read_generation(objects, *pointer)
        if latest.sha256 == {name: _sha256(data) for name, data in parts.items()}:
            return latest.number, False
    document = _committed_document(plan, parts, stored_sha256, pointer)
    number = _free_number(objects, pointer[0] + 1 if pointer else 1, document)
    parts = {**parts, "plan.json": plan_copy(plan, number)}
    for name, data in parts.items():
        _put(objects, generation_key(number, name), data, guard)
    objects.flush(generation_key(number, name) for name in parts)
    guard()
    key = generation_key(number, "COMMITTED")
    if not objects.create(key, document) and not objects.holds(key, document):
        raise StoreError(
            f"{objects.url}: another commit made generation {number} at the same time; run the "
            "command again"
        )
    guard()
    swap_latest(objects, number, document)
    return number, True


def _put(
    objects: Objects, key: str, data: bytes, guard: Callable[[], None], *, keep: bool = False
) -> WrittenObject:
    guard()
    try:
        return put_checked(objects, key, data, keep=keep)
    except StoreError:
        guard()  # What looks like a failing disk may be another commit at work.
        raise


def _committed_document(
    plan: Plan, parts: Mapping[str, bytes], stored_sha256: str, previous: tuple[int, str] | None
) -> bytes:
    return seal(
        {
            "schema_version": SCHEMA_VERSION,
            "code_version": __version__,
            "config": plan.config.model_dump(),
            "fingerprint": plan.fingerprint,
            "lineage": plan.lineage,
            "n_rows": plan.n_rows,
            "sha256": {name: _sha256(data) for name, data in parts.items()},
            "stored_sha256": stored_sha256,
            "previous": previous,
        }
    )


def _free_number(objects: Objects, number: int, document: bytes) -> int:
    """Return the next number that no commit which was killed before its swap has taken.

    Unless it was about to commit the same: then that commit is finished.
    """
    while objects.size(key := generation_key(number, "COMMITTED")) is not None:
        if objects.holds(key, document):
            break
        number += 1
    return number


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
