"""The catalog of a generation: one row per entry, failed ones with their reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from c2s_data.errors import StoreError
from c2s_data.plan import Failure, PlannedEntry, group_name
from c2s_data.schema import CATALOG_COLUMNS, FACT_COLUMNS
from c2s_data.store.parquet import decode_table, encode_table
from c2s_data.store.receipt import Receipt

_FIELDS: Final[dict[str, pa.DataType]] = {
    "entry_id": pa.string(),
    "emdb_id": pa.string(),
    "pdb_id": pa.string(),
    "resolution_A": pa.float64(),
    "split": pa.string(),
    "contour_level": pa.float64(),
    "map_index": pa.int32(),
    "revision": pa.int32(),
    "shape_zyx": pa.list_(pa.int32(), 3),
    "origin_xyz_A": pa.list_(pa.float64(), 3),
    "source_shape_zyx": pa.list_(pa.int32(), 3),
    "source_voxel_size_zyx_A": pa.list_(pa.float64(), 3),
    "first_subgrid": pa.int64(),
    "n_subgrids": pa.int64(),
    "n_occupied": pa.int64(),
    "failure_stage": pa.string(),
    "failure_reason": pa.string(),
    "failure_message": pa.string(),
}

FACTS: Final[dict[str, pa.DataType]] = {
    "percentile_value": pa.float64(),
    "saturated_voxel_share": pa.float64(),
    "saturated_ca_share": pa.float64(),
    "ca_density_sigma": pa.float64(),
    "raw_mean": pa.float64(),
    "raw_sd": pa.float64(),
    "n_residues": pa.int64(),
    "n_ca": pa.int64(),
    "ca_in_box": pa.float64(),
    "n_atoms_outside": pa.int64(),
    "n_collisions": pa.int64(),
    "excluded_atoms": pa.map_(pa.string(), pa.int64()),
    "secondary_source": pa.string(),
    "label_counts": pa.map_(pa.string(), pa.list_(pa.int64())),
    "notes": pa.list_(pa.string()),
    "n_sequence_residues": pa.int64(),
    "n_observed_residues": pa.int64(),
    "sequence_mismatches": pa.int64(),
    "sequence_source": pa.string(),
    "q_score": pa.float64(),
    "q_score_expected": pa.float64(),
    "cc_mask": pa.float64(),
    "fsc_05_A": pa.float64(),
    "explained_density_share": pa.float64(),
    "explained_density_level": pa.float64(),
    "quality_flags": pa.list_(pa.string()),
}
"""What the build of an entry finds out, by column: the keys of `Receipt.facts`.

``percentile_value`` is in the units of the source map, ``ca_density_sigma`` the mean raw density
at the C-alphas in standard deviations above the map's mean, ``saturated_voxel_share`` the voxels
that clipping puts at 1.0, ``saturated_ca_share`` the voxels labeled C-alpha whose stored density is
1.0, ``ca_in_box`` the share of C-alphas inside the map. ``label_counts`` gives for each mask the
voxels of class 1, 2, ... The sequence columns are those of
``c2s_data.sources.sequence_table``, the last seven those of ``c2s_data.quality``.
"""


@dataclass(frozen=True)
class StoredEntry:
    """One finished map of a committed generation, as readers use it.

    ``group`` names its group below ``maps``: the entry_id, with ``.r2`` and so on if rebuilt.
    """

    entry_id: str
    group: str
    map_index: int
    split: str | None
    resolution_A: float | None
    shape_zyx: tuple[int, int, int]
    origin_xyz_A: tuple[float, float, float]
    first_subgrid: int
    n_subgrids: int
    n_occupied: int
    facts: Mapping[str, Any]


def catalog_row(planned: PlannedEntry, outcome: Receipt | Failure) -> dict[str, Any]:
    """Return the row of one entry."""
    entry = planned.entry
    row: dict[str, Any] = {
        "entry_id": entry.entry_id,
        "emdb_id": entry.emdb_id,
        "pdb_id": entry.pdb_id,
        "resolution_A": entry.resolution_A,
        "split": entry.split,
        "contour_level": entry.contour_level,
        "map_index": planned.map_index,
        "revision": planned.revision,
        "shape_zyx": planned.shape_zyx,
        "origin_xyz_A": planned.origin_xyz_A,
        "source_shape_zyx": planned.source_shape_zyx,
        "source_voxel_size_zyx_A": planned.voxel_size_zyx_A,
        "first_subgrid": planned.first_subgrid,
    }
    if isinstance(outcome, Failure):
        row |= {
            "n_subgrids": 0,
            "n_occupied": 0,
            "failure_stage": outcome.stage,
            "failure_reason": outcome.reason,
            "failure_message": outcome.message,
        }
    else:
        row |= {"n_subgrids": planned.n_subgrids, "n_occupied": len(outcome.occupied)}
        row |= outcome.facts
    return dict(entry.metadata) | row


def encode_catalog(rows: list[dict[str, Any]]) -> bytes:
    """Return the rows as one Parquet object; columns that users added come last, as text."""
    fields = _FIELDS | FACTS
    assert (tuple(_FIELDS), tuple(FACTS)) == (CATALOG_COLUMNS, FACT_COLUMNS)
    extra = [name for name in rows[0] if name not in fields] if rows else []
    fields = fields | dict.fromkeys(extra, pa.string())
    table = pa.Table.from_pylist(rows, schema=pa.schema(list(fields.items())))
    return encode_table(table)


def decode_catalog(data: bytes, where: str) -> list[dict[str, Any]]:
    """Return the rows of a catalog.

    Raises
    ------
    StoreError
        If the object is no catalog of this version.
    """
    table = decode_table(data, where)
    try:
        rows: list[dict[str, Any]] = table.to_pylist(maps_as_pydicts="strict")
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise StoreError(f"{where}: the catalog cannot be read: {error}") from error
    missing = [name for name in _FIELDS if name not in table.column_names]
    if missing:
        raise StoreError(f"{where}: the catalog has no column {', '.join(missing)}")
    return rows


def group_of_row(row: Mapping[str, Any]) -> str:
    """Return the name of an entry's group; see `c2s_data.plan.PlannedEntry.group`."""
    return group_name(row["entry_id"], row["revision"])


def stored_entry(row: Mapping[str, Any]) -> StoredEntry:
    """Return what readers use of the row of a finished entry."""
    return StoredEntry(
        entry_id=row["entry_id"],
        group=group_of_row(row),
        map_index=row["map_index"],
        split=row["split"],
        resolution_A=row["resolution_A"],
        shape_zyx=tuple(row["shape_zyx"]),
        origin_xyz_A=tuple(row["origin_xyz_A"]),
        first_subgrid=row["first_subgrid"],
        n_subgrids=row["n_subgrids"],
        n_occupied=row["n_occupied"],
        facts={name: row.get(name) for name in FACTS},
    )
