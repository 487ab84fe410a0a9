"""The polymer chains of a model: their residues with coordinates and the sequence they bring."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Literal, NamedTuple

import gemmi

from c2s_data.sources.amino_acid import parents_in_file, polymer_amino_acids, unlabeled_residues
from c2s_data.sources.conformer import residue_groups
from c2s_data.sources.residue_letter import amino_letter, base_letter, is_nucleic
from c2s_data.sources.structure_file import check_alignment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from c2s_data.sources.amino_acid import ParentTable

ChainKind = Literal["protein", "nucleic"]
Groups = list[list[gemmi.Residue]]


class PolymerChain(NamedTuple):
    """One polymer of the first model.

    Parameters
    ----------
    chain, label_asym_id : str
        Author and mmCIF name; of a PDB file the author name twice.
    entity : str
        Name of the entity, empty where there is none.
    kind : {"protein", "nucleic"}
        What most of its residues are.
    polymer_type : gemmi.PolymerType
        As the file says or gemmi finds.
    groups : list of list of gemmi.Residue
        Residues with coordinates, file order; those of a point mutation together.
    letters : list of str
        Letters of each group, one a residue.
    sequence : str
        The file's own sequence, empty where it has none.
    """

    chain: str
    label_asym_id: str
    entity: str
    kind: ChainKind
    polymer_type: gemmi.PolymerType
    groups: Groups
    letters: list[str]
    sequence: str


class _Entity(NamedTuple):
    name: str
    polymer_type: gemmi.PolymerType
    sequence: dict[ChainKind, str]
    """Letters for either kind; no key where the file has no sequence."""


def polymer_chains(structure: gemmi.Structure, path: Path | str) -> Iterator[PolymerChain]:
    """Yield the polymers of the first model; ``label_seq`` of their residues is filled.

    A polymer holds every residue that the residue table can hold, nucleotides, and what else the
    file declares as part of it (caps).

    Parameters
    ----------
    structure
        As `read_structure` returns it; its entities are set up here.
    path
        Names the file in errors.

    Raises
    ------
    ModelError
        ``unreadable``: a chain is too long to align to its sequence.
    """
    guessed = unlabeled_residues(structure[0])
    structure.setup_entities()
    check_alignment(structure, path)
    structure.assign_label_seq_id()
    parents = parents_in_file(structure)
    entities = _entities(structure, parents)
    is_pdb = structure.input_format == gemmi.CoorFormat.Pdb
    for chain in structure[0]:
        for subchain, (kind, residues) in _members(chain, guessed[chain.name]).items():
            entity = entities.get(subchain, _Entity("", gemmi.PolymerType.Unknown, {}))
            groups = list(residue_groups(residues))
            yield PolymerChain(
                chain=chain.name,
                label_asym_id=chain.name if is_pdb else subchain,
                entity=entity.name,
                kind=kind,
                polymer_type=entity.polymer_type,
                groups=groups,
                letters=[_letters(chain.name, group, kind, parents) for group in groups],
                sequence=entity.sequence.get(kind, ""),
            )


def _members(
    chain: gemmi.Chain, guessed: list[bool]
) -> dict[str, tuple[ChainKind, list[gemmi.Residue]]]:
    """Return kind and residues of each polymer of a chain, by subchain.

    A residue that a peptide bond alone makes part of a polymer belongs to the one before it.
    """
    amino = polymer_amino_acids(chain, guessed)
    polymer = [residue.entity_type == gemmi.EntityType.Polymer for residue in chain]
    rows_of: dict[str, list[int]] = {}
    current = next((r.subchain for r, inside in zip(chain, polymer, strict=True) if inside), "")
    for row, residue in enumerate(chain):
        if polymer[row]:
            current = residue.subchain
        if amino[row] or (polymer[row] and (not guessed[row] or is_nucleic(residue.name))):
            rows_of.setdefault(current or residue.subchain, []).append(row)
    found: dict[str, tuple[ChainKind, list[gemmi.Residue]]] = {}
    for subchain, rows in rows_of.items():
        n_amino = sum(amino[row] for row in rows)
        n_nucleic = sum(is_nucleic(chain[row].name) for row in rows)
        if n_amino or n_nucleic:
            kind: ChainKind = "protein" if n_amino >= n_nucleic else "nucleic"
            found[subchain] = kind, [chain[row] for row in rows]
    return found


def _entities(structure: gemmi.Structure, parents: ParentTable) -> dict[str, _Entity]:
    """Return the entity of each subchain; its letters are made once, however many copies."""
    stated: dict[str, frozenset[str]] = defaultdict(frozenset)
    for (_, _, name), found in parents.items():
        stated[name] |= found
    table: dict[str, _Entity] = {}
    for entity in structure.entities:
        names = [gemmi.Entity.first_mon(name) for name in entity.full_sequence]
        sequence: dict[ChainKind, str] = {}
        if names:
            amino = {name: amino_letter(name, stated[name]) for name in set(names)}
            bases = {name: base_letter(name) for name in set(names)}
            sequence["protein"] = "".join(amino[name] for name in names)
            sequence["nucleic"] = "".join(bases[name] for name in names)
        of_all = _Entity(entity.name, entity.polymer_type, sequence)
        table.update(dict.fromkeys(entity.subchains, of_all))
    return table


def _letters(chain: str, group: list[gemmi.Residue], kind: ChainKind, parents: ParentTable) -> str:
    if kind == "nucleic":
        return "".join(base_letter(residue.name) for residue in group)
    keys = [(chain, str(residue.seqid), residue.name) for residue in group]
    return "".join(amino_letter(key[2], parents.get(key, frozenset())) for key in keys)
