"""Colors of the label classes, the same in every figure."""

from __future__ import annotations

from typing import Final

from c2s_data.schema import AMINO_CLASSES, ATOM_CLASSES, SECONDARY_CLASSES

_AMINO_COLORS: Final = {
    "GLY": "#9e9e9e", "PRO": "#5c5c5c", "CYS": "#e6b800",
    "ALA": "#c9a27a", "VAL": "#b07d48", "LEU": "#8a5a2b", "ILE": "#6b3e14", "MET": "#d98e04",
    "PHE": "#b39ddb", "TYR": "#8e5bc7", "TRP": "#5e2a9b",
    "SER": "#a5d6a7", "THR": "#5fb56a", "ASN": "#2e8b57", "GLN": "#17603a",
    "HIS": "#7fd1e6", "LYS": "#2f7fd1", "ARG": "#153e90",
    "ASP": "#f28c8c", "GLU": "#c62828",
}  # fmt: skip
"""By chemistry: aliphatic brown, aromatic violet, polar green, basic blue, acidic red."""

_ATOM_COLORS: Final = {"C-alpha": "#d1495b", "N": "#2563a8", "C": "#3a9d6e"}
_SECONDARY_COLORS: Final = {"coil": "#8c96a3", "helix": "#d1495b", "strand": "#2563a8"}

CLASS_COLORS: Final[dict[str, tuple[tuple[int, str, str], ...]]] = {
    mask: tuple((names.index(name), name, color) for name, color in colors.items())
    for mask, names, colors in (
        ("atom", ATOM_CLASSES, _ATOM_COLORS),
        ("amino", AMINO_CLASSES, _AMINO_COLORS),
        ("secondary", SECONDARY_CLASSES, _SECONDARY_COLORS),
    )
}
"""Per mask: class value, name and color, in the order of the legend."""

SATURATED: Final = "#f2a33a"
"""Voxels at 1.0, where normalization cut the density off."""
INK: Final = "#22303c"
FAINT: Final = "#7b8794"
BAR: Final = "#5b6b7a"
FRAME: Final = "#cfd6dc"
