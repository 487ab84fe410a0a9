"""What tracing C-alpha candidates along the chains' sequences gives, whatever did the tracing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

INTERPOLATED = -1
"""Candidate number of a residue that was placed between others and has no candidate."""


@dataclass(frozen=True, eq=False)
class ChainTrace:
    """The placed residues of one chain, ascending by position in the sequence.

    Parameters
    ----------
    residue
        Position in the chain's sequence as it was given, from 0; strictly ascending; shape (r,),
        int32.
    candidate
        Row of the candidates that the residue sits on, or `INTERPOLATED`; no candidate occurs
        twice, in no chain; shape (r,), int32.
    fragment
        Number of the unbroken piece that the residue belongs to, from 0 within the chain and
        never descending; two pieces are not bonded to each other; shape (r,), int32.
    xyz_A
        C-alpha position, shape (r, 3), float64.

    Raises
    ------
    ValueError
        When the shapes differ or the order is not as described.
    """

    residue: NDArray[np.int32]
    candidate: NDArray[np.int32]
    fragment: NDArray[np.int32]
    xyz_A: NDArray[np.float64]

    def __post_init__(self) -> None:
        n = len(self.residue)
        shapes = (self.residue.shape, self.candidate.shape, self.fragment.shape)
        if shapes != ((n,),) * 3 or self.xyz_A.shape != (n, 3):
            raise ValueError(f"a trace of {n} residues has arrays {shapes}, xyz {self.xyz_A.shape}")
        if (np.diff(self.residue) <= 0).any() or (np.diff(self.fragment) < 0).any():
            raise ValueError("a trace must ascend by residue and by fragment")

    def __len__(self) -> int:
        return len(self.residue)

    @property
    def n_fragments(self) -> int:
        """Number of unbroken pieces."""
        return len(np.unique(self.fragment))


@dataclass(frozen=True, eq=False)
class TraceResult:
    """One trace per chain, in the order in which the chains were given, and what was noticed.

    Parameters
    ----------
    chains
        Traces; one of a chain that could not be placed is empty.
    notes
        Sentences for the report: what was left out or cut short, and why.
    """

    chains: tuple[ChainTrace, ...]
    notes: tuple[str, ...]


def empty_trace() -> ChainTrace:
    """Return a trace of no residue."""
    none = np.empty(0, np.int32)
    return ChainTrace(none, none, none, np.empty((0, 3)))
