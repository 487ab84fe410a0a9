"""What other ways of tracing with gaps place right, on the draws that `hmm_accuracy` uses.

    python benchmarks/hmm_alternatives.py SHARED_DATA [--seeds 2] [--ways cover] [--table FILE]

Cells are percent right / right by chain / precision (`simulate_candidates.Score`), means over four
structures and the seeds. `as built` is `c2s_model.backbone.hmm_gap`; the rows after it are

- the same without one of its parts;
- **jumps**: one Viterbi search for each chain, longest first, over residues x free candidates,
  bonds and skips as built, any other step at a fixed price; of a candidate that a path comes back
  to, the first visit counts;
- **cover first**: bonds are chosen before any sequence is looked at, for the greatest sum of
  l(i, j) - b + bias with at most one bond into and one out of each candidate (a minimum-cost flow,
  solved as an assignment), and sequences are placed on these alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np
from hmm_accuracy import MODELS, ROWS
from numba import njit
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from simulate_candidates import VERSION, Simulated, TrueChain, read_true_chains, score, simulate

from c2s_model.backbone import hmm_gap
from c2s_model.backbone.bond_evidence import Steps
from c2s_model.backbone.chain_fragments import Graph
from c2s_model.backbone.chain_trace import ChainTrace, TraceResult
from c2s_model.backbone.hmm_gap import DEFAULTS, emission_log_odds, make_graph, trace_gap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Way = Callable[["Sequence[TrueChain]", Simulated], TraceResult]
CONDITIONS = ("clean, noise 0.5", "easy, 10 %", "noise 0.8", "top-1 0.5", "middling",
              "hard, noise 0.5")  # fmt: skip


def as_built(chains: Sequence[TrueChain], drawn: Simulated) -> TraceResult:
    codes = [chain.codes for chain in chains]
    return trace_gap(drawn.candidates, codes, n_points=drawn.n_points, c_points=drawn.c_points)


def but(name: str, replacement: Callable[..., object]) -> Way:
    """Return tracing as built with one function of it replaced."""

    def way(chains: Sequence[TrueChain], drawn: Simulated) -> TraceResult:
        with patch.object(hmm_gap, name, replacement):
            return as_built(chains, drawn)

    return way


def straight(*args: object) -> NDArray[np.float32]:
    """Stand for `bends`: nothing speaks against any bend."""
    return np.zeros_like(BENDS(*args))


def both_ways(ratios: Steps, slack: float) -> Steps:
    """Stand for `against`: a bond better than usual counts for a placement, too."""
    best = ratios.weight[:, 0]
    usual = np.float32(np.median(best[best > -np.inf]))
    return Steps(ratios.source, ratios.weight - usual + np.float32(slack))


def covered(bias: float) -> Callable[..., Graph]:
    """Stand for `make_graph`: only the bonds of the best cover, skips only between path ends."""

    def graph(*args: object) -> Graph:
        made = make_graph(*args)
        n, skip = len(made.xyz_A), made.first_skip
        next_of = best_cover(made.ratios, bias)
        source, weight = made.steps.source.copy(), made.steps.weight.copy()
        follows, leads = np.zeros(n, bool), next_of >= 0
        follows[next_of[leads]] = True
        gone = next_of[source[:, :skip]] != np.arange(n)[:, None]
        gone = np.hstack((gone, follows[:, None] | leads[source[:, skip:]])) | (source < 0)
        source[gone], weight[gone] = -1, -np.inf
        return made._replace(steps=Steps(source, weight))

    return graph


def best_cover(ratios: Steps, bias: float) -> NDArray[np.int64]:
    """Return the successor of each candidate, -1 for none."""
    n = len(ratios.source)
    best = ratios.weight[:, 0]
    worth = ratios.weight - np.median(best[best > -np.inf]) + bias
    j, rank = np.nonzero((ratios.source >= 0) & (worth > 0))
    i, gain = ratios.source[j, rank], worth[j, rank]
    # Each candidate may go without: row i may take column n + i, column j may take row n + j; the
    # stand-ins of a chosen bond take each other.
    rows = np.concatenate((i, np.arange(n), n + np.arange(n), n + j))
    columns = np.concatenate((j, n + np.arange(n), np.arange(n), n + i))
    most = gain.max(initial=0.0) + 1
    cost = np.concatenate((most - gain, np.full(2 * n + len(i), most)))
    row, column = min_weight_full_bipartite_matching(csr_matrix((cost, (rows, columns))))
    next_of = np.full(n + 1, -1)  # the last stands for "no candidate", which is written -1
    chosen = (row < n) & (column < n)
    next_of[row[chosen]] = column[chosen]
    return next_of[:n]


@njit(cache=True)
def with_jumps(
    emission: NDArray[np.float32],
    codes: NDArray[np.int64],
    source: NDArray[np.int32],
    weight: NDArray[np.float32],
    first_skip: int,
    free: NDArray[np.bool_],
    jump: float,
) -> NDArray[np.int64]:
    """Return the candidate of each residue, -1 where a skip passes over it."""
    T, n = len(codes), emission.shape[1]
    value = np.full((3, n), -np.inf, np.float32)
    before, far = np.full((T, n), -1, np.int32), np.ones((T, n), np.int64)
    for t in range(T):
        last, but_one = value[(t + 2) % 3], value[(t + 1) % 3]
        from_any = int(np.argmax(last))
        for s in range(n):
            if not free[s]:
                continue
            best, arg = np.float32(0), -1
            if t > 0:
                best, arg = last[from_any] + np.float32(jump), from_any
            for k in range(source.shape[1]):
                u = source[s, k]
                if u < 0 or (k >= first_skip and t < 2) or t == 0:
                    continue
                offer = (last[u] if k < first_skip else but_one[u]) + weight[s, k]
                if offer > best:
                    best, arg = offer, u
                    far[t, s] = 1 if k < first_skip else 2
            value[t % 3, s] = best + emission[codes[t], s]
            before[t, s] = arg
    out = np.full(T, -1, np.int64)
    t, s = T - 1, int(np.argmax(value[(T - 1) % 3]))
    while s >= 0:
        out[t] = s
        t, s = t - far[t, s], before[t, s]
    return out


def jumping(jump: float) -> Way:
    def way(chains: Sequence[TrueChain], drawn: Simulated) -> TraceResult:
        points = drawn.candidates
        noise_A = DEFAULTS.first_noise_A
        emission = emission_log_odds(points.amino, DEFAULTS.floor)
        graph = make_graph(
            points.xyz_A, emission, drawn.n_points, drawn.c_points, noise_A, DEFAULTS.bonds
        )
        free, found = np.ones(len(points.xyz_A), bool), {}
        for number in sorted(range(len(chains)), key=lambda number: -len(chains[number].codes)):
            codes = chains[number].codes.astype(np.int64)
            path = with_jumps(emission, codes, *graph.steps, graph.first_skip, free, jump)
            placed = np.flatnonzero(path >= 0)
            residue = np.sort(placed[np.unique(path[placed], return_index=True)[1]])
            state = path[residue]
            free[state] = False
            found[number] = ChainTrace(
                residue.astype(np.int32), state.astype(np.int32),
                np.zeros(len(state), np.int32), points.xyz_A[state],
            )  # fmt: skip
        return TraceResult(tuple(found[number] for number in range(len(chains))), ())

    return way


def strewn(drawn: Simulated, rng: np.random.Generator) -> Simulated:
    """Return the same numbers of points, at random."""
    points = drawn.candidates
    side_A = (len(points.xyz_A) / STREWN_DENSITY) ** (1 / 3)

    def anywhere(like: NDArray[np.float64]) -> NDArray[np.float64]:
        return rng.uniform(0, side_A, like.shape)

    return Simulated(
        replace(points, xyz_A=anywhere(points.xyz_A), amino=rng.permutation(points.amino)),
        replace(drawn.n_points, xyz_A=anywhere(drawn.n_points.xyz_A)),
        replace(drawn.c_points, xyz_A=anywhere(drawn.c_points.xyz_A)),
    )


def placed_share(way: Way, chains: Sequence[TrueChain], seed: int) -> float:
    rng = np.random.default_rng(seed)
    drawn = strewn(simulate(chains, ROWS["top-1 0.5"], rng), rng)
    traces = way(chains, drawn).chains
    n_placed = sum(int((trace.candidate >= 0).sum()) for trace in traces)
    return n_placed / sum(len(chain.residue) for chain in chains)


STREWN_DENSITY = 0.008
BENDS = hmm_gap.bends
WAYS: dict[str, Way] = {
    "as built": as_built,
    "without bends": but("bends", straight),
    "bonds count for, too": but("against", both_ways),
    "without crowding": but("crowding", lambda bonds, bend: 0.0),
    "without filling gaps": but("fill_gaps", lambda *args: None),
    "without uncrossing": but("uncross", lambda *args: None),
    "jumps at -8": jumping(-8.0),
    "jumps at -14": jumping(-14.0),
    "cover first, bias 0": but("make_graph", covered(0.0)),
    "cover first, bias 2": but("make_graph", covered(2.0)),
    "cover first, bias 4": but("make_graph", covered(4.0)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--ways", default="", help="only ways whose name holds this")
    parser.add_argument("--table", type=Path, help="file to write the table to as well")
    given = parser.parse_args()
    structures = [read_true_chains(given.data / path) for path in MODELS.values()]
    lines = [
        f"Simulator version {VERSION}, {given.seeds} seeds; right / by chain / precision, percent.",
        "",
        f"| way | {' | '.join(CONDITIONS)} | strewn | s |",
        "|" + "---|" * (len(CONDITIONS) + 3),
    ]
    print("\n".join(lines), flush=True)
    for name, way in WAYS.items():
        if given.ways not in name:
            continue
        cells, began = [], time.perf_counter()
        for condition in CONDITIONS:
            scores = []
            for chains in structures:
                for seed in range(given.seeds):
                    drawn = simulate(chains, ROWS[condition], np.random.default_rng(seed))
                    one = score(way(chains, drawn), chains)
                    scores.append((one.right, one.by_chain, one.precision))
            cells.append(" / ".join(f"{100 * part:.1f}" for part in np.mean(scores, axis=0)))
        shares = [placed_share(way, ch, seed) for ch in structures for seed in range(given.seeds)]
        cells.append(f"{100 * np.mean(shares):.1f}")
        lines.append(f"| {name} | {' | '.join(cells)} | {time.perf_counter() - began:.0f} |")
        print(lines[-1], flush=True)
    if given.table:
        given.table.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
