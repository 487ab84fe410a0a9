"""The sequence of each chain, and where its observed residues stand in it.

The truth is per chain: what the file itself says (``label_seq_id`` against ``entity_poly_seq``, or
SEQRES and gemmi's alignment to it), else a FASTA record that fits, else the observed residues. One
letter stands for one residue: a modified residue is its parent, an unknown one X. So a chromophore
made of three residues, which FASTA files spell out, is one place here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import gemmi
import numpy as np

from c2s_data.sources.polymer_chains import ChainKind, PolymerChain, polymer_chains
from c2s_data.sources.sequence_match import (
    MIN_IDENTITY,
    UNALIGNED,
    agree,
    aligned_positions,
    best_match,
    candidates,
    n_agreeing,
    n_mismatches,
    naming,
)
from c2s_data.sources.structure_file import read_structure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from c2s_data.sources.fasta import FastaRecord
    from c2s_data.sources.sequence_match import Candidate

__all__ = ["ChainKind", "ChainSequence", "ObservedResidue", "SequenceSource", "chain_sequences"]

SequenceSource = Literal["entity", "seqres", "fasta", "observed", "stored"]


class ObservedResidue(NamedTuple):
    """A residue with coordinates; a point mutation has several names at one place."""

    label_asym_id: str
    auth_seq_id: int
    insertion_code: str
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ChainSequence:
    """One polymer chain of the first model.

    Parameters
    ----------
    chain : str
        Author name.
    label_asym_id : str
        mmCIF name; the author name for a PDB file. As in `ResidueTable`.
    entity : str
        Name of the entity; chains of equal sequence share it.
    kind : {"protein", "nucleic"}
        What most of its residues are.
    sequence : str
        One letter a residue, those without coordinates too; X is unknown.
    source : {"entity", "seqres", "fasta", "observed", "stored"}
        Where the sequence comes from: ``entity_poly_seq``, SEQRES, the FASTA; "observed" when there
        is none of them, and then nothing is known of missing residues; "stored" when a store kept
        it (`c2s_data.sources.sequence_table.stored_chains`).
    observed : (n,) int32
        0-based position in ``sequence`` of each residue with coordinates, file order; -1 for one
        that the sequence has no place for.
    observed_letters : str
        Letters of these residues.
    residues : tuple of ObservedResidue
        The same residues by name.
    description : str
        Of the FASTA record that belongs to the chain; empty without one.
    note : str
        What the reader of a report should know; empty when all is well.
    """

    chain: str
    label_asym_id: str
    entity: str
    kind: ChainKind
    sequence: str
    source: SequenceSource
    observed: NDArray[np.int32]
    observed_letters: str
    residues: tuple[ObservedResidue, ...]
    description: str = ""
    note: str = ""

    @property
    def length(self) -> int:
        """Residues of the sequence."""
        return len(self.sequence)

    @property
    def n_observed(self) -> int:
        """Residues with coordinates, a point mutation once."""
        return len(self.observed)

    @property
    def n_unaligned(self) -> int:
        """Observed residues that the sequence has no place for."""
        return int((self.observed == UNALIGNED).sum())

    @property
    def n_missing(self) -> int:
        """Residues of the sequence without coordinates."""
        return self.length - len(np.unique(self.observed[self.observed != UNALIGNED]))

    @property
    def n_mismatches(self) -> int:
        """Observed residues whose letter is not that of their place; unknown ones agree."""
        return n_mismatches(self.observed_letters, self.sequence, self.observed)

    @property
    def coverage(self) -> float:
        """Share of the sequence that has coordinates."""
        return 1 - self.n_missing / self.length


def chain_sequences(
    model: gemmi.Structure | Path | str, fasta: Sequence[FastaRecord] = ()
) -> tuple[ChainSequence, ...]:
    """Find the sequence of every polymer chain with coordinates, all copies, in file order.

    The file's own sequence goes before the FASTA: its residues are numbered by it. A chain whose
    record differs from it, or that no record fits (`MIN_IDENTITY`), says so in its note.

    Parameters
    ----------
    model
        File to read, or its structure as `read_structure` returns it, which stays as it is.
    fasta
        Records for chains that bring no sequence; all chains are compared with them.

    Raises
    ------
    ModelError
        As `read_structure`; ``unreadable`` also when a chain is too long to align.
    """
    given = candidates(fasta)
    if isinstance(model, gemmi.Structure):
        structure, name = model.clone(), model.name
    else:
        structure, name = read_structure(model), str(model)
    own: SequenceSource = "seqres" if structure.input_format == gemmi.CoorFormat.Pdb else "entity"
    return tuple(_with_sequence(chain, own, given) for chain in polymer_chains(structure, name))


def _with_sequence(
    chain: PolymerChain, own: SequenceSource, given: Sequence[Candidate]
) -> ChainSequence:
    named = naming(chain.chain, chain.label_asym_id, given)
    description = named[0].record.description if named else ""
    if chain.sequence:
        sequence, source = chain.sequence, own
        positions = _own_positions(chain, realign=own == "seqres")
        note = _note_on_own(sequence, named, given)
    else:
        letters = "".join(choice[0] for choice in chain.letters)
        match = best_match(chain, letters, given)
        if match is not None and match.identity >= MIN_IDENTITY:
            sequence, source, positions = match.candidate.sequence, "fasta", match.positions
            description = match.candidate.record.description
            note = ""
            if named and match.candidate not in named:
                note = f"the record {_short(named[0])} names the chain and does not fit it"
        else:
            sequence, source = letters, "observed"
            positions = np.arange(len(letters), dtype=np.int32)
            note = "no sequence but that of the observed residues"
            if match is not None:
                note += f"; the best record, {_short(match.candidate)}, fits {match.identity:.0%}"
    return ChainSequence(
        chain=chain.chain,
        label_asym_id=chain.label_asym_id,
        entity=chain.entity,
        kind=chain.kind,
        sequence=sequence,
        source=source,
        observed=positions,
        observed_letters=_agreeing_letters(chain.letters, sequence, positions),
        residues=tuple(_observed_residue(group, chain, own) for group in chain.groups),
        description=description,
        note=note,
    )


def _own_positions(chain: PolymerChain, *, realign: bool) -> NDArray[np.int32]:
    """Take the places that the file gives, where they lie in its sequence.

    Those of a PDB file come from gemmi's alignment to SEQRES, which loses chains whose residues
    are not all of the type stated (alanine built for want of side chains): then the better of two.
    """
    numbers = [group[0].label_seq or 0 for group in chain.groups]
    inside = range(1, len(chain.sequence) + 1)
    given = np.array([n - 1 if n in inside else UNALIGNED for n in numbers], np.int32)
    letters = _agreeing_letters(chain.letters, chain.sequence, given)
    if not realign or n_agreeing(letters, chain.sequence, given) == len(letters):
        return given
    own = aligned_positions(chain, letters, chain.sequence)
    agreeing = [n_agreeing(letters, chain.sequence, places) for places in (given, own)]
    return own if agreeing[1] > agreeing[0] else given


def _agreeing_letters(choices: list[str], sequence: str, positions: NDArray[np.int32]) -> str:
    """Choose of a point mutation the letter that its place has, else the first."""
    letters = [
        sequence[place] if place != UNALIGNED and sequence[place] in choice else choice[0]
        for choice, place in zip(choices, positions.tolist(), strict=True)
    ]
    return "".join(letters)


def _observed_residue(
    group: list[gemmi.Residue], chain: PolymerChain, own: SequenceSource
) -> ObservedResidue:
    seqid = group[0].seqid
    label = chain.label_asym_id if own == "seqres" else group[0].subchain
    names = tuple(residue.name for residue in group)
    return ObservedResidue(label, seqid.num or 0, seqid.icode.strip(), names)


def _note_on_own(sequence: str, named: Sequence[Candidate], given: Sequence[Candidate]) -> str:
    """Say where a FASTA and the file's own sequence differ."""
    if not given or any(agree(one.sequence, sequence) for one in named or given):
        return ""
    if not named:
        return "no FASTA record is the file's own sequence, which is used"
    return (
        f"the record {_short(named[0])} of {len(named[0].sequence)} residues is not the file's own "
        f"sequence of {len(sequence)}, which is used"
    )


def _short(candidate: Candidate) -> str:
    return repr(candidate.record.header[:60])
