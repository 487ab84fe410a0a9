"""The sequences of one entry's chains: what the store keeps of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import ModelError
from c2s_data.plan import PlannedEntry
from c2s_data.sources.fasta import FastaError, FastaRecord, read_fasta
from c2s_data.sources.residue_table import ResidueTable
from c2s_data.sources.sequence import chain_sequences
from c2s_data.sources.sequence_table import (
    sequence_facts,
    sequence_notes,
    sequence_places,
    to_fasta,
)


class EntrySequences(NamedTuple):
    """FASTA text of the protein chains, place of each residue in its chain's sequence, numbers.

    ``sequence_index`` (n_residues,) int32 counts from 0, -1 where a residue has no place.
    """

    fasta: str
    sequence_index: NDArray[np.int32]
    facts: dict[str, Any]
    notes: tuple[str, ...]


def sequences_of_entry(residues: ResidueTable, planned: PlannedEntry) -> EntrySequences:
    """Find the sequence of every chain and the place of every residue of the table in it.

    Maps are labeled without sequences, so what is wrong with these costs no entry: the notes say
    what is not used and why.
    """
    entry = planned.entry
    records, notes = _deposited(entry.sequence)
    try:
        chains = chain_sequences(entry.model, records)
        fasta = to_fasta(chains, entry.pdb_id or planned.entry_id)
    except (FastaError, ModelError) as error:
        chains, fasta = (), ""
        notes += (f"no sequences are kept: {error}",)
    return EntrySequences(
        fasta,
        sequence_places(residues, chains).sequence_index,
        dict(sequence_facts(chains)),
        notes + sequence_notes(chains),
    )


def _deposited(path: str | None) -> tuple[tuple[FastaRecord, ...], tuple[str, ...]]:
    """Return the records of the catalog's FASTA file, or a note that it is not used."""
    try:
        return () if path is None else read_fasta(path), ()
    except FastaError as error:
        return (), (f"the catalog's sequences are not used: {error}",)
