"""Figures of a whole dataset: resolutions of the splits, and how often each class is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from c2s_data.explore.palette import BAR, CLASS_COLORS, FAINT, FRAME, INK
from c2s_data.explore.slices import new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

BIN_A: Final = 0.25
_WIDTH_INCH, _ROW_INCH, _HEADER_INCH = 9.0, 1.7, 0.9
_BARS_INCH: Final = 0.27
_TITLES: Final = {
    "atom": "Backbone atoms",
    "amino": "Amino acids",
    "secondary": "Secondary structure",
}


def resolution_figure(resolution_A: Mapping[str, ArrayLike], title: str = "") -> Figure:
    """Draw how the resolutions of each split are spread, to one scale.

    Parameters
    ----------
    resolution_A
        Resolutions in A of the entries of each split, by its name; nan where unknown.
    title
        Above the panels.

    Raises
    ------
    ValueError
        No entry has a resolution.
    ImportError
        Without matplotlib.
    """
    known = {name: _finite(values) for name, values in resolution_A.items()}
    together = np.concatenate([*known.values(), np.empty(0)])
    if together.size == 0:
        raise ValueError("no entry has a resolution; add the catalog's column resolution_A")
    low, high = np.floor(together.min() / BIN_A), np.floor(together.max() / BIN_A) + 1
    edges = np.arange(low - 2, high + 3) * BIN_A
    figure = new_figure(_WIDTH_INCH, _HEADER_INCH + _ROW_INCH * len(known))
    panels = np.ravel(figure.subplots(len(known), 1, sharex=True, sharey=False, squeeze=False))
    for axes, (name, values) in zip(panels, known.items(), strict=True):
        counts, _ = np.histogram(values, edges)
        axes.stairs(counts, edges, fill=True, color=BAR)
        n_unknown = np.size(resolution_A[name]) - values.size
        said = f"{name}: {values.size:,} map{'' if values.size == 1 else 's'}"
        said += f", {n_unknown:,} of unknown resolution" if n_unknown else ""
        if values.size:
            middle = float(np.median(values))
            axes.axvline(middle, color=INK, lw=1.2, ls=(0, (4, 3)))
            said += f", median {middle:.2f} Å"
        axes.set_title(said, fontsize=10.5, color=INK, loc="left")
        axes.set_ylabel("maps")
        axes.yaxis.get_major_locator().set_params(integer=True)
        _plain(axes)
    panels[-1].set_xlabel("resolution / Å")
    figure.suptitle(title, fontsize=13, fontweight="bold", color=INK, x=0.012, ha="left")
    return figure


def class_figure(
    label_counts: Mapping[str, Sequence[int]], n_voxels: int, title: str = ""
) -> Figure:
    """Draw the voxels of each class of the masks.

    Parameters
    ----------
    label_counts
        For each of the masks ``atom``, ``amino`` and ``secondary``: voxels of class 1, 2, ...
    n_voxels
        All voxels of these maps; what is in no class is the background that the title tells.
    title
        Above the panels.

    Raises
    ------
    ValueError
        A mask has another number of classes, or nothing is labeled.
    ImportError
        Without matplotlib.
    """
    masks = [name for name in _TITLES if name in label_counts]
    for name in masks:
        if len(label_counts[name]) != len(CLASS_COLORS[name]):
            raise ValueError(
                f"{name}: {len(label_counts[name])} counts for {len(CLASS_COLORS[name])} classes"
            )
    if not any(sum(label_counts[name]) for name in masks):
        raise ValueError("no voxel is labeled in these maps, so there is nothing to draw")
    heights = [0.75 + _BARS_INCH * len(label_counts[name]) for name in masks]
    figure = new_figure(_WIDTH_INCH, _HEADER_INCH + sum(heights))
    panels = np.ravel(figure.subplots(len(masks), 1, squeeze=False, height_ratios=heights))
    for axes, name in zip(panels, masks, strict=True):
        _bars(axes, name, label_counts[name], n_voxels)
    panels[-1].set_xlabel("voxels")
    figure.suptitle(title, fontsize=13, fontweight="bold", color=INK, x=0.012, ha="left")
    return figure


def _bars(axes: Axes, mask: str, counts: Sequence[int], n_voxels: int) -> None:
    total = sum(counts)
    for place, (value, name, color) in enumerate(CLASS_COLORS[mask]):
        count = counts[value - 1]
        axes.barh(place, count, color=color, height=0.78, label=name)
        share = f"{count:,}  ({count / total:.1%})" if total else "0"
        axes.annotate(
            share, (count, place), (4, 0), textcoords="offset points", va="center",
            fontsize=8.5, color=FAINT,
        )  # fmt: skip
    axes.set_xlim(0, max(1, *counts) * 1.18)
    axes.set_ylim(-0.6, len(counts) - 0.4)
    axes.set_yticks(range(len(counts)), [name for _, name, _ in CLASS_COLORS[mask]])
    axes.invert_yaxis()
    axes.set_title(
        f"{_TITLES[mask]}: {total:,} of {n_voxels:,} voxels ({total / n_voxels:.3%})",
        fontsize=10.5, color=INK, loc="left",
    )  # fmt: skip
    _plain(axes)


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    return array[np.isfinite(array)]


def _plain(axes: Axes) -> None:
    axes.tick_params(colors=FAINT, labelsize=9, length=3)
    axes.xaxis.label.set_color(FAINT)
    axes.yaxis.label.set_color(FAINT)
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(FRAME)
