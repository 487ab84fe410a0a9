"""Whether another convention of the map's header would put the model into the density.

ORIGIN and nstart contradict each other in deposited maps, and so do the programs that read them.
The model knows: at the right place its C-alphas lie in density.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, get_args

import numpy as np

from c2s_data.sources.density_map import MAX_VOXELS, MapHeader, OriginRule, read_map_header
from c2s_data.transforms.resample import sample_trilinear

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from c2s_data.sources.density_map import DensityMap

SAME_ORIGIN_A: Final = 0.01
MIN_GAIN_SD: Final = 1.0
MIN_GAIN_RATIO: Final = 1.5
MIN_DENSITY_SD: Final = 1.5
MIN_INSIDE: Final = 0.5
MIN_INSIDE_RATIO: Final = 0.9


@dataclass(frozen=True)
class OriginFit:
    """How the model lies in the map under one origin.

    Parameters
    ----------
    conventions : tuple of str
        Those that give this origin: "origin", "nstart", "sum", "zero", "nstart as x, y, z"; empty
        where none does.
    origin_xyz_A : tuple of float
    in_box : float
        Share of the C-alphas inside the map.
    density_sd : float
        Mean density at those, in standard deviations above the map's mean; nan where there is none.
    used : bool
        Whether this is the origin the map was read with.
    """

    conventions: tuple[str, ...]
    origin_xyz_A: tuple[float, float, float]
    in_box: float
    density_sd: float
    used: bool

    @property
    def score_sd(self) -> float:
        """Mean density, sd, over all C-alphas, those outside the map counted as in its mean."""
        return self.in_box * self.density_sd if self.in_box else 0.0

    def clearly_better_than(self, used: OriginFit) -> bool:
        """Say whether this origin should replace the one in use; see `diagnose_origin`."""
        if not (self.in_box >= MIN_INSIDE and self.in_box >= MIN_INSIDE_RATIO * used.in_box):
            return False
        before = used.score_sd
        needed = max(MIN_DENSITY_SD, before + MIN_GAIN_SD, before * MIN_GAIN_RATIO)
        return self.score_sd >= needed


@dataclass(frozen=True)
class OriginDiagnosis:
    """What `diagnose_origin` found.

    Parameters
    ----------
    fits : tuple of OriginFit
        One per distinct origin, the one in use first.
    better : str or None
        The convention that fits clearly better than the one in use.
    message : str
        Fact, place and remedy where there is a better one, else empty.
    """

    fits: tuple[OriginFit, ...]
    better: str | None
    message: str


def diagnose_origin(
    header: MapHeader | str | os.PathLike[str], density: DensityMap, ca_xyz_A: ArrayLike
) -> OriginDiagnosis:
    """Compare the origin in use with the other conventions that the header allows.

    Another one is better when at least half the C-alphas lie in the map, no fewer than 0.9 times
    as many as now, and the mean density over all of them (those outside count as lying in the map's
    mean) is at least 1.5 standard deviations above the map's mean, 1 standard deviation above the
    present density and 1.5 times that.

    Parameters
    ----------
    header
        Header, or file, of the map.
    density
        The map as read, with the origin in use.
    ca_xyz_A : (n, 3)
        C-alphas x, y, z in A; rows with nan are passed over.

    Raises
    ------
    MapError
        If the file's header is refused.
    """
    if not isinstance(header, MapHeader):
        # Whoever read the map allowed its size.
        n_voxels = max(MAX_VOXELS, density.values_zyx.size)
        header = read_map_header(header, origin="zero", max_voxels=n_voxels)
    xyz_A = np.asarray(ca_xyz_A, np.float64).reshape(-1, 3)
    xyz_A = xyz_A[np.isfinite(xyz_A).all(axis=1)]
    mean, sd = density.moments
    if not len(xyz_A) or not sd > 0:
        return OriginDiagnosis((), None, "")
    fits = tuple(
        _fit(names, origin, density, xyz_A, mean, sd)
        for origin, names in _distinct(header, density.origin_xyz_A)
    )
    used = fits[0]
    better = [fit for fit in fits[1:] if fit.clearly_better_than(used)]
    if not better:
        return OriginDiagnosis(fits, None, "")
    best = max(better, key=lambda fit: fit.score_sd)
    return OriginDiagnosis(fits, best.conventions[0], _message(used, best))


def _distinct(
    header: MapHeader, used_xyz_A: tuple[float, float, float]
) -> list[tuple[tuple[float, float, float], tuple[str, ...]]]:
    """Return each distinct origin with the conventions that give it, the one in use first."""
    found: list[tuple[tuple[float, float, float], tuple[str, ...]]] = [(used_xyz_A, ())]
    for name, origin in header.conventions_xyz_A.items():
        for number, (known, names) in enumerate(found):
            if np.allclose(known, origin, rtol=0, atol=SAME_ORIGIN_A):
                found[number] = (known, (*names, name))
                break
        else:
            found.append((origin, (name,)))
    return found


def _fit(
    names: tuple[str, ...],
    origin_xyz_A: tuple[float, float, float],
    density: DensityMap,
    xyz_A: NDArray[np.float64],
    mean: float,
    sd: float,
) -> OriginFit:
    voxel_zyx = (xyz_A - origin_xyz_A)[:, ::-1] / density.voxel_size_zyx_A
    at_ca = sample_trilinear(density.values_zyx, voxel_zyx)
    inside = at_ca[np.isfinite(at_ca)]
    return OriginFit(
        conventions=names,
        origin_xyz_A=origin_xyz_A,
        in_box=inside.size / len(xyz_A),
        density_sd=(float(inside.mean()) - mean) / sd if inside.size else float("nan"),
        used=origin_xyz_A == density.origin_xyz_A,
    )


def _message(used: OriginFit, best: OriginFit) -> str:
    name = best.conventions[0]
    if name in get_args(OriginRule):
        remedy = f"set the catalog's origin column to {name}"
    else:
        x, y, z = best.origin_xyz_A
        remedy = (
            "no origin rule follows it, for nstart belongs to columns, rows and sections; write "
            f"{x:g}, {y:g}, {z:g} into the header's ORIGIN words"
        )
    return (
        f"map and model disagree at origin {_place(used)}: {_told(used)}; with origin rule {name}, "
        f"{_place(best)}, {_told(best)}: {remedy}"
    )


def _place(fit: OriginFit) -> str:
    return "({:g}, {:g}, {:g}) A".format(*fit.origin_xyz_A)


def _told(fit: OriginFit) -> str:
    if not fit.in_box:
        return "no C-alpha lies in the map"
    return (
        f"{fit.in_box:.0%} of the C-alphas lie in the map, at a mean density of "
        f"{fit.density_sd:.1f} sd"
    )
