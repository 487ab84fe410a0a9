"""Commit: once every part has left a receipt, make what they wrote the newest generation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from c2s_data import __version__
from c2s_data.errors import MissingChunkError, StoreError
from c2s_data.plan import Failure, Plan, PlannedEntry
from c2s_data.schema import SCHEMA_VERSION
from c2s_data.store.catalog_table import catalog_row, encode_catalog
from c2s_data.store.generation import (
    latest_pointer,
    plan_copy,
    read_generation,
    swap_latest,
)
from c2s_data.store.index_columns import index_objects
from c2s_data.store.layout import generation_key
from c2s_data.store.manifest import encode_manifest, manifest_of, stored_digest
from c2s_data.store.objects import Objects
from c2s_data.store.receipt import (
    Receipt,
    WrittenObject,
    put_checked,
    read_failure,
    receipt_of,
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
    return {entry.entry_id: _outcome(objects, entry) for entry in plan.live}


def _outcome(objects: Objects, entry: PlannedEntry) -> Outcome | None:
    if entry.failure is not None:
        return entry.failure
    return valid_receipt(objects, entry) or read_failure(objects, entry)


def commit(objects: Objects, plan: Plan, guard: Callable[[], None] = lambda: None) -> Committed:
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

    Raises
    ------
    StoreError
        If an entry is neither finished nor failed, or if not one entry is finished.
    """
    found = outcomes(objects, plan)
    _refuse_pending(objects.url, found)
    done = {name: o for name, o in found.items() if isinstance(o, Receipt)}
    failures = {name: o for name, o in found.items() if isinstance(o, Failure)}
    if not done:
        raise StoreError(
            f"{objects.url}: no entry could be built; nothing to commit\n{failure_lines(failures)}"
        )
    guard()
    written = _put_shared(objects, plan, done)
    catalog = encode_catalog([catalog_row(entry, _of(entry, found)) for entry in plan.entries])
    left_out = failures | {e.group: e.withdrawn for e in plan.entries if e.withdrawn is not None}
    manifest = manifest_of(
        [*written, *(item for receipt in done.values() for item in receipt.objects)],
        done.values(),
        left_out,
    )
    parts = {"catalog.parquet": catalog, "manifest.parquet": encode_manifest(manifest)}
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


def failure_lines(failures: Mapping[str, Failure]) -> str:
    """Return one line per failed entry: its name, the step, the reason code, the message."""
    return "\n".join(
        f"  {name}: {failure.stage}: [{failure.reason}] {failure.message}"
        for name, failure in failures.items()
    )


def shared_objects(objects: Objects, plan: Plan, done: Iterable[str]) -> dict[str, bytes]:
    """Return key and bytes of every object that belongs to no single entry.

    Index columns and the Zarr documents above the maps: they follow from the plan, the receipts
    and which entries (by entry_id) are ``done``.
    """
    names = set(done)
    receipts = {
        entry.group: receipt
        for entry in plan.entries
        if entry.failure is None and (receipt := receipt_of(objects, entry)) is not None
    }
    finished = [entry for entry in plan.buildable if entry.entry_id in names]
    return dict(index_objects(plan, receipts)) | root_documents(plan, finished)


def _refuse_pending(url: str, found: Mapping[str, Outcome | None]) -> None:
    pending = [name for name, outcome in found.items() if outcome is None]
    if pending:
        shown = ", ".join(pending[:10]) + (" ..." if len(pending) > 10 else "")
        raise StoreError(
            f"{url}: {len(pending)} of {len(found)} entries are not built yet ({shown}); "
            "run their parts, or `c2s-data build` again, then commit"
        )


def _of(entry: PlannedEntry, found: Mapping[str, Outcome | None]) -> Outcome:
    outcome = entry.withdrawn or found[entry.entry_id]
    assert outcome is not None, "pending entries were refused"
    return outcome


def _put_shared(objects: Objects, plan: Plan, done: Mapping[str, Receipt]) -> list[WrittenObject]:
    """Write what no single entry owns, flushed; what is there already stays as it is."""
    written = [
        put_checked(objects, key, data, keep=True)
        for key, data in shared_objects(objects, plan, done).items()
    ]
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
        if all(_holds(objects, latest.number, name, data) for name, data in parts.items()):
            return latest.number, False
    number = (pointer[0] if pointer else 0) + 1
    # A commit that was killed before the swap may have left this number to another content.
    while objects.size(generation_key(number, "COMMITTED")) is not None:
        if all(_holds(objects, number, name, data) for name, data in parts.items()):
            break
        number += 1
    kept = [put_checked(objects, generation_key(number, k), data) for k, data in parts.items()]
    objects.flush(item.key for item in kept)
    document = seal(
        {
            "schema_version": SCHEMA_VERSION,
            "code_version": __version__,
            "config": plan.config.model_dump(),
            "fingerprint": plan.fingerprint,
            "lineage": plan.lineage,
            "n_rows": plan.n_rows,
            "sha256": {item.key.rsplit("/", 1)[-1]: item.sha256 for item in kept},
            "stored_sha256": stored_sha256,
            "previous": pointer,
        }
    )
    guard()
    objects.put(generation_key(number, "plan.json"), plan_copy(plan, number))
    key = generation_key(number, "COMMITTED")
    if not objects.create(key, document) and not objects.holds(key, document):
        raise StoreError(
            f"{objects.url}: another commit made generation {number} at the same time; run the "
            "command again"
        )
    guard()
    swap_latest(objects, number, document)
    return number, True


def _holds(objects: Objects, number: int, name: str, data: bytes) -> bool:
    try:
        return objects.holds(generation_key(number, name), data)
    except MissingChunkError:
        return False
