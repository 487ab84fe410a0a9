"""Receipts: the proof, kept in the store, that an entry is finished.

A receipt is written last, after everything it names has been written and read back, and carries
the plan's fingerprint. A part that finds a valid receipt has nothing to do, wherever and however
often it runs.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from c2s_data.errors import MissingChunkError, StoreError
from c2s_data.plan import Failure
from c2s_data.store.layout import failure_key, receipt_key
from c2s_data.store.objects import Data, Objects


@dataclass(frozen=True)
class WrittenObject:
    """One object of the store: its name, size and sha256 (hex)."""

    key: str
    nbytes: int
    sha256: str


@dataclass(frozen=True)
class InputFile:
    """One file that an entry was made from: role (``map`` or ``model``), name, size, sha256."""

    role: str
    name: str
    nbytes: int
    sha256: str


@dataclass(frozen=True)
class Receipt:
    """What one finished entry consists of.

    ``occupied`` holds (number of the window in published order, its C-alphas) of every subgrid
    with a C-alpha; with the map's shape it gives all index columns. ``facts`` are the entry's
    further columns of the catalog.
    """

    entry_id: str
    fingerprint: str
    code_version: str
    occupied: tuple[tuple[int, int], ...]
    objects: tuple[WrittenObject, ...]
    inputs: tuple[InputFile, ...]
    facts: dict[str, Any]


def put_checked(objects: Objects, key: str, data: Data) -> WrittenObject:
    """Write an object, read it back, and return what a receipt says of it.

    It is not yet flushed: whoever vouches for several objects flushes them together first.

    Raises
    ------
    StoreError
        If what comes back is not what was written.
    """
    objects.put(key, data, durable=False)
    if not objects.holds(key, data):
        raise StoreError(
            f"{objects.url}: object {key!r} reads back changed; the disk or the service is failing"
        )
    return WrittenObject(key, len(data), hashlib.sha256(data).hexdigest())


def write_receipt(objects: Objects, receipt: Receipt) -> None:
    """Flush what the receipt names, write it, and withdraw the record of an earlier failure."""
    objects.flush(item.key for item in receipt.objects)
    objects.put(receipt_key(receipt.entry_id), _encode(asdict(receipt)))
    objects.delete(failure_key(receipt.entry_id))


def read_receipt(objects: Objects, entry_id: str) -> Receipt | None:
    """Return an entry's receipt, or None if it has none.

    Raises
    ------
    StoreError
        If the receipt is no document of this version.
    """
    document = _read(objects, receipt_key(entry_id))
    if document is None:
        return None
    try:
        return Receipt(
            entry_id=document["entry_id"],
            fingerprint=document["fingerprint"],
            code_version=document["code_version"],
            occupied=tuple((int(number), int(n_ca)) for number, n_ca in document["occupied"]),
            objects=tuple(WrittenObject(**item) for item in document["objects"]),
            inputs=tuple(InputFile(**item) for item in document["inputs"]),
            facts=document["facts"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{objects.url}: the receipt of {entry_id} is damaged: {error!r}"
        ) from error


def valid_receipt(objects: Objects, entry_id: str, fingerprint: str) -> Receipt | None:
    """Return the receipt of a finished entry, or None if there is work left to do.

    It counts only under the plan's fingerprint and while every object it names has its size;
    checksums are for ``verify``.
    """
    try:
        receipt = read_receipt(objects, entry_id)
    except StoreError:
        return None  # A damaged receipt is no proof: the entry is simply built again.
    if receipt is None or receipt.fingerprint != fingerprint:
        return None
    complete = all(objects.size(item.key) == item.nbytes for item in receipt.objects)
    return receipt if complete else None


def write_failure(objects: Objects, entry_id: str, failure: Failure) -> None:
    """Quarantine an entry: record at which step and why it could not be built."""
    objects.put(failure_key(entry_id), _encode(asdict(failure)))


def read_failure(objects: Objects, entry_id: str) -> Failure | None:
    """Return why an entry could not be built, or None if no record says so."""
    try:
        document = _read(objects, failure_key(entry_id))
        return None if document is None else Failure(**document)
    except (StoreError, TypeError):
        return None  # A damaged record is no reason: the entry is tried again.


def _encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document, allow_nan=False).encode()


def _read(objects: Objects, key: str) -> dict[str, Any] | None:
    try:
        data = objects.get(key)
    except MissingChunkError:
        return None
    try:
        document = json.loads(data)
    except ValueError as error:
        raise StoreError(f"{objects.url}: object {key!r} is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise StoreError(f"{objects.url}: object {key!r} holds no JSON object")
    return document
