"""Whether a model fits the mirror image of its map, or the map turned or shifted, after a refit.

A file is mirrored by reversing an axis or by swapping two, so all 48 ways to permute and reverse
the axes about the center of the box are tried: 24 of them are mirror images, 24 are turns (the
first leaves the axes as they are). Moving the map by one of them is the same as moving the model by
its inverse, and the model is what moves here: no map is copied.

Each candidate is refitted, so that the comparison is fair: where the coarse map correlates best
with the moved model under any shift that keeps it inside the box (by Fourier transform), and at
the exact mirror position, a shift search goes on the map itself (4 A in steps of 1 A, then 1 A in
steps of 0.25 A), scored by the density at the C-alphas.
"""

from __future__ import annotations

from itertools import permutations, product
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy.fft import irfftn, rfftn

from c2s_data.transforms.paging import release
from c2s_data.transforms.registration import best_shift
from c2s_data.transforms.simulate_density import simulate_density

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Triple = tuple[float, float, float]

COARSE_SIDE: Final = 64
COARSE_A: Final = 3.0
MAX_POINTS: Final = 1000
FIRST_REACH_A: Final = 4.0
SLACK_A: Final = 5.0
_FAR: Final = 2.0**40


class Placement(NamedTuple):
    """One way to move a model in the box of its map.

    ``matrix`` (3, 3) turns or mirrors positions x, y, z about the center of the box and
    ``shift_xyz_A`` moves them afterwards; ``density`` is the mean density there, less the map's
    mean.
    """

    matrix: NDArray[np.float64]
    shift_xyz_A: NDArray[np.float64]
    center_xyz_A: NDArray[np.float64]
    density: float

    @property
    def is_mirror(self) -> bool:
        """Whether it turns a right hand into a left one."""
        return bool(np.linalg.det(self.matrix) < 0.0)

    @property
    def keeps_axes(self) -> bool:
        """Whether the model is only shifted."""
        return bool((self.matrix == np.eye(3)).all())

    @property
    def name(self) -> str:
        """What becomes of the axes: ``x, y, -z`` for a reversed z axis."""
        words = []
        for row in self.matrix:
            axis = int(np.abs(row).argmax())
            words.append(("-" if row[axis] < 0 else "") + "xyz"[axis])
        return ", ".join(words)

    def move(self, xyz_A: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return positions moved so: (n, 3)."""
        turned = (xyz_A - self.center_xyz_A) @ self.matrix.T
        return np.asarray(turned + self.center_xyz_A + self.shift_xyz_A)


def axis_operations() -> Iterator[NDArray[np.float64]]:
    """Yield the 48 matrices that permute and reverse axes, the one that does nothing first."""
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[range(3), order] = signs
            yield matrix


def best_placements(
    values_zyx: NDArray[np.float32],
    voxel_size_zyx_A: Triple,
    origin_xyz_A: Triple,
    ca_xyz_A: NDArray[np.float64],
    *,
    offset: float,
    keep: int = 3,
) -> tuple[list[Placement], list[Placement]]:
    """Find where a model fits best, turned or shifted only, and mirrored.

    Parameters
    ----------
    values_zyx
        float32 (z, y, x).
    voxel_size_zyx_A, origin_xyz_A
        Grid: voxel size per axis z, y, x and center of voxel (0, 0, 0), x, y, z.
    ca_xyz_A
        (n, 3) C-alphas x, y, z, finite, at least one. Of many an even choice is used.
    offset
        Mean of the map.
    keep
        How many of each kind to return.

    Returns
    -------
    turned, mirrored : list of Placement
        Best first, of different matrices.
    """
    voxel = np.array(voxel_size_zyx_A, np.float64)
    side_xyz_A = ((np.array(values_zyx.shape) - 1) * voxel)[::-1]
    center = np.array(origin_xyz_A) + side_xyz_A / 2.0
    points = every_nth(ca_xyz_A, MAX_POINTS)
    few = every_nth(points, MAX_POINTS // 4)
    coarse = _CoarseMap(values_zyx, voxel, offset)
    reach_A = max(FIRST_REACH_A, float(np.ceil(coarse.voxel.max())))
    grid = (values_zyx, voxel_size_zyx_A, origin_xyz_A)

    def fitted(start: Placement, some: NDArray[np.float64], reach: float, step: float) -> Placement:
        found = best_shift(*grid, start.move(some), offset=offset, reach_A=reach, step_A=step)
        shift = start.shift_xyz_A + found.shift_xyz_A
        return start._replace(shift_xyz_A=shift, density=found.at_best)

    candidates = []
    for matrix in axis_operations():
        in_place = Placement(matrix, np.zeros(3), center, 0.0)
        shift = coarse.best_shift_A(in_place.move(points) - origin_xyz_A)
        starts = (in_place, in_place._replace(shift_xyz_A=shift))
        refits = [fitted(start, few, reach_A, 1.0) for start in starts]
        candidates.append(max(refits, key=lambda placement: placement.density))
    candidates.sort(key=lambda placement: -placement.density)
    turned, mirrored = (
        [fitted(one, points, 1.0, 0.25) for one in candidates if one.is_mirror is hand][:keep]
        for hand in (False, True)
    )
    return turned, mirrored


def every_nth(rows: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Return at most so many rows, evenly chosen."""
    return rows[:: max(1, -(-len(rows) // most))]


class _CoarseMap:
    """The Fourier transform of a map averaged over blocks, to correlate models with."""

    def __init__(
        self, values_zyx: NDArray[np.float32], voxel: NDArray[np.float64], offset: float
    ) -> None:
        shape = np.array(values_zyx.shape)
        block = np.maximum(np.round(COARSE_A / voxel).astype(int), -(-shape // COARSE_SIDE))
        block = np.clip(block, 1, shape)
        self.voxel = voxel * block
        means = _block_means(values_zyx, block)
        self._shape = means.shape
        self._first_A = (block - 1) * voxel / 2.0  # center of the first block from voxel 0
        self._transform = rfftn(means - np.float32(offset))

    def best_shift_A(self, from_voxel_0_xyz_A: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shift x, y, z to a multiple of the block at which points correlate best with the map."""
        z, y, x = (float(step) for step in self.voxel)
        first = self._first_A
        model = simulate_density(
            from_voxel_0_xyz_A,
            1.0,
            3.0 * float(self.voxel.max()),  # one Gaussian is about 0.7 blocks wide
            shape_zyx=self._shape,
            voxel_size_zyx_A=(z, y, x),
            origin_xyz_A=(float(first[2]), float(first[1]), float(first[0])),
        )
        correlation = irfftn(self._transform * rfftn(model).conj(), self._shape)
        positions = from_voxel_0_xyz_A[:, ::-1] - self._first_A
        steps = [
            _steps_inside(positions[:, k].min(), positions[:, k].max(), n, float(self.voxel[k]))
            for k, n in enumerate(self._shape)
        ]
        allowed = correlation[np.ix_(*(s % n for s, n in zip(steps, self._shape, strict=True)))]
        best = np.unravel_index(np.argmax(allowed), allowed.shape)
        shift_zyx = [s[i] for s, i in zip(steps, best, strict=True)] * self.voxel
        return np.asarray(shift_zyx[::-1], np.float64)


def _steps_inside(low_A: float, high_A: float, n: int, step_A: float) -> NDArray[np.int64]:
    """Numbers of steps that keep low to high within n grid points, give or take 5 A."""
    limits = (-low_A - SLACK_A) / step_A, n - 1 + (SLACK_A - high_A) / step_A
    first, last = np.ceil(limits[0]), np.floor(limits[1])
    if last < first:  # larger than the box: keep its middle there
        first = last = np.round((first + last) / 2.0)
    first = np.clip(first, -_FAR, _FAR)
    return int(first) + np.arange(int(min(max(last - first, 0.0), n - 1.0)) + 1)


def _block_means(values_zyx: NDArray[np.float32], block: NDArray[np.int64]) -> NDArray[np.float32]:
    """Mean of every block of voxels; incomplete blocks at the end are left out."""
    nz, ny, nx = (n // b for n, b in zip(values_zyx.shape, block, strict=True))
    bz, by, bx = block
    means = np.empty((nz, ny, nx), np.float32)
    for i in range(nz):
        slab = values_zyx[i * bz : (i + 1) * bz, : ny * by, : nx * bx]
        means[i] = slab.reshape(bz, ny, by, nx, bx).mean(axis=(0, 2, 4), dtype=np.float64)
        release(values_zyx)
    return means
