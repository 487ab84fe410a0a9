"""Which sequences an entry has, how often each, and how their embeddings become one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from c2s_data.sources.fasta import FastaRecord, parse_fasta

MAX_RESIDUES: Final = 2750
"""Residues of a sequence that are embedded; the rest is left out (paper, "Full Train v2 + Seq")."""

LETTERS: Final = frozenset("ACDEFGHIKLMNPQRSTVWYBXZUO")
"""What ESM-2 has tokens for; any other letter is taken for X."""
MeanOf = Callable[[str], NDArray[np.float32]]


class Copies(NamedTuple):
    """One sequence of an entry, cut to what is embedded, and how many chains have it."""

    sequence: str
    n: int


def copies_of(records: Iterable[FastaRecord]) -> tuple[Copies, ...]:
    """Return the sequences of an entry; a record whose header names no chain counts once.

    Gaps and stops are left out; a name in parentheses and a letter that is no residue are X.
    """
    found = (
        Copies(_letters(record.sequence)[:MAX_RESIDUES], max(1, len(record.chains)))
        for record in records
    )
    return tuple(copies for copies in found if copies.sequence)


def copies_in_text(fasta: str, name: str) -> tuple[Copies, ...]:
    """Return the sequences of FASTA text that a store keeps; none for empty text."""
    return copies_of(parse_fasta(fasta, name=name)) if fasta.strip() else ()


def mean_embedding(copies: Iterable[Copies], mean_of: MeanOf) -> tuple[NDArray[np.float32], int]:
    """Return the mean over all residues of all chains, and how many they are.

    Chains of equal sequence have equal embeddings, so each sequence is embedded once and weighs as
    its residues times its chains.

    Parameters
    ----------
    copies
        At least one.
    mean_of
        Gives the mean over the residues of one sequence, (S,).

    Returns
    -------
    vector : (S,) float32
        Summed in float64.
    n_residues
        Residues of all chains.
    """
    total: NDArray[np.float64] | None = None
    n_residues = 0
    for sequence, n in copies:
        weight = len(sequence) * n
        part = mean_of(sequence).astype(np.float64) * weight
        total = part if total is None else total + part
        n_residues += weight
    if total is None:
        raise ValueError("an entry without sequences has no embedding")
    return (total / n_residues).astype(np.float32), n_residues


def _letters(sequence: str) -> str:
    letters = []
    inside = False
    for letter in sequence.upper():
        if letter == "(":
            inside = True
            letters.append("X")
        elif letter == ")":
            inside = False
        elif not inside and letter.isalpha():
            letters.append(letter if letter in LETTERS else "X")
    return "".join(letters)
