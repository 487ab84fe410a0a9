"""Side chains on a finished backbone: names and rotamers that find room, one after another."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from c2s_data.schema import AMINO_ACIDS
from c2s_data.sources.procedural.geometry import (
    BACKBONE,
    CA_CB_A,
    SIDE_CHAINS,
    place_atom,
    side_chain,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Residue = dict[str, NDArray[np.float64]]

ROOM_A: Final = 3.2
"""Nearest that a side-chain atom may come to an atom that is not bonded to its neighbours."""
NEIGHBOURHOOD_A: Final = 18.0
"""Between C-alphas; beyond it two of the longest side chains cannot touch."""

_STAGGERED: Final = (-60.0, 180.0, 60.0)
_RING: Final = (90.0, 0.0, 45.0, -45.0)
_AMIDE: Final = (0.0, 60.0, -60.0)
CHI_DEG: Final[dict[str, tuple[tuple[float, ...], ...]]] = {
    "GLY": (),
    "ALA": (),
    "ARG": (_STAGGERED, _STAGGERED, _STAGGERED),
    "ASN": (_STAGGERED, _AMIDE),
    "ASP": (_STAGGERED, _AMIDE),
    "CYS": (_STAGGERED,),
    "GLN": (_STAGGERED, _STAGGERED, _AMIDE),
    "GLU": (_STAGGERED, _STAGGERED, _AMIDE),
    "HIS": (_STAGGERED, (90.0, -90.0, 180.0)),
    "ILE": (_STAGGERED, _STAGGERED),
    "LEU": (_STAGGERED, _STAGGERED),
    "LYS": (_STAGGERED, _STAGGERED, _STAGGERED),
    "MET": (_STAGGERED, _STAGGERED, _STAGGERED),
    "PHE": (_STAGGERED, _RING),
    "PRO": ((-25.0,), (36.0,)),
    "SER": (_STAGGERED,),
    "THR": (_STAGGERED,),
    "TRP": (_STAGGERED, (90.0, -90.0, 0.0)),
    "TYR": (_STAGGERED, _RING),
    "VAL": (_STAGGERED,),
}
"""Side-chain dihedrals that are tried: the common rotamers, rounded."""
PROLINE_C_CA_CB_DEG: Final = 111.5
PROLINE_N_C_CA_CB_DEG: Final = 115.0
"""The ring pulls the CB of proline towards N."""


def design_side_chains(
    rng: np.random.Generator,
    choices: Sequence[Sequence[str]],
    backbone_xyz_A: NDArray[np.float64],
) -> tuple[list[str], list[Residue]]:
    """Choose a residue name for every place and give every residue its heavy atoms.

    Parameters
    ----------
    rng
        Decides the order in which names and rotamers are tried.
    choices
        Names that are allowed at each of the n places; the first one that finds room is taken,
        alanine where none does. Then each of the twenty that is still missing takes the place of
        a name that occurs more than once.
    backbone_xyz_A
        (n, 5, 3), as `backbone_from_torsions` returns it.

    Returns
    -------
    names : list of str
        Of the twenty, those that found no place at all may be missing.
    residues : list of dict
        Atom name to position (3,), A, in the order N, CA, C, O, CB and outward.
    """
    names = ["ALA"] * len(choices)
    residues = [_bare("ALA", xyz) for xyz in backbone_xyz_A]
    ca_xyz_A = backbone_xyz_A[:, BACKBONE.index("CA")]
    is_near = cdist(ca_xyz_A, ca_xyz_A) < NEIGHBOURHOOD_A
    near: list[list[int]] = [np.flatnonzero(row).tolist() for row in is_near]

    def put(name: str, i: int) -> bool:
        others_xyz_A = _others(residues, i, near[i])
        atoms = _with_room(rng, name, _bare(name, backbone_xyz_A[i]), others_xyz_A)
        if atoms is None:
            return False
        names[i], residues[i] = name, atoms
        return True

    for i, allowed in enumerate(choices):
        any(put(name, i) for name in allowed)
    for missing in sorted(set(AMINO_ACIDS) - set(names)):
        places = [i for i in range(len(names)) if missing in choices[i]]
        any(put(missing, i) for i in rng.permutation(places) if names.count(names[i]) > 1)
    return names, residues


def _bare(name: str, xyz: NDArray[np.float64]) -> Residue:
    placed = dict(zip(BACKBONE, xyz, strict=True))
    cb = placed.pop("CB")
    if name == "GLY":
        return placed
    if name == "PRO":
        cb = place_atom(
            placed["N"],
            placed["C"],
            placed["CA"],
            CA_CB_A,
            np.deg2rad(PROLINE_C_CA_CB_DEG),
            np.deg2rad(PROLINE_N_C_CA_CB_DEG),
        )
    return placed | {"CB": cb}


def _with_room(
    rng: np.random.Generator, name: str, bare: Residue, others_xyz_A: NDArray[np.float64]
) -> Residue | None:
    """The residue in the first rotamer, in random order, that keeps `ROOM_A` to all others."""
    if not SIDE_CHAINS[name]:
        return bare
    others = cKDTree(others_xyz_A)
    rotamers = list(product(*CHI_DEG[name]))
    for k in rng.permutation(len(rotamers)):
        atoms = side_chain(name, bare, rotamers[k])
        if np.min(others.query(np.array(list(atoms.values())))[0]) >= ROOM_A:
            return bare | atoms
    return None


def _others(residues: list[Residue], i: int, near: Sequence[int]) -> NDArray[np.float64]:
    """All atoms near residue i but its own and those within three bonds of its CB or CD."""
    bonded = ("N", "CA", "C", "O")
    return np.array(
        [
            position
            for k in near
            if k != i
            for atom, position in residues[k].items()
            if abs(k - i) > 1 or atom not in bonded
        ]
    )
