"""How well a map and its model's density agree: correlation, Fourier shells, what is explained.

The model's density is one Gaussian per atom at the resolution of the entry (`simulate_density`),
weighted by atomic number. Compared are only the voxels around the model:

- ``cc_mask``: the correlation about the mean over the voxels within 3 A of an atom.
- The Fourier shell correlation (FSC) of map and model density, each less its mean under a soft mask
  and multiplied by that mask: 1 within 3 A of an atom, falling to 0 at 6 A as a raised cosine, and
  in the same way over the outermost 6 A of the box. Without the subtraction the common outline of
  the mask would correlate by itself.
- What is explained: voxels above a level and within 3 A of an atom, of all voxels above it.

The box around the model is worked through in tiles of at most 160 voxels a side, so that memory
does not grow with the map; sums over Fourier shells add up over tiles.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numba import njit

from c2s_data.transforms.fourier_shells import FourierShells
from c2s_data.transforms.paging import release, slabs
from c2s_data.transforms.simulate_density import (
    CUTOFF_SIGMA,
    sigma_of_resolution_A,
    simulate_density,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Triple = tuple[float, float, float]

MASK_A: Final = 3.0
SOFT_A: Final = 3.0
"""Width over which the soft mask falls from 1 to 0, beyond `MASK_A` from the nearest atom."""
TAPER_A: Final = 6.0
TILE: Final = 160
MAX_RESOLUTION_A: Final = 10.0
_BYTES_PER_TILE_VOXEL: Final = 36


class MapModelFit(NamedTuple):
    """Agreement of one map with one model.

    Parameters
    ----------
    cc_mask : float
        -1 to 1; NaN where it cannot be measured (no resolution, or no atom in the map).
    frequency_per_A, fsc : (k,) float64
        Centers of the Fourier shells, 1/A, up to the Nyquist frequency of the coarsest axis, and
        the correlation in each (NaN in an empty one). Without a resolution there is no shell.
    n_above, n_explained : int
        Voxels of the whole map above the level, and those of them within 3 A of an atom.
    """

    cc_mask: float
    frequency_per_A: NDArray[np.float64]
    fsc: NDArray[np.float64]
    n_above: int
    n_explained: int


def map_model_fit(
    values_zyx: NDArray[np.float32],
    voxel_size_zyx_A: Triple,
    origin_xyz_A: Triple,
    xyz_A: NDArray[np.float64],
    atomic_number: NDArray[np.uint8],
    *,
    resolution_A: float | None,
    level: float,
    tile: int = TILE,
) -> MapModelFit:
    """Compare a map with the density of a model, on the map's own grid.

    Parameters
    ----------
    values_zyx
        float32 (z, y, x).
    voxel_size_zyx_A, origin_xyz_A
        Grid: voxel size per axis z, y, x and center of voxel (0, 0, 0), x, y, z.
    xyz_A, atomic_number
        (n, 3) positions x, y, z, finite, and (n,) atomic numbers of all atoms but hydrogens.
    resolution_A
        Of the model's density; None where it is not known. Beyond `MAX_RESOLUTION_A` neither
        ``cc_mask`` nor the FSC is measured: a Gaussian would fill the box.
    level
        Density that counts as explained or not.
    tile
        Largest side, in voxels, of what is worked through at once.

    Returns
    -------
    MapModelFit
    """
    if resolution_A is not None and resolution_A > MAX_RESOLUTION_A:
        resolution_A = None
    voxel = np.array(voxel_size_zyx_A, np.float64)
    positions_A = np.asarray(xyz_A, np.float64)[:, ::-1] - origin_xyz_A[::-1]
    corners, sides = _tiles(positions_A, voxel, values_zyx.shape, tile)
    reach_A = MASK_A + SOFT_A
    if resolution_A is not None:
        reach_A = max(reach_A, CUTOFF_SIGMA * sigma_of_resolution_A(resolution_A))
    sums = np.zeros(6)
    n_explained = 0
    shells = FourierShells(voxel, sides)
    for corner in corners:
        release(values_zyx)
        part = values_zyx[tuple(slice(c, c + n) for c, n in zip(corner, sides, strict=True))]
        start_A = np.array(corner) * voxel
        near = _near(positions_A - start_A, np.array(part.shape) * voxel, reach_A)
        local_A = positions_A[near] - start_A
        squares = _nearest_squares(local_A, voxel, part.shape)
        n_explained += int(_count_above(part, level, squares))
        if resolution_A is None or not near.any():
            continue
        model = simulate_density(
            local_A[:, ::-1],
            np.maximum(atomic_number[near], 1),
            resolution_A,
            shape_zyx=part.shape,
            voxel_size_zyx_A=voxel_size_zyx_A,
            origin_xyz_A=(0.0, 0.0, 0.0),
        )
        sums += _correlation_sums(part, model, squares)
        weight = _soft_mask(squares, voxel)
        shells.add(_masked(part, weight), _masked(model, weight))
    frequency, fsc = shells.correlation() if resolution_A is not None else (np.empty(0),) * 2
    planes = slabs(len(values_zyx), values_zyx)
    n_above = sum(int(_count_above(values_zyx[some], level, None)) for some in planes)
    return MapModelFit(_correlation(sums), frequency, fsc, n_above, n_explained)


def fit_memory_bytes(shape_zyx: tuple[int, int, int], tile: int = TILE) -> int:
    """Return the most bytes that `map_model_fit` holds beside the map and the atoms."""
    return _BYTES_PER_TILE_VOXEL * math.prod(min(n, tile) for n in shape_zyx)


def _tiles(
    positions_A: NDArray[np.float64],
    voxel: NDArray[np.float64],
    shape_zyx: tuple[int, ...],
    tile: int,
) -> tuple[Iterator[tuple[int, int, int]], tuple[int, int, int]]:
    """First voxels of equal tiles that cover all that is near an atom, and their sides.

    Tiles at the end of the map may be shorter.
    """
    reach = MASK_A + SOFT_A
    positions_A = positions_A[_near(positions_A, np.array(shape_zyx) * voxel, reach)]
    if not len(positions_A):
        return iter(()), (1, 1, 1)
    low = np.floor((positions_A.min(axis=0) - reach) / voxel).astype(int).clip(0)
    high = np.ceil((positions_A.max(axis=0) + reach) / voxel).astype(int) + 1
    extent = np.minimum(high, shape_zyx) - low
    count = -(-extent // tile)
    z, y, x = (int(n) for n in -(-extent // count))
    return (
        (int(low[0]) + i * z, int(low[1]) + j * y, int(low[2]) + k * x)
        for i, j, k in np.ndindex(*count)
    ), (z, y, x)


def _near(
    positions_A: NDArray[np.float64], side_A: NDArray[np.float64], reach_A: float
) -> NDArray[np.bool_]:
    """Which atoms lie in a box from the origin, or closer to it than the reach on each axis."""
    inside = (positions_A >= -reach_A) & (positions_A <= side_A + reach_A)
    return np.asarray(inside.all(axis=1))


def _nearest_squares(
    positions_A: NDArray[np.float64], voxel: NDArray[np.float64], shape_zyx: tuple[int, ...]
) -> NDArray[np.float32]:
    """Squared distance, A^2, of each voxel to its nearest atom; infinite beyond the soft mask."""
    squares = np.full(shape_zyx, np.inf, np.float32)
    _paint_squares(positions_A, voxel, MASK_A + SOFT_A, squares)
    return squares


def _soft_mask(squares: NDArray[np.float32], voxel: NDArray[np.float64]) -> NDArray[np.float32]:
    """Turn squared distances into weights, in place."""
    ramps = []
    for n, step in zip(squares.shape, voxel, strict=True):
        from_face = np.minimum(np.arange(n), np.arange(n)[::-1]) + 0.5
        ramps.append(0.5 - 0.5 * np.cos(np.pi * np.minimum(from_face * step / TAPER_A, 1.0)))
    _soften(squares, *ramps)
    return squares


def _masked(values_zyx: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values less their weighted mean, times the weight."""
    out = np.empty(weight.shape, np.float32)
    _subtract_and_weight(values_zyx, weight, out)
    return out


def _correlation(sums: NDArray[np.float64]) -> float:
    n, a, b, aa, bb, ab = sums
    if not n:
        return math.nan
    spread = (aa - a * a / n) * (bb - b * b / n)
    return float((ab - a * b / n) / math.sqrt(spread)) if spread > 0.0 else math.nan


@njit(cache=True, nogil=True)
def _paint_squares(
    positions: NDArray[np.float64],
    voxel: NDArray[np.float64],
    reach: float,
    squares: NDArray[np.float32],
) -> None:
    nz, ny, nx = squares.shape
    for m in range(positions.shape[0]):
        z, y, x = positions[m, 0], positions[m, 1], positions[m, 2]
        for i in range(max(0, math.ceil((z - reach) / voxel[0])), nz):
            dz = i * voxel[0] - z
            if dz > reach:
                break
            for j in range(max(0, math.ceil((y - reach) / voxel[1])), ny):
                dy = j * voxel[1] - y
                if dy > reach:
                    break
                rest = reach * reach - dz * dz - dy * dy
                if rest < 0.0:
                    continue
                half = math.sqrt(rest)
                first = max(0, math.ceil((x - half) / voxel[2]))
                last = min(nx - 1, math.floor((x + half) / voxel[2]))
                for k in range(first, last + 1):
                    dx = k * voxel[2] - x
                    square = np.float32(dz * dz + dy * dy + dx * dx)
                    squares[i, j, k] = min(square, squares[i, j, k])


@njit(cache=True, nogil=True)
def _soften(
    squares: NDArray[np.float32],
    ramp_z: NDArray[np.float64],
    ramp_y: NDArray[np.float64],
    ramp_x: NDArray[np.float64],
) -> None:
    nz, ny, nx = squares.shape
    for i in range(nz):
        for j in range(ny):
            for k in range(nx):
                beyond = (math.sqrt(squares[i, j, k]) - MASK_A) / SOFT_A
                weight = 0.0
                if beyond < 1.0:
                    weight = 0.5 + 0.5 * math.cos(math.pi * max(beyond, 0.0))
                squares[i, j, k] = weight * ramp_z[i] * ramp_y[j] * ramp_x[k]


@njit(cache=True, nogil=True)
def _subtract_and_weight(
    values: NDArray[np.float32], weight: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    nz, ny, nx = weight.shape
    total = 0.0
    weights = 0.0
    for i in range(nz):
        for j in range(ny):
            for k in range(nx):
                total += weight[i, j, k] * np.float64(values[i, j, k])
                weights += weight[i, j, k]
    mean = total / weights if weights > 0.0 else 0.0
    for i in range(nz):
        for j in range(ny):
            for k in range(nx):
                out[i, j, k] = weight[i, j, k] * (values[i, j, k] - mean)


@njit(cache=True, nogil=True)
def _correlation_sums(
    a: NDArray[np.float32], b: NDArray[np.float32], squares: NDArray[np.float32]
) -> NDArray[np.float64]:
    """n, sum a, sum b, sum a^2, sum b^2, sum a b over the voxels within the mask."""
    sums = np.zeros(6)
    limit = np.float32(MASK_A * MASK_A)
    nz, ny, nx = squares.shape
    for i in range(nz):
        for j in range(ny):
            for k in range(nx):
                if squares[i, j, k] <= limit:
                    u, v = np.float64(a[i, j, k]), np.float64(b[i, j, k])
                    sums[0] += 1.0
                    sums[1] += u
                    sums[2] += v
                    sums[3] += u * u
                    sums[4] += v * v
                    sums[5] += u * v
    return sums


@njit(cache=True, nogil=True)
def _count_above(
    values: NDArray[np.float32], level: float, squares: NDArray[np.float32] | None
) -> int:
    """Voxels above the level, only those within the mask if there is one."""
    count = 0
    limit = np.float32(MASK_A * MASK_A)
    nz, ny, nx = values.shape
    for i in range(nz):
        for j in range(ny):
            for k in range(nx):
                if squares is None or squares[i, j, k] <= limit:
                    count += values[i, j, k] > level
    return count
