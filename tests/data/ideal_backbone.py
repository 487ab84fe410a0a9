"""Backbones built from torsion angles alone, with textbook bond lengths and angles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Engh and Huber (1991), rounded.
N_CA_A, CA_C_A, C_N_A, C_O_A = 1.458, 1.525, 1.329, 1.231
N_CA_C, CA_C_N, C_N_CA, CA_C_O = 111.2, 116.2, 121.7, 120.8


class Backbone(NamedTuple):
    """Positions x, y, z in A, each (n, 3)."""

    n: np.ndarray
    ca: np.ndarray
    c: np.ndarray
    o: np.ndarray


def place(a, b, c, length_A, angle_deg, torsion_deg):
    """Return d with the given c-d length, b-c-d angle and a-b-c-d torsion."""
    angle, torsion = np.deg2rad(angle_deg), np.deg2rad(torsion_deg)
    along = (c - b) / np.linalg.norm(c - b)
    normal = np.cross(b - a, along)
    normal /= np.linalg.norm(normal)
    across = np.cross(normal, along)
    return c + length_A * (
        -np.cos(angle) * along
        + np.sin(angle) * (np.cos(torsion) * across + np.sin(torsion) * normal)
    )


def build(phi_psi_deg) -> Backbone:
    """Build a chain from (phi, psi) per residue, omega 180."""
    n = np.array([0.0, 0.0, 0.0])
    ca = np.array([N_CA_A, 0.0, 0.0])
    tilt = np.deg2rad(180 - N_CA_C)
    c = ca + CA_C_A * np.array([np.cos(tilt), np.sin(tilt), 0.0])
    atoms: list[list[np.ndarray]] = [[], [], [], []]
    for row, (_, psi) in enumerate(phi_psi_deg):
        next_n = place(n, ca, c, C_N_A, CA_C_N, psi)
        o = place(n, ca, c, C_O_A, CA_C_O, psi + 180.0)
        for column, atom in zip(atoms, (n, ca, c, o), strict=True):
            column.append(atom)
        if row + 1 < len(phi_psi_deg):
            next_ca = place(ca, c, next_n, N_CA_A, C_N_CA, 180.0)
            c = place(c, next_n, next_ca, CA_C_A, N_CA_C, phi_psi_deg[row + 1][0])
            n, ca = next_n, next_ca
    return Backbone(*(np.array(column) for column in atoms))
