"""The manifest of a generation: every object it needs and every input it was made from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from c2s_data.errors import StoreError
from c2s_data.plan import Failure
from c2s_data.store.parquet import decode_table, encode_table
from c2s_data.store.receipt import InputFile, Receipt, WrittenObject

_FIELDS = (
    ("kind", pa.string()),
    ("name", pa.string()),
    ("nbytes", pa.int64()),
    ("sha256", pa.string()),
    ("detail", pa.string()),
)


@dataclass(frozen=True)
class Manifest:
    """What a generation consists of.

    ``inputs`` holds the files by group, ``skipped`` why an entry is left out by entry_id.
    """

    objects: tuple[WrittenObject, ...]
    inputs: Mapping[str, tuple[InputFile, ...]]
    skipped: Mapping[str, str]


def manifest_of(
    objects: Iterable[WrittenObject], done: Iterable[Receipt], skipped: Mapping[str, Failure]
) -> Manifest:
    """Put together what a commit knows; sorted, so that equal stores have equal manifests."""
    return Manifest(
        objects=tuple(sorted(objects, key=lambda item: item.key)),
        inputs={receipt.group: receipt.inputs for receipt in done},
        skipped={
            name: f"{why.stage}: [{why.reason}] {why.message}" for name, why in skipped.items()
        },
    )


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the manifest as one Parquet object: columns kind, name, nbytes, sha256, detail."""
    rows = [("object", item.key, item.nbytes, item.sha256, None) for item in manifest.objects]
    for group, files in sorted(manifest.inputs.items()):
        rows += [(f"input {f.role}", group, f.nbytes, f.sha256, f.name) for f in files]  # type: ignore[misc]
    for name, why in sorted(manifest.skipped.items()):
        rows.append(("skipped", name, 0, "", why))  # type: ignore[arg-type]
    columns = zip(*rows, strict=True) if rows else ([] for _ in _FIELDS)
    table = pa.table(
        {name: pa.array(list(column), kind)
         for (name, kind), column in zip(_FIELDS, columns, strict=True)}
    )  # fmt: skip
    return encode_table(table)


def decode_manifest(data: bytes, where: str) -> Manifest:
    """Read what `encode_manifest` wrote.

    Raises
    ------
    StoreError
        If the object is no manifest.
    """
    table = decode_table(data, where)
    try:
        rows = table.to_pylist()
        objects, skipped = [], {}
        inputs: dict[str, list[InputFile]] = {}
        for row in rows:
            kind, name = row["kind"], row["name"]
            if kind == "object":
                objects.append(WrittenObject(name, row["nbytes"], row["sha256"]))
            elif kind == "skipped":
                skipped[name] = row["detail"]
            else:
                role = kind.removeprefix("input ")
                file = InputFile(role, row["detail"], row["nbytes"], row["sha256"])
                inputs.setdefault(name, []).append(file)
    except (pa.ArrowException, OSError, ValueError, KeyError, AttributeError) as error:
        raise StoreError(f"{where}: the manifest cannot be read: {error!r}") from error
    return Manifest(
        tuple(objects), {group: tuple(files) for group, files in inputs.items()}, skipped
    )


def stored_digest(objects: Iterable[WrittenObject]) -> str:
    """Return one sha256 (hex) over the names and bytes of all stored objects.

    Equal for equal stores, whatever the number of workers, their order, and what was killed.
    """
    digest = hashlib.sha256()
    for item in sorted(objects, key=lambda item: item.key):
        digest.update(f"{item.sha256}  {item.key}\n".encode())
    return digest.hexdigest()
