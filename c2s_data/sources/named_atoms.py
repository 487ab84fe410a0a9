"""Every atom *named* CA, N or C, as the published label programs take them (``released``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from c2s_data.schema import ATOM_C, ATOM_CA, ATOM_N
from c2s_data.sources.amino_acid import literal_class
from c2s_data.sources.conformer import BLANK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import gemmi
    from numpy.typing import NDArray

ATOM_CLASS_OF_NAME: Final = {"CA": ATOM_CA, "N": ATOM_N, "C": ATOM_C}


@dataclass(frozen=True, eq=False)
class NamedAtoms:
    """Atoms named CA, N or C of all models, in file order.

    HETATM, ions (calcium too), ligands and caps are among them. Of alternative locations each atom
    has the one with the highest occupancy, the first on a tie; of a point mutation the last
    residue counts, in the place of the first.

    Parameters
    ----------
    xyz_A : (m, 3) float64
        Positions x, y, z in A.
    atom_class : (m,) uint8
        1 C-alpha, 2 N, 3 C, by name alone.
    amino_class : (m,) uint8
        1 to 20 for the twenty names, 0 for any other, at every atom of the residue.
    residue_index : (m,) int32
        Row in the residue table of the atom's residue, -1 where it has none.
    label_asym_id : (m,) str
        mmCIF chain identifier; the author chain name for a PDB file.
    """

    xyz_A: NDArray[np.float64]
    atom_class: NDArray[np.uint8]
    amino_class: NDArray[np.uint8]
    residue_index: NDArray[np.int32]
    label_asym_id: NDArray[np.str_]

    def __len__(self) -> int:
        """Return the number of atoms."""
        return len(self.xyz_A)


def named_atoms(
    structure: gemmi.Structure, row_of_residue: Mapping[tuple[int, int], int]
) -> NamedAtoms:
    """Collect the atoms named CA, N or C.

    Parameters
    ----------
    structure
        What gemmi read.
    row_of_residue
        Row in the residue table by (chain, residue) position in the first model.
    """
    xyz: list[list[float]] = []
    atom_class, amino_class, residue_index, label_asym_id = [], [], [], []
    for model_number, model in enumerate(structure):
        for chain_number, chain in enumerate(model):
            for position, residue in _last_of_point_mutations(chain):
                row = -1
                if model_number == 0:
                    row = row_of_residue.get((chain_number, position), -1)
                amino = literal_class(residue.name)
                for atom in _most_occupied(residue):
                    xyz.append(atom.pos.tolist())
                    atom_class.append(ATOM_CLASS_OF_NAME[atom.name])
                    amino_class.append(amino)
                    residue_index.append(row)
                    label_asym_id.append(residue.subchain)
    return NamedAtoms(
        xyz_A=np.array(xyz, np.float64).reshape(-1, 3),
        atom_class=np.array(atom_class, np.uint8),
        amino_class=np.array(amino_class, np.uint8),
        residue_index=np.array(residue_index, np.int32),
        label_asym_id=np.array(label_asym_id, np.str_),
    )


def _last_of_point_mutations(chain: gemmi.Chain) -> Iterator[tuple[int, gemmi.Residue]]:
    """Yield the residues that count, with their position in the chain.

    As the published programs' reader has it: ATOM residues of one number are a point mutation if
    all atoms of the earlier have alternative locations, otherwise the earlier stays; HETATM
    residues are told apart by their names.
    """
    kept: dict[tuple[str, str], tuple[int, gemmi.Residue]] = {}
    for position, residue in enumerate(chain):
        key = (str(residue.seqid), residue.name if residue.het_flag == "H" else "")
        if key not in kept or all(atom.altloc != BLANK for atom in kept[key][1]):
            kept[key] = (position, residue)
    yield from kept.values()


def _most_occupied(residue: gemmi.Residue) -> list[gemmi.Atom]:
    best: dict[str, gemmi.Atom] = {}
    for atom in residue:
        if atom.name in ATOM_CLASS_OF_NAME:
            before = best.get(atom.name)
            if before is None or (atom.altloc != BLANK and atom.occ > before.occ):
                best[atom.name] = atom
    return list(best.values())
