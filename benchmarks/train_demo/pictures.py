"""Pictures of the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.train_demo.scores import METHODS, MapScores

_DPI: Final = 80
_HALF_SLAB_A: Final = 3.0
_HALF_VIEW_A: Final = 24.0
_COLORS: Final = {"network": "#0b6e99", "density peaks": "#c4622d"}


def draw_curves(path: Path, measured: Sequence[MapScores]) -> None:
    """Draw F1 of C-alpha voxels against the threshold, a panel for each map."""
    figure, axes = _panels(len(measured), 3.0, 2.7)
    for axis, one in zip(axes, measured, strict=False):
        for method in METHODS:
            curve = one.curves[method]
            label = {"density peaks": "density"}.get(method, method)
            axis.plot(
                curve.thresholds, np.maximum(curve.f1, 1e-7), color=_COLORS[method], label=label
            )
        network = one.curves["network"]
        axis.plot(
            network.thresholds, np.maximum(network.random, 1e-7), ":", color="#555", label="random"
        )
        axis.set_yscale("log")
        axis.set_ylim(1e-6, 1)
        axis.set_xlim(0, 1)
        axis.set_title(
            f"{one.entry_id.removesuffix('-refilled')}, {one.resolution_A:g} Å\n{one.kind}",
            fontsize=8,
        )
        axis.tick_params(labelsize=7)
        axis.grid(color="#ddd", linewidth=0.5)
        axis.set_xlabel("threshold", fontsize=7)
    axes[0].set_ylabel("F1 of C-alpha voxels", fontsize=7)
    axes[0].legend(fontsize=7, loc="lower left")
    _save(figure, path)


def draw_slabs(path: Path, measured: Sequence[MapScores]) -> None:
    """Draw C-alphas in a slab around the middle of each model: true ones, and both predictions."""
    figure, axes = _panels(len(measured), 3.0, 3.2)
    for axis, one in zip(axes, measured, strict=False):
        middle = _middle(one.truth.ca_xyz_A)
        axis.scatter(
            *_slab(one.truth.ca_xyz_A, middle),
            s=70,
            facecolors="none",
            edgecolors="k",
            linewidths=0.8,
            label="model",
        )
        for method, marker in zip(METHODS, ("x", "+"), strict=True):
            points = one.points[method].above(one.chosen[method, "all"].level)
            axis.scatter(
                *_slab(points, middle),
                s=22,
                marker=marker,
                color=_COLORS[method],
                linewidths=1.0,
                label=method,
            )
        axis.set_xlim(-_HALF_VIEW_A, _HALF_VIEW_A)
        axis.set_ylim(-_HALF_VIEW_A, _HALF_VIEW_A)
        axis.set_aspect("equal")
        axis.set_title(
            f"{one.entry_id.removesuffix('-refilled')}, {one.resolution_A:g} Å\n{one.kind}",
            fontsize=8,
        )
        axis.tick_params(labelsize=7)
        axis.set_xlabel("x / Å", fontsize=7)
    axes[0].set_ylabel("y / Å", fontsize=7)
    axes[0].legend(fontsize=7, loc="upper right", framealpha=0.9)
    _save(figure, path)


def _middle(ca_xyz_A: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the C-alpha nearest to the center: the center itself may lie in a pore."""
    center = ca_xyz_A.mean(axis=0)
    return np.asarray(ca_xyz_A[np.linalg.norm(ca_xyz_A - center, axis=1).argmin()])


def _slab(xyz_A: NDArray[np.float64], middle_xyz_A: NDArray[np.float64]) -> tuple[Any, Any]:
    from_middle = xyz_A - middle_xyz_A
    shown = np.abs(from_middle[:, 2]) <= _HALF_SLAB_A
    return from_middle[shown, 0], from_middle[shown, 1]


def _panels(n: int, width: float, height: float) -> tuple[Figure, list[Any]]:
    columns = min(n, 3)
    rows = -(-n // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axis in axes[n:]:
        axis.set_axis_off()
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    # Without a date the same numbers give the same bytes.
    with mpl.rc_context({"svg.hashsalt": "train-demo"}):
        figure.savefig(path, dpi=_DPI, metadata={"Software": None})
