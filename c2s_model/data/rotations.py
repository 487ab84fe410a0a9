"""The 24 proper rotations of a cube, as moves of voxels: nothing is interpolated or mirrored."""

from __future__ import annotations

from itertools import permutations, product
from typing import Final, NamedTuple

from torch import Tensor


class Rotation(NamedTuple):
    """A rotation of the last three axes: first the axes change places, then some are reversed.

    ``axes`` names for each new axis the old one (0 z, 1 y, 2 x), ``reversed_axes`` the new axes
    that run backwards.
    """

    axes: tuple[int, ...]
    reversed_axes: tuple[int, ...]


def _is_even(order: tuple[int, ...]) -> bool:
    return sum(order[i] > order[j] for i in range(3) for j in range(i + 1, 3)) % 2 == 0


def _proper() -> tuple[Rotation, ...]:
    found = []
    for axes in permutations((0, 1, 2)):
        for signs in product((False, True), repeat=3):
            # A permutation's sign times the sign of each reversal is the determinant: 1 turns, -1
            # mirrors, which would make another hand of every helix.
            if _is_even(axes) == (sum(signs) % 2 == 0):
                reversed_axes = tuple(axis for axis in range(3) if signs[axis])
                found.append(Rotation(axes, reversed_axes))
    return tuple(found)


ROTATIONS: Final = _proper()
"""All of them, the identity first."""
N_ROTATIONS: Final = len(ROTATIONS)


def rotate_zyx(values: Tensor, number: int) -> Tensor:
    """Turn the last three axes by one of the rotations.

    Parameters
    ----------
    values
        (..., Z, Y, X); equal sides, unless the turned shape may be another one.
    number
        0 to 23; 0 leaves everything in place.

    Returns
    -------
    Tensor
        A view where no axis is reversed, else a copy.
    """
    axes, reversed_axes = ROTATIONS[number]
    lead = values.ndim - 3
    turned = values.permute(*range(lead), *(lead + axis for axis in axes))
    return turned.flip([lead + axis for axis in reversed_axes]) if reversed_axes else turned


def rotate_back_zyx(values: Tensor, number: int) -> Tensor:
    """Undo `rotate_zyx` of the same number."""
    axes, reversed_axes = ROTATIONS[number]
    lead = values.ndim - 3
    unflipped = values.flip([lead + axis for axis in reversed_axes]) if reversed_axes else values
    return unflipped.permute(*range(lead), *(lead + axes.index(axis) for axis in range(3)))
