"""Which FASTA record is the sequence of a chain, and where its residues stand in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import gemmi
import numpy as np

from c2s_data.sources.residue_letter import UNKNOWN, plain_letters
from c2s_data.sources.structure_file import MAX_ALIGNMENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from c2s_data.sources.fasta import FastaRecord
    from c2s_data.sources.polymer_chains import PolymerChain

UNALIGNED: Final = -1
MIN_IDENTITY: Final = 0.7
"""Share of a chain's known residues that must agree for a record to be its sequence.

Constructs, isoforms and point mutants stay above 0.9, unrelated sequences below 0.2 (both in the
tests).
"""
_WORD: Final = 4
_MOST_TRIED: Final = 3
_BASES: Final = re.compile(r"[ACGTUNIX]+")
_CIGAR: Final = re.compile(r"([0-9]+)([MID])")


class Candidate(NamedTuple):
    """A FASTA record made ready: one capital a residue, and the chains that its header names."""

    record: FastaRecord
    sequence: str
    names: frozenset[tuple[str, str]]
    labels: frozenset[str]
    auths: frozenset[str]


@dataclass(frozen=True, eq=False)
class Match:
    """A candidate as the sequence of a chain.

    ``positions`` (n,) int32 is the 0-based place of each observed residue in its sequence,
    `UNALIGNED` where it has none; ``identity`` the share of the observed residues with a known
    letter that meet the same letter.
    """

    candidate: Candidate
    positions: NDArray[np.int32]
    identity: float


def candidates(records: Iterable[FastaRecord]) -> list[Candidate]:
    """Make records ready to be compared with chains; one without residues is left out."""
    found = []
    for record in records:
        sequence, names = plain_letters(record.sequence), record.chains
        if sequence:
            found.append(
                Candidate(
                    record,
                    sequence,
                    frozenset(names),
                    frozenset(label for label, _ in names),
                    frozenset(auth for _, auth in names),
                )
            )
    return found


def naming(chain: str, label_asym_id: str, given: Sequence[Candidate]) -> list[Candidate]:
    """Return the records that name a chain: by both names, else by author name, else by label."""
    both = [one for one in given if (label_asym_id, chain) in one.names]
    return (
        both
        or [one for one in given if chain in one.auths]
        or [one for one in given if label_asym_id in one.labels]
    )


def best_match(chain: PolymerChain, letters: str, given: Sequence[Candidate]) -> Match | None:
    """Return the record that fits a chain best, or None where there is none to try.

    A record that names the chain goes before others if it fits (`MIN_IDENTITY`), and what the
    caller makes of a best one below that is its matter.

    Parameters
    ----------
    chain
        Chain without a sequence of its own.
    letters
        One for each of its groups.
    given
        As `candidates` returns them.
    """
    usable = [
        one
        for one in given
        if (chain.kind == "protein" or _BASES.fullmatch(one.sequence))
        and len(one.sequence) * len(letters) <= MAX_ALIGNMENT
    ]
    best: Match | None = None
    for tried in (
        # A file of many entries has a chain A for each of them.
        _most_alike(letters, naming(chain.chain, chain.label_asym_id, usable)),
        _most_alike(letters, usable),
    ):
        for candidate in tried:
            match = _match(chain, letters, candidate)
            if best is None or match.identity > best.identity:
                best = match
        if best is not None and best.identity >= MIN_IDENTITY:
            break
    return best


def agree(one: str, two: str) -> bool:
    """Tell whether two sequences are the same but for unknown residues."""
    return one == two or (
        len(one) == len(two)
        and all(a == b or UNKNOWN in (a, b) for a, b in zip(one, two, strict=True))
    )


def n_agreeing(letters: str, sequence: str, positions: NDArray[np.int32]) -> int:
    """Count observed residues of the same known letter as their place."""
    return sum(
        place != UNALIGNED and letter != UNKNOWN and letter == sequence[place]
        for letter, place in zip(letters, positions.tolist(), strict=True)
    )


def n_mismatches(letters: str, sequence: str, positions: NDArray[np.int32]) -> int:
    """Count observed residues of another letter than their place has; unknown ones agree."""
    return sum(
        place != UNALIGNED
        and letter != sequence[place]
        and UNKNOWN not in (letter, sequence[place])
        for letter, place in zip(letters, positions.tolist(), strict=True)
    )


def _words(letters: str) -> frozenset[str]:
    return frozenset(letters[at : at + _WORD] for at in range(max(len(letters) - _WORD + 1, 1)))


def _most_alike(letters: str, given: Sequence[Candidate]) -> list[Candidate]:
    """Return the few that share most words with the chain, so that few are aligned.

    No words are kept: those of 100,000 records would take gigabytes.
    """
    words = _words(letters)
    shared = [len(words & _words(one.sequence)) for one in given]
    best = sorted(range(len(given)), key=lambda number: -shared[number])[:_MOST_TRIED]
    return [given[number] for number in best]


def _match(chain: PolymerChain, letters: str, candidate: Candidate) -> Match:
    positions = aligned_positions(chain, letters, candidate.sequence)
    n_known = sum(letter != UNKNOWN for letter in letters)
    n_equal = n_agreeing(letters, candidate.sequence, positions)
    return Match(candidate, positions, n_equal / n_known if n_known else 0.0)


def aligned_positions(chain: PolymerChain, letters: str, sequence: str) -> NDArray[np.int32]:
    """Align the observed residues of a chain to a sequence, by letter.

    Gaps are cheap where neighbours in the file are not bonded. gemmi's own costs, which
    ``assign_label_seq_id`` uses, never match two unlike letters while a gap is to be had: of models
    with 5 % of their residues made alanine they place 9 to 19 %, these costs all.

    Returns
    -------
    (n,) int32
        0-based position of each residue, `UNALIGNED` where it has none.
    """
    copy = gemmi.Chain("A")
    for letter, group in zip(letters, chain.groups, strict=True):
        renamed = group[0].clone()
        renamed.name = letter
        copy.add_residue(renamed)
    known_type = chain.polymer_type not in (gemmi.PolymerType.Unknown, gemmi.PolymerType.Other)
    guess = gemmi.PolymerType.PeptideL if chain.kind == "protein" else gemmi.PolymerType.Rna
    found = gemmi.align_sequence_to_polymer(
        list(sequence), copy.whole(), chain.polymer_type if known_type else guess, _scoring()
    )
    return _positions(found.cigar_str(), len(letters))


def _scoring() -> gemmi.AlignmentScoring:
    scoring = gemmi.AlignmentScoring()
    scoring.match, scoring.mismatch = 2, -1
    scoring.gapo, scoring.gape = -10, 0  # however long a loop is missing
    scoring.good_gapo, scoring.bad_gapo = -2, -12  # between residues without and with a bond
    return scoring


def _positions(cigar: str, n: int) -> NDArray[np.int32]:
    """Turn runs of M (both), I (sequence only) and D (chain only) into places in the sequence."""
    positions = np.full(n, UNALIGNED, np.int32)
    row = place = 0
    for count, kind in _CIGAR.findall(cigar):
        length = int(count)
        if kind == "M":
            positions[row : row + length] = np.arange(place, place + length)
        row += length * (kind != "I")
        place += length * (kind != "D")
    return positions
