"""Figures of evaluations: a prediction over the truth, and scores of many entries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from c2s_data.errors import ConfigError
from c2s_model.evaluation.chains import CaChain, joined_xyz_A
from c2s_model.evaluation.evaluate import Evaluation
from c2s_model.evaluation.residue_status import Status, residue_status
from c2s_model.evaluation.voxel_curve import F1Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from numpy.typing import NDArray

    from c2s_model.evaluation.table import TableRow

DPI: Final = 130
INK: Final = "#22303c"
FAINT: Final = "#7b8794"
TRUTH: Final = "#b6c0c9"
COLORS: Final = {Status.RIGHT: "#2563a8", Status.PLACED: "#e08e0b", Status.ALONE: "#c62828"}
OF_QUERY: Final = {
    Status.RIGHT: "right residue within 3 A",
    Status.PLACED: "wrong residue at a true C-alpha",
    Status.ALONE: "no true C-alpha left within 3 A",
}
OF_TARGET: Final = {
    Status.RIGHT: "built, right residue",
    Status.PLACED: "built, wrong residue",
    Status.ALONE: "not built",
}
MAX_STRIPS: Final = 24
_VIEWS: Final = ((0, 1), (0, 2), (1, 2))
_VIEWS_INCH: Final = 6.6
_BREAK_A: Final = 4.5
"""The trace is interrupted where two neighbors lie farther apart."""


def backbone_figure(
    target: Sequence[CaChain], query: Sequence[CaChain], evaluation: Evaluation, title: str
) -> Figure:
    """Draw three projections of a prediction over the true trace, and what became of each residue.

    The strips show the first 24 chains.
    """
    status = residue_status(target, query, evaluation)
    n_strips = min(MAX_STRIPS, len(target))
    strips_inch = 1.0 + 0.34 * n_strips
    figure = new_figure(15.0, _VIEWS_INCH + strips_inch)
    both = figure.subfigures(2, 1, squeeze=False, height_ratios=(_VIEWS_INCH, strips_inch))
    top, bottom = np.ravel(both)
    top.text(0.02, 0.965, title, fontsize=16, fontweight="bold", color=INK, va="center")
    top.text(0.02, 0.915, _facts(evaluation), fontsize=10.5, color=FAINT, va="center")
    for number, (across, up) in enumerate(_VIEWS):
        panel = top.add_axes((0.045 + 0.325 * number, 0.09, 0.29, 0.74))
        _draw_view(panel, target, query, status.query, across, up)
    drawn = top.axes[0].get_legend_handles_labels()
    top.legend(
        *drawn, loc="center left", bbox_to_anchor=(0.012, 0.868), ncols=4, frameon=False,
        fontsize=9.5, markerscale=2.5, labelcolor=INK,
    )  # fmt: skip
    _draw_strips(bottom, strips_inch, target[:n_strips], status.target, len(target) - n_strips)
    return figure


def scatter_figure(rows: Sequence[TableRow]) -> Figure:
    """Draw matching, sequence match, RMSD and TM-score against resolution and size."""
    scores = (
        ("found_percent", "matching %", (0, 105)),
        ("sequence_match_percent", "sequence match %", (0, 105)),
        ("rmsd", "RMSD (A)", None),
        ("tm_map_frame", "TM-score in the map", (0, 1.05)),
    )
    figure = new_figure(15.0, 7.4)
    figure.set_layout_engine("constrained")
    panels = figure.subplots(2, len(scores), squeeze=False)
    for line, (size, label) in enumerate(
        (("resolution_A", "resolution (A)"), ("residues", "residues"))
    ):
        for panel, (score, name, limits) in zip(panels[line], scores, strict=True):
            points = [
                (getattr(row, size), getattr(row, score), row.entry)
                for row in rows
                if getattr(row, size) is not None and getattr(row, score) is not None
            ]
            _draw_scatter(panel, points, names=len(points) <= 12)
            panel.set_xlabel(label, color=INK)
            panel.set_ylabel(name, color=INK)
            panel.set_ylim(*(limits or (0, None)))
            panel.margins(x=0.14)
            if size == "residues":
                _scale_sizes(panel, [across for across, _, _ in points])
    return figure


def draw_curve(panel: Axes, curve: F1Curve) -> None:
    """Draw F1, precision and recall against the threshold, and chance (paper, Figure 6)."""
    at, best = curve.best
    panel.plot(curve.thresholds, curve.precision, color=FAINT, lw=1, ls="--", label="precision")
    panel.plot(curve.thresholds, curve.recall, color=FAINT, lw=1, ls=":", label="recall")
    panel.plot(curve.thresholds, curve.f1, color=COLORS[Status.RIGHT], lw=2, label="F1")
    chance = f"F1 of uniform scores, prevalence {curve.prevalence:.1e}"
    panel.plot(curve.thresholds, curve.random, color=COLORS[Status.PLACED], lw=2, label=chance)
    panel.plot([at], [best], "o", color=COLORS[Status.RIGHT])
    panel.annotate(f"{best:.3f} at {at:.2f}", (at, best), (9, -13), textcoords="offset points")
    panel.set_xlim(0, 1)
    panel.set_ylim(0, 1.02)
    panel.set_xlabel("threshold on p(C-alpha)")
    panel.set_title(f"all {curve.n_voxels:,} voxels", fontsize=11, color=INK)
    panel.legend(frameon=False, fontsize=9)
    quiet(panel)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure; the suffix of ``path`` chooses the format (.png, .svg, .pdf)."""
    figure.savefig(path, dpi=DPI, facecolor="white")


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches; raises ConfigError without matplotlib."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional extra
    except ImportError as error:
        raise ConfigError(
            "figures need matplotlib, which is not installed; "
            "install it with: pip install 'cryo2struct-store[explore]'"
        ) from error
    return Figure(figsize=(width, height))


def _facts(evaluation: Evaluation) -> str:
    whole = evaluation.comparison.whole
    rmsd = "-" if whole.rmsd is None else f"{whole.rmsd:.2f} A"
    return (
        f"{whole.n_query:,} C-alphas for {whole.n_target:,} residues; matching "
        f"{whole.found_percent:.1f} %, sequence match {whole.sequence_match_percent:.1f} %, RMSD "
        f"{rmsd}; TM in the map {evaluation.tm_map_frame:.3f}, lDDT {evaluation.lddt.score:.3f}, "
        f"sequence recall {evaluation.sequence_recall:.3f}, mapped by {evaluation.mapping.method}"
    )


def _draw_view(
    panel: Axes,
    target: Sequence[CaChain],
    query: Sequence[CaChain],
    status: NDArray[np.uint8],
    across: int,
    up: int,
) -> None:
    for chains, color, width in ((target, TRUTH, 2.2), (query, INK, 0.5)):
        trace_A = _with_breaks(chains)
        panel.plot(trace_A[:, across], trace_A[:, up], color=color, lw=width, zorder=1)
    panel.lines[0].set_label("true trace")
    points_A = joined_xyz_A(query)
    for kind in (Status.ALONE, Status.PLACED, Status.RIGHT):
        of_kind = points_A[status == kind]
        panel.scatter(
            of_kind[:, across], of_kind[:, up], s=7, color=COLORS[kind], lw=0, zorder=2 + kind,
            label=f"{OF_QUERY[kind]} ({len(of_kind):,})",
        )  # fmt: skip
    panel.set_aspect("equal", adjustable="datalim")
    panel.set_xlabel(f"{'xyz'[across]} (A)", color=FAINT)
    panel.set_ylabel(f"{'xyz'[up]} (A)", color=FAINT)
    quiet(panel)


def _with_breaks(chains: Sequence[CaChain]) -> NDArray[np.float64]:
    """Return all traces, with a row that is not a number wherever one is interrupted."""
    parts = []
    for chain in chains:
        steps_A = np.linalg.norm(np.diff(chain.xyz_A, axis=0), axis=1)
        after = np.flatnonzero(steps_A > _BREAK_A) + 1
        parts += [np.insert(chain.xyz_A, after, np.nan, axis=0), np.full((1, 3), np.nan)]
    return np.concatenate(parts)


def _draw_strips(
    part: SubFigure,
    height_inch: float,
    chains: Sequence[CaChain],
    status: NDArray[np.uint8],
    n_left: int,
) -> None:
    bottom, top = 0.55 / height_inch, 1 - 0.4 / height_inch
    panel = part.add_axes((0.065, bottom, 0.92, top - bottom))
    longest = max(map(len, chains))
    picture = np.full((len(chains), longest, 3), 255, np.uint8)
    palette = np.array([_rgb(COLORS[kind]) for kind in sorted(COLORS)], np.uint8)
    first = 0
    for line, chain in enumerate(chains):
        picture[line, : len(chain)] = palette[status[first : first + len(chain)]]
        first += len(chain)
    extent = (0, longest, len(chains), 0)
    panel.imshow(picture, aspect="auto", interpolation="nearest", extent=extent)
    for line in range(1, len(chains)):
        panel.axhline(line, color="white", lw=4)
    names = [f"{chain.name} ({len(chain):,})" for chain in chains]
    panel.set_yticks(np.arange(len(chains)) + 0.5, names, color=INK)
    more = f"; {n_left:,} more chains" if n_left else ""
    panel.set_xlabel(f"residues of the target, chain by chain{more}", color=FAINT)
    for place, kind in enumerate(sorted(OF_TARGET, reverse=True)):
        part.text(
            0.065 + 0.13 * place, 1 - 0.2 / height_inch, f"\u25a0 {OF_TARGET[kind]}",
            color=COLORS[kind], fontsize=9.5, va="center",
        )  # fmt: skip
    quiet(panel)
    panel.tick_params(length=0)


def _draw_scatter(panel: Axes, points: Sequence[tuple[float, float, str]], *, names: bool) -> None:
    if points:
        x, y, _ = zip(*points, strict=True)
        panel.scatter(x, y, s=26, color=COLORS[Status.RIGHT], alpha=0.75, lw=0)
    for across, up, name in points if names else ():
        panel.annotate(
            name, (across, up), (4, 4), textcoords="offset points", fontsize=7.5, color=FAINT
        )
    quiet(panel)


def _scale_sizes(panel: Axes, sizes: Sequence[float]) -> None:
    """Make the axis logarithmic, with plain numbers; powers of ten alone are too few for a few."""
    from matplotlib.ticker import LogLocator, MaxNLocator  # noqa: PLC0415 - optional extra

    if len(set(sizes)) < 2:
        return
    wide = max(sizes) > 10 * min(sizes)
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(
        LogLocator(subs=(1, 2, 5)) if wide else MaxNLocator(4, steps=[1, 2, 5, 10])
    )
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    panel.minorticks_off()


def quiet(panel: Axes) -> None:
    """Keep ticks and frame in the background."""
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=8.5, colors=FAINT)


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
