"""Atomic models, PDB or mmCIF, become a residue table and a list of named atoms."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import gemmi

from c2s_data.errors import ModelError, ModelReason
from c2s_data.sources.amino_acid import parents_in_file, unlabeled_residues
from c2s_data.sources.assembly_operators import Operator, usable_operators
from c2s_data.sources.heavy_atoms import HeavyAtoms, heavy_atoms
from c2s_data.sources.named_atoms import ATOM_CLASS_OF_NAME, NamedAtoms, named_atoms
from c2s_data.sources.polymer_residues import ChainReason, PolymerResidues, polymer_residues
from c2s_data.sources.residue_table import ResidueTable, residue_identity, residue_table
from c2s_data.sources.secondary_records import recorded_structure
from c2s_data.sources.structure_file import check_alignment, read_model_file

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "AtomicModel",
    "HeavyAtoms",
    "NamedAtoms",
    "ResidueTable",
    "ZeroOccupancy",
    "read_atomic_model",
]

ZeroOccupancy = Literal["keep", "exclude"]


@dataclass(frozen=True, eq=False)
class AtomicModel:
    """One model file.

    Parameters
    ----------
    residues : ResidueTable
        Polymer amino-acid residues of the first model.
    named : NamedAtoms
        Every atom named CA, N or C, for the preset ``released``.
    heavy : HeavyAtoms
        Every atom of the first model but hydrogens and water: side chains, nucleic acids, ligands.
    has_records : bool
        Whether HELIX or SHEET records cover any residue; without them the table's
        ``record_secondary`` says nothing.
    n_models : int
        Models in the file.
    excluded_by_chain : dict of (str, str) to int
        Atoms named CA, N or C that the residue table does not hold, by label_asym_id and reason:
        "ion" (of another element), "ligand-or-cap", "nucleic", "alternative-conformer",
        "further-model", "zero-occupancy". Every such atom is either in the table or counted here
        once.
    notes : tuple of str
        What the reader of a report should know of the file.
    operators : tuple of Operator
        What makes further copies of the chains: assembly 1 and non-crystallographic symmetry,
        without the identity; empty where there is none, or where it is not usable.
    assembly_fault : str
        Why the file's assembly is not usable, empty where it is.
    """

    residues: ResidueTable
    named: NamedAtoms
    heavy: HeavyAtoms
    has_records: bool
    n_models: int
    excluded_by_chain: dict[ChainReason, int]
    notes: tuple[str, ...]
    operators: tuple[Operator, ...] = ()
    assembly_fault: str = ""

    @property
    def excluded(self) -> dict[str, int]:
        """Atoms named CA, N or C that the residue table does not hold, by reason."""
        total: Counter[str] = Counter()
        for (_, reason), count in self.excluded_by_chain.items():
            total[reason] += count
        return dict(sorted(total.items()))


def read_atomic_model(path: Path | str, *, zero_occupancy: ZeroOccupancy = "keep") -> AtomicModel:
    """Read an atomic model.

    The residue table holds the polymer amino acids of the first model, their atoms checked by
    element (calcium is no C-alpha), one conformer each: the highest total occupancy, the first on
    a tie; of a point mutation the residue name with the highest occupancy.

    Parameters
    ----------
    path
        PDB or mmCIF file, plain or gzipped; its content tells which.
    zero_occupancy : {"keep", "exclude"}
        Whether the table keeps atoms of occupancy 0. A residue that loses N, C-alpha and C has no
        row. The heavy atoms follow the table; `AtomicModel.named` keeps all, as the published
        programs do.

    Raises
    ------
    ModelError
        ``not-found``, ``unreadable``, ``bad-coordinates`` (not three finite numbers) or
        ``no-protein`` (no residue to put into the table).
    """
    structure, read = read_model_file(path)
    guessed = unlabeled_residues(structure[0])
    _set_up_entities(structure, path)
    drop = zero_occupancy == "exclude"
    found = polymer_residues(
        structure[0], guessed, parents_in_file(structure), drop_zero_occupancy=drop
    )
    if not found.rows:
        raise ModelError(
            ModelReason.NO_PROTEIN,
            f"{path}: no polymer amino acid with N, C-alpha or C in the first model; "
            "give the protein model that belongs to the map",
        )
    found.excluded.update(_in_further_models(structure))
    usable = usable_operators(read, structure)
    recorded = recorded_structure(structure, *residue_identity(found.rows))
    return AtomicModel(
        residues=residue_table(found.rows, recorded.secondary),
        named=named_atoms(structure, found.row_of_residue),
        heavy=heavy_atoms(structure[0], found, drop_zero_occupancy=drop),
        has_records=recorded.n_used > 0,
        n_models=len(structure),
        excluded_by_chain=dict(sorted(found.excluded.items())),
        notes=_notes(len(structure), found, recorded.unused),
        operators=usable.operators,
        assembly_fault=usable.fault,
    )


def _set_up_entities(structure: gemmi.Structure, path: Path | str) -> None:
    structure.setup_entities()
    check_alignment(structure, path)
    structure.assign_label_seq_id()
    if structure.input_format == gemmi.CoorFormat.Pdb:
        # gemmi invents names such as Axp; a PDB file knows its chains by one name only.
        for model in structure:
            for chain in model:
                for residue in chain:
                    residue.subchain = chain.name


def _in_further_models(structure: gemmi.Structure) -> Counter[ChainReason]:
    return Counter(
        (residue.subchain, "further-model")
        for number, model in enumerate(structure)
        if number
        for chain in model
        for residue in chain
        for atom in residue
        if atom.name in ATOM_CLASS_OF_NAME
    )


def _notes(n_models: int, found: PolymerResidues, unused: tuple[str, ...]) -> tuple[str, ...]:
    notes = []
    if n_models > 1:
        notes.append(f"{n_models} models in the file; the residue table holds the first")
    if found.without_backbone:
        notes.append(
            f"{len(found.without_backbone)} polymer residues without N, C-alpha and C have no "
            f"row, the first {found.without_backbone[0]}"
        )
    if unused:
        notes.append(f"{len(unused)} secondary-structure records unused, the first: {unused[0]}")
    n_unknown = sum(row.amino_class == 0 for row in found.rows)
    if n_unknown:
        notes.append(f"{n_unknown} residues of unknown amino acid (class 0)")
    return tuple(notes)
