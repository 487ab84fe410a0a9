"""Tracing with gaps: the recommended way from C-alpha candidates to chains.

Each step has its module: evidence for bonds (`bond_evidence`), fragments that stand on their own
(`chain_fragments`), the chains they belong to (`chain_copies`, `uncross_copies`), what fits between
them (`gap_filling`); a few missed residues are interpolated. Emissions are log-odds

    e(s, a) = ln((1 - floor) p(a | s) / background(a) + floor)

so that a residue without information counts 0 and no single error can break a path.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from c2s_model.backbone.bond_evidence import (
    BOND_A,
    BondOptions,
    Steps,
    against,
    bends,
    bond_steps,
    crowding,
    skip_steps,
)
from c2s_model.backbone.chain_copies import assign_to_copies
from c2s_model.backbone.chain_fragments import Graph, seed_fragments
from c2s_model.backbone.chain_trace import INTERPOLATED, ChainTrace, TraceResult, empty_trace
from c2s_model.backbone.gap_filling import FillOptions, fill_gaps
from c2s_model.backbone.hmm_matrices import BACKGROUND
from c2s_model.backbone.uncross_copies import uncross

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from c2s_model.backbone.candidates import AtomPoints
    from c2s_model.backbone.chain_copies import Placement


class HasCandidates(Protocol):
    """What is read of the candidates, such as `c2s_model.backbone.candidates.Candidates`."""

    @property
    def xyz_A(self) -> NDArray[np.float64]:
        """Positions, (n, 3)."""

    @property
    def amino(self) -> NDArray[np.float64]:
        """Probability of each amino acid, (n, 20)."""


@dataclass(frozen=True)
class GapOptions:
    """Options of `trace_gap`.

    Parameters
    ----------
    noise_A
        Standard deviation of a point's position on each axis; None measures it on the first
        fragments, found under ``first_noise_A``.
    floor
        Share of emissions that say nothing.
    margin
        Nats above chance that a fragment needs to stand on its own.
    apart_A
        Candidates nearer than this to one that is used are taken for doubles of it.
    interpolate
        Longest run of unplaced residues that is bridged.
    """

    noise_A: float | None = None
    first_noise_A: float = 0.6
    floor: float = 0.02
    margin: float = 0.0
    apart_A: float = 2.0
    interpolate: int = 3
    bonds: BondOptions = field(default_factory=BondOptions)
    fill: FillOptions = field(default_factory=FillOptions)


DEFAULTS: Final = GapOptions()
LEAST_NOISE_A: Final = 0.2
MOST_NOISE_A: Final = 1.2
ENOUGH_BONDS: Final = 20
SAMPLE: Final = 1000
"""Candidates among which the first fragments are looked for, to measure the noise."""


def trace_gap(
    candidates: HasCandidates,
    chains: Sequence[NDArray[np.int8]],
    *,
    n_points: AtomPoints | None = None,
    c_points: AtomPoints | None = None,
    options: GapOptions = DEFAULTS,
) -> TraceResult:
    """Place the sequences of all chains on the candidates.

    Parameters
    ----------
    candidates
        C-alpha candidates.
    chains
        Residue codes of each chain, 0 to 19 in the order of `schema.AMINO_ACIDS`, negative for
        unknown. Chains of equal codes are copies.
    n_points, c_points
        Predicted N and C; without them the distances alone speak for bonds.
    options
        What is assumed, and what is required of a placement.

    Returns
    -------
    TraceResult
        Residues between others that have no candidate are interpolated where ``options`` allow.
        Nothing raises for want of candidates or residues: traces are empty then, and a note says
        so.
    """
    codes = [np.maximum(chain, -1).astype(np.int64) for chain in chains]
    alike: dict[bytes, list[int]] = {}
    for number, chain in enumerate(codes):
        alike.setdefault(chain.tobytes(), []).append(number)
    groups = [group for group in alike.values() if len(codes[group[0]])]
    xyz_A = np.asarray(candidates.xyz_A, np.float64)
    if not len(xyz_A) or not groups:
        missing = "candidates" if groups else "residues"
        return TraceResult(tuple(empty_trace() for _ in chains), (f"there are no {missing}",))
    emission = emission_log_odds(np.asarray(candidates.amino, np.float64), options.floor)
    sequences, copies = [codes[group[0]] for group in groups], [len(group) for group in groups]
    noise_A = options.noise_A
    if noise_A is None:
        first = make_graph(
            xyz_A, emission, n_points, c_points, options.first_noise_A, options.bonds
        )
        noise_A = measured_noise_A(first, sequences, options) or options.first_noise_A
    graph = make_graph(xyz_A, emission, n_points, c_points, noise_A, options.bonds)
    seeds = seed_fragments(graph, sequences, copies, margin=options.margin, apart_A=options.apart_A)
    placed: list[Placement] = [{} for _ in chains]
    for group, pieces in zip(groups, seeds, strict=True):
        split = assign_to_copies(pieces, len(group), xyz_A, noise_A)
        for number, placement in zip(group, split, strict=True):
            placed[number] = placement
    members = [[placed[number] for number in group] for group in groups]
    for group, equal in zip(groups, members, strict=True):
        uncross(equal, graph, len(codes[group[0]]), noise_A)
    fill_gaps(graph, codes, placed, noise_A, options.fill)
    for group, equal in zip(groups, members, strict=True):
        uncross(equal, graph, len(codes[group[0]]), noise_A)
    traces = tuple(to_trace(placement, xyz_A, noise_A, options.interpolate) for placement in placed)
    return TraceResult(traces, _notes(traces, codes, noise_A))


def emission_log_odds(amino: NDArray[np.float64], floor: float) -> NDArray[np.float32]:
    """Return log-odds by amino acid, (21, n); the last row is for unknown residues."""
    background = np.array(BACKGROUND) / np.sum(BACKGROUND)
    share = amino / np.maximum(amino.sum(axis=1, keepdims=True), 1e-12)
    odds = np.log((1 - floor) * share / background + floor)
    return np.vstack((odds.T, np.zeros(len(amino)))).astype(np.float32)


def measured_noise_A(
    graph: Graph, sequences: Sequence[NDArray[np.int64]], options: GapOptions
) -> float | None:
    """Return the noise per axis that the lengths of bonds show, None without enough of them.

    Bonds are those of the fragments that a first search finds among the candidates nearest to the
    middle; the length of a bond varies with twice the variance of a point on one axis.
    """
    away = np.linalg.norm(graph.xyz_A - np.median(graph.xyz_A, axis=0), axis=1)
    rows = np.sort(np.argsort(away, kind="stable")[:SAMPLE])
    once = [1] * len(sequences)
    found = seed_fragments(
        graph.among(rows), sequences, once,
        margin=options.margin, apart_A=options.apart_A, most_rounds=1,
    )  # fmt: skip
    lengths = []
    for piece in itertools.chain.from_iterable(found):
        step = np.diff(graph.xyz_A[rows[piece.state]], axis=0)
        lengths.append(np.linalg.norm(step[np.diff(piece.residue) == 1], axis=1))
    if sum(map(len, lengths)) < ENOUGH_BONDS:
        return None
    noise_A = np.concatenate(lengths).std() / np.sqrt(2)
    return float(np.clip(noise_A, LEAST_NOISE_A, MOST_NOISE_A))


def make_graph(
    xyz_A: NDArray[np.float64],
    emission: NDArray[np.float32],
    n_points: AtomPoints | None,
    c_points: AtomPoints | None,
    noise_A: float,
    options: BondOptions,
) -> Graph:
    """Return candidates with their log-odds and all evidence about steps between them."""
    ratios = bond_steps(xyz_A, n_points, c_points, noise_A, options)
    bonds, skips = against(ratios, options.slack), skip_steps(xyz_A, noise_A, options)
    source = np.hstack((bonds.source, skips.source))
    bend = bends(xyz_A, source, options.most_bonds, noise_A, options)
    more = np.float32(crowding(bonds, bend[:, : options.most_bonds, : options.most_bonds]))
    steps = Steps(source, np.hstack((bonds.weight - more, skips.weight)))
    return Graph(xyz_A, emission, ratios, steps, options.most_bonds, bend)


def to_trace(
    placement: Placement, xyz_A: NDArray[np.float64], noise_A: float, longest_run: int
) -> ChainTrace:
    """Return placed residues in order, with short gaps between them bridged in a straight line.

    A piece ends where more residues are unplaced than may be bridged, or the ends lie farther
    apart than a chain reaches.
    """
    if not placement:
        return empty_trace()
    residue = np.array(sorted(placement), np.int64)
    state = np.array([placement[number] for number in residue.tolist()], np.int64)
    apart = np.diff(residue)
    step = np.linalg.norm(np.diff(xyz_A[state], axis=0), axis=1)
    joined = (apart <= longest_run + 1) & (step <= BOND_A * apart + 3 * np.sqrt(2) * noise_A)
    fragment = np.concatenate(([0], np.cumsum(~joined)))
    every = np.arange(residue[0], residue[-1] + 1)
    before = np.searchsorted(residue, every, side="right") - 1
    on_candidate = residue[before] == every
    keep = on_candidate | np.append(joined, False)[before]
    every, before, on_candidate = every[keep], before[keep], on_candidate[keep]
    between = [np.interp(every, residue, xyz_A[state, axis]) for axis in range(3)]
    return ChainTrace(
        every.astype(np.int32),
        np.where(on_candidate, state[before], INTERPOLATED).astype(np.int32),
        fragment[before].astype(np.int32),
        np.stack(between, axis=1),
    )


def _notes(
    traces: Sequence[ChainTrace], codes: Sequence[NDArray[np.int64]], noise_A: float
) -> tuple[str, ...]:
    notes = [f"points scatter by {noise_A:.2f} A on each axis"]
    for number, (trace, chain) in enumerate(zip(traces, codes, strict=True)):
        unknown = int((chain < 0).sum())
        if unknown:
            notes.append(f"chain {number}: {unknown} residues unknown, which fit any candidate")
        if len(chain) and not len(trace):
            notes.append(f"chain {number}: no stretch fits the candidates better than chance")
    return tuple(notes)
