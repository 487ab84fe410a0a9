"""What a store holds: arrays, dimensions, dtypes and class tables. Data, versioned once.

The numbering is the paper's ("Labeling Density Maps", Figure 3) with the amino-acid order of
its published programs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

Assembly = Literal["deposited", "1", "auto"]
"""Copies of a model: as deposited, all of assembly 1, or those of it that lie in density."""
SCHEMA_VERSION: Final = 3

MASKS: Final = ("atom", "ca", "amino", "secondary")
"""Names of the label arrays, all uint8, on the same grid as ``density``."""
EXTRA_MASKS: Final = {"ignore": ("ignore",), "nucleic": ("nucleic_atom", "nucleic_base")}
"""Further label arrays, by the option that adds them to a store."""


def masks_of(extra: Iterable[str]) -> tuple[str, ...]:
    """Return the names of a store's label arrays: the four of the paper, then further ones."""
    return MASKS + tuple(name for option in extra for name in EXTRA_MASKS[option])


ATOM_CLASSES: Final = ("none", "C-alpha", "N", "C")
CA_CLASSES: Final = ("none", "C-alpha")
AMINO_ACIDS: Final = (
    "ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE",
    "LEU", "LYS", "MET", "PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL",
)  # fmt: skip
"""Amino-acid classes 1 to 20, in this order."""
AMINO_CLASSES: Final = ("none or unknown", *AMINO_ACIDS)
SECONDARY_CLASSES: Final = ("none", "coil", "helix", "strand")
NUCLEIC_ATOM_CLASSES: Final = ("none", "phosphate", "C1'", "sugar", "base")
NUCLEIC_BASE_CLASSES: Final = ("none or unknown", "A", "C", "G", "U or T")

CLASS_NAMES: Final = {
    "atom": ATOM_CLASSES,
    "ca": CA_CLASSES,
    "amino": AMINO_CLASSES,
    "secondary": SECONDARY_CLASSES,
    "ignore": ("use", "ignore"),
    "nucleic_atom": NUCLEIC_ATOM_CLASSES,
    "nucleic_base": NUCLEIC_BASE_CLASSES,
}

ATOM_CA: Final = 1
ATOM_N: Final = 2
ATOM_C: Final = 3
COIL: Final = 1
HELIX: Final = 2
STRAND: Final = 3
IGNORE: Final = 255
"""Mask value that a loss must leave out (amino mask of unknown residues under ``recommended``)."""

BOX: Final = 32
"""Default side of a subgrid in voxels (paper, "Grid Division")."""
CORE: Final = 20
"""Default side of a subgrid's central core in voxels; the margin is (BOX - CORE) / 2 = 6."""
CATALOG_COLUMNS: Final = (
    "entry_id", "emdb_id", "pdb_id", "resolution_A", "split", "contour_level", "map_index",
    "revision", "shape_zyx", "origin_xyz_A", "source_shape_zyx", "source_voxel_size_zyx_A",
    "first_subgrid", "n_subgrids", "n_occupied",
    "failure_stage", "failure_reason", "failure_message",
)  # fmt: skip
"""Columns of a store's catalog that the plan fills, failures included."""
QUALITY_FACTS: Final = (
    "q_score", "q_score_expected", "cc_mask", "fsc_05_A", "explained_density_share",
    "explained_density_level", "quality_flags",
)  # fmt: skip
"""Columns about the fit of map and model, empty where it was not measured."""
FACT_COLUMNS: Final = (
    "percentile_value", "saturated_voxel_share", "saturated_ca_share", "ca_density_sigma",
    "raw_mean", "raw_sd", "n_residues", "n_ca", "ca_in_box", "n_atoms_outside", "n_collisions",
    "excluded_atoms", "secondary_source", "label_counts", "notes",
    "n_sequence_residues", "n_observed_residues", "sequence_mismatches", "sequence_source",
    *QUALITY_FACTS,
)  # fmt: skip
"""Columns of a store's catalog that the build of an entry finds out."""
SUBGRIDS_PER_SHARD: Final = 512
SUBGRIDS_PER_CHUNK: Final = 16
INDEX_CHUNK_ROWS: Final = 2**20
MAP_CHUNK: Final = 32
MAP_SHARD_MAX: Final = 512
PADDING_MAP: Final = -1
"""Value of the ``map`` index column in rows that belong to no map."""
ROOT_CONSOLIDATED_MAPS: Final = 100
"""Stores of at most so many maps describe every group in the root's document as well.

xarray's ``open_zarr(store, group=...)`` warns unless the root is consolidated; beyond this size
that document would grow by 12 kB a map and every opening of the root would pay for it.
"""
