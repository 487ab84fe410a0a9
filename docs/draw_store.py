"""The drawing of a store for docs/data-model.md.

python docs/draw_store.py docs/images/store.svg
"""

from __future__ import annotations

import sys
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

INK: Final = "#22303c"
FAINT: Final = "#7b8794"
MAPS: Final = (("EMD-22898", "#2563a8"), ("EMD-0093", "#d1495b"), ("EMD-5185", "#3a9d6e"))


def panel(ax: Axes, x: float, y: float, width: float, height: float, title: str) -> None:
    """Draw a frame with its title at the top left."""
    ax.add_patch(
        FancyBboxPatch(
            (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.12", fc="white", ec=FAINT
        )
    )
    ax.text(x + 0.18, y + height - 0.36, title, fontsize=11, fontweight="bold", color=INK)


def cube(ax: Axes, x: float, y: float, side: float, color: str, alpha: float = 1.0) -> None:
    """Draw a small cube, seen from above."""
    shift = 0.3 * side
    for corners, shade in (
        (((0, 0), (side, 0), (side, side), (0, side)), 0.95),
        (((0, side), (side, side), (side + shift, side + shift), (shift, side + shift)), 0.6),
        (((side, 0), (side + shift, shift), (side + shift, side + shift), (side, side)), 0.4),
    ):
        ax.fill(
            [x + dx for dx, _ in corners], [y + dy for _, dy in corners],
            fc=color, ec="white", lw=0.6, alpha=alpha * shade,
        )  # fmt: skip


def maps(ax: Axes) -> None:
    """Draw the volumes of each map: full, halved and quartered."""
    panel(ax, 0, 5.2, 6.2, 4.6, "maps/   whole volumes, to look at and to predict")
    for row, (name, color) in enumerate(MAPS):
        y = 8.15 - 1.17 * row
        ax.text(0.25, y + 0.3, name, fontsize=9.5, color=color, family="monospace")
        for column, side in enumerate((0.75, 0.45, 0.27)):
            x = 2.35 + 1.25 * column
            cube(ax, x, y, side, color)
            if row == len(MAPS) - 1:
                ax.text(x, y - 0.25, f"s{column}, {2**column} Å", fontsize=8.5, color=FAINT)
    ax.text(0.25, 5.42, "density;\nat 1 Å the masks", fontsize=8.5, color=FAINT, va="bottom")


def subgrids(ax: Axes) -> None:
    """Draw the rows: whole shards for each map, those with C-alphas first."""
    panel(ax, 6.8, 5.2, 9.2, 4.6, "subgrids/   one row a 32³ cube, to train on")
    x = 7.1
    for (name, color), (occupied, rest, padding) in zip(
        MAPS, ((3, 5, 2), (2, 3, 0), (4, 4, 2)), strict=True
    ):
        start = x
        for number in range(occupied + rest + padding):
            alpha = 1.0 if number < occupied else 0.45 if number < occupied + rest else 0.0
            ax.add_patch(
                Rectangle((x, 7.7), 0.3, 0.95, fc=color, alpha=alpha, ec="none")
                if alpha
                else Rectangle((x, 7.7), 0.3, 0.95, fc="none", ec=FAINT, lw=0.5, ls=":")
            )
            x += 0.34
        ax.text((start + x) / 2 - 0.02, 8.8, name, fontsize=8.5, color=color, ha="center")
        for shard in range(0, occupied + rest + padding, 5):
            ax.add_patch(
                Rectangle((start - 0.03 + 0.34 * shard, 7.62), 0.34 * 5, 1.11,
                          fc="none", ec=INK, lw=1.0)
            )  # fmt: skip
        x += 0.16
    ax.text(7.1, 7.25, "frame: a shard, one object, of one map only", fontsize=8.5, color=INK)
    ax.text(
        7.1, 6.9, "dark: rows with C-alphas, first;  light: the rest;  dotted: padding, never read",
        fontsize=8.5, color=FAINT,
    )  # fmt: skip
    ax.text(
        7.1, 6.2, "density float16      atom  ca  amino  secondary  ...  uint8", fontsize=9,
        color=INK, family="monospace",
    )  # fmt: skip
    ax.text(
        7.1, 5.6, "map  corner_zyx  n_ca      which map, where, how many", fontsize=9, color=INK,
        family="monospace",
    )  # fmt: skip


def records(ax: Axes) -> None:
    """Draw what is not Zarr."""
    panel(ax, 0, 1.6, 16, 2.9, "_c2s/   what is known of it, beside the arrays")
    for x, title, lines in (
        (0.3, "residues/", "every residue with coordinates:\nthe primary truth"),
        (4.5, "statistics/ sequences/", "raw histograms and slices;\nsequences of the chains"),
        (8.2, "receipts/ failures/", "one document an entry:\nfinished, or why not"),
        (11.7, "generations/000001/", "catalog, and the sha256\nof every object"),
    ):  # fmt: skip
        ax.text(x, 3.3, title, fontsize=9.5, color=INK, family="monospace")
        ax.text(x, 3.05, lines, fontsize=9, color=FAINT, va="top", linespacing=1.35)
    ax.text(11.7, 1.9, "LATEST.json: what readers open", fontsize=9, color=INK)
    ax.add_patch(
        FancyArrowPatch((11.6, 1.97), (11.6, 3.35), arrowstyle="-|>", mutation_scale=10, color=INK,
                        connectionstyle="arc3,rad=-0.4")
    )  # fmt: skip


def main() -> None:
    """Draw into the file that is named."""
    mpl.rcParams["svg.hashsalt"] = "store"
    figure = Figure(figsize=(12, 6.9))
    ax = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    ax.set(xlim=(-0.1, 16.1), ylim=(1.3, 10.6))
    ax.set_axis_off()
    ax.text(0, 10.15, "dataset.zarr", fontsize=15, fontweight="bold", color=INK, family="monospace")
    maps(ax)
    subgrids(ax)
    records(ax)
    figure.savefig(sys.argv[1], metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    main()
