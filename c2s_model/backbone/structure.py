"""A traced backbone becomes a structure file: mmCIF always, PDB where it fits.

Residue numbers are positions in the chain's sequence from 1, both as ``label_seq_id`` and as
``auth_seq_id``. What was not placed is listed in ``_pdbx_unobs_or_zero_occ_residues``; a break
between consecutive residues in ``_pdbx_validate_polymer_linkage``, and no record joins its ends.
A residue that was interpolated, without a candidate of its own, has occupancy 0. B-factors hold
100 x confidence.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import gemmi
import numpy as np

from c2s_data import __version__
from c2s_data.errors import C2SError
from c2s_model.backbone.built_chain import ELEMENT, BuiltChain, residue_names
from c2s_model.backbone.structure_tables import add_tables

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "UNCALIBRATED",
    "BuiltChain",
    "WrittenModel",
    "residue_names",
    "write_confidence",
    "write_model",
    "write_text_beside",
]

UNCALIBRATED: Final = "uncalibrated"
CONFIDENCE_SCALE: Final = 100.0
_PDB_ATOMS: Final = 99_999
_PDB_NUMBER: Final = 9_999
_PDB_COORDINATE_A: Final = (-999.999, 9999.999)
_CSV_HEADER: Final = (
    "chain,residue_number,residue_name,fragment,interpolated,confidence,calibration,"
    "ca_x_A,ca_y_A,ca_z_A\n"
)


class WrittenModel(NamedTuple):
    """Where the model went, and what could not be done."""

    mmcif: Path
    pdb: Path | None
    notes: tuple[str, ...]


def write_model(
    path: Path,
    chains: Sequence[BuiltChain],
    *,
    title: str,
    calibration: str = UNCALIBRATED,
    pdb_path: Path | None = None,
    kept: gemmi.Structure | None = None,
) -> WrittenModel:
    """Write a model; a file of that name is replaced as a whole.

    Parameters
    ----------
    path
        The mmCIF file.
    chains
        Names must differ from each other and from those of ``kept``. Empty ones are left out.
    title
        One line.
    calibration
        What the confidences were fitted on; "uncalibrated" until then.
    pdb_path
        Also write a PDB file, where the format can hold the model.
    kept
        A model whose atoms are written before the chains, as they are.

    Raises
    ------
    C2SError
        No chain has a residue, or two chains share a name.
    """
    structure, built = _structure(chains, title, calibration, kept)
    document = structure.make_mmcif_document()
    block = document.sole_block()
    block.set_pair(
        "_struct.pdbx_model_details", gemmi.cif.quote(" ".join(_explanation(calibration)))
    )
    add_tables(block, built, calibration, scheme=kept is None)
    write_text_beside(path, document.as_string())
    misfit = _pdb_misfit(structure)
    if pdb_path is None or misfit:
        notes = (f"no PDB file: {misfit}",) if pdb_path is not None else ()
        return WrittenModel(path, None, notes)
    structure.raw_remarks = [f"REMARK   3 {line}" for line in _explanation(calibration)]
    write_text_beside(pdb_path, structure.make_pdb_string())
    return WrittenModel(path, pdb_path, ())


def write_confidence(path: Path, chains: Sequence[BuiltChain], calibration: str) -> None:
    """Write one row per placed residue, CSV; coordinates in A.

    Its column ``calibration`` is "calibrated" or "uncalibrated".
    """
    word = calibration.partition(" ")[0]
    rows = [
        f"{chain.name},{number},{chain.residue_name[row]},{chain.fragment[row]},"
        f"{int(chain.interpolated[row])},{chain.confidence[row]:.4f},{word},"
        + ",".join(f"{one:.3f}" for one in chain.xyz_A[row])
        for chain in chains
        for row, number in enumerate(chain.residue_number.tolist())
    ]
    write_text_beside(path, _CSV_HEADER + "".join(f"{row}\n" for row in rows))


def write_text_beside(path: Path, text: str) -> None:
    """Write a file beside its place and rename it: it is there whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _structure(
    chains: Sequence[BuiltChain], title: str, calibration: str, kept: gemmi.Structure | None
) -> tuple[gemmi.Structure, list[BuiltChain]]:
    built = [chain for chain in chains if len(chain)]
    if not built:
        raise C2SError(
            "no residue was placed, so there is no model to write; lower the threshold of the "
            "candidates, or look at the prediction"
        )
    structure = gemmi.Structure() if kept is None else kept.clone()
    if kept is None:
        structure.add_model(gemmi.Model(1))
    while len(structure) > 1:
        del structure[-1]
    taken = {name for chain in structure[0] for name in (chain.name, *_subchains(chain))}
    names = [chain.name for chain in built]
    if len(set(names)) < len(names) or taken & set(names):
        raise C2SError(f"chains {', '.join(names)} and {', '.join(sorted(taken))} share a name")
    structure.name = "C2S-MODEL"
    structure.info["_struct.title"] = title
    _add_entities(structure, built)
    for chain in built:
        structure[0].add_chain(_chain(chain, _entity_of(structure, chain)))
    return structure, built


def _subchains(chain: gemmi.Chain) -> set[str]:
    return {residue.subchain for residue in chain}


def _entity_of(structure: gemmi.Structure, chain: BuiltChain) -> str:
    return next(one.name for one in structure.entities if chain.name in one.subchains)


def _add_entities(structure: gemmi.Structure, built: list[BuiltChain]) -> None:
    """Add one polymer entity for each different sequence."""
    used = {entity.name for entity in structure.entities}
    number = 0
    for sequence in dict.fromkeys(chain.sequence for chain in built):
        number += 1
        while str(number) in used:
            number += 1
        entity = gemmi.Entity(str(number))
        entity.entity_type = gemmi.EntityType.Polymer
        entity.polymer_type = gemmi.PolymerType.PeptideL
        entity.subchains = [chain.name for chain in built if chain.sequence == sequence]
        entity.full_sequence = residue_names(sequence)
        structure.entities.append(entity)


def _chain(built: BuiltChain, entity_id: str) -> gemmi.Chain:
    chain = gemmi.Chain(built.name)
    for row, number in enumerate(built.residue_number.tolist()):
        residue = gemmi.Residue()
        residue.name = str(built.residue_name[row])
        residue.seqid = gemmi.SeqId(number, " ")
        residue.label_seq = number
        residue.subchain, residue.entity_id = built.name, entity_id
        residue.entity_type = gemmi.EntityType.Polymer
        for name, xyz_A in built.atoms(row):
            atom = gemmi.Atom()
            atom.name, atom.element = name, gemmi.Element(ELEMENT[name])
            atom.pos = gemmi.Position(*np.round(xyz_A, 3).tolist())
            atom.occ = 0.0 if built.interpolated[row] else 1.0
            atom.b_iso = round(CONFIDENCE_SCALE * float(built.confidence[row]), 2)
            residue.add_atom(atom)
        chain.add_residue(residue)
    return chain


def _explanation(calibration: str) -> list[str]:
    return [
        f"Backbone built by c2s-model {__version__}.",
        f"B-factors are 100 x confidence of a residue ({calibration}).",
        "Occupancy 0: interpolated between neighbours.",
    ]


def _pdb_misfit(structure: gemmi.Structure) -> str:
    """Say why the PDB format cannot hold the model, or nothing."""
    low_A, high_A = _PDB_COORDINATE_A
    faults: dict[str, Callable[[], bool]] = {
        "a chain name of more than one character": lambda: any(
            len(chain.name) > 1 for chain in structure[0]
        ),
        f"more than {_PDB_ATOMS:,} atoms": lambda: structure[0].count_atom_sites() > _PDB_ATOMS,
        f"a residue number above {_PDB_NUMBER:,}": lambda: any(
            (residue.seqid.num or 0) > _PDB_NUMBER for chain in structure[0] for residue in chain
        ),
        "a coordinate of more than eight characters": lambda: any(
            not low_A <= value <= high_A
            for one in structure[0].all()
            for value in one.atom.pos.tolist()
        ),
    }
    return next((fault for fault, holds in faults.items() if holds()), "")
