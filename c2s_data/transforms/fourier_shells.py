"""Fourier shell correlation of two densities on one grid, added up over parts of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from scipy.fft import fftfreq, next_fast_len, rfftfreq, rfftn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Shape = tuple[int, int, int]


class FourierShells:
    """Sums over spherical shells of spatial frequency.

    Shell k is centered at k over the shortest side of the box, and as wide; shells go up to the
    Nyquist frequency of the coarsest axis. The correlation of a shell is ``sum Re(A B*) / sqrt(sum
    |A|^2 sum |B|^2)`` over all its terms, of all parts that were added.

    Parameters
    ----------
    voxel_size_zyx_A
        (3,), per axis z, y, x.
    shape_zyx
        Of the boxes to come.
    """

    def __init__(self, voxel_size_zyx_A: NDArray[np.float64], shape_zyx: Shape) -> None:
        self._voxel = voxel_size_zyx_A
        self._step = 1.0 / float((voxel_size_zyx_A * shape_zyx).min())
        # The nearest shell to the Nyquist frequency still has half of its terms.
        n_shells = int(0.5 / float(voxel_size_zyx_A.max()) / self._step + 1e-9) + 1
        self._sums = np.zeros((3, n_shells))

    def add(self, a_zyx: NDArray[np.float32], b_zyx: NDArray[np.float32]) -> None:
        """Add a pair of densities of one shape, (z, y, x), masked already."""
        shape = [next_fast_len(n, real=True) for n in a_zyx.shape]
        z = fftfreq(shape[0], self._voxel[0] * self._step)
        y = fftfreq(shape[1], self._voxel[1] * self._step)
        x = rfftfreq(shape[2], self._voxel[2] * self._step)
        _add_shells(rfftn(a_zyx, shape), rfftn(b_zyx, shape), z, y, x, shape[2], self._sums)

    def correlation(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the centers of the shells, 1/A, without shell 0, and the correlation in each.

        NaN where a shell has no power.
        """
        cross, aa, bb = self._sums[:, 1:]
        fsc = np.full(cross.shape, np.nan)
        np.divide(cross, np.sqrt(aa * bb), out=fsc, where=(aa > 0.0) & (bb > 0.0))
        return np.arange(1.0, fsc.size + 1.0) * self._step, fsc


def fsc_resolution_A(
    frequency_per_A: NDArray[np.float64], fsc: NDArray[np.float64], threshold: float = 0.5
) -> float | None:
    """Return the resolution, A, at which a Fourier shell correlation falls below a threshold.

    It is the first such place beyond the first shell that reaches the threshold: the lowest
    shells hold few terms, and the solvent flattened by a mask spoils them. Frequencies between
    shells are interpolated linearly. The finest frequency counts where the curve stays above;
    None where no shell reaches the threshold.
    """
    reached = fsc >= threshold
    if not reached.any():
        return None
    first = int(np.argmax(reached))
    if reached[first:].all():
        return float(1.0 / frequency_per_A[-1])
    k = first + int(np.argmin(reached[first:]))
    drop = fsc[k - 1] - (fsc[k] if math.isfinite(fsc[k]) else -1.0)
    step = frequency_per_A[k] - frequency_per_A[k - 1]
    return float(1.0 / (frequency_per_A[k - 1] + step * (fsc[k - 1] - threshold) / drop))


@njit(cache=True, nogil=True)
def _add_shells(
    a: NDArray[np.complex64],
    b: NDArray[np.complex64],
    z: NDArray[np.float64],
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    n_x: int,
    sums: NDArray[np.float64],
) -> None:
    """Add cross and own power per shell; frequencies in shells, half of the x axis is implied."""
    nz, ny, nx = a.shape
    for i in range(nz):
        for j in range(ny):
            for k in range(nx):
                shell = int(math.sqrt(z[i] * z[i] + y[j] * y[j] + x[k] * x[k]) + 0.5)
                if shell >= sums.shape[1]:
                    break
                times = 1.0 if k == 0 or 2 * k == n_x else 2.0
                u, v = a[i, j, k], b[i, j, k]
                sums[0, shell] += times * (u.real * v.real + u.imag * v.imag)
                sums[1, shell] += times * (u.real * u.real + u.imag * u.imag)
                sums[2, shell] += times * (v.real * v.real + v.imag * v.imag)
