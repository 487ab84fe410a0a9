"""Which subgrids a prediction needs: pure integers, no density and no network.

Along each axis the cores of window j lie on ``step * (j - overlap + 1)`` and the ``core`` voxels
that follow, with ``step = core / overlap``: with overlap 1 they tile the map as in the paper ("Grid
Division"), with overlap m every voxel lies in m of them along each axis, in m^3 in all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import ConfigError
from c2s_data.transforms.windows import margin_of

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class WindowGrid:
    """The subgrids of a map.

    Parameters
    ----------
    shape_zyx
        Voxels of the map.
    box, core
        Sides of a subgrid and of its core.
    overlap
        Cores that cover a voxel along each axis.

    Raises
    ------
    ConfigError
        The core cannot be divided so, or the sides do not fit each other.
    """

    shape_zyx: Shape
    box: int
    core: int
    overlap: int = 1

    def __post_init__(self) -> None:
        try:
            margin_of(self.box, self.core)
        except ValueError as error:
            raise ConfigError(f"{error}; give another core") from error
        if self.overlap < 1 or self.core % self.overlap:
            fits = [m for m in range(1, self.core + 1) if self.core % m == 0]
            raise ConfigError(
                f"overlap {self.overlap} with a core of {self.core} voxels; how many cores cover a "
                f"voxel along an axis must divide it: {', '.join(map(str, fits))}"
            )

    @property
    def step(self) -> int:
        """Voxels between neighbouring cores."""
        return self.core // self.overlap

    @property
    def margin(self) -> int:
        """Voxels of a subgrid on each side of its core."""
        return margin_of(self.box, self.core)

    @property
    def windows_zyx(self) -> Shape:
        """Subgrids along each axis."""
        z, y, x = (-(-n // self.step) + self.overlap - 1 for n in self.shape_zyx)
        return z, y, x

    def needed(self, interest_zyx: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Return which subgrids have a voxel of interest in their core, (z, y, x) windows.

        Parameters
        ----------
        interest_zyx
            bool of the map's shape; None for all of it.
        """
        if interest_zyx is None:
            return np.ones(self.windows_zyx, np.bool_)
        if interest_zyx.shape != self.shape_zyx:
            raise ValueError(f"interest {interest_zyx.shape} in a map of {self.shape_zyx}")
        cells = np.pad(any_in_cells(interest_zyx, self.step), self.overlap - 1)
        for axis in range(3):
            n = self.windows_zyx[axis]
            cells = np.logical_or.reduce(
                [np.take(cells, range(i, i + n), axis) for i in range(self.overlap)]
            )
        return cells

    def starts_in(self, y: slice, x: slice, needed: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the first voxels of the needed cores that reach into a tile, (n, 3) by rising z.

        Parameters
        ----------
        y, x
            The tile; along z it is as long as the map.
        needed
            From `needed`.
        """
        numbers = [
            self._numbers(0, slice(0, self.shape_zyx[0])),
            self._numbers(1, y),
            self._numbers(2, x),
        ]
        wanted = np.argwhere(needed[np.ix_(*numbers)])
        found: NDArray[np.int64] = np.stack(
            [of[i] for of, i in zip(numbers, wanted.T, strict=True)], axis=1
        )
        return self.step * (found - self.overlap + 1)

    def _numbers(self, axis: int, within: slice) -> NDArray[np.int64]:
        """Return which windows along an axis have cores that reach into a range."""
        numbers: NDArray[np.int64] = np.arange(self.windows_zyx[axis])
        starts = self.step * (numbers - self.overlap + 1)
        reaches: NDArray[np.bool_] = (starts + self.core > within.start) & (starts < within.stop)
        return numbers[reaches]


def any_in_cells(values_zyx: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Return which cells of some side hold a true voxel, (ceil(z / side), ...) bool."""
    starts_y, starts_x = (np.arange(0, n, side) for n in values_zyx.shape[1:])
    layers = []
    for z in range(0, values_zyx.shape[0], side):
        plane = values_zyx[z : z + side].any(axis=0)
        rows = np.logical_or.reduceat(plane, starts_y, axis=0)
        layers.append(np.logical_or.reduceat(rows, starts_x, axis=1))
    return np.stack(layers)
