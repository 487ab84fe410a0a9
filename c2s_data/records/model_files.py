"""Place an entry's atomic model, its secondary-structure parts and its sequence files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import gemmi
from numpy.typing import NDArray

from c2s_data.errors import C2SError
from c2s_data.records.layout import PARTS, RecordNames, StructureSuffix
from c2s_data.records.placed_files import RecordedInput, RecordFolder
from c2s_data.records.structure_parts import StructureParts, structure_parts, write_structure
from c2s_data.sources.clustal import clustal_input, published_sequence_files, run_clustalo
from c2s_data.sources.fasta import FastaRecord, read_fasta
from c2s_data.sources.input_file import open_input
from c2s_data.sources.sequence import chain_sequences


def place_model(
    folder: RecordFolder,
    names: RecordNames,
    model: RecordedInput,
    residues: Mapping[str, NDArray[Any]],
) -> tuple[str | None, list[str]]:
    """Place the model and all residues of each secondary-structure class.

    The input itself always comes along; of an mmCIF file a PDB file is made too, as published,
    where the format can hold it, and of a PDB file that overstrains the format an mmCIF file.

    Returns
    -------
    str or None
        Name of the copy of the input.
    list of str
        What a user of the files should know.
    """
    fault = model.fault()
    if fault is not None:
        made = (names.model(".pdb"), *(names.part(value, ".pdb") for value in PARTS))
        folder.placed.missing |= dict.fromkeys(made, fault)
        return None, []
    parts = structure_parts(model.path, residues)
    is_pdb = parts.whole.input_format == gemmi.CoorFormat.Pdb
    copied: StructureSuffix = ".pdb" if is_pdb else ".cif"
    folder.put_copy(names.model(copied), model)
    if parts.suffix != copied:
        write = partial(write_structure, parts.whole, suffix=parts.suffix)
        folder.put(names.model(parts.suffix), write)
    for value in PARTS:
        folder.put(names.part(value, parts.suffix), partial(parts.write, value))
    return names.model(copied), _notes(parts)


def _notes(parts: StructureParts) -> list[str]:
    notes = []
    if parts.suffix == ".cif":
        notes.append("the PDB format cannot hold the model: its files are mmCIF")
    if len(parts.whole) > 1:
        notes.append("helix, coil and strand files hold the first model of the file alone")
    if parts.n_unclassified:
        notes.append(
            f"{parts.n_unclassified} protein residues have no row in the store (no backbone, or "
            "left out by an option) and are in the coil file"
        )
    return notes


def place_sequences(
    folder: RecordFolder,
    names: RecordNames,
    model: RecordedInput,
    sequence: RecordedInput | None,
    *,
    clustalo: bool,
) -> tuple[str | None, list[str]]:
    """Place the five sequence files, or list them as missing.

    They follow from the model and the FASTA file that the entry was built with.

    Returns
    -------
    str or None
        Name of the copy of that FASTA file, None where the entry had none.
    list of str
        What a user of the files should know.
    """
    try:
        records, original, notes = _given_sequences(sequence)
        files = _sequence_files(names.pdb, model, records, original, clustalo=clustalo)
    except C2SError as error:
        folder.placed.missing[f"{names.pdb}.fasta"] = f"no sequence files: {error}"
        return None, []
    for name, text in files.items():
        folder.put_text(name, text)
    return (f"{names.pdb}.fasta" if original is not None else None), notes


def _given_sequences(
    sequence: RecordedInput | None,
) -> tuple[tuple[FastaRecord, ...], str | None, list[str]]:
    """Return the records of the FASTA file and its text, where it is still there."""
    if sequence is None:
        return (), None, []
    fault = sequence.fault()
    if fault is not None:
        return (), None, [f"{fault}; the sequence files are made from the model alone"]
    return read_fasta(sequence.path), _text(sequence.path), []


def _text(address: str) -> str:
    with open_input(address) as stored:
        return stored.read().decode("utf-8-sig")


def _sequence_files(
    pdb: str,
    model: RecordedInput,
    records: tuple[FastaRecord, ...],
    original: str | None,
    *,
    clustalo: bool,
) -> dict[str, str]:
    fault = model.fault()
    if fault is not None:
        raise C2SError(fault)
    chains = chain_sequences(model.path, records)
    alignment = run_clustalo(clustal_input(chains)) if clustalo else None
    return published_sequence_files(chains, pdb, original=original, alignment=alignment)
