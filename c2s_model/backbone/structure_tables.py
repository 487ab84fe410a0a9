"""mmCIF tables that gemmi does not write: types, software, what is missing, breaks, the scheme."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import gemmi
import numpy as np

from c2s_data import __version__
from c2s_model.backbone.built_chain import BuiltChain, residue_names


def add_tables(
    block: gemmi.cif.Block, built: Sequence[BuiltChain], calibration: str, *, scheme: bool
) -> None:
    """Add the tables to the document of a model.

    Parameters
    ----------
    block
        As gemmi made it.
    built
        Chains with at least one residue.
    calibration
        What the confidences were fitted on.
    scheme
        Whether ``_pdbx_poly_seq_scheme`` can be written: it names every chain or none.
    """
    for row in block.find("_chem_comp.", ["id", "type"]):
        if gemmi.find_tabulated_residue(row.str(0)).is_amino_acid():
            kind = "peptide linking" if row.str(0) == "GLY" else "L-peptide linking"
            row[1] = gemmi.cif.quote(kind)
    block.set_pairs(
        "_software.",
        {
            "pdbx_ordinal": "1",
            "name": "c2s-model",
            "version": __version__,
            "classification": gemmi.cif.quote("model building"),
        },
    )
    block.set_pairs("_c2s_model.", {"confidence": gemmi.cif.quote(calibration)})
    _fill(block, "_pdbx_unobs_or_zero_occ_residues.", _UNOBSERVED, _unobserved(built))
    _fill(block, "_pdbx_validate_polymer_linkage.", _LINKAGE, _linkage(built))
    if scheme:
        _fill(block, "_pdbx_poly_seq_scheme.", _SCHEME, _scheme(built, block))


_UNOBSERVED: Final = (
    "id", "PDB_model_num", "polymer_flag", "occupancy_flag", "auth_asym_id", "auth_comp_id",
    "auth_seq_id", "PDB_ins_code", "label_asym_id", "label_comp_id", "label_seq_id",
)  # fmt: skip
_LINKAGE: Final = (
    "id", "PDB_model_num", "auth_asym_id_1", "auth_comp_id_1", "auth_seq_id_1", "PDB_ins_code_1",
    "label_alt_id_1", "auth_asym_id_2", "auth_comp_id_2", "auth_seq_id_2", "PDB_ins_code_2",
    "label_alt_id_2", "dist",
)  # fmt: skip
_SCHEME: Final = (
    "asym_id", "entity_id", "seq_id", "mon_id", "ndb_seq_num", "pdb_seq_num", "auth_seq_num",
    "pdb_mon_id", "auth_mon_id", "pdb_strand_id", "pdb_ins_code", "hetero",
)  # fmt: skip


def _fill(
    block: gemmi.cif.Block, prefix: str, tags: tuple[str, ...], rows: Iterator[list[str]]
) -> None:
    found = list(rows)
    if found:
        loop = block.init_loop(prefix, list(tags))
        for row in found:
            loop.add_row([gemmi.cif.quote(one) if one not in ("?", ".") else one for one in row])


def _unobserved(built: Sequence[BuiltChain]) -> Iterator[list[str]]:
    number = 0
    for chain in built:
        row_of = {int(n): row for row, n in enumerate(chain.residue_number)}
        for place, name in enumerate(residue_names(chain.sequence), start=1):
            row = row_of.get(place)
            if row is None or chain.interpolated[row]:
                number += 1
                flag, at = ("1" if row is None else "0"), str(place)
                yield [str(number), "1", "Y", flag, chain.name, name, at, "?", chain.name, name, at]


def _linkage(built: Sequence[BuiltChain]) -> Iterator[list[str]]:
    number = 0
    for chain in built:
        for a, b in pairwise(range(len(chain))):
            adjacent = chain.residue_number[b] - chain.residue_number[a] == 1
            if adjacent and chain.fragment[a] != chain.fragment[b]:
                number += 1
                ends = [
                    [chain.name, str(chain.residue_name[row]), str(chain.residue_number[row])]
                    for row in (a, b)
                ]
                length_A = float(np.linalg.norm(chain.xyz_A[b] - chain.xyz_A[a]))
                first, second = ([*end, "?", "?"] for end in ends)
                yield [str(number), "1", *first, *second, f"{length_A:.2f}"]


def _scheme(built: Sequence[BuiltChain], block: gemmi.cif.Block) -> Iterator[list[str]]:
    entity_of = {row.str(0): row.str(1) for row in block.find("_struct_asym.", ["id", "entity_id"])}
    for chain in built:
        placed = set(chain.residue_number.tolist())
        for place, name in enumerate(residue_names(chain.sequence), start=1):
            at, seen = str(place), place in placed
            shown = [at, name, name] if seen else ["?", "?", "?"]
            yield [
                chain.name, entity_of[chain.name], at, name, at, at, *shown, chain.name, ".", "n"
            ]  # fmt: skip
