"""Begin a store with its plan, and commit it once every part has left a receipt."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from c2s_data import __version__
from c2s_data.errors import ConfigError, MissingChunkError, StoreError
from c2s_data.plan import (
    Failure,
    Plan,
    PlannedEntry,
    plan_differences,
    plan_from_json,
    plan_to_json,
)
from c2s_data.schema import (
    INDEX_CHUNK_ROWS,
    PADDING_MAP,
    ROOT_CONSOLIDATED_MAPS,
    SCHEMA_VERSION,
)
from c2s_data.store.catalog_table import catalog_row, encode_catalog
from c2s_data.store.documents import encode_document, group_document, plain_spec
from c2s_data.store.layout import (
    INDEX_COLUMNS,
    LATEST,
    PLAN,
    Layout,
    failure_key,
    generation_key,
    receipt_key,
)
from c2s_data.store.map_group import map_documents
from c2s_data.store.objects import Objects
from c2s_data.store.receipt import (
    Receipt,
    WrittenObject,
    put_checked,
    read_failure,
    valid_receipt,
    write_failure,
)
from c2s_data.store.shard import encode_chunk
from c2s_data.transforms.windows import window_corners

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


def begin_store(objects: Objects, plan: Plan) -> Plan:
    """Write the plan and the array metadata, or find that an earlier run did.

    Raises
    ------
    ConfigError
        If the store was planned with other options or inputs; the message lists what differs.
    StoreError
        If another program's Zarr group lies there.
    """
    earlier = _earlier_plan(objects)
    if earlier is not None and earlier.fingerprint != plan.fingerprint:
        if _has_work(objects):
            raise ConfigError(_differing(objects.url, earlier, plan))
        for entry in earlier.entries:
            objects.delete(failure_key(entry.entry_id))
        earlier = None  # Nothing was built from the earlier plan, so nothing hangs on it.
    elif earlier is None:
        _refuse_foreign(objects)
    if earlier is None:
        _write_metadata(objects, plan)
        for entry in plan.entries:
            if entry.failure is not None:
                write_failure(objects, entry.entry_id, entry.failure)
    if earlier != plan:  # Equal fingerprints may still name other folders: inputs were moved.
        objects.put(PLAN, plan_to_json(plan))
    return plan


def _has_work(objects: Objects) -> bool:
    receipts = objects.names(receipt_key("x").rpartition("/")[0])
    return next(receipts, None) is not None or latest_generation(objects) > 0


def _differing(url: str, earlier: Plan, plan: Plan) -> str:
    lines = plan_differences(earlier, plan)
    shown = "\n".join(f"  {line}" for line in lines[:20])
    more = f"\n  and {len(lines) - 20} more" if len(lines) > 20 else ""
    return (
        f"{url} was planned with other options or inputs, so this run cannot resume it:\n"
        f"{shown}{more}\nUse the options and inputs of the first run, or another store"
    )


def _refuse_foreign(objects: Objects) -> None:
    """Refuse a place that holds what no plan of ours began."""
    try:
        attributes = json.loads(objects.get("zarr.json"))["attributes"]
    except MissingChunkError:
        if next(objects.names(""), None) is not None:
            raise StoreError(
                f"{objects.url} is not empty and no store; choose another path"
            ) from None
        return
    except (ValueError, KeyError, TypeError):
        attributes = {}
    if "c2s" not in attributes:
        raise StoreError(
            f"{objects.url} already holds a Zarr group of another program; choose another path"
        )


def load_plan(objects: Objects) -> Plan:
    """Return the plan of a store.

    Raises
    ------
    StoreError
        If there is none.
    """
    plan = _earlier_plan(objects)
    if plan is None:
        raise StoreError(
            f"{objects.url} has no plan; run `c2s-data plan` or `c2s-data build` first"
        )
    return plan


def _earlier_plan(objects: Objects) -> Plan | None:
    try:
        return plan_from_json(objects.get(PLAN))
    except MissingChunkError:
        return None


def root_attributes(plan: Plan) -> dict[str, Any]:
    """Return what the root group says of the whole store."""
    config = plan.config
    return {
        "c2s": {
            "schema_version": SCHEMA_VERSION,
            "code_version": __version__,
            "preset": config.preset,
            "config": config.model_dump(),
            "fingerprint": plan.fingerprint,
            "box": config.box,
            "core": config.core,
            "voxel_size_A": 1.0,
            "label_rule": config.label_rule,
            "label_error_A": config.label_error_A,
            "decode_offset_voxel": config.decode_offset_voxel,
        }
    }


def _write_metadata(objects: Objects, plan: Plan) -> None:
    attributes = root_attributes(plan)
    subgrids = Layout.of(plan.config).subgrids_group(plan.n_rows, attributes)
    documents = {
        "zarr.json": group_document(attributes),
        "maps/zarr.json": group_document({}),
        "subgrids/zarr.json": subgrids,
    }
    for name, child in subgrids["consolidated_metadata"]["metadata"].items():
        documents[f"subgrids/{name}/zarr.json"] = child
    for key, document in documents.items():
        objects.put(key, encode_document(document))


def _consolidate_root(objects: Objects, plan: Plan, done: Mapping[str, Receipt]) -> None:
    """Let small stores open with everything known; see ROOT_CONSOLIDATED_MAPS."""
    if len(done) > ROOT_CONSOLIDATED_MAPS:
        return
    layout = Layout.of(plan.config)
    subgrids = layout.subgrids_group(plan.n_rows, root_attributes(plan))
    children = {"maps": group_document({}), "subgrids": subgrids}
    for name, child in subgrids["consolidated_metadata"]["metadata"].items():
        children[f"subgrids/{name}"] = child
    for entry in plan.buildable:
        if entry.entry_id in done:
            children |= map_documents(entry, layout)
    # Inside a consolidated document groups carry no consolidation of their own.
    bare = {
        path: {key: value for key, value in child.items() if key != "consolidated_metadata"}
        for path, child in children.items()
    }
    objects.put("zarr.json", encode_document(group_document(root_attributes(plan), bare)))


def outcomes(objects: Objects, plan: Plan) -> dict[str, Outcome | None]:
    """Return for every entry its valid receipt, why it failed, or None where work is left."""
    return {entry.entry_id: _outcome(objects, plan, entry) for entry in plan.entries}


def _outcome(objects: Objects, plan: Plan, entry: PlannedEntry) -> Outcome | None:
    if entry.failure is not None:
        return entry.failure
    receipt = valid_receipt(objects, entry.entry_id, plan.fingerprint)
    return receipt or read_failure(objects, entry.entry_id)


def commit(objects: Objects, plan: Plan) -> Committed:
    """Make what the parts have written the store's newest generation.

    Index columns, catalog and manifest come first, then ``COMMITTED``, and last the swap of
    ``LATEST.json``. A second commit of the same parts changes nothing.

    Raises
    ------
    StoreError
        If an entry is neither finished nor failed, or if not one entry is finished.
    """
    found = outcomes(objects, plan)
    pending = [name for name, outcome in found.items() if outcome is None]
    if pending:
        shown = ", ".join(pending[:10]) + (" ..." if len(pending) > 10 else "")
        raise StoreError(
            f"{objects.url}: {len(pending)} of {len(found)} entries are not built yet ({shown}); "
            "run their parts, or `c2s-data build` again, then commit"
        )
    done = {name: o for name, o in found.items() if isinstance(o, Receipt)}
    failures = {name: o for name, o in found.items() if isinstance(o, Failure)}
    if not done:
        raise StoreError(
            f"{objects.url}: no entry could be built; nothing to commit\n{failure_lines(failures)}"
        )
    catalog = encode_catalog(
        [catalog_row(entry, done.get(entry.entry_id) or failures[entry.entry_id])
         for entry in plan.entries]
    )  # fmt: skip
    latest = latest_generation(objects)
    if latest and objects.get(generation_key(latest, "catalog.parquet")) == catalog:
        return _committed(plan, done, failures, latest, is_new=False)
    _consolidate_root(objects, plan, done)
    index = _write_index(objects, plan, done)
    written = [*index, *_metadata_objects(objects)]
    for receipt in done.values():
        written += receipt.objects
    generation = latest + 1
    kept = [
        put_checked(objects, generation_key(generation, "catalog.parquet"), catalog),
        put_checked(
            objects, generation_key(generation, "manifest.parquet"), _manifest(written, done)
        ),
    ]
    objects.flush(item.key for item in (*index, *kept))
    _swap(objects, plan, generation, kept, len(done), len(failures))
    return _committed(plan, done, failures, generation, is_new=True)


def failure_lines(failures: Mapping[str, Failure]) -> str:
    """Return one line per failed entry: its name, the step, the reason code, the message."""
    return "\n".join(
        f"  {name}: {failure.stage}: [{failure.reason}] {failure.message}"
        for name, failure in failures.items()
    )


def latest_generation(objects: Objects) -> int:
    """Return the number of the committed generation, 0 where there is none."""
    try:
        return int(json.loads(objects.get(LATEST))["generation"])
    except MissingChunkError:
        return 0
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{objects.url}: {LATEST} is damaged: {error!r}") from error


def _swap(
    objects: Objects,
    plan: Plan,
    generation: int,
    kept: list[WrittenObject],
    n_done: int,
    n_failed: int,
) -> None:
    document = {
        "generation": generation,
        "schema_version": SCHEMA_VERSION,
        "code_version": __version__,
        "fingerprint": plan.fingerprint,
        "n_rows": plan.n_rows,
        "n_entries": n_done,
        "n_failed": n_failed,
        "sha256": {item.key.rsplit("/", 1)[-1]: item.sha256 for item in kept},
    }
    data = json.dumps(document, indent=1).encode()
    objects.put(generation_key(generation, "COMMITTED"), data)
    pointer = {"generation": generation, "committed_sha256": hashlib.sha256(data).hexdigest()}
    objects.put(LATEST, json.dumps(pointer, indent=1).encode())


def _write_index(objects: Objects, plan: Plan, done: dict[str, Receipt]) -> list[WrittenObject]:
    columns = index_columns(plan, done)
    written = []
    for name, values in columns.items():
        for chunk in range(-(-plan.n_rows // INDEX_CHUNK_ROWS)):
            block = values[chunk * INDEX_CHUNK_ROWS : (chunk + 1) * INDEX_CHUNK_ROWS]
            full = np.full((INDEX_CHUNK_ROWS, *values.shape[1:]), INDEX_COLUMNS[name][0], "int32")
            full[: len(block)] = block
            key = f"subgrids/{name}/c/{chunk}" + "/0" * (values.ndim - 1)
            data = encode_chunk(full, plain_spec(full.shape, full.dtype))
            written.append(put_checked(objects, key, data))
    return written


def index_columns(plan: Plan, done: Mapping[str, Receipt]) -> dict[str, NDArray[np.int32]]:
    """Return the index columns of all rows; rows of failed entries stay padding."""
    columns = {
        name: np.full((plan.n_rows, *shape), fill, np.int32)
        for name, (fill, shape, _, _) in INDEX_COLUMNS.items()
    }
    assert INDEX_COLUMNS["map"][0] == PADDING_MAP
    for entry in plan.buildable:
        if entry.entry_id not in done:
            continue
        rows = slice(entry.first_subgrid, entry.first_subgrid + entry.n_subgrids)
        occupied = np.array(done[entry.entry_id].occupied, np.int64).reshape(-1, 2)
        corners = window_corners(entry.shape_zyx, plan.config.box, plan.config.core)
        rest = np.setdiff1d(np.arange(entry.n_subgrids), occupied[:, 0], assume_unique=True)
        columns["map"][rows] = entry.map_index
        columns["corner_zyx"][rows] = corners[np.concatenate([occupied[:, 0], rest])]
        columns["n_ca"][rows][: len(occupied)] = occupied[:, 1]
    return columns


def _metadata_objects(objects: Objects) -> list[WrittenObject]:
    names = ["zarr.json", "maps/zarr.json", "subgrids/zarr.json"]
    names += [f"subgrids/{name}/zarr.json" for name in ("density", *INDEX_COLUMNS)]
    names += [f"subgrids/{name}/zarr.json" for name in ("atom", "ca", "amino", "secondary")]
    found = []
    for name in names:
        data = objects.get(name)
        found.append(WrittenObject(name, len(data), hashlib.sha256(data).hexdigest()))
    return found


def _manifest(written: list[WrittenObject], done: dict[str, Receipt]) -> bytes:
    rows = [("object", item.key, item.nbytes, item.sha256) for item in written]
    rows += [
        (f"input {item.role}", f"{name}: {item.name}", item.nbytes, item.sha256)
        for name, receipt in done.items()
        for item in receipt.inputs
    ]
    rows.sort()
    names = ("kind", "name", "nbytes", "sha256")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()


def _committed(
    plan: Plan,
    done: dict[str, Receipt],
    failures: dict[str, Failure],
    generation: int,
    *,
    is_new: bool,
) -> Committed:
    every = [item for receipt in done.values() for item in receipt.objects]
    return Committed(
        generation=generation,
        is_new=is_new,
        n_subgrids=sum(e.n_subgrids for e in plan.buildable if e.entry_id in done),
        nbytes=sum(item.nbytes for item in every),
        n_objects=len(every),
        failures=failures,
    )
