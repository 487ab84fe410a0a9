"""A compact fold found in torsion space: bonds and angles stay ideal, only phi and psi move.

The search minimises, with L-BFGS, the sum of

- the squared distance of the C-alphas of helices and strands from a target layout, after the best
  superposition (Kabsch, Acta Cryst. A32, 922, 1976),
- ``(distance - wanted)^2`` over chosen atom pairs: the hydrogen bonds of the sheet,
- ``(contact - distance)^2`` over atom pairs closer than their contact distance,
- ``1 - cos(torsion - wanted)`` over all phi and psi.

A rotation about a bond moves every later atom as one rigid body, so the gradient of a torsion is
the projection of the torque of the later atoms on the bond: two suffix sums give all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numba import njit
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation
from threadpoolctl import threadpool_limits

from c2s_data.sources.procedural.geometry import BACKBONE, backbone_from_torsions

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEMORY: Final = 30
"""Steps from which the search knows the curvature."""
TOLERANCE: Final = 1e-5
"""A stage ends with the step that lowers its energy by less than this part of it."""
_N, _CA, _CB, _C, _O = range(len(BACKBONE))
CA_CONTACT_A: Final = 4.2
CB_CONTACT_A: Final = 4.0
POLAR_CONTACT_A: Final = 2.8
CONTACT_A: Final = 3.3
REACH_A: Final = 9.0
"""C-alphas farther apart than this have no backbone or CB atoms in contact."""


class Weights(NamedTuple):
    """How much each term of the energy counts in one stage of the search."""

    layout: float
    pairs: float
    contacts: float
    torsions: float


STAGES: Final = (
    Weights(layout=0.3, pairs=0.0, contacts=0.0, torsions=2.0),
    Weights(layout=0.1, pairs=2.0, contacts=0.5, torsions=4.0),
    Weights(layout=0.01, pairs=8.0, contacts=10.0, torsions=4.0),
)
"""First the layout while the chain may pass through itself, then the hydrogen bonds, then room."""


@dataclass(frozen=True)
class FoldTarget:
    """What the fold should satisfy.

    Attributes
    ----------
    phi_rad, psi_rad
        float64 (n,), wanted torsions.
    torsion_stiffness
        float64 (n,), factor on the torsion term of each residue.
    layout_xyz_A
        float64 (n, 3), wanted C-alpha positions up to one rigid motion; NaN in loops.
    pair_atoms
        int64 (m, 2), atom numbers ``5 * residue + position in BACKBONE``.
    pair_distance_A
        float64 (m,), wanted distances.
    """

    phi_rad: NDArray[np.float64]
    psi_rad: NDArray[np.float64]
    torsion_stiffness: NDArray[np.float64]
    layout_xyz_A: NDArray[np.float64]
    pair_atoms: NDArray[np.int64]
    pair_distance_A: NDArray[np.float64]


def rigid_fit(
    moving_xyz_A: NDArray[np.float64], fixed_xyz_A: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotation (3, 3) and shift (3,) with ``moving @ rotation.T + shift`` nearest to ``fixed``."""
    center, target = moving_xyz_A.mean(axis=0), fixed_xyz_A.mean(axis=0)
    fit, _ = Rotation.align_vectors(fixed_xyz_A - target, moving_xyz_A - center)
    rotation = fit.as_matrix()
    return rotation, target - rotation @ center


def fold(
    target: FoldTarget, start_phi_rad: NDArray[np.float64], start_psi_rad: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Minimise from given torsions; returns phi, psi (n,) in radians and xyz (n, 5, 3) in A.

    The coordinates come superposed on the layout of the target. While it runs, BLAS has one
    thread in the whole process.
    """
    n = start_phi_rad.shape[0]
    torsions = np.concatenate([start_phi_rad, start_psi_rad])
    # The vectors are too short to share: with two BLAS threads it takes five times the CPU time,
    # and the order of the sums would follow the number of cores.
    with threadpool_limits(limits=1, user_api="blas"):
        for weights in STAGES:
            torsions = minimize(
                _energy,
                torsions,
                args=(target, weights),
                method="L-BFGS-B",
                jac=True,
                options={"maxcor": MEMORY, "ftol": TOLERANCE},
            ).x
    phi_rad, psi_rad = torsions[:n], torsions[n:]
    xyz = backbone_from_torsions(phi_rad, psi_rad)
    placed = ~np.isnan(target.layout_xyz_A[:, 0])
    rotation, shift = rigid_fit(xyz[placed, _CA], target.layout_xyz_A[placed])
    return phi_rad, psi_rad, xyz @ rotation.T + shift


def _energy(
    torsions: NDArray[np.float64], target: FoldTarget, weights: Weights
) -> tuple[float, NDArray[np.float64]]:
    n = target.phi_rad.shape[0]
    phi_rad, psi_rad = torsions[:n], torsions[n:]
    xyz = backbone_from_torsions(phi_rad, psi_rad)
    force = np.zeros_like(xyz)

    placed = ~np.isnan(target.layout_xyz_A[:, 0])
    layout = target.layout_xyz_A[placed]
    rotation, shift = rigid_fit(layout, xyz[placed, _CA])
    miss = xyz[placed, _CA] - (layout @ rotation.T + shift)
    energy = weights.layout * float(np.sum(miss**2))
    force[placed, _CA] = 2.0 * weights.layout * miss

    flat_xyz, flat_force = xyz.reshape(-1, 3), force.reshape(-1, 3)
    energy += _add_pairs(
        flat_xyz, target.pair_atoms, target.pair_distance_A, weights.pairs, flat_force
    )
    if weights.contacts > 0.0:
        energy += _add_contacts(xyz, weights.contacts, force)

    gradient = _torque(xyz, force)
    stiffness = weights.torsions * np.tile(target.torsion_stiffness, 2)
    off = torsions - np.concatenate([target.phi_rad, target.psi_rad])
    return energy + float(np.sum(stiffness * (1.0 - np.cos(off)))), gradient + stiffness * np.sin(
        off
    )


@njit(cache=True, nogil=True)
def _add_pairs(
    xyz: NDArray[np.float64],
    atoms: NDArray[np.int64],
    wanted_A: NDArray[np.float64],
    weight: float,
    force: NDArray[np.float64],
) -> float:
    energy = 0.0
    for m in range(atoms.shape[0]):
        i, j = atoms[m]
        step = xyz[i] - xyz[j]
        distance = np.sqrt(np.sum(step * step))
        excess = distance - wanted_A[m]
        energy += weight * excess**2
        push = step * (2.0 * weight * excess / distance)
        force[i] += push
        force[j] -= push
    return energy


@njit(cache=True, nogil=True)
def _contact_A(kind_i: int, kind_j: int) -> float:
    if kind_i == _CA and kind_j == _CA:
        return CA_CONTACT_A
    if kind_i == _CB and kind_j == _CB:
        return CB_CONTACT_A
    if (kind_i == _N and kind_j == _O) or (kind_i == _O and kind_j == _N):
        return POLAR_CONTACT_A
    return CONTACT_A


@njit(cache=True, nogil=True)
def _add_contacts(xyz: NDArray[np.float64], weight: float, force: NDArray[np.float64]) -> float:
    """Push apart the atoms (n, 5, 3) of residues that are no neighbours in the chain."""
    energy = 0.0
    n = xyz.shape[0]
    for i in range(n):
        for j in range(i + 2, n):
            if _square(xyz[i, _CA], xyz[j, _CA]) > REACH_A * REACH_A:
                continue
            for a in range(5):
                for b in range(5):
                    contact = _contact_A(a, b)
                    square = _square(xyz[i, a], xyz[j, b])
                    if square >= contact * contact or square == 0.0:
                        continue
                    distance = np.sqrt(square)
                    overlap = contact - distance
                    energy += weight * overlap**2
                    push = (xyz[i, a] - xyz[j, b]) * (-2.0 * weight * overlap / distance)
                    force[i, a] += push
                    force[j, b] -= push
    return energy


@njit(cache=True, nogil=True)
def _square(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2)


@njit(cache=True, nogil=True)
def _torque(xyz: NDArray[np.float64], force: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gradient over (phi, psi) from the gradient over positions, both (n, 5, 3)."""
    n = xyz.shape[0]
    gradient = np.zeros(2 * n)
    total_force, total_torque = np.zeros(3), np.zeros(3)
    for i in range(n - 1, -1, -1):
        total_force += force[i, _O]
        total_torque += np.cross(xyz[i, _O], force[i, _O])
        axis = xyz[i, _C] - xyz[i, _CA]
        axis /= np.sqrt(np.sum(axis * axis))
        gradient[n + i] = np.sum(axis * (total_torque - np.cross(xyz[i, _CA], total_force)))
        for k in (_C, _CB):
            total_force += force[i, k]
            total_torque += np.cross(xyz[i, k], force[i, k])
        if i > 0:
            axis = xyz[i, _CA] - xyz[i, _N]
            axis /= np.sqrt(np.sum(axis * axis))
            gradient[i] = np.sum(axis * (total_torque - np.cross(xyz[i, _CA], total_force)))
        for k in (_CA, _N):
            total_force += force[i, k]
            total_torque += np.cross(xyz[i, k], force[i, k])
    return gradient
