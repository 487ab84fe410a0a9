"""Sequences as numbers: the residue codes that the hidden Markov models read."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import ConfigError

LETTERS: Final = "ARNDCQEGHILKMFPSTWYV"
"""One-letter names in the order of `schema.AMINO_ACIDS`; code 0 is A, code 19 is V."""
UNKNOWN: Final = -1
"""Code of every letter that names none of the 20: X, U (Sec), O (Pyl), B, Z, J."""


def residue_codes(sequence: str) -> NDArray[np.int8]:
    """Return the code of each residue of a sequence.

    Parameters
    ----------
    sequence
        One-letter names, upper or lower case.

    Returns
    -------
    codes : (r,) int8
        0 to 19 in the order of `schema.AMINO_ACIDS`, or `UNKNOWN`.

    Raises
    ------
    ConfigError
        When a character is not a letter from A to Z.
    """
    table = np.full(128, UNKNOWN, np.int8)
    table[[ord(letter) for letter in LETTERS]] = np.arange(len(LETTERS))
    upper = sequence.upper()
    for place, letter in enumerate(upper):
        if not "A" <= letter <= "Z":
            raise ConfigError(
                f"sequence, character {place + 1}: {letter!r} is not a one-letter residue name; "
                "give letters only, without gaps, spaces or a stop"
            )
    return table[np.frombuffer(upper.encode("ascii"), np.uint8)]


def residue_letters(codes: NDArray[np.integer]) -> str:
    """Return the one-letter names of residue codes, X for `UNKNOWN`."""
    return "".join((LETTERS + "X")[code] for code in codes.tolist())
