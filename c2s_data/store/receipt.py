"""Receipts: the proof, kept in the store, that an entry is finished.

A receipt is written last, after everything it names has been written and read back, and carries
the entry's fingerprint. A part that finds a valid receipt has nothing to do, wherever and however
often it runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from c2s_data.errors import MissingChunkError, StoreError
from c2s_data.plan import Failure, PlannedEntry
from c2s_data.store.layout import failure_key, receipt_key
from c2s_data.store.objects import Data, Objects
from c2s_data.store.sealed import seal, unseal


@dataclass(frozen=True, slots=True)  # A large store has millions.
class WrittenObject:
    """One object of the store: its name, size and sha256 (hex)."""

    key: str
    nbytes: int
    sha256: str


@dataclass(frozen=True)
class InputFile:
    """One input of an entry; its role is ``map``, ``model``, ``sequence`` or ``mask``."""

    role: str
    name: str
    nbytes: int
    sha256: str


@dataclass(frozen=True)
class Receipt:
    """What one finished entry consists of.

    ``group`` is the entry's `c2s_data.plan.PlannedEntry.group`. ``occupied`` holds (number of the
    window in published order, its C-alphas) of every subgrid with a C-alpha; with the map's shape
    it gives all index columns. ``facts`` are the entry's further columns of the catalog.
    """

    group: str
    fingerprint: str
    code_version: str
    occupied: tuple[tuple[int, int], ...]
    objects: tuple[WrittenObject, ...]
    inputs: tuple[InputFile, ...]
    facts: dict[str, Any]


def put_checked(objects: Objects, key: str, data: Data, *, keep: bool = False) -> WrittenObject:
    """Write an object, read it back, and return what a receipt says of it.

    It is not yet flushed: whoever vouches for several objects flushes them together first. With
    ``keep`` an object that is these bytes already is left alone.

    Raises
    ------
    StoreError
        If what comes back is not what was written.
    """
    done = WrittenObject(key, len(data), hashlib.sha256(data).hexdigest())
    if keep and objects.size(key) == len(data) and objects.holds(key, data):
        return done
    objects.put(key, data, durable=False)
    if not objects.confirms and not objects.holds(key, data):
        raise StoreError(
            f"{objects.url}: object {key!r} reads back changed; the disk or the service is failing"
        )
    return done


def write_receipt(objects: Objects, receipt: Receipt) -> None:
    """Flush what the receipt names, write it, and withdraw the record of an earlier failure."""
    objects.flush(item.key for item in receipt.objects)
    objects.put(receipt_key(receipt.group), seal(asdict(receipt)))
    objects.delete(failure_key(receipt.group))


def read_receipt(objects: Objects, group: str) -> Receipt | None:
    """Return an entry's receipt, or None if it has none.

    Raises
    ------
    StoreError
        If the receipt is damaged, or that of another entry.
    """
    document = _read(objects, receipt_key(group))
    if document is None:
        return None
    where = f"{objects.url}: {receipt_key(group)}"
    if document.get("group") != group:
        raise StoreError(f"{where} is damaged: it belongs to {document.get('group')!r}")
    try:
        return Receipt(
            group=group,
            fingerprint=document["fingerprint"],
            code_version=document["code_version"],
            occupied=tuple((int(number), int(n_ca)) for number, n_ca in document["occupied"]),
            objects=tuple(WrittenObject(**item) for item in document["objects"]),
            inputs=tuple(InputFile(**item) for item in document["inputs"]),
            facts=document["facts"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{where} is damaged: {error!r}") from error


def receipt_of(objects: Objects, planned: PlannedEntry) -> Receipt | None:
    """Return the receipt of an entry if it was finished as planned, whatever became of it since."""
    try:
        receipt = read_receipt(objects, planned.group)
    except StoreError:
        return None  # A damaged receipt is no proof: the entry is simply built again.
    return receipt if receipt and receipt.fingerprint == planned.fingerprint else None


def valid_receipt(
    objects: Objects, planned: PlannedEntry, sizes: Mapping[str, int] | None = None
) -> Receipt | None:
    """Return the receipt of a finished entry, or None if there is work left to do.

    It counts only under the entry's fingerprint and while every object it names has its size;
    checksums are for ``verify``. ``sizes`` of all objects, from one listing, save many requests
    where many entries are asked for.
    """
    if sizes is not None and receipt_key(planned.group) not in sizes:
        return None
    receipt = receipt_of(objects, planned)
    if receipt is None:
        return None
    size = objects.size if sizes is None else sizes.get
    return receipt if all(size(i.key) == i.nbytes for i in receipt.objects) else None


def write_failure(objects: Objects, planned: PlannedEntry, failure: Failure) -> None:
    """Quarantine an entry: record at which step and why it could not be built."""
    document = asdict(failure) | {"group": planned.group, "fingerprint": planned.fingerprint}
    objects.put(failure_key(planned.group), seal(document))


def read_failure(objects: Objects, planned: PlannedEntry) -> Failure | None:
    """Return why an entry could not be built, or None if no record says so."""
    try:
        document = _read(objects, failure_key(planned.group))
        if document is None:
            return None
        name, fingerprint = document.pop("group"), document.pop("fingerprint")
        # Of other inputs it says nothing: the entry was planned anew since.
        same = (name, fingerprint) == (planned.group, planned.fingerprint)
        return Failure(**document) if same else None
    except (StoreError, TypeError, KeyError):
        return None  # A damaged record is no reason: the entry is tried again.


def _read(objects: Objects, key: str) -> dict[str, Any] | None:
    try:
        data = objects.get(key)
    except MissingChunkError:
        return None
    return unseal(data, f"{objects.url}: {key}")
