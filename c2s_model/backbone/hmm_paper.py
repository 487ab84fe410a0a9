"""The paper's hidden Markov model: C-alpha candidates and sequences become chain traces.

"HMM-Guided Alignment of C-alpha Atoms and Protein Sequences": matrices in `hmm_matrices`, search
in `viterbi`. Chains are traced in the order given, each over the candidates that earlier ones have
left. There is neither a state for a missed C-alpha nor one for a false candidate, so every residue
takes a candidate, wherever it lies, until none is left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import ConfigError
from c2s_data.schema import AMINO_ACIDS
from c2s_model.backbone.chain_trace import ChainTrace, TraceResult, empty_trace
from c2s_model.backbone.hmm_matrices import LAMBDA, emission_matrix, sparse_transitions
from c2s_model.backbone.viterbi import FreeStates


def trace_paper(
    xyz_A: NDArray[np.float64],
    emission: NDArray[np.float64],
    chains: Sequence[NDArray[np.int8]],
    *,
    lambda_: float = LAMBDA,
) -> TraceResult:
    """Return the chains' traces through the candidates.

    Parameters
    ----------
    xyz_A
        Positions of the candidates, shape (n, 3); n may be 0.
    emission
        Mean probability of each amino acid, shape (n, 20), as `Candidates.amino`.
    chains
        Residue codes of each chain. Unknown residues are taken out before the search, so that
        those beside them become consecutive, as published.
    lambda_
        Scaling factor of the standard deviation of C-alpha distances, above 0.

    Returns
    -------
    result
        Fragments follow each other without a missing residue; a chain that ran out of candidates
        ends early, and a note says so.

    Raises
    ------
    ConfigError
        When positions, emissions, codes or ``lambda_`` are not as described.
    """
    xyz_A, emission = np.asarray(xyz_A, np.float64), np.asarray(emission, np.float64)
    _check(xyz_A, emission, chains, lambda_)
    n_known = sum(int((codes >= 0).sum()) for codes in chains)
    if not len(xyz_A):
        return TraceResult(
            tuple(empty_trace() for _ in chains),
            (f"there are no candidates: none of {n_known} residues is placed",),
        )
    notes = []
    if len(xyz_A) < n_known:
        notes.append(
            f"the sequences have {n_known} known residues, but there are {len(xyz_A)} candidates: "
            "the last chains stay short or empty"
        )
    free = FreeStates(sparse_transitions(xyz_A, lambda_), emission_matrix(emission))
    traces = []
    for number, codes in enumerate(chains, 1):
        trace = _trace_chain(free, xyz_A, codes)
        traces.append(trace)
        notes += _notes(f"chain {number}", codes, trace)
    if len(free):
        notes.append(f"{len(free)} of {len(xyz_A)} candidates are in no chain")
    return TraceResult(tuple(traces), tuple(notes))


def _trace_chain(
    free: FreeStates, xyz_A: NDArray[np.float64], codes: NDArray[np.int8]
) -> ChainTrace:
    known = np.flatnonzero(codes >= 0).astype(np.int32)
    fragments = free.trace(codes[known])
    if not fragments:
        return empty_trace()
    candidate = np.concatenate(fragments).astype(np.int32)
    lengths = [len(fragment) for fragment in fragments]
    return ChainTrace(
        known[: len(candidate)],
        candidate,
        np.repeat(np.arange(len(fragments), dtype=np.int32), lengths),
        xyz_A[candidate],
    )


def _notes(name: str, codes: NDArray[np.int8], trace: ChainTrace) -> list[str]:
    notes = []
    n_known = int((codes >= 0).sum())
    if n_known < len(codes):
        notes.append(
            f"{name}: {len(codes) - n_known} of {len(codes)} residues are unknown (X, U, O ...) "
            "and left out"
        )
    if not n_known:
        notes.append(f"{name}: nothing to place, its sequence names no known residue")
    elif len(trace) < n_known:
        notes.append(
            f"{name}: {len(trace)} of {n_known} known residues are placed, then no candidate was "
            "free"
        )
    return notes


def _check(
    xyz_A: NDArray[np.float64],
    emission: NDArray[np.float64],
    chains: Sequence[NDArray[np.int8]],
    lambda_: float,
) -> None:
    shape = (len(xyz_A), len(AMINO_ACIDS))
    if xyz_A.shape != (len(xyz_A), 3) or emission.shape != shape:
        raise ConfigError(
            f"candidates: positions {xyz_A.shape} and emissions {emission.shape} do not belong "
            f"together; give (n, 3) and (n, {len(AMINO_ACIDS)})"
        )
    if not np.isfinite(xyz_A).all() or not np.isfinite(emission).all() or (emission < 0).any():
        raise ConfigError(
            "candidates: a position or an emission is not finite, or an emission is negative; "
            "check the prediction that they come from"
        )
    if not (math.isfinite(lambda_) and lambda_ > 0):
        raise ConfigError(f"lambda {lambda_}: give a number above 0, {LAMBDA:g} as published")
    for number, codes in enumerate(chains, 1):
        if codes.ndim != 1 or ((codes < -1) | (codes >= len(AMINO_ACIDS))).any():
            raise ConfigError(
                f"chain {number}: residue codes are one row of numbers from -1 to 19; "
                "`residue_codes` makes them of a sequence"
            )
