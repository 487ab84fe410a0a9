"""The proteins of entries: what of their chains is compared, and which entry has which.

Only chains with at least `MIN_RESIDUES` known amino acids count. Shorter peptides (tags, signal
peptides, ligands) and chains of unknown residues say little about a fold and would join entries
that have nothing else in common; nucleic acids are no proteins.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.sources.catalog import CatalogEntry
from c2s_data.sources.fasta import FastaRecord, read_fasta
from c2s_data.sources.sequence import chain_sequences

MIN_RESIDUES: Final = 20
_NAMED: Final = re.compile(r"\([^)]*\)")
_NO_RESIDUE: Final = re.compile(r"[^A-Z]")
_OTHER: Final = re.compile(r"[^ARNDCQEGHILKMFPSTWYV]")
_NUCLEIC: Final = frozenset("ACGTUN")


@dataclass(frozen=True, eq=False)
class Proteins:
    """The different proteins of a catalog, and the chains that are made of them.

    Parameters
    ----------
    sequences : tuple of str
        Each once, sorted, so that nothing depends on the order of entries.
    entry : (n,) int64
        Row of the catalog, for each entry and each of its different proteins.
    sequence : (n,) int64
        Position in ``sequences``.
    copies : (n,) int64
        Chains of the entry with this sequence.
    n_entries : int
        Rows of the catalog.
    """

    sequences: tuple[str, ...]
    entry: NDArray[np.int64]
    sequence: NDArray[np.int64]
    copies: NDArray[np.int64]
    n_entries: int

    @property
    def residues(self) -> NDArray[np.int64]:
        """Residues of each row of ``entry``, all copies, (n,)."""
        return self.lengths[self.sequence] * self.copies

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Residues of each sequence."""
        return np.fromiter(map(len, self.sequences), np.int64, len(self.sequences))


def sequences_of(entry: CatalogEntry) -> tuple[str, ...]:
    """Return the protein sequences of an entry, one for each chain.

    From the file of its ``sequence`` column, where a record counts as often as its header names
    chains; without one from its model.

    Raises
    ------
    FastaError, ModelError
        If the file is missing or not what it should be.
    """
    if entry.sequence:
        records = read_fasta(entry.sequence)
        return tuple(
            record.sequence
            for record in records
            if not is_nucleic(record)
            for _ in range(max(1, len(record.chains)))
        )
    chains = chain_sequences(entry.model)
    return tuple(chain.sequence for chain in chains if chain.kind == "protein")


def is_nucleic(record: FastaRecord) -> bool:
    """Say whether a record is DNA or RNA: nothing but A, C, G, T, U and N or X."""
    letters = set(_NO_RESIDUE.sub("", _NAMED.sub("", record.sequence.upper())))
    return letters <= _NUCLEIC | {"X"}


def comparable(sequence: str) -> str:
    """Return what of a sequence is compared: capitals, X for what is none of the 20; or nothing.

    Unknown ends are cut off; what then has fewer than `MIN_RESIDUES` known residues is empty.
    """
    letters = _NO_RESIDUE.sub("", _NAMED.sub("X", sequence.upper()))
    known = _OTHER.sub("X", letters).strip("X")
    return known if len(known) - known.count("X") >= MIN_RESIDUES else ""


def proteins_of(chains: Sequence[Sequence[str]]) -> Proteins:
    """Gather the proteins of entries.

    Parameters
    ----------
    chains
        For each entry the sequences of its protein chains, as `sequences_of` returns them.
    """
    cache: dict[str, str] = {}
    per_entry: list[Mapping[str, int]] = []
    for sequences in chains:
        for text in sequences:
            if text not in cache:
                cache[text] = comparable(text)
        per_entry.append(Counter(cache[text] for text in sequences if cache[text]))
    unique = tuple(sorted(set().union(*per_entry))) if per_entry else ()
    number = {text: i for i, text in enumerate(unique)}
    rows = [(i, number[text], n) for i, found in enumerate(per_entry) for text, n in found.items()]
    table = np.array(sorted(rows), np.int64).reshape(-1, 3)
    return Proteins(unique, table[:, 0], table[:, 1], table[:, 2], len(per_entry))
