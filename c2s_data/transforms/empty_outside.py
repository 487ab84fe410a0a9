"""Keep the outside of a mask empty when a map is resampled by splines.

A spline rings: beside a mask's edge it gives small values of both signs where the deposited map
says exactly 0, which is no density but the word for "nothing was kept here". Millions of such
values would pass for noise when the scale is set, and would no longer compress.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from c2s_data.transforms.paging import slabs

Triple = tuple[float, float, float]


def clear_outside(
    resampled_zyx: NDArray[np.float32],
    source_zyx: NDArray[np.float32],
    voxel_size_zyx_A: Triple,
    target_A: float = 1.0,
) -> int:
    """Set to 0, in place, what lies between eight source voxels that are all exactly 0.

    Parameters
    ----------
    resampled_zyx
        float32 (z, y, x), C-contiguous: the map on the new grid of the same origin.
    source_zyx
        float32 (z, y, x): the map that it was made from.
    voxel_size_zyx_A
        Of the source, (z, y, x), in A.
    target_A
        Voxel size of the new grid in A.

    Returns
    -------
    int
        How many voxels were set to 0; 0 for a map without a mask.
    """
    source = np.ascontiguousarray(source_zyx)
    planes = slabs(len(source), source)
    if sum(int(np.count_nonzero(source[some])) for some in planes) == source.size:
        return 0
    z_below, y_below, x_below = (
        np.minimum((np.arange(n) * target_A / voxel).astype(np.int64), n_source - 1)
        for n, voxel, n_source in zip(
            resampled_zyx.shape, voxel_size_zyx_A, source_zyx.shape, strict=True
        )
    )
    return sum(
        int(_clear(resampled_zyx[new], source, z_below[new], y_below, x_below))
        for new in slabs(len(resampled_zyx), source, resampled_zyx)
    )


@njit(cache=True, nogil=True)
def _clear(
    out: NDArray[np.float32],
    source: NDArray[np.float32],
    z_below: NDArray[np.int64],
    y_below: NDArray[np.int64],
    x_below: NDArray[np.int64],
) -> int:
    nz, ny, nx = source.shape
    empty = np.empty(nx, np.bool_)
    cleared = 0
    for k in range(z_below.size):
        z = z_below[k]
        z_above = min(z + 1, nz - 1)
        held = np.int64(-1)
        for j in range(y_below.size):
            y = y_below[j]
            y_above = min(y + 1, ny - 1)
            if y != held:
                held = y
                for x in range(nx):
                    empty[x] = (
                        source[z, y, x] == 0
                        and source[z, y_above, x] == 0
                        and source[z_above, y, x] == 0
                        and source[z_above, y_above, x] == 0
                    )
            for i in range(x_below.size):
                x = x_below[i]
                if empty[x] and empty[min(x + 1, nx - 1)] and out[k, j, i] != 0:
                    out[k, j, i] = 0
                    cleared += 1
    return cleared
