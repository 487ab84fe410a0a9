"""What the page of one map shows: facts, planes before and after, histograms, volume and trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.explore.pages.gray import gray
from c2s_data.explore.pages.volume import coarse_volume, first_contour, volume_codes
from c2s_data.store.objects import open_objects
from c2s_data.store.receipt import read_receipt

if TYPE_CHECKING:
    from c2s_data.store.catalog_table import StoredEntry
    from c2s_data.store.reader import Store

PLANE_SIDE: Final = 384
"""Planes are taken from the finest level at which no side is longer."""
_RAW: Final = ("raw_slice_yx", "raw_slice_zx", "raw_slice_zy")
HISTOGRAM_BINS: Final = 100


def map_document(store: Store, entry_id: str) -> dict[str, Any]:
    """Return all that the page of one finished entry shows.

    Raises
    ------
    StoreError
        If there is no such entry, or an object of it is missing or damaged.
    """
    entry = store.entry(entry_id)
    row = next(one for one in store.rows if one["map_index"] == entry.map_index)
    table, statistics = store.residues(entry_id), store.statistics(entry_id)
    ca_xyz_A = np.stack([table[f"ca_{axis}_A"] for axis in "xyz"], axis=1)
    trace = trace_of(table, ca_xyz_A)
    contour, why = first_contour(row)
    values, step_A, origin_xyz_A = coarse_volume(store, entry_id, trace["xyz_A"])
    return {
        "kind": "map",
        "entry_id": entry_id,
        "row": {name: value for name, value in row.items() if name != "label_counts"},
        "label_counts": row.get("label_counts") or {},
        "planes": planes(store, entry, row, statistics),
        "histograms": histograms(row, statistics),
        "volume": {
            "codes": volume_codes(values, contour),
            "step_A": step_A,
            "origin_xyz_A": origin_xyz_A,
            "contour": contour,
            "why": why,
        },
        "trace": trace,
        "provenance": provenance(store, entry),
    }


def trace_of(table: Mapping[str, NDArray[Any]], ca_xyz_A: NDArray[np.float64]) -> dict[str, Any]:
    """Return the residues that have a C-alpha, by column, as a page needs them."""
    has_ca = np.isfinite(ca_xyz_A).all(axis=1)
    names, chain = np.unique(table["chain"][has_ca], return_inverse=True)
    voxel = np.stack([table[f"voxel_{axis}"] for axis in "zyx"], axis=1)[has_ca]
    found: dict[str, Any] = {
        "xyz_A": ca_xyz_A[has_ca].astype(np.float32),
        "chain": chain.astype(np.uint16),
        "chain_names": names.tolist(),
        "number": table["auth_seq_id"][has_ca].astype(np.int32),
        "secondary": table["secondary"][has_ca].astype(np.uint8),
        "amino": table["amino_class"][has_ca].astype(np.uint8),
        "voxel_zyx": voxel.astype(np.int32),
    }
    if "q_score" in table:
        found["q_score"] = table["q_score"][has_ca].astype(np.float32)
    return found


def planes(
    store: Store,
    entry: StoredEntry,
    row: Mapping[str, Any],
    statistics: Mapping[str, NDArray[Any]],
) -> list[dict[str, Any]]:
    """Return the central plane normal to z, y and x: normalized, and raw on the same gray scale."""
    level = 0
    while max(entry.shape_zyx) / 2**level > PLANE_SIDE and level < 2:
        level += 1
    array = store.map_array(entry.entry_id, "density", level)
    found = []
    for axis, name in enumerate(_RAW):
        raw_size_A = row["source_voxel_size_zyx_A"]
        position_A = (row["source_shape_zyx"][axis] // 2) * raw_size_A[axis]
        index = min(int(position_A / 2**level + 0.5), array.shape_zyx[axis] - 1)
        window = [slice(None)] * 3
        window[axis] = slice(index, index + 1)
        plane = array.read((window[0], window[1], window[2])).squeeze(axis)
        down, across = (k for k in range(3) if k != axis)
        found.append(
            {
                "axis": axis,
                "index": index,
                "step_A": float(2**level),
                "normalized": gray(plane),
                "raw": gray(statistics[name] / np.float32(row["percentile_value"])),
                "raw_step_A": (raw_size_A[down], raw_size_A[across]),
            }
        )
    return found


def histograms(
    row: Mapping[str, Any], statistics: Mapping[str, NDArray[Any]]
) -> dict[str, dict[str, Any]]:
    """Return counts and range of the raw map and of the normalized one.

    The normalized map is the resampled one divided by the percentile; what lies outside 0 to 1
    was then put at these ends, where the last two numbers count it.
    """
    divisor = row["percentile_value"]
    counts = statistics["resampled_histogram"].astype(np.float64)
    low, high = (float(one) / divisor for one in statistics["resampled_histogram_range"])
    edges = np.linspace(low, high, counts.size + 1)
    n_empty = _take_empty(counts, edges)
    upto = np.concatenate([[0], np.cumsum(counts)])
    # Equal parts of the stored bins: whole ones would leave gaps between the narrower ones here.
    between = np.diff(np.interp(np.linspace(0, 1, HISTOGRAM_BINS + 1), edges, upto))
    return {
        "raw": {
            "counts": statistics["raw_histogram"].astype(np.float64),
            "range": statistics["raw_histogram_range"].astype(np.float64),
            "percentile_value": divisor,
        },
        "normalized": {
            "counts": between,
            "range": np.array([0.0, 1.0]),
            "n_below": n_empty + float(np.interp(0, edges, upto)),
            "n_above": float(row["saturated_voxel_share"]) * (n_empty + float(counts.sum())),
            "n": n_empty + float(counts.sum()),
        },
    }


def _take_empty(counts: NDArray[np.float64], edges: NDArray[np.float64]) -> float:
    """Take the voxels that are exactly 0 out of their bin, and return how many they are.

    A masked map is mostly such voxels. Spread evenly over their bin, as its other voxels are, a
    part of them would count as positive, large or small by where 0 happens to lie in the bin.
    """
    holds_zero = int(np.searchsorted(edges, 0, side="right")) - 1
    if not 0 <= holds_zero < counts.size:
        return 0.0
    beside = counts[max(0, holds_zero - 1) : holds_zero + 2].copy()
    beside[min(holds_zero, 1)] = 0
    n_empty = max(0.0, float(counts[holds_zero] - beside.max()))
    counts[holds_zero] -= n_empty
    return n_empty


def provenance(store: Store, entry: StoredEntry) -> dict[str, Any]:
    """Return what the entry was made from and by what."""
    receipt = read_receipt(open_objects(store.url), entry.group)
    inputs = () if receipt is None else receipt.inputs
    return {
        "inputs": [
            {"role": one.role, "name": one.name, "nbytes": one.nbytes, "sha256": one.sha256}
            for one in inputs
        ],
        "code_version": None if receipt is None else receipt.code_version,
        "generation": store.generation,
        "fingerprint": store.fingerprint,
        "preset": store.attrs.get("preset"),
        "group": entry.group,
        "config": store.attrs.get("config", {}),
    }
