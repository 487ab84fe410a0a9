"""N, C and O between C-alphas, from predicted N and C: one rotation for each peptide plane.

Between two bonded C-alphas a peptide is flat and rigid (Engh & Huber 1991), so that C, O and N have
one freedom left: the turn of the plane about the line of the two C-alphas. A predicted N or C says
which turn; the angle N-CA-C of 111 degrees ties each plane to the next. Both together are a chain,
and its best turns, in steps of 5 degrees, are found exactly by dynamic programming.
A plane for which neither N nor C was predicted nearby is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from c2s_data.sources.procedural.geometry import (
    C_N_A,
    C_N_CA_DEG,
    C_O_A,
    CA_C_A,
    CA_C_N_DEG,
    CA_C_O_DEG,
    N_CA_A,
    N_CA_C_DEG,
    place_atom,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from c2s_model.backbone.candidates import AtomPoints

TURNS: Final = 72
NOISE_A: Final = 0.5
"""Standard deviation of a predicted N or C about its ideal place, along each axis."""
REACH_A: Final = 1.0
"""A predicted atom farther than this from the ideal place says nothing about the plane."""
ANGLE_SD_DEG: Final = 12.0
"""Wider than in crystals (about 3), because predicted C-alphas are off as well."""
CIS_BELOW_A: Final = 3.0
"""C-alphas nearer than this (trans 3.81, cis 2.79) are taken to be a cis peptide's."""
SPAN_A: Final = (2.3, 4.8)
"""Between C-alphas outside this no plane is placed."""
_MISS: Final = REACH_A**2 / (2 * NOISE_A**2)


class PlacedAtoms(NamedTuple):
    """Backbone atoms of a chain, NaN where there is none.

    Parameters
    ----------
    n_xyz_A, c_xyz_A, o_xyz_A : (r, 3) float64
        Positions x, y, z.
    n_supported : int
        Atoms N and C with a predicted point within 1 A.
    """

    n_xyz_A: NDArray[np.float64]
    c_xyz_A: NDArray[np.float64]
    o_xyz_A: NDArray[np.float64]
    n_supported: int


class Plane(NamedTuple):
    """An ideal peptide from one C-alpha to the next: places along that line and off it, in A."""

    length_A: float
    c: tuple[float, float]
    o: tuple[float, float]
    n: tuple[float, float]


def peptide_plane(*, cis: bool) -> Plane:
    """Return the flat peptide made of ideal bonds and angles, omega 180 or 0 degrees."""
    ca = np.zeros(3)
    c = np.array([CA_C_A, 0.0, 0.0])
    off = np.array([0.0, 1.0, 0.0])
    carbonyl = np.deg2rad(CA_C_O_DEG)
    o = c + C_O_A * np.array([-np.cos(carbonyl), np.sin(carbonyl), 0.0])
    n = place_atom(ca + off, ca, c, C_N_A, np.deg2rad(CA_C_N_DEG), np.pi)
    end = place_atom(ca, c, n, N_CA_A, np.deg2rad(C_N_CA_DEG), 0.0 if cis else np.pi)
    length = float(np.linalg.norm(end))
    along = end / length
    across = c - (c @ along) * along
    across /= np.linalg.norm(across)
    c_place, o_place, n_place = ((float(one @ along), float(one @ across)) for one in (c, o, n))
    return Plane(length, c_place, o_place, n_place)


TRANS: Final = peptide_plane(cis=False)
CIS: Final = peptide_plane(cis=True)


def place_backbone(
    ca_xyz_A: NDArray[np.float64],
    bonded: NDArray[np.bool_],
    n_points: AtomPoints | None,
    c_points: AtomPoints | None,
) -> PlacedAtoms:
    """Place N, C and O of a chain.

    Parameters
    ----------
    ca_xyz_A : (r, 3) float64
        C-alphas in the order of the sequence.
    bonded : (r - 1,) bool
        Whether a peptide joins each to the next.
    n_points, c_points
        Predicted atoms, None for none.

    Returns
    -------
    PlacedAtoms
        O and C belong to the first residue of a peptide, N to the second.
    """
    r = len(ca_xyz_A)
    atoms = {name: np.full((r, 3), np.nan) for name in "NCO"}
    length = np.linalg.norm(np.diff(ca_xyz_A, axis=0), axis=1)
    usable = np.asarray(bonded, np.bool_) & (length >= SPAN_A[0]) & (length <= SPAN_A[1])
    supported = 0
    if usable.any() and (n_points is not None or c_points is not None):
        first = np.flatnonzero(usable)
        turned = _turned_planes(ca_xyz_A, first, length[first])
        near = {"N": _distance(turned["N"], n_points), "C": _distance(turned["C"], c_points)}
        chosen = _best_turns(turned, ca_xyz_A, first, near)
        each = np.arange(len(first))
        hit = {name: one[each, chosen] <= REACH_A for name, one in near.items()}
        keep = hit["N"] | hit["C"]
        supported = int(hit["N"].sum() + hit["C"].sum())
        for name, shift in (("C", 0), ("O", 0), ("N", 1)):
            atoms[name][first[keep] + shift] = turned[name][each[keep], chosen[keep]]
    return PlacedAtoms(atoms["N"], atoms["C"], atoms["O"], supported)


def _turned_planes(
    ca_xyz_A: NDArray[np.float64], first: NDArray[np.int64], length: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Return the positions of C, O, N of each peptide at each turn, (m, TURNS, 3)."""
    start = ca_xyz_A[first]
    along = (ca_xyz_A[first + 1] - start) / length[:, None]
    # Any direction off the line will do: the one of the smallest component is never parallel to it.
    aside = np.eye(3)[np.abs(along).argmin(axis=1)]
    across = np.cross(along, aside)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    third = np.cross(along, across)
    turn = np.arange(TURNS) * (2 * np.pi / TURNS)
    out = np.cos(turn)[:, None] * across[:, None] + np.sin(turn)[:, None] * third[:, None]
    cis = length < CIS_BELOW_A
    stretch = length / np.where(cis, CIS.length_A, TRANS.length_A)
    found = {}
    for name in "CON":
        places = np.where(cis[:, None], getattr(CIS, name.lower()), getattr(TRANS, name.lower()))
        on_line = start + (places[:, 0] * stretch)[:, None] * along
        found[name] = on_line[:, None] + places[:, 1, None, None] * out
    return found


def _distance(places: NDArray[np.float64], points: AtomPoints | None) -> NDArray[np.float64]:
    """Return the distance to the nearest point, (m, TURNS), infinite beyond reach."""
    if points is None or len(points) == 0:
        return np.full(places.shape[:2], np.inf)
    distance, _ = cKDTree(points.xyz_A).query(places, distance_upper_bound=REACH_A)
    return np.asarray(distance, np.float64)


def _best_turns(
    turned: dict[str, NDArray[np.float64]],
    ca_xyz_A: NDArray[np.float64],
    first: NDArray[np.int64],
    near: dict[str, NDArray[np.float64]],
) -> NDArray[np.int64]:
    """Return the turn of each peptide, of least sum of squared deviations over each stretch."""
    own = sum(np.minimum(one**2 / (2 * NOISE_A**2), _MISS) for one in near.values())
    cost = np.asarray(own, np.float64)
    back = np.zeros(cost.shape, np.int64)
    joined = np.concatenate(([False], np.diff(first) == 1))
    for place in np.flatnonzero(joined).tolist():
        ca = ca_xyz_A[first[place]]
        bend = _bend_cost(turned["N"][place - 1] - ca, turned["C"][place] - ca)
        through = cost[place - 1][:, None] + bend
        back[place] = through.argmin(axis=0)
        cost[place] += through.min(axis=0)
    chosen = np.empty(len(first), np.int64)
    for place in range(len(first) - 1, -1, -1):
        last = place + 1 == len(first) or not joined[place + 1]
        chosen[place] = cost[place].argmin() if last else back[place + 1, chosen[place + 1]]
    return chosen


def _bend_cost(to_n: NDArray[np.float64], to_c: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cost of the angle N-CA-C for each turn before and after, (TURNS, TURNS)."""
    to_n = to_n / np.linalg.norm(to_n, axis=1, keepdims=True)
    to_c = to_c / np.linalg.norm(to_c, axis=1, keepdims=True)
    angle_deg = np.rad2deg(np.arccos(np.clip(to_n @ to_c.T, -1.0, 1.0)))
    cost: NDArray[np.float64] = ((angle_deg - N_CA_C_DEG) / ANGLE_SD_DEG) ** 2 / 2
    return cost
