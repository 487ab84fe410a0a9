"""Every heavy atom of a model, one conformer each: protein, nucleic acid, and all else but water.

Map-model scores and ignore masks need the atoms that the residue table has no place for: side
chains, nucleotides, ligands, ions, sugars.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import gemmi
import numpy as np

from c2s_data.sources.conformer import BLANK, choose_conformer, residue_groups

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from c2s_data.sources.polymer_residues import PolymerResidues

PROTEIN: Final = 0
NUCLEIC: Final = 1
OTHER: Final = 2

_DUMMY_RESIDUE: Final = "DUM"
"""Marks a place, such as a membrane's boundary, and stands for no matter."""
_SUGAR: Final = ("C1'", "C3'", "C4'")
_NUMBER_OF_LETTER: Final = {"H": 1, "D": 1, "C": 6, "N": 7, "O": 8, "P": 15, "S": 16}


@dataclass(frozen=True, eq=False)
class HeavyAtoms:
    """Atoms of the first model but hydrogens and water, one conformer each, file order.

    An amino acid of the polymer has the conformer of the residue table; any other residue the one
    of the highest occupancy, the first on a tie. An atom that this conformer lacks comes from the
    atoms common to all, and failing that from where it is most occupied.

    Parameters
    ----------
    xyz_A : (n, 3) float64
        Positions x, y, z in A.
    element : (n,) uint8
        Atomic number; 0 where the file does not tell and the name does not either.
    kind : (n,) uint8
        0 protein, 1 nucleic acid (of a polymer, modified nucleotides too), 2 other: ligands, ions,
        sugars, caps, free amino acids and nucleotides.
    residue_index : (n,) int32
        Row of the residue table, -1 where the atom's residue has none.
    residue_name, atom_name : (n,) str
    chain : (n,) str
        Author chain name.
    label_asym_id : (n,) str
        mmCIF chain identifier; the author chain name for a PDB file.
    occupancy, b_factor : (n,) float32
        B in A^2.
    """

    xyz_A: NDArray[np.float64]
    element: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    residue_index: NDArray[np.int32]
    residue_name: NDArray[np.str_]
    atom_name: NDArray[np.str_]
    chain: NDArray[np.str_]
    label_asym_id: NDArray[np.str_]
    occupancy: NDArray[np.float32]
    b_factor: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of atoms."""
        return len(self.xyz_A)


class _Chosen(NamedTuple):
    """A residue that counts, and the conformer it counts with."""

    position: int
    altloc: str
    kind: int
    row: int


def heavy_atoms(
    model: gemmi.Model, found: PolymerResidues, *, drop_zero_occupancy: bool
) -> HeavyAtoms:
    """Collect the heavy atoms of a model whose entities are set up.

    Parameters
    ----------
    model
        Model with one part per chain.
    found
        What `polymer_residues` found in the model.
    drop_zero_occupancy
        Whether atoms of occupancy 0 count as absent.
    """
    # Plain numbers in flat arrays: to hold 200,000 atoms makes the garbage collector slow.
    xyz_A, occupancy, b_factor, element = array("d"), array("f"), array("f"), array("B")
    atom_name: list[str] = []
    n_atoms: list[int] = []  # per residue, like the lists below
    kind, row, residue_name, chain_name, label_asym_id = [], [], [], [], []
    for number, chain in enumerate(model):
        for chosen in _residues(number, chain, found):
            residue = chain[chosen.position]
            before = len(element)
            for (name, atomic_number), atom in _atoms_of(residue, chosen).items():
                if drop_zero_occupancy and atom.occ <= 0:
                    continue
                xyz_A.extend(atom.pos.tolist())
                occupancy.append(atom.occ)
                b_factor.append(atom.b_iso)
                element.append(atomic_number)
                atom_name.append(name)
            n_atoms.append(len(element) - before)
            kind.append(chosen.kind)
            row.append(chosen.row)
            residue_name.append(residue.name)
            chain_name.append(chain.name)
            label_asym_id.append(residue.subchain)
    return HeavyAtoms(
        xyz_A=np.array(xyz_A, np.float64).reshape(-1, 3),
        element=np.array(element, np.uint8),
        kind=np.repeat(np.array(kind, np.uint8), n_atoms),
        residue_index=np.repeat(np.array(row, np.int32), n_atoms),
        residue_name=np.repeat(np.array(residue_name, np.str_), n_atoms),
        atom_name=np.array(atom_name, np.str_),
        chain=np.repeat(np.array(chain_name, np.str_), n_atoms),
        label_asym_id=np.repeat(np.array(label_asym_id, np.str_), n_atoms),
        occupancy=np.array(occupancy, np.float32),
        b_factor=np.array(b_factor, np.float32),
    )


def _residues(number: int, chain: gemmi.Chain, found: PolymerResidues) -> Iterator[_Chosen]:
    """Yield the residues of a chain that count, in file order: of a point mutation one only."""
    chosen, others = [], []
    for position, residue in enumerate(chain):
        place = (number, position)
        if place in found.conformer:
            row = found.row_of_residue.get(place, -1)
            chosen.append(_Chosen(position, found.conformer[place], PROTEIN, row))
        elif place in found.passed_over or residue.is_water() or residue.name == _DUMMY_RESIDUE:
            continue
        else:
            others.append(position)
    first = 0
    for group in residue_groups([chain[position] for position in others]):
        conformer = choose_conformer(group)
        position = others[first + conformer.place]
        kind = NUCLEIC if _is_nucleic(conformer.residue) else OTHER
        chosen.append(_Chosen(position, conformer.altloc, kind, -1))
        first += len(group)
    yield from sorted(chosen)


def _is_nucleic(residue: gemmi.Residue) -> bool:
    """Tell nucleotides of a polymer by the chemical table; a name it lacks (5MC) by the sugar.

    Known nucleotides in ATOM records count as polymer, whatever a PDB file without TER looks like.
    """
    info = gemmi.find_tabulated_residue(residue.name)
    tabulated = bool(info.is_nucleic_acid())
    if residue.entity_type == gemmi.EntityType.Polymer:
        return tabulated or (
            not info.is_amino_acid() and all(residue.find_atom(name, "*") for name in _SUGAR)
        )
    return tabulated and residue.het_flag != "H"


def _atoms_of(residue: gemmi.Residue, chosen: _Chosen) -> dict[tuple[str, int], gemmi.Atom]:
    """Return the heavy atoms of one conformer by name and atomic number, in file order."""
    best: dict[tuple[str, int], gemmi.Atom] = {}
    for atom in residue:
        number = atom.element.atomic_number
        if not number and chosen.kind != OTHER:
            number = _NUMBER_OF_LETTER.get(atom.name.lstrip("0123456789")[:1], 0)
        if number == 1:
            continue
        key = (atom.name, number)
        if key not in best or _rank(atom, chosen.altloc) > _rank(best[key], chosen.altloc):
            best[key] = atom
    return best


def _rank(atom: gemmi.Atom, altloc: str) -> tuple[int, float]:
    if atom.altloc == altloc:
        return 2, 0.0
    return (1, 0.0) if atom.altloc == BLANK else (0, float(atom.occ))
