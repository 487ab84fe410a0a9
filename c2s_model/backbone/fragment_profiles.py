"""Fragments without a sequence become queries of a sequence search.

Three files: the likeliest residues as FASTA; the log odds of all twenty at each place as a table
(a position-specific scoring matrix); and an alignment in Stockholm format whose columns hold the
residues in the shares of the profile, which ``hmmbuild`` turns into one model per fragment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from c2s_data.sources.fasta import FastaRecord, format_fasta
from c2s_model.backbone.residue_codes import LETTERS, residue_letters
from c2s_model.backbone.structure import write_text_beside

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

BACKGROUND: Final = np.full(20, 0.05)
ROWS: Final = 40
"""Sequences of an alignment: a share of 2.5 % is one of them."""


class FragmentProfile(NamedTuple):
    """One fragment.

    Parameters
    ----------
    name : str
        Letters, digits and dashes.
    probability : (r, 20) float64
        Of each amino acid at each place, in the order of `schema.AMINO_ACIDS`.
    """

    name: str
    probability: NDArray[np.float64]

    @property
    def letters(self) -> str:
        """The likeliest residue at each place."""
        return residue_letters(self.probability.argmax(axis=1))


def write_profiles(stem: Path, profiles: list[FragmentProfile]) -> tuple[Path, ...]:
    """Write ``stem.fasta``, ``stem.tsv`` and ``stem.sto``; at least one profile."""
    records = [FastaRecord(one.name, one.letters) for one in profiles]
    texts = {
        "fasta": format_fasta(records),
        "tsv": _matrix(profiles),
        "sto": "".join(map(_stockholm, profiles)),
    }
    paths = []
    for suffix, text in texts.items():
        paths.append(stem.with_name(f"{stem.name}.{suffix}"))
        write_text_beside(paths[-1], text)
    return tuple(paths)


def sampled_alignment(probability: NDArray[np.float64], rows: int = ROWS) -> list[str]:
    """Return sequences whose columns hold each residue in the share of the profile.

    No drawing: a column takes the residues at (k + 1/2) / rows of its cumulative distribution, and
    columns are turned against each other so that rows differ throughout.
    """
    share = probability / probability.sum(axis=1, keepdims=True)
    cumulative = np.cumsum(share, axis=1)
    codes = np.empty((rows, len(share)), np.int64)
    for place, column in enumerate(cumulative):
        at = (np.arange(rows) + 0.5) / rows * column[-1]
        picked = np.minimum(np.searchsorted(column, at), 19)
        codes[:, place] = np.roll(picked, (7 * place) % rows)
    return [residue_letters(row) for row in codes]


def _matrix(profiles: list[FragmentProfile]) -> str:
    """Return log odds in half bits, a row per place."""
    lines = ["fragment\tplace\tresidue\t" + "\t".join(LETTERS)]
    for one in profiles:
        odds = np.maximum(one.probability, 1e-4) / BACKGROUND
        for place, (letter, row) in enumerate(
            zip(one.letters, 2 * np.log2(odds), strict=True), start=1
        ):
            scores = "\t".join(f"{value:.2f}" for value in row)
            lines.append(f"{one.name}\t{place}\t{letter}\t{scores}")
    return "\n".join(lines) + "\n"


def _stockholm(profile: FragmentProfile) -> str:
    rows = "".join(
        f"{profile.name}/{number:03d} {row}\n"
        for number, row in enumerate(sampled_alignment(profile.probability), start=1)
    )
    return f"# STOCKHOLM 1.0\n#=GF ID {profile.name}\n{rows}//\n"
