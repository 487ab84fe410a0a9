"""A small training from nothing to scores, and its report.

    python -m benchmarks.train_demo [--out FOLDER] [--pairs FOLDER] [--report FILE] [--epochs N]
        [--quick]

At most 20 minutes on two CPU cores. Stopped and given again it goes on where it was.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.train_demo.data import REFILLED, STORE, prepare
from benchmarks.train_demo.facts import Facts
from benchmarks.train_demo.precision import faster_precision
from benchmarks.train_demo.report import write_report
from benchmarks.train_demo.scores import MapScores, add_point_scores, choose_levels, measure_map
from benchmarks.train_demo.settings import FULL, QUICK, Settings
from c2s_data.store.prediction_store import open_prediction
from c2s_data.store.reader import Store, open_store
from c2s_model.nets.network_file import load_network
from c2s_model.predict.predict_map import PredictOptions, predict_map
from c2s_model.predict.prepared_density import Interest, build_config_of, prepare_stored_map
from c2s_model.training.logs import Lines
from c2s_model.training.loop import train
from c2s_model.training.run_folder import find_network

ROOT: Final = Path(__file__).resolve().parents[2]
PAIRS: Final = ROOT.parent / "shared/data/pairs"
REPORT: Final = ROOT / "docs/train-demo.md"
RUN: Final = "run"
LEAST_DENSITY: Final = 1e-3
"""Of the normalized density; subgrids that nowhere reach it are not predicted."""


class Demonstration:
    """The steps in their order, each one kept when it is done.

    Parameters
    ----------
    folder
        Where inputs, store, run and predictions go.
    pairs
        Folder of deposited pairs, or None for simulated ones alone.
    settings
        The numbers.
    """

    def __init__(self, folder: Path, pairs: Path | None, settings: Settings) -> None:
        self.folder, self.pairs, self.settings = folder, pairs, settings
        self.facts = Facts(folder, settings, pairs)
        self._started = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line with the seconds since the beginning."""
        print(f"{time.monotonic() - self._started:6.0f} s  {text}", flush=True)

    def run(self) -> list[MapScores]:
        """Do everything that is not done and return the scores of the held-out maps."""
        self.say("1. data: proteins, maps, masked maps refilled, division, store")
        settings = self.settings
        prepared = self.facts.step(
            "data",
            lambda: prepare(
                self.folder,
                self.pairs,
                n_simulated=settings.n_simulated,
                seed=settings.seed,
                workers=settings.workers,
                say=self.say,
            ),
        )
        split = {name: one[0] for name, one in prepared["split"].items()}
        validates = "validation" in split.values()
        precision = self.facts.step("precision", lambda: faster_precision(settings.architecture))
        self.say(f"2. training, in {precision['precision']}")
        self.facts.step("training", lambda: self._train(validates, precision["precision"]))
        chosen_on = "validation" if validates else "train"
        scored_of = "test" if "test" in split.values() else chosen_on
        self.say("3. prediction and scores")
        started = time.perf_counter()
        levels_from = [self._measure(name, split) for name in self._some(split, chosen_on)]
        levels = choose_levels(levels_from)
        measured = [self._measure(name, split) for name in self._some(split, scored_of)]
        for one in measured:
            add_point_scores(one, levels)
            self.say(f"  {one.entry_id}: {_in_short(one)}")
        self.facts.step(
            "scores",
            lambda: {
                "levels": levels,
                "chosen_on": [one.entry_id for one in levels_from],
                "seconds": time.perf_counter() - started,
            },
        )
        return measured

    def _train(self, validates: bool, precision: str) -> dict[str, Any]:
        summary = train(
            str(self.folder / STORE),
            self.folder / RUN,
            self.settings.training(validates=validates, precision=precision),
            reporter=Lines(self.say),
        )
        if not summary.finished:
            raise SystemExit(f"stopped ({summary.stopped.reason}); the same command goes on")
        return summary.as_json()

    def _some(self, split: Mapping[str, str | None], part: str) -> list[str]:
        """Return the entries of a part, the real ones and as many simulated ones as wanted."""
        names = [name for name, its in split.items() if its == part]
        real = [name for name in names if not name.startswith("SIM-")]
        simulated = [name for name in names if name.startswith("SIM-")]
        return real + simulated[: self.settings.max_scored]

    def _measure(self, name: str, split: Mapping[str, str | None]) -> MapScores:
        store = open_store(self.folder / STORE)
        self.say(f"  predicting {name}")
        atom_p, offset = self._predict(store, name)
        return measure_map(store, name, kind_of(name, split), atom_p, offset)

    def _predict(self, store: Store, name: str) -> tuple[np.ndarray[Any, Any], float]:
        network, card = load_network(find_network(self.folder / RUN))
        # Where a mask left nothing there is nothing to predict: most of EMD-0093 as deposited.
        least = LEAST_DENSITY * float(store.entry(name).facts["percentile_value"])
        interest = Interest(contour_level=least)
        density = prepare_stored_map(store, name, build_config_of(card), interest)
        out = str(self.folder / "predictions" / f"{name}.zarr")
        precision = self.facts.steps["precision"]["precision"]
        predict_map(network, card, density, out, PredictOptions(precision=precision))
        prediction = open_prediction(out)
        return prediction.read("atom"), prediction.decode_offset_voxel


def kind_of(name: str, split: Mapping[str, str | None]) -> str:
    """Say how a map of the demonstration is masked, and if so that it is not held out."""
    if name.startswith("SIM-"):
        kind = "simulated"
    elif name.endswith(REFILLED):
        kind = "masked, refilled with noise"
    else:
        kind = "masked, as deposited" if name + REFILLED in split else "unmasked"
    return kind if split[name] == "test" else f"{kind}, in {split[name]}"


def _in_short(of: MapScores) -> str:
    network, peaks = (of.chosen[method, "all"].f1[1] for method in ("network", "density peaks"))
    return f"one-to-one F1 at 2 A {network:.3f}, density peaks {peaks:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("train-demo-out"), help="working folder")
    parser.add_argument("--pairs", type=Path, default=PAIRS, help="folder of deposited pairs")
    parser.add_argument("--report", type=Path, default=REPORT, help="Markdown file to write")
    parser.add_argument("--epochs", type=int, default=FULL.epochs, help="more where there is a GPU")
    parser.add_argument("--quick", action="store_true", help="a minute, to see that it works")
    options = parser.parse_args()
    settings = QUICK if options.quick else replace(FULL, epochs=options.epochs)
    report = options.report
    if options.quick and report == REPORT:
        report = options.out / "train-demo.md"  # A trial must not replace what was measured.
    pairs = options.pairs if options.pairs.is_dir() else None
    demonstration = Demonstration(options.out, pairs, settings)
    measured = demonstration.run()
    write_report(report, measured, demonstration.facts.steps, settings, quick=options.quick)
    demonstration.say(f"wrote {report}")
