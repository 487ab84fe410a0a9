"""Polypeptide geometry: a backbone from its torsions, side chains from ideal bonds and angles.

Bond lengths and angles are the mean values of small-molecule crystal structures (Engh & Huber,
Acta Cryst. A47, 392, 1991), rounded to 0.01 A and 0.5 degrees or better. Atoms are placed one
after another from three placed ones, a bond, an angle and a dihedral (natural extension
reference frame).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

BACKBONE: Final = ("N", "CA", "CB", "C", "O")
"""Atoms of `backbone_from_torsions` along axis 1, in an order in which a rotation about
N-CA moves a contiguous tail of the chain."""

N_CA_A: Final = 1.458
CA_C_A: Final = 1.525
C_N_A: Final = 1.329
C_O_A: Final = 1.231
CA_CB_A: Final = 1.530
N_CA_C_DEG: Final = 111.0
CA_C_N_DEG: Final = 117.2
C_N_CA_DEG: Final = 121.7
CA_C_O_DEG: Final = 120.1
C_CA_CB_DEG: Final = 110.1
N_C_CA_CB_DEG: Final = 122.6
"""Dihedral N-C-CA-CB; its positive sign makes the residue an L amino acid."""


@njit(cache=True, nogil=True)
def place_atom(
    a_xyz_A: NDArray[np.float64],
    b_xyz_A: NDArray[np.float64],
    c_xyz_A: NDArray[np.float64],
    bond_A: float,
    angle_rad: float,
    dihedral_rad: float,
) -> NDArray[np.float64]:
    """Position (x, y, z) of an atom d at a given bond c-d, angle b-c-d and dihedral a-b-c-d."""
    along = c_xyz_A - b_xyz_A
    along = along / np.sqrt(np.sum(along * along))
    normal = np.cross(b_xyz_A - a_xyz_A, along)
    normal = normal / np.sqrt(np.sum(normal * normal))
    across = np.cross(normal, along)
    step: NDArray[np.float64] = bond_A * (
        -np.cos(angle_rad) * along
        + np.sin(angle_rad) * (np.cos(dihedral_rad) * across + np.sin(dihedral_rad) * normal)
    )
    return c_xyz_A + step


@njit(cache=True, nogil=True)
def backbone_from_torsions(
    phi_rad: NDArray[np.float64], psi_rad: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Backbone with ideal bonds and angles and trans peptide planes (omega 180 degrees).

    Parameters
    ----------
    phi_rad, psi_rad
        float64 (n,), dihedrals in radians. ``phi_rad[0]`` has no meaning and no effect on the
        shape; ``psi_rad[-1]`` places the last O only.

    Returns
    -------
    NDArray[np.float64]
        (n, 5, 3), A, x, y, z; atoms in the order of `BACKBONE`. Every residue has a CB, glycine
        included: the caller drops it.
    """
    n = phi_rad.shape[0]
    xyz = np.empty((n, 5, 3))
    bend = np.deg2rad(N_CA_C_DEG)
    xyz[0, 0] = 0.0
    xyz[0, 1] = np.array([N_CA_A, 0.0, 0.0])
    xyz[0, 3] = xyz[0, 1] + CA_C_A * np.array([-np.cos(bend), np.sin(bend), 0.0])
    for i in range(n):
        if i > 0:
            previous = xyz[i - 1]
            xyz[i, 0] = place_atom(
                previous[0], previous[1], previous[3], C_N_A, np.deg2rad(CA_C_N_DEG), psi_rad[i - 1]
            )
            xyz[i, 1] = place_atom(
                previous[1], previous[3], xyz[i, 0], N_CA_A, np.deg2rad(C_N_CA_DEG), np.pi
            )
            xyz[i, 3] = place_atom(previous[3], xyz[i, 0], xyz[i, 1], CA_C_A, bend, phi_rad[i])
        xyz[i, 2] = place_atom(
            xyz[i, 0],
            xyz[i, 3],
            xyz[i, 1],
            CA_CB_A,
            np.deg2rad(C_CA_CB_DEG),
            np.deg2rad(N_C_CA_CB_DEG),
        )
        xyz[i, 4] = place_atom(
            xyz[i, 0], xyz[i, 1], xyz[i, 3], C_O_A, np.deg2rad(CA_C_O_DEG), psi_rad[i] + np.pi
        )
    return xyz


class SideChainAtom(NamedTuple):
    """One row of the side-chain table: how an atom hangs on three placed ones."""

    name: str
    on: tuple[str, str, str]
    bond_A: float
    angle_deg: float
    chi: int
    """Number of the rotatable dihedral (1 to 4), 0 for a fixed one."""
    dihedral_deg: float
    """The fixed dihedral, or what is added to the chi angle."""


def _atom(
    name: str, on: str, bond_A: float, angle_deg: float, chi: int = 0, dihedral_deg: float = 0.0
) -> SideChainAtom:
    a, b, c = on.split()
    return SideChainAtom(name, (a, b, c), bond_A, angle_deg, chi, dihedral_deg)


_CG = _atom("CG", "N CA CB", 1.520, 114.1, 1)
_CD = _atom("CD", "CA CB CG", 1.520, 111.3, 2)
_RING_SIDES = (
    _atom("CD1", "CA CB CG", 1.386, 120.8, 2),
    _atom("CD2", "CA CB CG", 1.386, 120.8, 2, 180.0),
    _atom("CE1", "CB CG CD1", 1.382, 120.9, 0, 180.0),
    _atom("CE2", "CB CG CD2", 1.382, 120.9, 0, 180.0),
    _atom("CZ", "CG CD1 CE1", 1.380, 119.8),
)
_AROMATIC_CG = _atom("CG", "N CA CB", 1.506, 113.8, 1)

SIDE_CHAINS: Final[Mapping[str, tuple[SideChainAtom, ...]]] = {
    "GLY": (),
    "ALA": (),
    "ARG": (
        _CG,
        _CD,
        _atom("NE", "CB CG CD", 1.461, 112.0, 3),
        _atom("CZ", "CG CD NE", 1.329, 124.5, 4),
        _atom("NH1", "CD NE CZ", 1.326, 120.0),
        _atom("NH2", "CD NE CZ", 1.326, 119.9, 0, 180.0),
    ),
    "ASN": (
        _atom("CG", "N CA CB", 1.516, 112.6, 1),
        _atom("OD1", "CA CB CG", 1.231, 120.8, 2),
        _atom("ND2", "CA CB CG", 1.328, 116.4, 2, 180.0),
    ),
    "ASP": (
        _atom("CG", "N CA CB", 1.516, 112.6, 1),
        _atom("OD1", "CA CB CG", 1.249, 118.4, 2),
        _atom("OD2", "CA CB CG", 1.249, 118.4, 2, 180.0),
    ),
    "CYS": (_atom("SG", "N CA CB", 1.808, 114.4, 1),),
    "GLN": (
        _CG,
        _atom("CD", "CA CB CG", 1.516, 112.6, 2),
        _atom("OE1", "CB CG CD", 1.231, 120.8, 3),
        _atom("NE2", "CB CG CD", 1.328, 116.4, 3, 180.0),
    ),
    "GLU": (
        _CG,
        _atom("CD", "CA CB CG", 1.516, 112.6, 2),
        _atom("OE1", "CB CG CD", 1.249, 118.4, 3),
        _atom("OE2", "CB CG CD", 1.249, 118.4, 3, 180.0),
    ),
    "HIS": (
        _atom("CG", "N CA CB", 1.497, 113.8, 1),
        _atom("ND1", "CA CB CG", 1.378, 122.7, 2),
        _atom("CD2", "CA CB CG", 1.354, 131.2, 2, 180.0),
        _atom("CE1", "CB CG ND1", 1.321, 109.0, 0, 180.0),
        _atom("NE2", "CB CG CD2", 1.374, 107.2, 0, 180.0),
    ),
    "ILE": (
        _atom("CG1", "N CA CB", 1.530, 110.4, 1),
        _atom("CG2", "N CA CB", 1.521, 110.5, 1, -122.5),
        _atom("CD1", "CA CB CG1", 1.513, 113.8, 2),
    ),
    "LEU": (
        _atom("CG", "N CA CB", 1.530, 116.3, 1),
        _atom("CD1", "CA CB CG", 1.521, 110.7, 2),
        _atom("CD2", "CA CB CG", 1.521, 110.7, 2, 122.5),
    ),
    "LYS": (
        _CG,
        _CD,
        _atom("CE", "CB CG CD", 1.520, 111.3, 3),
        _atom("NZ", "CG CD CE", 1.489, 111.9, 4),
    ),
    "MET": (
        _CG,
        _atom("SD", "CA CB CG", 1.803, 112.7, 2),
        _atom("CE", "CB CG SD", 1.791, 100.9, 3),
    ),
    "PHE": (_AROMATIC_CG, *_RING_SIDES),
    "PRO": (
        _atom("CG", "N CA CB", 1.492, 104.5, 1),
        _atom("CD", "CA CB CG", 1.503, 106.1, 2),
    ),
    "SER": (_atom("OG", "N CA CB", 1.417, 111.1, 1),),
    "THR": (
        _atom("OG1", "N CA CB", 1.433, 109.6, 1),
        _atom("CG2", "N CA CB", 1.521, 110.5, 1, -121.0),
    ),
    "TRP": (
        _atom("CG", "N CA CB", 1.498, 113.6, 1),
        _atom("CD1", "CA CB CG", 1.365, 126.9, 2),
        _atom("CD2", "CA CB CG", 1.433, 126.8, 2, 180.0),
        _atom("NE1", "CB CG CD1", 1.374, 110.2, 0, 180.0),
        _atom("CE2", "CB CG CD2", 1.409, 107.2, 0, 180.0),
        _atom("CE3", "CB CG CD2", 1.398, 133.9),
        _atom("CZ2", "CG CD2 CE2", 1.394, 122.4, 0, 180.0),
        _atom("CZ3", "CG CD2 CE3", 1.382, 118.6, 0, 180.0),
        _atom("CH2", "CD2 CE2 CZ2", 1.368, 117.5),
    ),
    "TYR": (
        _AROMATIC_CG,
        *_RING_SIDES,
        _atom("OH", "CD1 CE1 CZ", 1.376, 119.9, 0, 180.0),
    ),
    "VAL": (
        _atom("CG1", "N CA CB", 1.521, 110.5, 1),
        _atom("CG2", "N CA CB", 1.521, 110.5, 1, 122.5),
    ),
}
"""Heavy atoms beyond CB of the twenty residues, each placeable from those before it."""


def side_chain(
    residue_name: str, backbone_xyz_A: Mapping[str, NDArray[np.float64]], chi_deg: Sequence[float]
) -> dict[str, NDArray[np.float64]]:
    """Place the heavy atoms beyond CB of one residue.

    Parameters
    ----------
    residue_name
        One of the twenty three-letter names.
    backbone_xyz_A
        Positions (x, y, z) of N, CA and CB.
    chi_deg
        Side-chain dihedrals chi 1, chi 2, ...; those not given are 180.

    Returns
    -------
    dict
        Atom name to float64 (3,), A.
    """
    placed = dict(backbone_xyz_A)
    for atom in SIDE_CHAINS[residue_name]:
        dihedral_deg = atom.dihedral_deg
        if atom.chi:
            dihedral_deg += chi_deg[atom.chi - 1] if atom.chi <= len(chi_deg) else 180.0
        a, b, c = (placed[name] for name in atom.on)
        placed[atom.name] = place_atom(
            a, b, c, atom.bond_A, np.deg2rad(atom.angle_deg), np.deg2rad(dihedral_deg)
        )
    return {atom.name: placed[atom.name] for atom in SIDE_CHAINS[residue_name]}
