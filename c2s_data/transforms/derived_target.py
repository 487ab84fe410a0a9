"""Label volumes of other shapes than the stored masks, derived from the residue table.

The table is the primary truth of a store: float coordinates, classes, Q-scores. From its columns
any window of any map gets the labels that a training asks for, without building the store again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, assert_never

import numpy as np

from c2s_data.schema import ATOM_C, ATOM_CA, ATOM_N, CLASS_NAMES, IGNORE
from c2s_data.transforms.label_shapes import (
    GAUSSIAN_CUTOFF_SIGMA,
    gaussian_maps,
    offsets_voxel,
    painted,
    sphere_owners,
    voxel_owners,
)
from c2s_data.transforms.residue_weights import weights_from_b_factor, weights_from_q_score

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from c2s_data.transforms.label_window import Grid, Window

TargetShape = Literal["voxel", "sphere", "gaussian", "offset", "weight"]
TARGETS: Final = ("atom", "ca", "amino", "secondary")
"""Masks whose classes the residue table holds."""


@dataclass(frozen=True)
class DerivedTarget:
    """What to derive.

    Parameters
    ----------
    target
        Whose classes, and around which atoms: ``atom`` around C-alpha, N and C; ``ca``, ``amino``
        and ``secondary`` around C-alphas. An unknown amino acid has class 255, to be ignored.
    shape
        ``voxel``: the class at the nearest voxel. ``sphere``: the class of the nearest atom within
        `radius_A`. ``gaussian``: one channel for each class 1, 2, ..., 1 at the atom and falling
        with `sigma_A`; the greatest of several. ``offset``: from the voxel's center to the nearest
        atom within `radius_A`, in voxels along z, y, x; 0 elsewhere. ``weight``: the weight of that
        atom's residue; 1 elsewhere, so that it multiplies a loss.
    radius_A, sigma_A
        In A.
    weight
        What ``weight`` goes by; see `c2s_data.transforms.residue_weights`.
    floor
        The least weight.
    """

    target: Literal["atom", "ca", "amino", "secondary"] = "atom"
    shape: TargetShape = "sphere"
    radius_A: float = 1.5
    sigma_A: float = 1.0
    weight: Literal["q_score", "b_factor"] = "q_score"
    floor: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what no residue table has.

        Raises
        ------
        ValueError
            Unknown names, or a length that is not positive.
        """
        if self.target not in TARGETS:
            raise ValueError(f"target={self.target!r}: choose one of {TARGETS}")
        if self.shape not in ("voxel", "sphere", "gaussian", "offset", "weight"):
            raise ValueError(
                f"shape={self.shape!r}: choose voxel, sphere, gaussian, offset or weight"
            )
        if self.weight not in ("q_score", "b_factor"):
            raise ValueError(f"weight={self.weight!r} is neither 'q_score' nor 'b_factor'")
        if not (0 < self.radius_A < np.inf and 0 < self.sigma_A < np.inf):
            raise ValueError(
                f"radius {self.radius_A} A and sigma {self.sigma_A} A must be positive and finite"
            )

    @property
    def channels(self) -> tuple[int, ...]:
        """Axes before z, y, x: classes of ``gaussian``, components of ``offset``, else none."""
        if self.shape == "gaussian":
            return (len(CLASS_NAMES[self.target]) - 1,)
        return (3,) if self.shape == "offset" else ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the volume: uint8 for classes, else float32."""
        return np.dtype(np.uint8 if self.shape in ("voxel", "sphere") else np.float32)

    @property
    def reach_A(self) -> float:
        """How far from a voxel an atom may be that decides it."""
        if self.shape == "voxel":
            return 0.0
        return self.sigma_A * GAUSSIAN_CUTOFF_SIGMA if self.shape == "gaussian" else self.radius_A


class TargetAtoms(NamedTuple):
    """The atoms of one map that a target is derived from, by rising z: (n, 3), (n,), (n,)."""

    xyz_A: NDArray[np.float64]
    value: NDArray[np.uint8]
    weight: NDArray[np.float32]


def target_atoms(
    columns: Mapping[str, NDArray[Any]], wanted: DerivedTarget, resolution_A: float | None
) -> TargetAtoms:
    """Collect the atoms of a target from the columns of a residue table.

    Parameters
    ----------
    columns
        Columns of equal length, one row a residue: ``n_x_A`` to ``c_z_A`` with nan where an atom
        is absent, ``amino_class``, ``secondary``, ``b_factor``, ``q_score``.
    wanted
        The target.
    resolution_A
        Of the map, in A; needed by weights alone.

    Raises
    ------
    ValueError
        If weights are asked for that the table or the catalog does not allow.
    """
    names = ("n", "ca", "c") if wanted.target == "atom" else ("ca",)
    xyz_A = np.stack(
        [np.stack([columns[f"{atom}_{axis}_A"] for axis in "xyz"], axis=1) for atom in names],
        axis=1,
    ).astype(np.float64)
    n_residues = len(xyz_A)
    value = np.repeat(_classes(columns, wanted.target, n_residues), len(names))
    if wanted.target == "atom":
        value = np.tile(np.array([ATOM_N, ATOM_CA, ATOM_C], np.uint8), n_residues)
    weight = np.repeat(_weights(columns, wanted, n_residues, resolution_A), len(names))
    xyz_A = xyz_A.reshape(-1, 3)
    used = np.isfinite(xyz_A).all(axis=1)
    if wanted.shape == "gaussian":
        used &= value != IGNORE  # an unknown class has no channel
    rows = np.flatnonzero(used)
    rows = rows[np.argsort(xyz_A[rows, 2], kind="stable")]
    return TargetAtoms(xyz_A[rows], value[rows], weight[rows])


def derive_window(
    atoms: TargetAtoms, wanted: DerivedTarget, grid: Grid, window: Window | None = None
) -> NDArray[Any]:
    """Derive a target in a window of a map: the same bits as that part of the whole.

    Parameters
    ----------
    atoms
        Of the map, from `target_atoms`.
    wanted
        The same target.
    grid, window
        The map, and the part of it to label; None for the whole.

    Returns
    -------
    NDArray
        ``(*wanted.channels, z, y, x)`` of ``wanted.dtype``; voxels beyond the map are background.
    """
    window = window or grid.whole
    xyz_A, value, weight = _near(atoms, grid, window, wanted.reach_A)
    match wanted.shape:
        case "voxel":
            return painted(voxel_owners(xyz_A, grid, window), value)
        case "gaussian":
            channel, n = value.astype(np.int64) - 1, wanted.channels[0]
            return gaussian_maps(xyz_A, channel, n, grid, window, sigma_A=wanted.sigma_A)
        case "sphere" | "offset" | "weight":
            owner = sphere_owners(xyz_A, grid, window, radius_A=wanted.radius_A)
            if wanted.shape == "sphere":
                return painted(owner, value)
            if wanted.shape == "weight":
                return painted(owner, weight, fill=1.0)
            return offsets_voxel(owner, xyz_A, grid, window)
        case _:
            assert_never(wanted.shape)


def _classes(
    columns: Mapping[str, NDArray[Any]], target: str, n_residues: int
) -> NDArray[np.uint8]:
    if target == "secondary":
        return columns["secondary"].astype(np.uint8)
    if target == "amino":
        amino = columns["amino_class"].astype(np.uint8)
        return np.where(amino == 0, np.uint8(IGNORE), amino)
    return np.ones(n_residues, np.uint8)


def _weights(
    columns: Mapping[str, NDArray[Any]],
    wanted: DerivedTarget,
    n_residues: int,
    resolution_A: float | None,
) -> NDArray[np.float32]:
    if wanted.shape != "weight":
        return np.ones(n_residues, np.float32)
    if wanted.weight not in columns:
        raise ValueError(
            f"the residue table has no column {wanted.weight}: build the store with the option "
            "quality, or take weight='b_factor'"
        )
    if resolution_A is None:
        raise ValueError("weights need the resolution of the map: give it in the catalog")
    by = weights_from_q_score if wanted.weight == "q_score" else weights_from_b_factor
    return by(columns[wanted.weight], resolution_A, floor=wanted.floor)


def _near(atoms: TargetAtoms, grid: Grid, window: Window, reach_A: float) -> TargetAtoms:
    """Return the atoms that may reach into a window, in the same order."""
    voxel_zyx_A = np.array(grid.voxel_size_zyx_A)
    slack_A = reach_A + voxel_zyx_A  # a voxel more than needed, whatever rounds how
    start = np.array(grid.origin_xyz_A)[::-1] + np.array(window.corner_zyx) * voxel_zyx_A
    low = start - slack_A
    high = start + (np.array(window.shape_zyx) - 1) * voxel_zyx_A + slack_A
    first, end = np.searchsorted(atoms.xyz_A[:, 2], (low[0], high[0]))
    x, y, _ = atoms.xyz_A[first:end].T
    rows = first + np.flatnonzero((y >= low[1]) & (y <= high[1]) & (x >= low[2]) & (x <= high[2]))
    return TargetAtoms(atoms.xyz_A[rows], atoms.value[rows], atoms.weight[rows])
