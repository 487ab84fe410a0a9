"""The C-alphas of a model, chain by chain: all that the scores of a backbone need.

Every amino acid of a polymer is here, one alternative location each; what the file calls HETATM
(MSE, SEP) is marked, because the chain comparison leaves it out and the other scores do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from c2s_data.errors import ModelError, ModelReason
from c2s_data.sources.amino_acid import (
    parents_in_file,
    polymer_amino_acids,
    unlabeled_residues,
)
from c2s_data.sources.conformer import choose_conformer, conformer_atom, residue_groups
from c2s_data.sources.residue_letter import amino_letter
from c2s_data.sources.structure_file import check_alignment, read_structure

if TYPE_CHECKING:
    import gemmi
    from numpy.typing import NDArray

    from c2s_data.sources.amino_acid import ParentTable

NO_NUMBER = -(2**31)
"""Label number of a residue whose file has no sequence."""


@dataclass(frozen=True, eq=False)
class CaChain:
    """C-alphas of one chain in file order.

    Parameters
    ----------
    name : str
        The author's name of the chain.
    number : (r,) int64
        The author's residue numbers, the insertion code in the lowest eight bits.
    label_number : (r,) int64
        Position in the chain's sequence from 1, `NO_NUMBER` where the file does not tell.
    residue_name : (r,) str
        As in the file.
    letters : str
        One a residue; a modified one has its parent's, an unknown one X.
    xyz_A : (r, 3) float64
    b_factor : (r,) float64
        What predictions store their confidence in.
    is_hetero : (r,) bool
        Whether the file calls the residue HETATM.
    """

    name: str
    number: NDArray[np.int64]
    label_number: NDArray[np.int64]
    residue_name: NDArray[np.str_]
    letters: str
    xyz_A: NDArray[np.float64]
    b_factor: NDArray[np.float64]
    is_hetero: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.letters)

    @cached_property
    def numberings(self) -> tuple[NDArray[np.int64], ...]:
        """The author's numbers and the sequence's, those that tell the residues apart."""
        label = (self.label_number << 8) + ord(" ")
        given = [self.number] + [label] * (NO_NUMBER not in self.label_number)
        return tuple(numbers for numbers in given if len(np.unique(numbers)) == len(numbers))


class CaModel(NamedTuple):
    """The chains of a file, and the resolution in angstrom that it states, None without one."""

    chains: tuple[CaChain, ...]
    resolution_A: float | None


class _Row(NamedTuple):
    number: int
    label_number: int
    name: str
    letter: str
    xyz_A: list[float]
    b_factor: float
    is_hetero: bool


def read_chains(path: Path | str) -> tuple[CaChain, ...]:
    """Read the C-alphas of a file; arguments and errors as for `read_model`."""
    return read_model(path).chains


def read_model(path: Path | str) -> CaModel:
    """Read the C-alphas of the first model of a file; chains without any are left out.

    Parameters
    ----------
    path
        PDB or mmCIF file, plain or gzipped.

    Raises
    ------
    ModelError
        ``not-found``, ``unreadable``, ``bad-coordinates`` or ``no-protein``.
    """
    structure = read_structure(path)
    guessed = unlabeled_residues(structure[0])
    structure.setup_entities()
    check_alignment(structure, path)
    structure.assign_label_seq_id()
    parents = parents_in_file(structure)
    chains = [
        _chain(chain.name, rows)
        for chain in structure[0]
        if (rows := _rows(chain, guessed[chain.name], parents))
    ]
    if not chains:
        raise ModelError(
            ModelReason.NO_PROTEIN, f"{path}: no C-alpha in the first model; give a protein model"
        )
    return CaModel(tuple(chains), structure.resolution or None)


def joined_xyz_A(chains: Sequence[CaChain]) -> NDArray[np.float64]:
    """Return the points of all chains, one chain after another, (n, 3)."""
    return np.concatenate([np.empty((0, 3)), *(chain.xyz_A for chain in chains)])


def joined_letters(chains: Sequence[CaChain]) -> NDArray[np.uint8]:
    """Return the letters of all chains as bytes, (n,)."""
    return np.frombuffer("".join(chain.letters for chain in chains).encode("ascii"), np.uint8)


def _rows(chain: gemmi.Chain, guessed: list[bool], parents: ParentTable) -> list[_Row]:
    in_polymer = polymer_amino_acids(chain, guessed)
    # The chain comparison counts every ATOM record, also of a residue that nobody knows.
    kept = [
        residue
        for residue, inside in zip(chain, in_polymer, strict=True)
        if inside or residue.het_flag == "A"
    ]
    rows = []
    for group in residue_groups(kept):
        conformer = choose_conformer(group)
        atom = conformer_atom(conformer, "CA")
        if atom is None:
            continue
        residue = conformer.residue
        seqid = residue.seqid
        stated = parents.get((chain.name, str(seqid), residue.name), frozenset())
        rows.append(
            _Row(
                ((seqid.num or 0) << 8) + ord(seqid.icode),
                NO_NUMBER if residue.label_seq is None else residue.label_seq,
                residue.name,
                amino_letter(residue.name, stated),
                atom.pos.tolist(),
                atom.b_iso,
                residue.het_flag == "H",
            )
        )
    return rows


def _chain(name: str, rows: list[_Row]) -> CaChain:
    number, label, residue_name, letters, xyz_A, b_factor, is_hetero = zip(*rows, strict=True)
    return CaChain(
        name,
        np.array(number, np.int64),
        np.array(label, np.int64),
        np.array(residue_name),
        "".join(letters),
        np.array(xyz_A, np.float64),
        np.array(b_factor, np.float64),
        np.array(is_hetero, np.bool_),
    )
