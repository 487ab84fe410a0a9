"""What a store keeps of an entry's sequences, and the chains made of it again."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from c2s_data.sources.fasta import FastaRecord, chain_list, format_fasta
from c2s_data.sources.residue_letter import AMINO_LETTERS, UNKNOWN
from c2s_data.sources.sequence import ChainSequence
from c2s_data.sources.sequence_match import UNALIGNED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from c2s_data.sources.residue_table import ResidueTable
    from c2s_data.sources.sequence import ChainKind

_CHAINS_A_RECORD: Final = 500
_DESCRIPTION: Final = 1000
_Key = tuple[str, str, int, str, str]
"""Author and mmCIF name of the chain, author number, insertion code, residue name."""


class SequencePlaces(NamedTuple):
    """Where the rows of a residue table stand.

    Parameters
    ----------
    chain_number : (n,) int32
        Which of the chains; -1 where none has the residue.
    sequence_index : (n,) int32
        0-based position in that chain's sequence; -1 where it has no place.
    """

    chain_number: NDArray[np.int32]
    sequence_index: NDArray[np.int32]


def sequence_places(residues: ResidueTable, chains: Sequence[ChainSequence]) -> SequencePlaces:
    """Find each row of a residue table among the chains of the same file.

    Rows of a copy of a chain, which an assembly names ``A-2``, stand where those of A do.
    """
    # gemmi makes one residue of all atoms with the same key, so each stands for one place.
    places: dict[_Key, tuple[int, int]] = {}
    for number, chain in enumerate(chains):
        for residue, position in zip(chain.residues, chain.observed.tolist(), strict=True):
            label, auth_seq_id, insertion_code, names = residue
            for name in names:
                key = (chain.chain, label, auth_seq_id, insertion_code, name)
                places[key] = (number, position)
    columns = (
        residues.chain.tolist(),
        residues.label_asym_id.tolist(),
        residues.auth_seq_id.tolist(),
        residues.insertion_code.tolist(),
        residues.residue_name.tolist(),
    )
    nowhere = (-1, UNALIGNED)
    found = []
    for chain_name, label, *rest in zip(*columns, strict=True):
        place = places.get((chain_name, label, *rest))
        found.append(place or places.get((*_originals(chain_name, label), *rest), nowhere))
    table = np.array(found, np.int32).reshape(-1, 2)
    return SequencePlaces(table[:, 0], table[:, 1])


def sequence_facts(chains: Sequence[ChainSequence]) -> dict[str, int | str]:
    """Sum up the protein chains for the catalog.

    Returns
    -------
    dict
        ``n_sequence_residues``, ``n_observed_residues`` (those with a place in a sequence, each
        place once), ``sequence_mismatches`` (of another letter than their place, or without a
        place) and ``sequence_source`` (the sources that occur, joined by "+").
    """
    protein = [chain for chain in chains if chain.kind == "protein"]
    return {
        "n_sequence_residues": sum(chain.length for chain in protein),
        "n_observed_residues": sum(chain.length - chain.n_missing for chain in protein),
        "sequence_mismatches": sum(chain.n_mismatches + chain.n_unaligned for chain in protein),
        "sequence_source": "+".join(sorted({chain.source for chain in protein})),
    }


def sequence_notes(chains: Sequence[ChainSequence]) -> tuple[str, ...]:
    """Return what is to be told of the chains, equal notes once with all chains they concern."""
    of_note: dict[str, list[str]] = defaultdict(list)
    for chain in chains:
        notes = [chain.note] if chain.note else []
        if chain.n_unaligned:
            notes.append("observed residues without a place in the sequence")
        if chain.n_mismatches:
            notes.append("observed residues of another type than the sequence has")
        for note in notes:
            of_note[note].append(chain.chain)
    return tuple(
        f"chain{'s' * (len(names) > 1)} {', '.join(names)}: {note}"
        for note, names in of_note.items()
    )


def to_fasta(chains: Sequence[ChainSequence], entry_id: str, *, kind: ChainKind = "protein") -> str:
    """Return the sequences of one kind as FASTA, each once with all its chains in the header.

    ``>7KJR_1|Chains A, B[auth X]|description``, as the Protein Data Bank writes it. Empty when
    there is no chain of that kind.
    """
    copies: dict[str, list[ChainSequence]] = defaultdict(list)
    for chain in chains:
        if chain.kind == kind:
            copies[chain.sequence].append(chain)
    records: list[FastaRecord] = []
    for sequence, group in copies.items():
        description = next((chain.description for chain in group if chain.description), kind)
        for first in range(0, len(group), _CHAINS_A_RECORD):
            named = group[first : first + _CHAINS_A_RECORD]
            names = chain_list((chain.label_asym_id, chain.chain) for chain in named)
            header = f"{entry_id}_{len(records) + 1}|{names}|{description[:_DESCRIPTION]}"
            records.append(FastaRecord(header, sequence))
    return format_fasta(records) if records else ""


def stored_chains(
    records: Sequence[FastaRecord],
    *,
    chain: NDArray[np.str_],
    label_asym_id: NDArray[np.str_],
    amino_class: NDArray[np.uint8],
    sequence_index: NDArray[np.int32],
) -> tuple[ChainSequence, ...]:
    """Make the protein chains again from what a store keeps: FASTA and residue table.

    In the order of the table, chains without a row last. Observed are the residues of the table:
    it has no row for caps and for what lacks N, C-alpha and C.

    Parameters
    ----------
    records
        As `to_fasta` wrote them.
    chain, label_asym_id, amino_class, sequence_index : (n,)
        Columns of the residue table; ``sequence_index`` as in `SequencePlaces`.
    """
    sequences = {name: record for record in records for name in record.chains}
    rows_of: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, name in enumerate(zip(label_asym_id.tolist(), chain.tolist(), strict=True)):
        rows_of[name].append(row)
    for name in sequences:
        rows_of.setdefault(name, [])
    found = []
    for (label, auth), rows in rows_of.items():
        original_auth, original_label = _originals(auth, label)
        record = sequences.get((label, auth)) or sequences.get((original_label, original_auth))
        if record is None:
            continue
        places = sequence_index[rows].astype(np.int32)
        letters = "".join(
            AMINO_LETTERS[number] if number else record.sequence[place] if place >= 0 else UNKNOWN
            for number, place in zip(amino_class[rows].tolist(), places.tolist(), strict=True)
        )
        found.append(
            ChainSequence(
                chain=auth,
                label_asym_id=label,
                entity=record.header.split("|")[0].rpartition("_")[2],
                kind="protein",
                sequence=record.sequence,
                source="stored",
                observed=places,
                observed_letters=letters,
                residues=(),
                description=record.description,
            )
        )
    return tuple(found)


def _originals(chain: str, label_asym_id: str) -> tuple[str, str]:
    """Return author and mmCIF name of the chain that an assembly's copy (A-2) was made of."""
    return chain.rpartition("-")[0] or chain, label_asym_id.rpartition("-")[0] or label_asym_id
