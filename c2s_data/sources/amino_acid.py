"""Residue names become amino-acid classes, and residues of a chain become polymer or not."""

from __future__ import annotations

from typing import Final

import gemmi

from c2s_data.schema import AMINO_ACIDS

PEPTIDE_BOND_MAX_A: Final = 2.5
BACKBONE: Final = {"N": "N", "CA": "C", "C": "C", "O": "O"}
"""Element that each backbone atom name must have: an atom named CA may be calcium."""

_CLASS_OF_NAME: Final = {name: number for number, name in enumerate(AMINO_ACIDS, start=1)}
_CLASS_OF_LETTER: Final = {
    gemmi.find_tabulated_residue(name).one_letter_code: number
    for name, number in _CLASS_OF_NAME.items()
}
_NO_CLASS: Final = frozenset({"SEC", "PYL", "ASX", "GLX", "UNK"})

ParentTable = dict[tuple[str, str, str], frozenset[str]]
"""Parent residue names by chain, residue number with insertion code, and residue name."""


def literal_class(name: str) -> int:
    """Return the class 1 to 20 of one of the twenty names, 0 for any other."""
    return _CLASS_OF_NAME.get(name, 0)


def parent_class(name: str, parents: frozenset[str] = frozenset()) -> int:
    """Return the class 1 to 20 of a residue or of the residue it was modified from, else 0.

    Parameters
    ----------
    name
        Residue name, as MSE, SEP or DAL.
    parents
        Parent names that the file itself states for the residue. They decide where the chemical
        table does not know the name; a chromophore fused from several residues has several, and
        then no class.
    """
    if name in _CLASS_OF_NAME or name in _NO_CLASS:
        return literal_class(name)
    if len(parents) > 1:
        return 0
    info = gemmi.find_tabulated_residue(name)
    if info.is_amino_acid():
        known = _CLASS_OF_LETTER.get(info.one_letter_code.upper(), 0)
        if known:
            return known
    return max((literal_class(parent) for parent in parents), default=0)


def parents_in_file(structure: gemmi.Structure) -> ParentTable:
    """Return what the file's MODRES or ``_pdbx_struct_mod_residue`` says of its residues."""
    table: ParentTable = {}
    for entry in structure.mod_residues:
        if entry.parent_comp_id:
            key = (entry.chain_name, str(entry.res_id.seqid), entry.res_id.name)
            table[key] = table.get(key, frozenset()) | {entry.parent_comp_id}
    return table


def right_element(atom: gemmi.Atom, expected: str) -> bool:
    """Tell whether an atom is of the element its name stands for; a missing element passes."""
    return atom.element.name in (expected, "X")


def backbone_atom(residue: gemmi.Residue, name: str) -> gemmi.Atom | None:
    """Return the first atom of a backbone name and its element, None where there is none."""
    first: gemmi.Atom | None = residue.find_atom(name, "*")
    if first is None or right_element(first, BACKBONE[name]):
        return first
    return next((a for a in residue if a.name == name and right_element(a, BACKBONE[name])), None)


def is_amino_acid(residue: gemmi.Residue) -> bool:
    """Tell amino acids by the chemical table; a name it does not know (HIE, CYX) by N, CA and C."""
    info = gemmi.find_tabulated_residue(residue.name)
    if info.found():
        return bool(info.is_amino_acid())
    return all(backbone_atom(residue, name) is not None for name in ("N", "CA", "C"))


def unlabeled_residues(model: gemmi.Model) -> dict[str, list[bool]]:
    """Return, by chain, for which residues the file does not say what they are.

    It says so by entities (mmCIF) or by a TER record in the chain (PDB). To be called before
    ``setup_entities`` fills the gaps with a guess.
    """
    unknown = gemmi.EntityType.Unknown
    return {chain.name: [r.entity_type == unknown for r in chain] for chain in model}


def polymer_amino_acids(chain: gemmi.Chain, guessed: list[bool]) -> list[bool]:
    """Return which residues of a chain are amino acids of its polymer.

    Where the type was only guessed, a peptide bond to a neighbour decides instead for HETATM
    residues and unknown names: a free amino acid, or a ligand with atoms named N, CA and C, is no
    part of the chain, a modified residue at its end is.

    Parameters
    ----------
    chain
        Chain whose entities are set up.
    guessed
        As `unlabeled_residues` returns them for the chain.
    """
    amino = [is_amino_acid(residue) for residue in chain]
    flags = []
    for row, residue in enumerate(chain):
        polymer = residue.entity_type == gemmi.EntityType.Polymer
        if guessed[row]:
            tabulated = gemmi.find_tabulated_residue(residue.name).found()
            if residue.het_flag == "H":
                testable = all(backbone_atom(residue, name) for name in ("N", "C"))
                in_sequence = polymer and tabulated and not testable
                polymer = in_sequence or _is_bonded(chain, amino, row)
            else:
                polymer = polymer or tabulated or _is_bonded(chain, amino, row)
        flags.append(polymer and amino[row])
    return flags


def _is_bonded(chain: gemmi.Chain, amino: list[bool], row: int) -> bool:
    """Tell whether a peptide bond joins a residue to the one before or after it."""
    for before in (row - 1, row):
        if before < 0 or before + 1 == len(amino) or not (amino[before] and amino[before + 1]):
            continue
        carbon, nitrogen = backbone_atom(chain[before], "C"), backbone_atom(chain[before + 1], "N")
        if carbon and nitrogen and carbon.pos.dist(nitrogen.pos) <= PEPTIDE_BOND_MAX_A:
            return True
    return False


def why_left_out(residue: gemmi.Residue, atom: gemmi.Atom) -> str:
    """Return why an atom named CA, N or C of a residue outside the polymer is not in the table."""
    if not right_element(atom, BACKBONE[atom.name]):
        return "ion"
    kind = gemmi.find_tabulated_residue(residue.name).kind
    if kind in (gemmi.ResidueKind.DNA, gemmi.ResidueKind.RNA):
        return "nucleic"
    return "ligand-or-cap"
