"""The report of a demonstration: Markdown and pictures, every number of it from the run."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from textwrap import fill
from typing import Any, Final

import torch

from benchmarks.train_demo.data import COPIES
from benchmarks.train_demo.pictures import draw_curves, draw_slabs
from benchmarks.train_demo.scores import METHODS, NEAR_A, MapScores, PointScore
from c2s_data.schema import CLASS_NAMES
from c2s_model.evaluation.one_to_one import RADII_A
from c2s_model.training.run_folder import write_beside

IMAGES: Final = "images"
_SHOWN: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_PACKAGES: Final = ("cryo2struct-store", "torch", "numpy", "scipy", "gemmi", "numba")

_INTRODUCTION: Final = """\
# A small training, from nothing to scores

What the smallest network finds in deposited maps that it has never seen, after minutes of training
on {cores} CPU cores. It shows that all parts work together and how far so little goes; it is no
network to work with. {made_by} writes this page:
numbers, tables and pictures are those of the run, whatever they are.
"""
_DATA: Final = """\
## Data

{n_simulated} proteins are built from geometry and a seed, and their maps simulated at 2 to 4 Å:
outer atoms more blurred than inner ones, nothing finer than the resolution, noise of {noise} of the
mean density at the C-alphas. {real}

All pairs are divided by `cluster_split` so that no protein crosses, as the {engine} finds them:
{division}. {validation} Links left between the splits: {leakage}.
"""
_REAL: Final = """\
Beside them stand the deposited maps of 1 to 4 Å. EMD-4413 (unmasked) and EMD-0093 are held out;
EMD-5185 shows the protein of EMD-4413, so that the division holds it out as well. EMD-2867 (its
model is a prediction) and EMD-1044 (out of register) are not used at all."""
_REFILL: Final = """\
A mask drawn around the model gives the label away. So masked maps are refilled before they are
built: where the map is exactly zero stands noise with the median of the band 0.5 to 2 Å inside of
the mask's surface, the spread of the values below that median (protein raises those above), and the
color of white noise smoothed by the Gaussian that gives neighboring voxels the correlation found
there. The model is not looked at. The noise begins at once where the mask ends: where a mask fades,
a seam is left. Held-out masked maps are scored both as deposited and refilled. Deposited pairs
to train on go in {copies} times, with other noise and a grid that begins elsewhere.

| map | voxels refilled | median | standard deviation | smoothing | voxels of the band |
|---|---|---|---|---|---|
"""
_RESULTS: Final = """\
## One to one

Predicted C-alphas are the non-maximum-suppressed peaks of the predicted probability, matched to
the true ones one to one within 1, 2 and 3 Å. The bar is density alone: the non-maximum-suppressed
peaks, at least 3 Å apart, of the same normalized map. Both have one free number, the least
probability or density of a point: *before*, the one best on the mean of {chosen_on} (network
{network_level:g}, density {density_level:g}), which is what a user would have; *best*, the best one
for this very map, which no user could know.
"""
_NEAR: Final = """\
The same, leaving out of account all points farther than {near:g} Å from every atom of the model's
backbone: the box of EMD-4413 is full of neighboring copies of the protein, of which its model has
one, and there every point in a neighbor counts as false above.
"""


def write_report(
    path: Path,
    measured: Sequence[MapScores],
    steps: Mapping[str, Mapping[str, Any]],
    settings: Any,  # noqa: ANN401 - shown as it is
    *,
    quick: bool,
) -> None:
    """Write the report and, in ``images`` beside it, its pictures."""
    images = path.parent / IMAGES
    images.mkdir(parents=True, exist_ok=True)
    draw_curves(images / "train-demo-f1.png", measured)
    draw_slabs(images / "train-demo-slabs.png", measured)
    parts = (
        _introduction(quick=quick),
        _verdict(measured),
        _points(measured, steps["scores"]),
        _voxels(measured),
        _classes(measured),
        _data(steps["data"], settings),
        _training(steps, settings),
        _provenance(steps, settings),
    )
    write_beside(path, "\n".join(_wrapped(part) for part in parts).encode())


def _wrapped(text: str) -> str:
    """Wrap paragraphs; headings, tables, pictures and code stay as they are."""
    blocks = text.rstrip("\n").split("\n\n")
    return (
        "\n\n".join(
            block
            if block.startswith(("#", "|", "!", " ", "- "))
            else fill(" ".join(block.split()), 100, break_long_words=False, break_on_hyphens=False)
            for block in blocks
        )
        + "\n"
    )


def _introduction(*, quick: bool) -> str:
    made_by = "`make train-demo`" if not quick else "`python -m benchmarks.train_demo --quick`"
    text = _INTRODUCTION.format(cores=os.cpu_count(), made_by=made_by)
    return text + ("\n**A quick trial: nothing here was learned.**\n" if quick else "")


def _verdict(measured: Sequence[MapScores]) -> str:
    """Say in words which of the two found more, map by map."""
    lines = ["## In short", ""]
    for one in measured:
        network, peaks = (one.chosen[method, "all"].f1[1] for method in METHODS)
        which = "above" if network > peaks else "below" if network < peaks else "level with"
        near = [one.chosen[method, "near"].f1[1] for method in METHODS]
        lines.append(
            f"- {one.entry_id} ({one.kind}, {one.resolution_A:g} Å): the network's C-alphas reach "
            f"F1 {network:.2f} at 2 Å, {which} the density peaks' {peaks:.2f} "
            f"(near the model {near[0]:.2f} and {near[1]:.2f})."
        )
    return "\n".join(lines) + "\n"


def _points(measured: Sequence[MapScores], facts: Mapping[str, Any]) -> str:
    levels = facts["levels"]
    text = _RESULTS.format(
        chosen_on=_and(facts["chosen_on"]),
        network_level=levels["network"],
        density_level=levels["density peaks"],
    )
    text += "\n" + _points_table(measured, "all")
    text += "\n" + _NEAR.format(near=NEAR_A) + "\n" + _points_table(measured, "near")
    return (
        text
        + "\n![Slabs of the maps with true and predicted C-alphas](images/train-demo-slabs.png)\n"
    )


def _points_table(measured: Sequence[MapScores], population: str) -> str:
    heads = [f"{name} {radius:g} Å" for radius in RADII_A for name in ("P", "R", "F1")]
    lines = [
        f"| map | C-alphas | points of | level | points | {' | '.join(heads)} |",
        "|---" * (5 + len(heads)) + "|",
    ]
    for one in measured:
        for method in METHODS:
            for name, found in (
                ("before", one.chosen[method, population]),
                ("best", one.best[method, population]),
            ):
                lines.append(
                    f"| {one.entry_id}, {one.kind} | {one.n_ca:,} | {method} | {name}, "
                    f"{found.level:g} | {found.n_points:,} | {' | '.join(_cells(found))} |"
                )
    return "\n".join(lines) + "\n"


def _cells(found: PointScore) -> Iterator[str]:
    for at in range(len(RADII_A)):
        yield f"{found.precision[at]:.2f}"
        yield f"{found.recall[at]:.2f}"
        yield f"**{found.f1[at]:.2f}**"


def _voxels(measured: Sequence[MapScores]) -> str:
    lines = [
        "## C-alpha voxels against the threshold",
        "",
        "As the paper's Figure 6: voxels exactly, over the whole box (precision depends on how",
        "much solvent that holds), thresholds in steps of 0.02, beside uniform random scores and",
        "beside the normalized density taken for a probability. An atom's label is the one nearest",
        "voxel, so that a prediction one voxel off counts as wrong.",
        "",
        "![F1 of C-alpha voxels against the threshold](images/train-demo-f1.png)",
        "",
        f"| map | F1 at p ≥ | {' | '.join(f'{t:g}' for t in _SHOWN)} | best (at) |",
        "|---" * (3 + len(_SHOWN)) + "|",
    ]
    for one in measured:
        for name in (*METHODS, "random"):
            curve = one.curves["network" if name == "random" else name]
            values = curve.random if name == "random" else curve.f1
            shown = [f"{_number(values[round(t / 0.02)])}" for t in _SHOWN]
            best = int(values.argmax())
            who = {"density peaks": "density"}.get(name, name)
            lines.append(
                f"| {one.entry_id}, {one.kind} | {who} | {' | '.join(shown)} | "
                f"{_number(values[best])} ({curve.thresholds[best]:g}) |"
            )
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 or value == 0 else f"{value:.0e}"


def _classes(measured: Sequence[MapScores]) -> str:
    names = CLASS_NAMES["atom"]
    lines = [
        "## Classes",
        "",
        "Each voxel takes its most probable class. Rows are the truth, columns the prediction, in",
        "voxels; what the store marks to be ignored is left out.",
    ]
    for one in measured:
        lines += [
            "",
            f"{one.entry_id}, {one.kind}: macro F1 {one.macro_f1:.3f}, without background "
            f"{one.macro_f1_foreground:.3f}.",
            "",
            f"| | {' | '.join(names)} |",
            "|---" * (1 + len(names)) + "|",
        ]
        for name, row in zip(names, one.confusion.tolist(), strict=True):
            lines.append(f"| {name} | {' | '.join(f'{n:,}' for n in row)} |")
    return "\n".join(lines) + "\n"


def _data(facts: Mapping[str, Any], settings: Any) -> str:  # noqa: ANN401 - as above
    split = {name: one[0] for name, one in facts["split"].items()}
    parts = ("train", "validation", "test")
    n_of = Counter((name.startswith("SIM-"), its) for name, its in split.items())
    division = "; ".join(
        f"{part}: {n_of[True, part]} simulated, {n_of[False, part]} deposited" for part in parts
    )
    real = not all(name.startswith("SIM-") for name in split)
    validation = [name for name, its in split.items() if its == "validation"]
    text = _DATA.format(
        n_simulated=settings.n_simulated,
        noise="a twelfth to a third",
        real=_REAL if real else "Deposited maps were not on this machine.",
        engine=facts["engine"],
        division=division,
        validation=f"Validation is {_and(validation)}." if validation else "Nothing validates.",
        leakage=facts["leakage"],
    )
    if facts["solvents"]:
        text += "\n" + _REFILL.format(copies=COPIES)
        for name, solvent in facts["solvents"].items():
            text += (
                f"| {name} | {solvent['masked_share']:.1%} | "
                f"{solvent['center']:.3g} | {solvent['sd']:.3g} | {solvent['smoothing_A']:.2f} Å | "
                f"{solvent['n_voxels']:,} |\n"
            )
    return text


def _training(steps: Mapping[str, Mapping[str, Any]], settings: Any) -> str:  # noqa: ANN401
    facts, precision = steps["training"], steps["precision"]["precision"]
    rate = facts["subgrids"] / facts["seconds"]
    validation = ", ".join(
        f"{name.partition('/')[0]} {value:.3f}"
        for name, value in facts["validation"].items()
        if name.endswith("/macro_f1_foreground") and value is not None
    )
    return (
        "## Training\n\n"
        f"`c2s_model.training.loop.train` with preset `recommended`, atoms alone, in {precision}, "
        f"variant `tiny` with {settings.architecture.filters} filters and without dropout, "
        f"{settings.epochs} epochs of batches of {settings.batch_size}, rate "
        f"{settings.learning_rate:g}: {facts['step']:,} steps, {facts['subgrids']:,} subgrids in "
        f"{facts['seconds'] / 60:.1f} minutes ({rate:.0f} a second). Macro F1 without background "
        f"on the validation maps after it: {validation or 'nothing measured'}.\n\n"
        "The network is in the run's folder and predicts any map:\n\n"
        "    c2s-model predict train-demo-out/run MAP.map.gz OUT.zarr\n"
    )


def _provenance(steps: Mapping[str, Mapping[str, Any]], settings: Any) -> str:  # noqa: ANN401
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    times = ", ".join(f"{name} {one['seconds'] / 60:.1f}" for name, one in steps.items())
    return (
        "## How it was made\n\n"
        "- Command: `make train-demo`, that is `python -m benchmarks.train_demo`.\n"
        f"- Minutes: {times}.\n"
        f"- Seed: {settings.seed}. Settings: `{_plain(asdict(settings))}`.\n"
        f"- {platform.python_implementation()} {platform.python_version()}, {packages}; "
        f"{os.cpu_count()} CPU cores, {_device()}.\n"
        f"- {datetime.now(UTC):%Y-%m-%d}.\n"
    )


def _plain(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in settings.items() if name != "seed")


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def _and(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
