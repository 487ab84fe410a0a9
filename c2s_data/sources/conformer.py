"""Which of its alternative locations stands for a residue."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from c2s_data.sources.amino_acid import BACKBONE, right_element

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import gemmi

BLANK = "\0"
"""Alternative-location letter of an atom that has only one."""


class Conformer(NamedTuple):
    """The chosen residue, its place in its group, and alternative location (`BLANK` if none)."""

    residue: gemmi.Residue
    place: int
    altloc: str


class _Share(NamedTuple):
    altloc: str
    total: float
    mean: float


def residue_groups(residues: Iterable[gemmi.Residue]) -> Iterator[list[gemmi.Residue]]:
    """Yield the residues that stand at one place of a chain: one, or those of a point mutation.

    Neighbours with the same number and insertion code are a point mutation when they have
    alternative locations; without these they are two residues that a file numbered alike.
    """
    for _, run in groupby(residues, key=lambda residue: str(residue.seqid)):
        group = list(run)
        if len(group) > 1 and all(any(a.altloc != BLANK for a in r) for r in group):
            yield group
        else:
            for residue in group:
                yield [residue]


def choose_conformer(group: Sequence[gemmi.Residue]) -> Conformer:
    """Choose by occupancy, the first on a tie.

    Of a point mutation the residue name with the highest occupancy (its locations summed, each the
    mean over its atoms, so that a large side chain does not win by its number of atoms); then the
    location with the highest total over its atoms.
    """
    shares = [_shares(residue) for residue in group]
    best = 0
    for row in range(1, len(group)):
        if _name_occupancy(shares[row]) > _name_occupancy(shares[best]):
            best = row
    altloc, highest = BLANK, -1.0
    for share in shares[best]:
        if share.total > highest:
            altloc, highest = share.altloc, share.total
    return Conformer(group[best], best, altloc)


def conformer_atom(conformer: Conformer, name: str) -> gemmi.Atom | None:
    """Return the conformer's backbone atom of that name and its element, None where it is absent.

    An atom that the chosen location lacks is taken from the common atoms, and failing that from
    the location where it has the highest occupancy.
    """
    # gemmi also offers a common atom where another location was asked for.
    first: gemmi.Atom | None = conformer.residue.find_atom(name, conformer.altloc)
    if (
        first is not None
        and first.altloc == conformer.altloc
        and right_element(first, BACKBONE[name])
    ):
        return first
    atoms = [a for a in conformer.residue if a.name == name and right_element(a, BACKBONE[name])]
    for altloc in (conformer.altloc, BLANK):
        for atom in atoms:
            if atom.altloc == altloc:
                return atom
    return max(atoms, key=lambda atom: float(atom.occ), default=None)


def _shares(residue: gemmi.Residue) -> list[_Share]:
    occupancies: dict[str, list[float]] = {}
    for atom in residue:
        if atom.altloc != BLANK:
            occupancies.setdefault(atom.altloc, []).append(atom.occ)
    # Files carry two or three decimals; rounding makes equal shares equal after summing.
    return [
        _Share(altloc, round(sum(values), 3), round(sum(values) / len(values), 3))
        for altloc, values in occupancies.items()
    ]


def _name_occupancy(shares: list[_Share]) -> float:
    return round(sum(share.mean for share in shares), 3)
