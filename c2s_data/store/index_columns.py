"""The index columns of the subgrid rows: which map, where in it, how many C-alphas.

They follow from the plan and the receipts, so they can be compared with what is stored at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from c2s_data.plan import Plan
from c2s_data.schema import INDEX_CHUNK_ROWS, PADDING_MAP
from c2s_data.store.documents import plain_spec
from c2s_data.store.layout import INDEX_COLUMNS
from c2s_data.store.objects import Objects
from c2s_data.store.receipt import Receipt
from c2s_data.store.shard import decode_chunk, encode_chunk
from c2s_data.transforms.windows import window_corners


def index_columns(plan: Plan, receipts: Mapping[str, Receipt]) -> dict[str, NDArray[np.int32]]:
    """Return the index columns of all rows of a plan.

    Parameters
    ----------
    plan
        Who owns which rows.
    receipts
        By group, of every entry whose rows hold something, withdrawn ones included: their rows
        keep their values, because an older generation may still be read. Other rows are padding.

    Returns
    -------
    dict
        ``map`` (n_rows,), ``corner_zyx`` (n_rows, 3) and ``n_ca`` (n_rows,), all int32.
    """
    columns = {
        name: np.full((plan.n_rows, *shape), fill, np.int32)
        for name, (fill, shape, _, _) in INDEX_COLUMNS.items()
    }
    assert INDEX_COLUMNS["map"][0] == PADDING_MAP
    for entry in plan.entries:
        if not entry.holds_rows or entry.group not in receipts:
            continue
        rows = slice(entry.first_subgrid, entry.first_subgrid + entry.n_subgrids)
        occupied = np.array(receipts[entry.group].occupied, np.int64).reshape(-1, 2)
        corners = window_corners(entry.shape_zyx, plan.config.box, plan.config.core)
        rest = np.setdiff1d(np.arange(entry.n_subgrids), occupied[:, 0], assume_unique=True)
        columns["map"][rows] = entry.map_index
        columns["corner_zyx"][rows] = corners[np.concatenate([occupied[:, 0], rest])]
        columns["n_ca"][rows][: len(occupied)] = occupied[:, 1]
    return columns


def index_objects(plan: Plan, receipts: Mapping[str, Receipt]) -> Iterator[tuple[str, bytes]]:
    """Yield key and bytes of every chunk of the index columns."""
    for name, values in index_columns(plan, receipts).items():
        for chunk in range(-(-plan.n_rows // INDEX_CHUNK_ROWS)):
            block = values[chunk * INDEX_CHUNK_ROWS : (chunk + 1) * INDEX_CHUNK_ROWS]
            full = np.full((INDEX_CHUNK_ROWS, *values.shape[1:]), INDEX_COLUMNS[name][0], "int32")
            full[: len(block)] = block
            yield (
                index_key(name, chunk),
                bytes(encode_chunk(full, plain_spec(full.shape, full.dtype))),
            )


def read_index_chunk(objects: Objects, name: str, chunk: int) -> NDArray[np.int32]:
    """Return one stored chunk of an index column: (2^20,) or (2^20, 3) int32.

    Raises
    ------
    MissingChunkError, CorruptChunkError
        If it is not there or has changed.
    """
    shape = (INDEX_CHUNK_ROWS, *INDEX_COLUMNS[name][1])
    values, key = np.empty(shape, np.int32), index_key(name, chunk)
    spec = plain_spec(shape, values.dtype)
    decode_chunk(objects.get(key), spec, values, f"{objects.url}/{key}")
    return values


def index_key(name: str, chunk: int) -> str:
    """Return the name of one chunk of an index column."""
    return f"subgrids/{name}/c/{chunk}" + "/0" * len(INDEX_COLUMNS[name][1])
