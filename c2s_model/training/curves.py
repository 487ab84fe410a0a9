"""Curves of trainings from their ``history.csv``: the paper's Figures 4 and 5, and the loss."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.optimize import isotonic_regression

from c2s_data.errors import ConfigError
from c2s_data.explore.palette import CLASS_COLORS, FAINT, FRAME, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from c2s_model.training.history import HistoryRow

Curves = Mapping[tuple[str, str, str, str], list[tuple[int, float]]]
"""(part, target, metric, class) -> (epoch counted from 1, value)."""
_COLORS: Final = {"train": "#2563a8", "validation": "#d1495b"}
_WORDS: Final = {"train": "training", "validation": "validation"}
_NAMES: Final = {"atom": "atoms", "amino": "amino acids", "secondary": "secondary structure"}
_ROW_INCH: Final = 3.5
_WIDTH_INCH: Final = 13.0
_LABEL_GAP: Final = 0.046
"""Between the names at the ends of lines, as a share of the panel's height."""


def curves_of(rows: Iterable[HistoryRow]) -> Curves:
    """Sort a history into curves; values that are not defined are left out."""
    found: defaultdict[tuple[str, str, str, str], list[tuple[int, float]]] = defaultdict(list)
    for row in rows:
        if not math.isnan(row.value):
            key = row.part, row.target, row.metric, row.of_class
            found[key].append((row.epoch + 1, row.value))
    return found


def draw_curves(histories: Mapping[str, Sequence[HistoryRow]]) -> Figure:
    """Draw a row of panels for each run and target: loss, macro F1, recall of each class.

    Parameters
    ----------
    histories
        Name of a run -> its history, of at least one epoch.

    Raises
    ------
    ConfigError
        A history is empty, or matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional extra
    except ImportError as error:
        raise ConfigError(
            "figures need matplotlib, which is not installed; "
            "install it with: pip install 'cryo2struct-store[explore]'"
        ) from error
    drawn = []
    for name, rows in histories.items():
        curves = curves_of(rows)
        targets = list(dict.fromkeys(row.target for row in rows if row.target))
        if not targets:
            raise ConfigError(f"{name}: no epoch has ended yet, so there is nothing to draw")
        for target in targets:
            words = _NAMES.get(target, target)
            drawn.append((f"{name}: {words}" if len(histories) > 1 else words, target, curves))
    figure = Figure(figsize=(_WIDTH_INCH, _ROW_INCH * len(drawn)))
    parts = figure.subfigures(len(drawn), 1, squeeze=False)[:, 0]
    for part, (title, target, curves) in zip(parts, drawn, strict=True):
        _draw_row(part, title, target, curves)
    return figure


def _draw_row(part: SubFigure, title: str, target: str, curves: Curves) -> None:
    part.text(0.008, 0.94, title, fontsize=12, fontweight="bold", color=INK, va="center")
    bottom, height = 0.13, 0.62
    loss, f1, recall = (
        part.add_axes((left, bottom, 0.25, height)) for left in (0.045, 0.34, 0.635)
    )
    _loss(loss, curves, target)
    _macro_f1(f1, curves, target)
    _recall(recall, curves, target)
    for ax in (loss, f1, recall):
        _plain(ax)


def _loss(ax: Axes, curves: Curves, target: str) -> None:
    # Training and validation are scored by different losses, which may differ a hundredfold.
    values = [value for part in _COLORS for _, value in curves.get((part, target, "loss", ""), [])]
    if values and 0 < 10 * min(values) < max(values):
        ax.set_yscale("log")
    else:
        ax.set_ylim(0, 1.08 * max(values, default=1))
    for part, label in (
        ("train", "training"),
        ("validation", "validation, plain cross-entropy"),
    ):
        _line(ax, curves, (part, target, "loss", ""), color=_COLORS[part], label=label)
    _legend(ax, "Loss")


def _macro_f1(ax: Axes, curves: Curves, target: str) -> None:
    """Macro F1 as in the paper's Figure 4, and without the background that lifts it."""
    for part, color in _COLORS.items():
        published = (part, target, "batch_mean_macro_f1", "")
        _line(ax, curves, published, color=color, label=f"{_WORDS[part]}, as published")
        strict = (part, target, "macro_f1_foreground", "")
        label = f"{_WORDS[part]}, no background"
        _line(ax, curves, strict, color=color, label=label, style="--")
    ax.set_ylim(0, 1)
    _legend(ax, "Macro F1")


def _recall(ax: Axes, curves: Curves, target: str) -> None:
    """Validation recall as in the paper's Figure 5, and of each class."""
    part = "validation" if ("validation", target, "macro_recall", "") in curves else "train"
    ax.set_ylim(0, 1)
    ends = []
    for _, name, color in CLASS_COLORS.get(target, ()):
        key = (part, target, "recall", name)
        ends += _line(ax, curves, key, color=color, label=name, width=0.9)
    mean = (part, target, "macro_recall_foreground", "")
    ends += _line(ax, curves, mean, color=INK, label="mean")
    published = (part, target, "batch_mean_macro_recall", "")
    ends += _line(ax, curves, published, color=INK, label="mean, as published", style="--")
    _name_ends(ax, ends)
    _title(ax, f"{_WORDS[part].capitalize()} recall")


End = tuple[str, str, float, float]
"""Name and color of a line, and its last point."""


def _line(
    ax: Axes,
    curves: Curves,
    key: tuple[str, str, str, str],
    *,
    color: str,
    label: str,
    style: str = "-",
    width: float = 1.8,
) -> list[End]:
    """Draw a curve if there is one; return its end."""
    points = curves.get(key, [])
    if not points:
        return []
    epochs, values = zip(*points, strict=True)
    # A single epoch makes no line.
    marker = "o" if len(points) == 1 else None
    ax.plot(
        epochs, values, color=color, lw=width, ls=style, marker=marker, ms=4, label=label
    )  # fmt: skip
    return [(label, color, *points[-1])]


def _name_ends(ax: Axes, ends: list[End]) -> None:
    """Name the lines of a panel from 0 to 1 at their ends, names at equal heights moved apart."""
    ends = sorted(ends, key=lambda end: end[3])
    for (name, color, epoch, value), height in zip(ends, spread([e[3] for e in ends]), strict=True):
        ax.annotate(
            name, (epoch, value), (1.06, height), textcoords="axes fraction", va="center",
            fontsize=7, color=color, fontweight="bold" if color == INK else "normal",
            arrowprops={"arrowstyle": "-", "color": color, "lw": 0.5, "shrinkA": 1, "shrinkB": 0,
                        "relpos": (0, 0.5)},
            annotation_clip=False,
        )  # fmt: skip


def spread(heights: Sequence[float], gap: float = _LABEL_GAP) -> list[float]:
    """Return rising heights moved at least a gap apart within 0 and 1, by least squares."""
    if not heights:
        return []
    gaps = gap * np.arange(len(heights))
    # Heights less their gaps need only rise.
    rising = isotonic_regression(np.asarray(heights) - gaps).x
    moved: list[float] = (np.clip(rising, 0, 1 - gaps[-1]) + gaps).tolist()
    return moved


def _title(ax: Axes, title: str) -> None:
    ax.text(0, 1.2, title, transform=ax.transAxes, fontsize=10, color=INK, va="center")


def _legend(ax: Axes, title: str) -> None:
    _title(ax, title)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(
            loc="lower left", bbox_to_anchor=(-0.02, 0.98), ncols=2, frameon=False, fontsize=8,
            labelcolor=INK, handlelength=1.6, columnspacing=1.2, borderaxespad=0.2,
        )  # fmt: skip


def _plain(ax: Axes) -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - optional extra

    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    ax.set_xlabel("epoch", color=FAINT, fontsize=9)
    ax.grid(visible=True, color=FRAME, lw=0.6)
    ax.tick_params(which="both", colors=FAINT, labelsize=8)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(FRAME)
