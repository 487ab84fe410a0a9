"""The drawing of the whole way for docs/figures.md (the paper's Figure 1, as it is here).

python docs/draw_pipeline.py docs/images/pipeline.svg
"""

from __future__ import annotations

import itertools
import sys
from typing import Final, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

INK: Final = "#22303c"
FAINT: Final = "#7b8794"
DATA: Final = "#2563a8"
MODEL: Final = "#3a9d6e"
FILES: Final = "#d1495b"


class Box(NamedTuple):
    """A step: where it stands, what it is called, what it does, by which command."""

    x: float
    y: float
    title: str
    lines: str
    command: str
    color: str


WIDTH: Final = 3.5
HEIGHT: Final = 1.9
ROWS: Final = (
    (
        Box(0, 5.5, "maps and models", ".map.gz, .cif, sequences\nof EMDB and PDB, or your own",
            "search  fetch  split", FILES),
        Box(4.2, 5.5, "one map, one task", "resample to 1 Å, normalize,\nlabel each voxel, measure",
            "build", DATA),
        Box(8.4, 5.5, "the store", "maps, masks and 32³ subgrids\nin one Zarr hierarchy",
            "verify  report  view", DATA),
        Box(12.6, 5.5, "batches", "shuffled, exact over ranks,\nread from disk or bucket",
            "SubgridDataset", MODEL),
    ),
    (
        Box(12.6, 2.2, "networks", "3D transformers: atom, amino\nacid, secondary structure",
            "train  convert", MODEL),
        Box(8.4, 2.2, "probabilities", "at every voxel of a whole map,\nin bounded memory",
            "predict  voxels", MODEL),
        Box(4.2, 2.2, "backbone", "C-alpha candidates, linked by a\nhidden Markov model",
            "backbone", MODEL),
        Box(0, 2.2, "scores", "against the known structure,\nresidue by residue",
            "evaluate  report", FILES),
    ),
)  # fmt: skip


def draw_box(ax: Axes, box: Box) -> None:
    """Draw one step."""
    style = "round,pad=0,rounding_size=0.14"
    ax.add_patch(
        FancyBboxPatch((box.x, box.y), WIDTH, HEIGHT, boxstyle=style, fc="white", ec=box.color,
                       lw=1.6)
    )  # fmt: skip
    ax.text(box.x + 0.18, box.y + HEIGHT - 0.38, box.title, fontsize=12, fontweight="bold",
            color=box.color, va="center")  # fmt: skip
    ax.text(box.x + 0.18, box.y + HEIGHT - 0.72, box.lines, fontsize=9.5, color=INK, va="top",
            linespacing=1.35)  # fmt: skip
    ax.text(box.x + 0.18, box.y + 0.26, box.command, fontsize=9.5, color=FAINT, va="center",
            family="monospace")  # fmt: skip


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw the way from a step to the next."""
    ax.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=14, color=INK, lw=1.3)
    )


def main() -> None:
    """Draw into the file that is named."""
    mpl.rcParams["svg.hashsalt"] = "pipeline"
    figure = Figure(figsize=(12, 4.6))
    ax = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    ax.set(xlim=(-0.1, 16.2), ylim=(2.0, 8.0))
    ax.set_axis_off()
    middle = HEIGHT / 2
    for row, (text, color) in zip(ROWS, (("c2s-data", DATA), ("c2s-model", MODEL)), strict=True):
        for box in row:
            draw_box(ax, box)
        for box, after in itertools.pairwise(row):
            right = after.x > box.x
            start = (box.x + WIDTH if right else box.x, box.y + middle)
            arrow(ax, start, (after.x if right else after.x + WIDTH, box.y + middle))
        ax.text(0, row[0].y + HEIGHT + 0.3, text, fontsize=11, color=color, family="monospace",
                fontweight="bold")  # fmt: skip
    batches, networks = ROWS[0][-1], ROWS[1][0]
    arrow(ax, (batches.x + WIDTH / 2, batches.y), (networks.x + WIDTH / 2, networks.y + HEIGHT))
    store, probabilities = ROWS[0][2], ROWS[1][1]
    arrow(
        ax, (store.x + WIDTH / 2, store.y), (probabilities.x + WIDTH / 2, probabilities.y + HEIGHT)
    )
    figure.savefig(sys.argv[1], metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    main()
