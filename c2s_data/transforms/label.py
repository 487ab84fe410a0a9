"""Atoms become labeled voxels: which voxel an atom falls in, and who wins when two share one.

Two families of rule place an atom. ``formula1`` is the paper's ("Labeling Density Maps",
formula 1), ``i = ceil(floor(z - origin_z) / voxel_z)``; at 1 A that is a plain floor, so labels sit
0.5 A low on each axis and decoding has to add `DECODE_OFFSET_VOXEL`. ``nearest`` is the voxel whose
grid point is nearest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from c2s_data.schema import ATOM_C, ATOM_CA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

LabelRule = Literal["formula1", "formula1-float32", "nearest"]
Collision = Literal["ca-first", "last-wins"]

DECODE_OFFSET_VOXEL: Final[dict[LabelRule, float]] = {
    "formula1": 0.5,
    "formula1-float32": 0.5,
    "nearest": 0.0,
}
"""Voxels to add to a label's index when it is turned back into a position (exact at 1 A)."""

_FAR: Final = float(2**40)
"""Beyond any grid, and far from where a float64 no longer fits an int64."""


class VoxelLabels(NamedTuple):
    """The non-zero voxels of one mask.

    Parameters
    ----------
    index_zyx : (m, 3) int32
        Unique voxel indices, sorted in C order (z slowest).
    value : (m,) uint8
        Their values, never 0.
    """

    index_zyx: NDArray[np.int32]
    value: NDArray[np.uint8]

    def to_dense(self, shape_zyx: Sequence[int]) -> NDArray[np.uint8]:
        """Return the whole mask, 0 where nothing is labeled: (z, y, x) uint8."""
        mask = np.zeros(tuple(shape_zyx), np.uint8)
        mask[tuple(self.index_zyx.T)] = self.value
        return mask


@dataclass(frozen=True)
class LabeledVoxels:
    """The four masks of one map and what was lost on the way.

    Parameters
    ----------
    atom, ca, amino, secondary : VoxelLabels
        Numbering as in `c2s_data.schema`; the last three come from C-alpha rows only.
    n_outside : int
        Atoms outside the grid, dropped.
    n_collisions : int
        Atoms inside the grid that met a voxel already labeled by an earlier atom: atoms inside
        minus distinct voxels, whichever policy decides.
    n_ca_outside : int
        C-alphas among `n_outside`.
    """

    atom: VoxelLabels
    ca: VoxelLabels
    amino: VoxelLabels
    secondary: VoxelLabels
    n_outside: int
    n_collisions: int
    n_ca_outside: int


def voxel_index(
    xyz_A: ArrayLike,
    origin_xyz_A: ArrayLike,
    voxel_size_zyx_A: ArrayLike,
    rule: LabelRule,
) -> NDArray[np.int64]:
    """Return the voxel of each atom; it may lie outside the grid.

    Parameters
    ----------
    xyz_A : (n, 3) float
        Positions x, y, z in A.
    origin_xyz_A : (3,) float
        Position of voxel (0, 0, 0) in A, x, y, z.
    voxel_size_zyx_A : (3,) float
        Voxel size in A along z, y, x.
    rule : {"formula1", "formula1-float32", "nearest"}
        ``formula1`` is ``ceil(floor(x - origin) / voxel)`` in float64. ``formula1-float32`` rounds
        position and origin to float32 and subtracts in float32, as the published label programs
        do, and goes on in float64. ``nearest`` is ``floor((x - origin) / voxel + 0.5)``: a
        position halfway between two grid points belongs to the upper one, also below zero.

    Returns
    -------
    (n, 3) int64
        Indices z, y, x. Positions more than 2^40 voxels away are clipped to there.

    Raises
    ------
    ValueError
        If a position or the origin is not finite, or a voxel size is not positive.
    """
    position = np.asarray(xyz_A, np.float64).reshape(-1, 3)
    origin = np.asarray(origin_xyz_A, np.float64)
    voxel_xyz_A = np.asarray(voxel_size_zyx_A, np.float64)[::-1]
    if not (np.isfinite(position).all() and np.isfinite(origin).all()):
        raise ValueError("positions and origin must be finite: leave absent atoms out first")
    if not (np.isfinite(voxel_xyz_A).all() and (voxel_xyz_A > 0).all()):
        raise ValueError(f"voxel sizes must be positive, got {voxel_xyz_A[::-1]} A (z, y, x)")
    with np.errstate(over="ignore"):  # an absurd position becomes infinite, hence outside
        if rule == "formula1":
            index_xyz = np.ceil(np.floor(position - origin) / voxel_xyz_A)
        elif rule == "formula1-float32":
            index_xyz = np.ceil(np.floor(_float32_difference(position, origin)) / voxel_xyz_A)
        elif rule == "nearest":
            relative = np.clip((position - origin) / voxel_xyz_A, -_FAR, _FAR)
            index_xyz = _round_half_up(relative)
        else:
            raise ValueError(
                f"unknown label rule {rule!r}: use one of {sorted(DECODE_OFFSET_VOXEL)}"
            )
    clipped = np.clip(index_xyz[:, ::-1], -_FAR, _FAR)
    return clipped.astype(np.int64)


def label_voxels(
    xyz_A: ArrayLike,
    atom_class: ArrayLike,
    amino_class: ArrayLike,
    secondary_class: ArrayLike,
    *,
    shape_zyx: Sequence[int],
    origin_xyz_A: ArrayLike,
    voxel_size_zyx_A: ArrayLike,
    rule: LabelRule,
    collision: Collision,
) -> LabeledVoxels:
    """Label the voxels of backbone atoms (paper, "Labeling Density Maps", formula 1, Figure 3).

    An atom outside the grid is dropped and counted; a negative index never wraps.

    Parameters
    ----------
    xyz_A : (n, 3) float
        Positions x, y, z in A, finite, one row per atom in file order.
    atom_class : (n,) int
        1 C-alpha, 2 N, 3 C.
    amino_class, secondary_class : (n,) int
        0 to 255 of the atom's residue; read at C-alpha rows only. A C-alpha of class 0 stores
        nothing in that mask; 255 (`c2s_data.schema.IGNORE`) is stored as 255.
    shape_zyx : three ints
        Grid shape.
    origin_xyz_A, voxel_size_zyx_A, rule
        As for `voxel_index`.
    collision : {"ca-first", "last-wins"}
        Who keeps a voxel that several atoms share. ``ca-first``: C-alpha before N before C, the
        first in file order among equals. ``last-wins``: the last in file order; then a later
        C-alpha of class 0 also clears what an earlier one wrote.

    Returns
    -------
    LabeledVoxels

    Raises
    ------
    ValueError
        If lengths differ, a class is out of range, or `voxel_index` refuses a position.
    """
    index_zyx = voxel_index(xyz_A, origin_xyz_A, voxel_size_zyx_A, rule)
    atom = _classes(atom_class, len(index_zyx), ATOM_CA, ATOM_C, "atom_class")
    amino = _classes(amino_class, len(index_zyx), 0, 255, "amino_class")
    secondary = _classes(secondary_class, len(index_zyx), 0, 255, "secondary_class")
    if collision not in ("ca-first", "last-wins"):
        raise ValueError(f"unknown collision policy {collision!r}: use ca-first or last-wins")

    shape = np.asarray(shape_zyx, np.int64)
    inside = ((index_zyx >= 0) & (index_zyx < shape)).all(axis=1)
    is_ca = atom == ATOM_CA
    voxel = np.full(len(index_zyx), -1, np.int64)
    voxel[inside] = np.ravel_multi_index(tuple(index_zyx[inside].T), tuple(shape_zyx))

    rows = _winners(np.flatnonzero(inside), voxel, atom, collision)
    ca_rows = _winners(np.flatnonzero(inside & is_ca), voxel, atom, collision)
    return LabeledVoxels(
        atom=_labels(index_zyx, atom, rows),
        ca=_labels(index_zyx, np.ones_like(atom), ca_rows),
        amino=_labels(index_zyx, amino, ca_rows),
        secondary=_labels(index_zyx, secondary, ca_rows),
        n_outside=int((~inside).sum()),
        n_collisions=int(inside.sum()) - len(rows),
        n_ca_outside=int((~inside & is_ca).sum()),
    )


def _float32_difference(
    position: NDArray[np.float64], origin: NDArray[np.float64]
) -> NDArray[np.float64]:
    # Within float32, so that two absurd numbers do not make infinity minus infinity.
    largest = np.finfo(np.float32).max
    low, high = (np.clip(values, -largest, largest) for values in (origin, position))
    return (high.astype(np.float32) - low.astype(np.float32)).astype(np.float64)


def _round_half_up(value: NDArray[np.float64]) -> NDArray[np.float64]:
    # floor(value + 0.5) would round 0.49999999999999994 up: the sum is exactly 1.0 in float64.
    below = np.floor(value)
    rounded: NDArray[np.float64] = below + (value - below >= 0.5)
    return rounded


def _classes(values: ArrayLike, n: int, low: int, high: int, name: str) -> NDArray[np.uint8]:
    array = np.asarray(values)
    if array.shape != (n,):
        raise ValueError(f"{name} has shape {array.shape}, but there are {n} atoms")
    if n and not (low <= array.min() and array.max() <= high):
        raise ValueError(f"{name} must lie in {low}..{high}, got {array.min()}..{array.max()}")
    return array.astype(np.uint8)


def _winners(
    rows: NDArray[np.int64],
    voxel: NDArray[np.int64],
    atom: NDArray[np.uint8],
    collision: Collision,
) -> NDArray[np.int64]:
    """Return the row that keeps each voxel, ordered by voxel."""
    if collision == "ca-first":
        order = rows[np.lexsort((atom[rows], voxel[rows]))]
    else:
        order = rows[np.argsort(voxel[rows], kind="stable")]
    changes = np.flatnonzero(np.diff(voxel[order])) + 1
    if not len(order):
        return order
    if collision == "ca-first":
        return order[np.concatenate(([0], changes))]
    return order[np.concatenate((changes - 1, [len(order) - 1]))]


def _labels(
    index_zyx: NDArray[np.int64], value: NDArray[np.uint8], rows: NDArray[np.int64]
) -> VoxelLabels:
    rows = rows[value[rows] != 0]
    return VoxelLabels(index_zyx[rows].astype(np.int32), value[rows])
