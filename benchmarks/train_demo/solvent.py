"""Fill what a mask emptied with noise like that of the solvent that the mask left.

A map that is exactly zero outside of a mask drawn around its model gives the label away: a
network that learned where masks end would seem to know where proteins do. Only the map is looked
at, never the model. The band just inside of the mask's edge, where a soft mask no longer fades
and the protein has hardly begun, holds the statistics:

- center: its median;
- standard deviation: that of the values below the median, because protein raises those above;
- color: white noise smoothed by the Gaussian that gives neighboring voxels the correlation found
  there. Noise smoothed by a Gaussian of width s has correlation exp(-d^2 / 4 s^2) at distance d.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from c2s_data.sources.density_map import DensityMap
from c2s_data.transforms.simulate_density import solvent_noise

MASKED_SHARE: Final = 0.05
"""A map of which more than this is one and the same value was masked."""
BAND_A: Final = (0.5, 2.0)
"""Depth of the band below the mask's surface."""
_MIN_VOXELS: Final = 100
_CORRELATIONS: Final = (0.05, 0.95)


@dataclass(frozen=True)
class Solvent:
    """What the band below a mask's surface holds.

    Parameters
    ----------
    center, sd
        Of the noise, in the map's units.
    smoothing_A
        Standard deviation of the Gaussian that colors it.
    masked_share
        Share of the map's voxels that are to be filled.
    n_voxels
        Voxels of the band.
    """

    center: float
    sd: float
    smoothing_A: float
    masked_share: float
    n_voxels: int


def masked_voxels(values_zyx: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """Return which voxels a mask set to zero, or None for a map that was not masked."""
    empty = values_zyx == 0
    return empty if empty.mean() > MASKED_SHARE else None


def measure_solvent(density: DensityMap) -> Solvent | None:
    """Measure the solvent of a masked map; None for one that was not masked.

    Raises
    ------
    ValueError
        The band holds too few voxels to say anything.
    """
    empty = masked_voxels(density.values_zyx)
    if empty is None:
        return None
    depth_A = distance_transform_edt(~empty, sampling=density.voxel_size_zyx_A)
    # The surface lies half-way between a voxel that is empty and one that is not.
    depth_A -= min(density.voxel_size_zyx_A) / 2
    band = (depth_A >= BAND_A[0]) & (depth_A < BAND_A[1])
    values = density.values_zyx[band].astype(np.float64)
    if len(values) < _MIN_VOXELS:
        raise ValueError(f"{len(values)} voxels below the mask's surface; its noise is unknown")
    center = float(np.median(values))
    sd = float(np.sqrt(np.mean((values[values < center] - center) ** 2)))
    smoothing_A = _smoothing_A(density, band)
    return Solvent(center, sd, smoothing_A, float(empty.mean()), len(values))


def _smoothing_A(density: DensityMap, band: NDArray[np.bool_]) -> float:
    values, widths = density.values_zyx, []
    for axis, step_A in enumerate(density.voxel_size_zyx_A):
        first = np.moveaxis(band, axis, 0)
        pairs = first[1:] & first[:-1]
        moved = np.moveaxis(values, axis, 0)
        correlation = float(np.corrcoef(moved[1:][pairs], moved[:-1][pairs])[0, 1])
        bounded = min(max(correlation, _CORRELATIONS[0]), _CORRELATIONS[1])
        widths.append(step_A / (2.0 * math.sqrt(-math.log(bounded))))
    return float(np.mean(widths))


def refilled(density: DensityMap, solvent: Solvent, rng: np.random.Generator) -> DensityMap:
    """Return the map with noise where it was masked; what the mask left stays as it is."""
    values = density.values_zyx
    noise = solvent_noise(
        rng,
        values.shape,
        density.voxel_size_zyx_A,
        # The resolution at which `solvent_noise` smooths by that width.
        resolution_A=solvent.smoothing_A * math.pi * math.sqrt(2.0),
        sd=solvent.sd,
    )
    noise += np.float32(solvent.center)
    filled = np.where(values == 0, noise, values)
    return DensityMap(filled, density.voxel_size_zyx_A, density.origin_xyz_A)
