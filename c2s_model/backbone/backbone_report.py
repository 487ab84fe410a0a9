"""A short report of a run, Markdown and a picture: stages, candidates, coverage, confidence."""

from __future__ import annotations

import csv
import math
import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from c2s_model.backbone.structure import write_text_beside

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.figure import Figure

    from c2s_model.backbone.calibration import Calibration, ReliabilityBins
    from c2s_model.backbone.stages import StageResult

MAX_PANELS: Final = 12
_COLUMNS: Final = 2


def write_report(
    report: Path,
    picture: Path,
    confidence: Path,
    stages: Mapping[str, StageResult],
    model_name: str,
) -> None:
    """Write the report and its picture.

    Parameters
    ----------
    report, picture
        Markdown and PNG; each replaces the file of that name.
    confidence
        CSV of `structure.write_confidence`.
    stages
        Those before the report, in order.
    model_name
        For the title.
    """
    save_figure(confidence_figure(confidence), picture)
    write_text_beside(report, report_text(stages, model_name, picture.name, confidence.name))


def report_text(
    stages: Mapping[str, StageResult], model_name: str, picture: str, confidence: str
) -> str:
    """Return the report as Markdown."""
    found, built = stages["candidates"].facts, stages["structure"].facts
    notes = [*stages["trace"].facts.get("notes", []), *built["notes"]]
    parts = [
        f"# {model_name}",
        f"Confidence: {built['calibration']}. Every value: `{confidence}`.",
        "## Stages",
        _table(
            ("stage", "seconds", ""),
            [
                (name, f"{one.seconds:.1f}", "" if one.repeated else "done before")
                for name, one in stages.items()
            ],
        ),
        "## Points",
        _table(("", "number"), [(name.replace("_", " "), value) for name, value in found.items()]),
        "## Chains",
        _table(
            tuple(name.replace("_", " ") for name in built["chains"][0]),
            [tuple(one.values()) for one in built["chains"]],
        ),
        "## Geometry",
        _table(
            ("length", "number", "mean A", "sd A", "outliers"),
            [(name, *one.values()) for name, one in built["geometry"].items()],
        ),
    ]
    if notes:
        parts += ["## Notes", "\n".join(f"- {note}" for note in notes)]
    parts += ["## Confidence along the chains", f"![confidence along the chains]({picture})"]
    return "\n\n".join(parts) + "\n"


def confidence_figure(confidence: Path) -> Figure:
    """Draw confidence against residue number, a panel per chain, the first 12 chains."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

    of_chain = _read_confidence(confidence)
    names = list(of_chain)[:MAX_PANELS]
    columns = min(_COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    height = 1.6 * rows + 0.6
    figure = Figure(figsize=(5.5 * columns, height))
    # Spaced by hand: matplotlib's own layout takes seconds for a dozen panels.
    figure.subplots_adjust(0.09, 0.5 / height, 0.98, 1 - 0.3 / height, hspace=0.6, wspace=0.1)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axis, name in zip(axes.flat, names, strict=False):
        for numbers, values in of_chain[name]:
            axis.plot(numbers, values, lw=1, marker="." if len(numbers) < 3 else None)
        axis.set_title(f"chain {name}", fontsize=8)
        axis.set_ylim(0, 1)
    for axis in list(axes.flat)[len(names) :]:
        axis.remove()
    left = len(of_chain) - len(names)
    figure.supxlabel("residue number" + (f" ({left} more chains)" if left else ""), fontsize=8)
    figure.supylabel("confidence, one line per fragment", fontsize=8)
    return figure


def reliability_figure(
    calibration: Calibration, before: ReliabilityBins, after: ReliabilityBins
) -> Figure:
    """Draw the share of right residues against confidence, before and after calibration."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axis = figure.subplots()
    axis.plot((0, 1), (0, 1), color="0.7", lw=1, label="perfect")
    errors = (("before", before, calibration.ece_before), ("after", after, calibration.ece_after))
    for name, bins, ece in errors:
        axis.plot(
            bins.confidence, bins.share_right, marker="o", ms=4, label=f"{name}, ECE {ece:.3f}"
        )
    axis.set(
        xlim=(0, 1),
        ylim=(0, 1),
        xlabel="confidence",
        ylabel="share of right residues",
        title=f"{calibration.method}, {calibration.n_residues:,} residues",
    )
    axis.legend(loc="upper left", fontsize=8)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, in the place of the file of that name."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        figure.savefig(beside, format="png", dpi=120)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(one) for one in line)} |" for line in lines)


def _read_confidence(path: Path) -> dict[str, list[tuple[list[int], list[float]]]]:
    """Return, by chain, the numbers and confidences of each fragment."""
    fragments: dict[tuple[str, str], tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
    with path.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            numbers, values = fragments[row["chain"], row["fragment"]]
            numbers.append(int(row["residue_number"]))
            values.append(float(row["confidence"]))
    of_chain: dict[str, list[tuple[list[int], list[float]]]] = defaultdict(list)
    for (chain, _), found in fragments.items():
        of_chain[chain].append(found)
    return of_chain
