"""The polymer amino acids of one model, one conformer each, and a count of what is left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from c2s_data.sources.amino_acid import (
    BACKBONE,
    ParentTable,
    literal_class,
    parent_class,
    polymer_amino_acids,
    right_element,
    why_left_out,
)
from c2s_data.sources.conformer import (
    BLANK,
    Conformer,
    choose_conformer,
    conformer_atom,
    residue_groups,
)
from c2s_data.sources.named_atoms import ATOM_CLASS_OF_NAME
from c2s_data.sources.residue_table import ABSENT, Point, ResidueRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import gemmi

ChainReason = tuple[str, str]
"""The label_asym_id of an atom left out, and the reason."""


@dataclass
class PolymerResidues:
    """What `polymer_residues` found.

    Parameters
    ----------
    rows : list of ResidueRow
        Rows of the residue table, file order.
    row_of_residue : dict
        Row by (chain, residue) position in the model, of the residues chosen.
    conformer : dict
        Alternative location by position, of the residues chosen, those without a row too.
    passed_over : set
        Positions of the other residues of point mutations.
    excluded : Counter
        Atoms named CA, N or C that no row holds, by label_asym_id and reason.
    without_backbone : list of str
        Residues that have no row because they lack N, C-alpha and C.
    """

    rows: list[ResidueRow] = field(default_factory=list)
    row_of_residue: dict[tuple[int, int], int] = field(default_factory=dict)
    conformer: dict[tuple[int, int], str] = field(default_factory=dict)
    passed_over: set[tuple[int, int]] = field(default_factory=set)
    excluded: Counter[ChainReason] = field(default_factory=Counter)
    without_backbone: list[str] = field(default_factory=list)


def polymer_residues(
    model: gemmi.Model,
    guessed: Mapping[str, list[bool]],
    parents: ParentTable,
    *,
    drop_zero_occupancy: bool,
) -> PolymerResidues:
    """Collect the polymer amino acids of a model whose entities are set up.

    Parameters
    ----------
    model
        Model with one part per chain.
    guessed
        As `amino_acid.unlabeled_residues` returns it.
    parents
        As `amino_acid.parents_in_file` returns it.
    drop_zero_occupancy
        Whether atoms of occupancy 0 count as absent.
    """
    found = PolymerResidues()
    for chain_number, chain in enumerate(model):
        in_polymer = polymer_amino_acids(chain, guessed[chain.name])
        _count_outside(found.excluded, chain, in_polymer)
        positions = [position for position, inside in enumerate(in_polymer) if inside]
        first = 0
        for group in residue_groups([chain[position] for position in positions]):
            conformer = choose_conformer(group)
            atoms = _present_atoms(found.excluded, group, conformer, drop_zero_occupancy)
            places = [(chain_number, p) for p in positions[first : first + len(group)]]
            place = places.pop(conformer.place)
            found.conformer[place] = conformer.altloc
            found.passed_over.update(places)
            if atoms.keys() & ATOM_CLASS_OF_NAME.keys():
                found.row_of_residue[place] = len(found.rows)
                found.rows.append(_row(chain.name, conformer, atoms, parents))
            else:
                found.without_backbone.append(f"{chain.name}/{group[0].name} {group[0].seqid}")
            first += len(group)
    return found


def _count_outside(
    excluded: Counter[ChainReason], chain: gemmi.Chain, in_polymer: list[bool]
) -> None:
    for residue, inside in zip(chain, in_polymer, strict=True):
        if not inside:
            for atom in residue:
                if atom.name in ATOM_CLASS_OF_NAME:
                    excluded[residue.subchain, why_left_out(residue, atom)] += 1


def _present_atoms(
    excluded: Counter[ChainReason],
    group: Sequence[gemmi.Residue],
    conformer: Conformer,
    drop_zero_occupancy: bool,
) -> dict[str, gemmi.Atom]:
    """Return the conformer's backbone atoms by name, and count what the group has besides."""
    present, n_zero = {}, 0
    for name in BACKBONE:
        atom = conformer_atom(conformer, name)
        if atom is None:
            continue
        if drop_zero_occupancy and atom.occ <= 0:
            n_zero += name in ATOM_CLASS_OF_NAME
        else:
            present[name] = atom
    named = [a for residue in group for a in residue if a.name in ATOM_CLASS_OF_NAME]
    n_used = len(present.keys() & ATOM_CLASS_OF_NAME.keys())
    if n_used == len(named):
        return present  # as most residues: nothing is left out
    n_wrong = sum(not right_element(atom, BACKBONE[atom.name]) for atom in named)
    counts = {
        "ion": n_wrong,
        "zero-occupancy": n_zero,
        "alternative-conformer": len(named) - n_wrong - n_zero - n_used,
    }
    chain = group[0].subchain
    excluded.update({(chain, reason): count for reason, count in counts.items() if count})
    return present


def _row(
    chain: str, conformer: Conformer, atoms: Mapping[str, gemmi.Atom], parents: ParentTable
) -> ResidueRow:
    residue = conformer.residue
    seqid = residue.seqid
    stated = parents.get((chain, str(seqid), residue.name), frozenset())
    main = next(atoms[name] for name in ("CA", "N", "C") if name in atoms)
    return ResidueRow(
        chain=chain,
        label_asym_id=residue.subchain,
        label_seq_id=-1 if residue.label_seq is None else residue.label_seq,
        auth_seq_id=seqid.num or 0,
        insertion_code=seqid.icode.strip(),
        residue_name=residue.name,
        amino_class=parent_class(residue.name, stated),
        amino_class_literal=literal_class(residue.name),
        altloc="" if conformer.altloc == BLANK else conformer.altloc,
        occupancy=main.occ,
        b_factor=main.b_iso,
        n_xyz_A=_point(atoms.get("N")),
        ca_xyz_A=_point(atoms.get("CA")),
        c_xyz_A=_point(atoms.get("C")),
        o_xyz_A=_point(atoms.get("O")),
    )


def _point(atom: gemmi.Atom | None) -> Point:
    if atom is None:
        return ABSENT
    x, y, z = atom.pos.tolist()
    return x, y, z
