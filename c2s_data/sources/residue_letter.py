"""One letter a residue: names to letters and back."""

from __future__ import annotations

import re
from typing import Final

import gemmi

from c2s_data.schema import AMINO_ACIDS
from c2s_data.sources.amino_acid import parent_class

UNKNOWN: Final = "X"
AMINO_LETTERS: Final = UNKNOWN + "".join(
    gemmi.find_tabulated_residue(name).one_letter_code for name in AMINO_ACIDS
)
"""Letter of each amino-acid class, 0 (unknown) to 20."""
_FURTHER: Final = {"SEC": "U", "PYL": "O", "ASX": "B", "GLX": "Z"}
_NUCLEIC: Final = (gemmi.ResidueKind.DNA, gemmi.ResidueKind.RNA)
_IN_PARENTHESES: Final = re.compile(r"\(([A-Za-z0-9]+)\)")


def amino_letter(name: str, parents: frozenset[str] = frozenset()) -> str:
    """Return the letter of an amino acid.

    The twenty have their own, a modified residue that of its parent as in
    `c2s_data.sources.amino_acid.parent_class` (MSE is M), SEC U, PYL O, ASX B, GLX Z; whatever
    else is X, also what the file says to be made of several residues.
    """
    return _FURTHER.get(name) or AMINO_LETTERS[parent_class(name, parents)]


def base_letter(name: str) -> str:
    """Return the letter of a nucleotide, a modified one as its parent, X for what is none."""
    info = gemmi.find_tabulated_residue(name)
    return info.one_letter_code.upper().strip() if is_nucleic(name) else UNKNOWN


def is_nucleic(name: str) -> bool:
    """Tell whether the chemical table knows the name as a nucleotide."""
    return gemmi.find_tabulated_residue(name).kind in _NUCLEIC


def plain_letters(sequence: str) -> str:
    """Return a sequence of a FASTA file as one capital a residue.

    Names in parentheses become their letter, gaps and stops go.
    """
    letters = _IN_PARENTHESES.sub(lambda found: amino_letter(found[1].upper()), sequence)
    return letters.translate({ord(mark): None for mark in "*-."}).upper()
