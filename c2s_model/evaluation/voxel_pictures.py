"""The figure of C-alpha voxels: the curve, the true ones, and the predicted ones beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from c2s_model.evaluation.pictures import COLORS, FAINT, INK, TRUTH, draw_curve, new_figure, quiet
from c2s_model.evaluation.residue_status import Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from c2s_model.evaluation.voxel_scores import VoxelScores

_MARGIN_A = 8.0
_NAMES = "xyz"


def voxel_figure(scores: VoxelScores, title: str) -> Figure:
    """Draw F1 against the threshold, and the true beside the predicted C-alpha voxels.

    Both are seen along the axis in which the true ones spread least, to one scale.

    Raises
    ------
    ConfigError
        Without matplotlib.
    """
    figure = new_figure(17.0, 6.0)
    figure.set_layout_engine("constrained")
    figure.suptitle(title, fontsize=15, fontweight="bold", color=INK, x=0.01, ha="left")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.15, 1, 1))
    draw_curve(left, scores.curve)
    everything = np.concatenate([scores.true_xyz_A, scores.found_xyz_A])
    shown = scores.true_xyz_A if len(scores.true_xyz_A) else everything
    along = int(np.argmin(np.ptp(shown, axis=0))) if len(shown) else 2
    across = [axis for axis in range(3) if axis != along]
    true, found = scores.true_xyz_A[:, across], scores.found_xyz_A[:, across]
    _dots(middle, true, "#4b5a67", None)
    middle.set_title(f"true: {len(true):,} C-alpha voxels", fontsize=11, color=INK)
    _dots(right, true, TRUTH, "true")
    hit = scores.is_hit
    _dots(right, found[~hit], COLORS[Status.PLACED], f"no C-alpha voxel: {np.sum(~hit):,}")
    _dots(right, found[hit], COLORS[Status.RIGHT], f"C-alpha voxel: {np.sum(hit):,}")
    at, best = scores.curve.best
    right.set_title(f"predicted, p \N{GREATER-THAN OR EQUAL TO} {at:.2f}: F1 {best:.3f}",
                    fontsize=11, color=INK)  # fmt: skip
    right.legend(frameon=False, fontsize=9, loc="upper right", labelcolor=INK)
    for panel in (middle, right):
        _frame(panel, true if len(true) else found, across)
    return figure


def _dots(panel: Axes, points: NDArray[np.float64], color: str, label: str | None) -> None:
    panel.scatter(points[:, 0], points[:, 1], s=7, color=color, linewidths=0, label=label)


def _frame(panel: Axes, points: NDArray[np.float64], across: list[int]) -> None:
    if len(points):
        low, high = points.min(axis=0) - _MARGIN_A, points.max(axis=0) + _MARGIN_A
        panel.set_xlim(low[0], high[0])
        panel.set_ylim(low[1], high[1])
    panel.set_aspect("equal")
    panel.set_xlabel(f"{_NAMES[across[0]]} / Å", color=FAINT)
    panel.set_ylabel(f"{_NAMES[across[1]]} / Å", color=FAINT)
    quiet(panel)
