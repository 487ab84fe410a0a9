"""The rows of a slice figure: planes of density with a histogram, and labels over a slab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from c2s_data.explore.palette import BAR, CLASS_COLORS, FAINT, FRAME, INK, SATURATED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    Triple = tuple[float, float, float]

WINDOW_MARGIN_A: Final = 7.0
BACKDROP_LIMITS: Final = (0.0, 2.4)
"""Wider than the density, so that the darkest gray leaves the dots readable."""
DOT_AREA: Final = {"atom": 16, "amino": 46, "secondary": 34}
LEGEND_COLUMNS: Final = {"atom": 3, "amino": 7, "secondary": 3}
_AXES: Final = "zyx"


@dataclass(frozen=True)
class Volume:
    """Values on a grid: (z, y, x), voxel size per axis and center of voxel (0, 0, 0) in A."""

    values_zyx: NDArray[np.generic]
    voxel_size_zyx_A: Triple
    origin_xyz_A: Triple

    def extent_A(self, axis: int) -> tuple[float, float, float, float]:
        """Left, right, bottom, top of a plane normal to ``axis``, voxel edges, A."""
        down, across = (k for k in range(3) if k != axis)
        edges = []
        for k in (across, down):
            start = self.origin_xyz_A[2 - k] - self.voxel_size_zyx_A[k] / 2
            edges += [start, start + self.values_zyx.shape[k] * self.voxel_size_zyx_A[k]]
        return edges[0], edges[1], edges[2], edges[3]

    def centers_A(self, axis: int) -> NDArray[np.float64]:
        """Positions of all voxel centers along ``axis``."""
        steps = np.arange(self.values_zyx.shape[axis]) * self.voxel_size_zyx_A[axis]
        return np.asarray(self.origin_xyz_A[2 - axis] + steps, np.float64)

    def position_A(self, axis: int, planes: slice) -> float:
        """Middle of a run of planes."""
        return float(self.centers_A(axis)[planes].mean())

    def index(self, axis: int, position_A: float) -> int:
        """Voxel along ``axis`` whose center is nearest to a position, kept inside the grid."""
        voxel = (position_A - self.origin_xyz_A[2 - axis]) / self.voxel_size_zyx_A[axis]
        return int(np.clip(np.rint(voxel), 0, self.values_zyx.shape[axis] - 1))


def density_row(
    part: SubFigure,
    title: str,
    volume: Volume,
    centers_A: list[float],
    *,
    white: float | None,
    saturates: bool,
) -> None:
    """Draw three orthogonal planes to one scale in A, and the histogram of all values.

    Parameters
    ----------
    centers_A
        Positions of the planes normal to z, y and x.
    white
        The gray scale runs from 0 to this value; None: from the 0.1 to the 99.95 percentile.
    saturates
        The values are normalized: those of 1 get a color.
    """
    values = np.asarray(volume.values_zyx, np.float32)
    low, high = map(float, np.quantile(values, (0.001, 0.9995))) if white is None else (0.0, white)
    extents = [volume.extent_A(axis) for axis in range(3)]
    widths = [right - left for left, right, _, _ in extents]
    all_axes = part.subplots(1, 4, width_ratios=[*widths, sum(widths) / 3])
    for axis, axes in enumerate(all_axes[:3]):
        plane = np.take(values, volume.index(axis, centers_A[axis]), axis=axis)
        image = _show_plane(axes, plane, extents[axis], axis, (low, high))
        if saturates:
            image.set_cmap(image.cmap.with_extremes(over=SATURATED))
            image.set_clim(0.0, 1.0 - 1e-6)
        where = f"{_AXES[axis]} = {centers_A[axis]:.0f} Å".replace("-", "\N{MINUS SIGN}")
        axes.set_title(f"{title}, {where}", fontsize=11, color=INK)
    _histogram(all_axes[3], values, (low, high), saturates=saturates)


def _show_plane(
    axes: Axes,
    plane: NDArray[np.float32],
    extent_A: tuple[float, float, float, float],
    axis: int,
    limits: tuple[float, float],
    colormap: str = "gray",
) -> AxesImage:
    from matplotlib import colormaps  # noqa: PLC0415 - optional extra

    _quiet(axes)
    down, across = (name for name in _AXES if name != _AXES[axis])
    axes.set_xlabel(f"{across} / Å")
    axes.set_ylabel(f"{down} / Å")
    low, high = limits
    return axes.imshow(
        plane,
        cmap=colormaps[colormap],
        vmin=low,
        vmax=high,
        origin="lower",
        extent=extent_A,
        interpolation="nearest",
    )


def _quiet(axes: Axes) -> None:
    axes.tick_params(colors=FAINT, labelsize=9, length=3)
    axes.xaxis.label.set_color(FAINT)
    axes.yaxis.label.set_color(FAINT)
    for spine in axes.spines.values():
        spine.set_color(FRAME)


def _histogram(
    axes: Axes, values: NDArray[np.float32], limits: tuple[float, float], *, saturates: bool
) -> None:
    _quiet(axes)
    span = (0.0, 1.0) if saturates else (float(values.min()), float(values.max()))
    counts, edges = np.histogram(values, bins=80, range=span)
    axes.stairs(counts / values.size, edges, fill=True, color=BAR)
    axes.set_yscale("log")
    axes.set_ylabel("share of voxels")
    axes.set_xlabel("density")
    axes.spines[["top", "right"]].set_visible(False)
    if saturates:
        share = float(np.mean(values >= 1.0))
        axes.stairs(counts[-1:] / values.size, edges[-2:], fill=True, color=SATURATED)
        axes.set_title(f"{share:.2%} of voxels at 1.0, in color", fontsize=11, color=INK)
    else:
        axes.axvspan(*limits, color=BAR, alpha=0.1, lw=0)
        axes.set_title("Shaded: range of the gray scale", fontsize=11, color=INK)


def label_row(
    part: SubFigure,
    panels: list[tuple[str, str]],
    volume: Volume,
    labels: Mapping[str, NDArray[np.uint8]],
    axis: int,
    slab: slice,
) -> None:
    """Draw one panel per mask with its legend below.

    Parameters
    ----------
    panels
        Mask name and title of each panel.
    volume, labels
        Normalized density and masks on one grid, (z, y, x).
    axis, slab
        Axis and planes of the slab that the panels show. The panel of secondary structure shows
        the whole map from the side instead, and where the slab lies in it.
    """
    views = [_side_view(labels[m], volume, axis) if m == "secondary" else axis for m, _ in panels]
    windows = [_window_A(labels[panels[0][0]], volume, view) for view in views]
    grid = part.subplots(
        2,
        len(panels),
        squeeze=False,
        height_ratios=[5.0, 0.8],
        width_ratios=[right - left for left, right, _, _ in windows],
    )
    for k, (mask, title) in enumerate(panels):
        axes, view = grid[0, k], views[k]
        shown = slab if view == axis else slice(None)
        values = np.moveaxis(np.asarray(volume.values_zyx, np.float32), view, 0)[shown]
        extent_A = volume.extent_A(view)
        _show_plane(axes, values.max(axis=0), extent_A, view, BACKDROP_LIMITS, "Greys")
        _scatter_classes(axes, mask, np.moveaxis(labels[mask], view, 0)[shown], volume, view)
        left, right, bottom, top = windows[k]
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)
        if view == axis:
            thick_A = (slab.stop - slab.start) * volume.voxel_size_zyx_A[axis]
            axes.set_title(f"{title}, slab of {thick_A:.0f} Å", fontsize=12, color=INK)
        else:
            _mark_slab(axes, volume, view, axis, slab)
            axes.set_title(f"{title}, whole map; dashed: the slab", fontsize=12, color=INK)
        _legend(grid[1, k], axes, mask)


def _legend(below: Axes, axes: Axes, mask: str) -> None:
    below.set_axis_off()
    below.legend(
        *axes.get_legend_handles_labels(),
        loc="upper center",
        ncols=LEGEND_COLUMNS[mask],
        frameon=False,
        fontsize=9.5,
        handletextpad=0.1,
        columnspacing=0.9,
        labelcolor=INK,
        markerscale=1.2,
    )


def _side_view(labels: NDArray[np.uint8], volume: Volume, axis: int) -> int:
    """Of the two axes in the slab's plane, the one along which the labels spread less."""
    indices = np.nonzero(labels)
    spread_A = [np.ptp(indices[k]) * volume.voxel_size_zyx_A[k] for k in range(3)]
    return min((k for k in range(3) if k != axis), key=lambda k: spread_A[k])


def _mark_slab(axes: Axes, volume: Volume, view: int, axis: int, slab: slice) -> None:
    centers_A = volume.centers_A(axis)[slab]
    half_A = volume.voxel_size_zyx_A[axis] / 2
    down = next(k for k in range(3) if k != view)
    draw = axes.axhline if axis == down else axes.axvline
    for edge_A in (centers_A[0] - half_A, centers_A[-1] + half_A):
        draw(edge_A, color=FAINT, linewidth=1.0, linestyle=(0, (4, 3)))


def _scatter_classes(
    axes: Axes, mask: str, labels: NDArray[np.uint8], volume: Volume, axis: int
) -> None:
    """Dots at labeled voxels; the viewing axis of ``labels`` comes first."""
    down, across = (k for k in range(3) if k != axis)
    for value, name, color in CLASS_COLORS[mask]:
        _, rows, columns = np.nonzero(labels == value)
        axes.scatter(
            volume.centers_A(across)[columns],
            volume.centers_A(down)[rows],
            s=DOT_AREA[mask],
            color=color,
            edgecolors="white",
            linewidths=0.4,
        )
        axes.scatter([], [], s=40, color=color, label=name)


def _window_A(
    labels: NDArray[np.uint8], volume: Volume, axis: int
) -> tuple[float, float, float, float]:
    """Left, right, bottom, top around all labels, kept inside the grid, A."""
    left, right, bottom, top = volume.extent_A(axis)
    down, across = (k for k in range(3) if k != axis)
    indices = np.nonzero(labels)
    x_A, y_A = volume.centers_A(across)[indices[across]], volume.centers_A(down)[indices[down]]
    return (
        max(left, float(x_A.min()) - WINDOW_MARGIN_A),
        min(right, float(x_A.max()) + WINDOW_MARGIN_A),
        max(bottom, float(y_A.min()) - WINDOW_MARGIN_A),
        min(top, float(y_A.max()) + WINDOW_MARGIN_A),
    )
