"""Letters by the program ``mkdssp``, on exactly the coordinates of a residue table."""

from __future__ import annotations

import subprocess
from pathlib import Path

import gemmi
import numpy as np

from c2s_data.sources.atomic_model import ResidueTable

NOT_ASSIGNED = "-"


def mkdssp_letters(residues: ResidueTable, folder: Path, program: str) -> np.ndarray:
    """Return one letter a residue, ``-`` where the program gives none; its P is blank."""
    source, result = folder / "backbone.cif", folder / "assigned.cif"
    source.write_text(_backbone_mmcif(residues))
    subprocess.run(
        [program, "--output-format", "mmcif", "--write-experimental", str(source), str(result)],
        check=True,
        capture_output=True,
        timeout=300,
    )
    letters = np.full(len(residues), NOT_ASSIGNED)
    first = np.searchsorted(residues.chain_index, np.arange(residues.chain_index[-1] + 1))
    columns = ["label_asym_id", "label_seq_id", "secondary_structure"]
    block = gemmi.cif.read(str(result)).sole_block()
    for asym, number, letter in block.find("_dssp_struct_summary.", columns):
        row = first[int(asym[1:])] + int(number) - 1
        letters[row] = " " if letter in ".?P" else letter
    return letters


def _loop(category: str, columns: str, rows: list[str]) -> str:
    heads = "".join(f"_{category}.{column}\n" for column in columns.split())
    return f"loop_\n{heads}" + "".join(f"{row}\n" for row in rows) + "#\n"


def _backbone_mmcif(residues: ResidueTable) -> str:
    """Write a file with just what the program insists on."""
    chain = residues.chain_index
    position = np.arange(len(chain)) - np.searchsorted(chain, chain) + 1
    places = list(zip(chain, position, residues.residue_name, strict=True))
    atoms = (residues.n_xyz_A, residues.ca_xyz_A, residues.c_xyz_A, residues.o_xyz_A)
    lines: list[str] = []
    for row, (asym, number, name) in enumerate(places):
        for atom, xyz_A in zip(("N", "CA", "C", "O"), atoms, strict=True):
            if np.isfinite(xyz_A[row]).all():
                x, y, z = xyz_A[row]
                lines.append(
                    f"ATOM {len(lines) + 1} {atom[0]} {atom} . {name} C{asym} {asym + 1} {number} ?"
                    f" {x:.3f} {y:.3f} {z:.3f} 1.0 10.0 ? {number} {name} C{asym} {atom} 1"
                )
    asyms = range(chain[-1] + 1)
    names = sorted(set(residues.residue_name))
    return "data_BACKBONE\n_entry.id BACKBONE\n#\n" + "".join(
        (
            _loop("chem_comp", "id type", [f"{name} 'L-peptide linking'" for name in names]),
            _loop("entity", "id type", [f"{a + 1} polymer" for a in asyms]),
            _loop("entity_poly", "entity_id type", [f"{a + 1} polypeptide(L)" for a in asyms]),
            _loop("struct_asym", "id entity_id", [f"C{a} {a + 1}" for a in asyms]),
            _loop(
                "entity_poly_seq",
                "entity_id num mon_id hetero",
                [f"{a + 1} {number} {name} n" for a, number, name in places],
            ),
            _loop(
                "pdbx_poly_seq_scheme",
                "asym_id entity_id seq_id mon_id ndb_seq_num pdb_seq_num auth_seq_num pdb_mon_id "
                "auth_mon_id pdb_strand_id pdb_ins_code hetero",
                [f"C{a} {a + 1} {i} {m} {i} {i} {i} {m} {m} C{a} . n" for a, i, m in places],
            ),
            _loop(
                "atom_site",
                "group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id "
                "label_entity_id label_seq_id pdbx_PDB_ins_code Cartn_x Cartn_y Cartn_z occupancy "
                "B_iso_or_equiv pdbx_formal_charge auth_seq_id auth_comp_id auth_asym_id "
                "auth_atom_id pdbx_PDB_model_num",
                lines,
            ),
        )
    )
