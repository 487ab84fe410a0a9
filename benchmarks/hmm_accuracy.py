"""How many residues each way of tracing places right, on simulated candidates.

    python benchmarks/hmm_accuracy.py SHARED_DATA [--seeds 5] [--rows easy] [--table FILE]

Rows are conditions of `simulate_candidates`, whose version and score the table names; columns are
four structures (7KJR, 7BV2, 6GYN, 4CI0; full sequences, all chains at once). Each cell is the mean
over seeds; ± is the standard deviation over seeds of the mean over structures. `paper` gets
positions and emissions, `gap` also the predicted N and C points, `gap, C-alpha` does not.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from simulate_candidates import VERSION, Conditions, read_true_chains, score, simulate

from c2s_model.backbone.hmm_gap import trace_gap
from c2s_model.backbone.hmm_paper import trace_paper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulate_candidates import Score, Simulated, TrueChain

    from c2s_model.backbone.chain_trace import TraceResult

MODELS = {
    "7KJR": "models/7kjr.pdb",
    "7BV2": "models/7bv2.pdb",
    "6GYN": "pairs/6gyn.pdb",
    "4CI0": "pairs/4ci0.pdb",
}
ROWS = {
    "clean, noise 0.3": Conditions(noise_A=0.3, missing=0, false=0),
    "clean, noise 0.5": Conditions(missing=0, false=0),
    "easy, 5 %": Conditions(),
    "easy, 10 %": Conditions(missing=0.1, false=0.1),
    "noise 0.3, top-1 0.5": Conditions(noise_A=0.3, top1=0.5),
    "noise 0.8": Conditions(noise_A=0.8),
    "top-1 0.7": Conditions(top1=0.7),
    "top-1 0.5": Conditions(top1=0.5),
    "stretches 10 %": Conditions(missing=0.1, false=0.1, stretches=True),
    "duplicates 20 %": Conditions(duplicates=0.2),
    "duplicates 40 %": Conditions(duplicates=0.4),
    "middling": Conditions(
        missing=0.1, false=0.1, stretches=True, duplicates=0.2, top1=0.7
    ),
    "hard, noise 0.5": Conditions(
        missing=0.1, false=0.1, stretches=True, duplicates=0.4, top1=0.5
    ),
    "hard, noise 0.8": Conditions(
        noise_A=0.8, missing=0.1, false=0.1, stretches=True, duplicates=0.4, top1=0.5
    ),
}  # fmt: skip
METHODS = ("paper", "gap, C-alpha", "gap")


def traced(method: str, drawn: Simulated, chains: Sequence[TrueChain]) -> TraceResult:
    codes = [chain.codes for chain in chains]
    if method == "paper":
        return trace_paper(drawn.candidates.xyz_A, drawn.candidates.amino, codes)
    if method == "gap":
        return trace_gap(drawn.candidates, codes, n_points=drawn.n_points, c_points=drawn.c_points)
    return trace_gap(drawn.candidates, codes)


def measured(
    method: str, conditions: Conditions, structures: Sequence[Sequence[TrueChain]], seeds: int
) -> tuple[list[list[Score]], float]:
    """Return scores by structure and seed, and the seconds of all."""
    scores, seconds = [], 0.0
    for chains in structures:
        row = []
        for seed in range(seeds):
            drawn = simulate(chains, conditions, np.random.default_rng(seed))
            start = time.perf_counter()
            trace = traced(method, drawn, chains)
            seconds += time.perf_counter() - start
            row.append(score(trace, chains))
        scores.append(row)
    return scores, seconds


def line(name: str, method: str, scores: list[list[Score]], seconds: float) -> str:
    def percent(field: str) -> np.ndarray:
        return 100 * np.array([[getattr(one, field) for one in row] for row in scores])

    right = percent("right")
    cells = [f"{mean:.1f}" for mean in right.mean(axis=1)]
    spread = right.mean(axis=0).std()
    further = [percent(field).mean() for field in ("by_chain", "interpolated", "precision")]
    return (
        f"| {name} | {method} | {' | '.join(cells)} | {right.mean():.1f} ± {spread:.1f} | "
        f"{' | '.join(f'{value:.1f}' for value in further)} | {seconds:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", default="", help="only rows whose name holds this")
    parser.add_argument("--methods", default=";".join(METHODS), help="separated by ;")
    parser.add_argument("--table", type=Path, help="file to write the table to as well")
    given = parser.parse_args()
    structures = [read_true_chains(given.data / path) for path in MODELS.values()]
    warm = simulate(structures[0], Conditions(), np.random.default_rng(0))
    for method in METHODS:
        traced(method, warm, structures[0])
    lines = [
        f"Simulator version {VERSION}, {given.seeds} seeds; percent of the true residues right.",
        "",
        f"| row | method | {' | '.join(MODELS)} | mean | by chain | interpolated | precision | s |",
        "|" + "---|" * (len(MODELS) + 7),
    ]
    print("\n".join(lines), flush=True)
    for name, conditions in ROWS.items():
        if given.rows not in name:
            continue
        for method in given.methods.split(";"):
            result = line(name, method, *measured(method, conditions, structures, given.seeds))
            lines.append(result)
            print(result, flush=True)
    if given.table:
        given.table.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
