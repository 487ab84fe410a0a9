"""The leakage matrix as a picture: one panel an identity, one row the split that has relatives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from c2s_data.explore.palette import FAINT, FRAME, INK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

DPI: Final = 130
_PANEL_INCH: Final = 3.3
_DARK: Final = 0.55
"""Above this share of the color scale, text is white."""


def leakage_figure(
    entries: NDArray[np.int64],
    total_entries: NDArray[np.int64],
    splits: Sequence[str],
    thresholds: Sequence[float],
    *,
    title: str = "",
    subtitle: str = "",
) -> Figure:
    """Draw the share of each split's entries that has a relative in each other split.

    Parameters
    ----------
    entries : (t, s, s) int64
        Entries by identity, split and other split, as `c2s_data.leakage.Leakage` has them.
    total_entries : (s,) int64
        Entries with proteins of each split.
    splits, thresholds
        Names of the splits, and identities from 0 to 1.
    title, subtitle
        Above the panels.

    Raises
    ------
    ImportError
        Without matplotlib.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional extra
    except ImportError as error:
        raise ImportError(
            "figures need matplotlib, which is not installed; "
            "install it with: pip install 'cryo2struct-store[explore]'"
        ) from error
    width = _PANEL_INCH * len(thresholds) + 0.6
    figure = Figure(figsize=(width, _PANEL_INCH + 1.5), layout="constrained")
    head, body = np.ravel(
        figure.subfigures(2, 1, squeeze=False, height_ratios=(0.75, _PANEL_INCH + 0.75))
    )
    head.text(0.012, 0.66, title, fontsize=16, fontweight="bold", color=INK, va="center")
    head.text(0.012, 0.2, subtitle, fontsize=10.5, color=FAINT, va="center")
    panels = np.ravel(body.subplots(1, len(thresholds), squeeze=False))
    for number, (panel, threshold) in enumerate(zip(panels, thresholds, strict=True)):
        _panel(panel, entries[number], total_entries, splits, named=number == 0)
        panel.set_title(f"identity \u2265 {100 * threshold:.0f} %", fontsize=11.5, color=INK)
    return figure


def save_leakage(figure: Figure, path: Path) -> None:
    """Write the figure; the suffix of ``path`` chooses the format."""
    figure.savefig(path, dpi=DPI, facecolor="white")


def _panel(
    panel: Axes,
    entries: NDArray[np.int64],
    total: NDArray[np.int64],
    splits: Sequence[str],
    *,
    named: bool,
) -> None:
    share = entries / np.maximum(total, 1)[:, None]
    panel.imshow(np.where(np.eye(len(splits)) > 0, np.nan, share), cmap="OrRd", vmin=0, vmax=1)
    for row in range(len(splits)):
        for column in range(len(splits)):
            if row == column:
                continue
            color = "white" if share[row, column] > _DARK else INK
            text = f"{entries[row, column]:,}\n{100 * share[row, column]:.1f} %"
            panel.text(column, row, text, ha="center", va="center", fontsize=10, color=color)
    panel.set_xticks(range(len(splits)), [f"in {name}" for name in splits], color=INK)
    rows = [f"{name}\n({n:,})" for name, n in zip(splits, total.tolist(), strict=True)]
    panel.set_yticks(range(len(splits)), rows if named else [""] * len(splits), color=INK)
    if named:
        panel.set_ylabel("entries with a relative", color=FAINT)
    panel.set_facecolor("#f4f5f6")
    panel.tick_params(length=0, labelsize=9.5)
    for spine in panel.spines.values():
        spine.set_color(FRAME)
