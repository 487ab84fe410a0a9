"""Write one entry: its shards of subgrids, its map group, its tables, and the receipt last.

One call owns whole shards and no shard holds two maps, so any number of calls may run at once,
anywhere, in any order, and again after they were killed.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from c2s_data import __version__
from c2s_data.plan import PlannedEntry
from c2s_data.store.layout import (
    Layout,
    residues_key,
    sequences_key,
    shard_key,
    statistics_key,
)
from c2s_data.store.map_group import write_map_group
from c2s_data.store.objects import Objects
from c2s_data.store.parquet import encode_table
from c2s_data.store.receipt import InputFile, Receipt, WrittenObject, put_checked, write_receipt
from c2s_data.store.shard import ShardEncoder, ShardSpec
from c2s_data.transforms.label import VoxelLabels
from c2s_data.transforms.paging import release
from c2s_data.transforms.subgrid import extract, scatter_labels
from c2s_data.transforms.windows import count_in_windows, occupied_first, window_corners

_EARLY_FLUSH_BYTES: Final = 2**20


@dataclass(frozen=True)
class LabeledMap:
    """A finished map in memory, as `c2s_data.build.build_entry` makes it.

    Parameters
    ----------
    density_zyx
        Normalized density at 1 A, (z, y, x), float16 or float32 in [0, 1]; perhaps in a file.
    labels
        Labeled voxels of each mask that the store keeps, `Layout.masks`.
    residues
        Columns of the residue table, each of length n_residues.
    sequences
        The sequences of its chains as FASTA.
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
    sequences: str
    statistics: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any]
    inputs: tuple[InputFile, ...]


def write_entry(
    objects: Objects, layout: Layout, planned: PlannedEntry, made: LabeledMap
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
    encoder = ShardEncoder()
    written = _flushed_early(
        objects,
        chain(
            _write_subgrids(objects, layout, planned, made, corners_zyx, counts, encoder),
            write_map_group(objects, layout, planned, made.density_zyx, made.labels, encoder),
            _write_tables(objects, planned.group, made),
        ),
    )
    receipt = Receipt(
        group=planned.group,
        fingerprint=planned.fingerprint,
        code_version=__version__,
        occupied=tuple((int(k), int(n_ca[k])) for k in order[:n_occupied]),
        objects=written,
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
    encoder: ShardEncoder,
) -> Iterator[WrittenObject]:
    rows = layout.shard_rows
    first_shard, misaligned = divmod(planned.first_subgrid, rows)
    assert not misaligned, f"{planned.entry_id}: range begins inside a shard"
    for number in range(planned.n_shards):
        here = slice(number * rows, (number + 1) * rows)
        spec = layout.subgrid_spec("density")
        blob = encoder.encode_chunks(_windows(made.density_zyx, corners_zyx[here], spec), spec)
        yield put_checked(objects, shard_key("density", first_shard + number), blob)
        for name in layout.masks:
            spec = layout.subgrid_spec(name)
            chunks = _labeled_windows(
                made.labels[name], corners_zyx[here], counts[name][here], spec
            )
            blob = encoder.encode_chunks(chunks, spec)
            yield put_checked(objects, shard_key(name, first_shard + number), blob)


def _windows(
    values_zyx: NDArray[Any], corners_zyx: NDArray[np.int32], spec: ShardSpec
) -> Iterator[NDArray[Any] | None]:
    """Cut the chunks of a shard, one at a time: a chunk stays in the cache, a shard does not."""
    n, box = spec.chunk_shape[:2]
    chunk = np.empty(spec.chunk_shape, spec.dtype)
    for first in range(0, spec.shard_shape[0], n):
        corners = corners_zyx[first : first + n]
        extract(values_zyx, corners, box, out=chunk[: len(corners)])
        release(values_zyx)
        chunk[len(corners) :] = 0
        yield chunk if len(corners) else None


def _labeled_windows(
    labels: VoxelLabels,
    corners_zyx: NDArray[np.int32],
    counts: NDArray[np.int32],
    spec: ShardSpec,
) -> Iterator[NDArray[np.uint8] | None]:
    """Cut the chunks of a mask's shard; most windows hold no label, as ``counts`` tells."""
    n, box = spec.chunk_shape[:2]
    chunk = np.empty(spec.chunk_shape, np.uint8)
    for first in range(0, spec.shard_shape[0], n):
        corners = corners_zyx[first : first + n]
        if not counts[first : first + n].any():
            yield None
            continue
        chunk[...] = 0
        scatter_labels(*labels, corners, box, chunk[: len(corners)])
        yield chunk


def _write_tables(objects: Objects, group: str, made: LabeledMap) -> Iterator[WrittenObject]:
    yield put_checked(objects, residues_key(group), encode_table(pa.table(dict(made.residues))))
    yield put_checked(objects, sequences_key(group), made.sequences.encode())
    yield put_checked(objects, statistics_key(group), _npz(made.statistics))


def _flushed_early(objects: Objects, written: Iterable[WrittenObject]) -> tuple[WrittenObject, ...]:
    """Let the disk begin with each large object while the next ones are made.

    The receipt's flush, which vouches for all of them, then finds little left to wait for.
    """
    done, waits = [], []
    with ThreadPoolExecutor(1) as pool:
        for item in written:
            done.append(item)
            if item.nbytes >= _EARLY_FLUSH_BYTES:
                waits.append(pool.submit(objects.flush, [item.key]))
    for wait in waits:
        wait.result()  # An error of the disk is told once only.
    return tuple(done)


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    sink = io.BytesIO()
    np.savez_compressed(sink, allow_pickle=False, **arrays)
    return sink.getvalue()
