"""Write one entry: its shards of subgrids, its map group, its tables, and the receipt last.

One call owns whole shards and no shard holds two maps, so any number of calls may run at once,
anywhere, in any order, and again after they were killed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from c2s_data import __version__
from c2s_data.plan import PlannedEntry
from c2s_data.schema import MASKS
from c2s_data.store.layout import Layout, residues_key, shard_key, statistics_key
from c2s_data.store.map_group import write_map_group
from c2s_data.store.objects import Objects
from c2s_data.store.receipt import InputFile, Receipt, WrittenObject, put_checked, write_receipt
from c2s_data.store.shard import ShardSpec, encode_shard
from c2s_data.transforms.label import VoxelLabels
from c2s_data.transforms.subgrid import extract, scatter_labels
from c2s_data.transforms.windows import count_in_windows, occupied_first, window_corners


@dataclass(frozen=True)
class LabeledMap:
    """A finished map in memory, as `c2s_data.build.build_entry` makes it.

    Parameters
    ----------
    density_zyx
        Normalized density at 1 A, (z, y, x), float16 or float32 in [0, 1].
    labels
        Labeled voxels of each mask of `c2s_data.schema.MASKS`.
    residues
        Columns of the residue table, each of length n_residues.
    statistics
        Histograms and raw slices, by name.
    facts
        The entry's further columns of the catalog: plain numbers, strings, None.
    inputs
        The files that were read.
    """

    density_zyx: NDArray[np.float16] | NDArray[np.float32]
    labels: Mapping[str, VoxelLabels]
    residues: Mapping[str, Any]
    statistics: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any]
    inputs: tuple[InputFile, ...]


def write_entry(
    objects: Objects, layout: Layout, planned: PlannedEntry, fingerprint: str, made: LabeledMap
) -> Receipt:
    """Write everything of one entry and return its receipt.

    Raises
    ------
    StoreError
        If an object reads back changed; nothing is counted before the receipt is written.
    """
    counts = {
        name: count_in_windows(labels.index_zyx, planned.shape_zyx, layout.box, layout.core)
        for name, labels in made.labels.items()
    }
    n_ca = counts["ca"]
    order = occupied_first(n_ca)
    counts = {name: count[order] for name, count in counts.items()}
    n_occupied = int(np.count_nonzero(n_ca))
    corners_zyx = window_corners(planned.shape_zyx, layout.box, layout.core)[order]
    written = [
        *_write_subgrids(objects, layout, planned, made, corners_zyx, counts),
        *write_map_group(objects, layout, planned, made.density_zyx, made.labels),
        put_checked(objects, residues_key(planned.entry_id), _parquet(made.residues)),
        put_checked(objects, statistics_key(planned.entry_id), _npz(made.statistics)),
    ]
    receipt = Receipt(
        entry_id=planned.entry_id,
        fingerprint=fingerprint,
        code_version=__version__,
        occupied=tuple((int(k), int(n_ca[k])) for k in order[:n_occupied]),
        objects=tuple(written),
        inputs=made.inputs,
        facts=dict(made.facts),
    )
    write_receipt(objects, receipt)
    return receipt


def _write_subgrids(
    objects: Objects,
    layout: Layout,
    planned: PlannedEntry,
    made: LabeledMap,
    corners_zyx: NDArray[np.int32],
    counts: Mapping[str, NDArray[np.int32]],
) -> Iterator[WrittenObject]:
    rows = layout.shard_rows
    first_shard, misaligned = divmod(planned.first_subgrid, rows)
    assert not misaligned, f"{planned.entry_id}: range begins inside a shard"
    box = (layout.box,) * 3
    density = np.empty((min(rows, planned.n_subgrids), *box), layout.dtype("density"))
    mask = np.empty((0, *box), np.uint8)
    for number in range(planned.n_shards):
        corners = corners_zyx[number * rows : (number + 1) * rows]
        extract(made.density_zyx, corners, layout.box, out=density[: len(corners)])
        blob = encode_shard(density[: len(corners)], layout.subgrid_spec("density"))
        yield put_checked(objects, shard_key("density", first_shard + number), blob)
        for name in MASKS:
            labeled = _labeled_prefix(counts[name][number * rows : (number + 1) * rows])
            spec = layout.subgrid_spec(name)
            blob = _zero_shard(spec)
            if labeled:
                if len(mask) < labeled:
                    mask = np.empty((labeled, *box), np.uint8)
                mask[:labeled] = 0
                scatter_labels(*made.labels[name], corners[:labeled], layout.box, mask[:labeled])
                blob = encode_shard(mask[:labeled], spec)
            yield put_checked(objects, shard_key(name, first_shard + number), blob)


def _labeled_prefix(counts: NDArray[np.int32]) -> int:
    """Return how many rows from the first on reach to the last one that holds a label.

    Windows with C-alphas come first, but an N or C may lie in a later one.
    """
    rows = np.flatnonzero(counts)
    return int(rows[-1]) + 1 if len(rows) else 0


@lru_cache(maxsize=8)
def _zero_shard(spec: ShardSpec) -> bytes:
    return encode_shard(np.zeros((0, *spec.shard_shape[1:]), spec.dtype), spec)


def _parquet(columns: Mapping[str, Any]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), sink, compression="zstd")
    return sink.getvalue()


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    sink = io.BytesIO()
    np.savez_compressed(sink, allow_pickle=False, **arrays)
    return sink.getvalue()
