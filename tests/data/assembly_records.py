"""Assemblies as PDB and mmCIF files state them, and groups of rotations to state."""

from __future__ import annotations

import numpy as np
from atom_records import A, chain_of, loop
from scipy.spatial.transform import Rotation

CELLS = " ".join(f"matrix[{r}][1] matrix[{r}][2] matrix[{r}][3] vector[{r}]" for r in (1, 2, 3))


def motion(rotation=None, shift=(0.0, 0.0, 0.0), center=(0.0, 0.0, 0.0)) -> np.ndarray:
    """Return a (3, 4) motion: a rotation about a center, then a shift."""
    rotation = np.eye(3) if rotation is None else np.asarray(rotation)
    center = np.asarray(center)
    return np.column_stack((rotation, center - rotation @ center + shift))


def cyclic(n: int, center) -> list[np.ndarray]:
    """Return the n motions of a rotation axis along z."""
    turns = Rotation.from_rotvec(
        [(0, 0, turn) for turn in np.arange(n) * 2 * np.pi / n]
    ).as_matrix()
    return [motion(turn, center=center) for turn in turns]


def icosahedral(center) -> list[np.ndarray]:
    """Return the sixty rotations of an icosahedron about a center, the identity first."""
    turns = Rotation.create_group("I").as_matrix()
    order = np.argsort(-np.trace(turns, axis1=1, axis2=2))
    return [motion(turn, center=center) for turn in turns[order]]


def text(number: float) -> str:
    return f"{number:.9f}"


def cif_assembly(motions: dict[str, np.ndarray], *generators: tuple[str, str]) -> str:
    """Return assembly 1 of generators (expression, label_asym_ids) over named motions."""
    rows = [f"{name} op {' '.join(map(text, m.ravel()))}" for name, m in motions.items()]
    details = "id details method_details oligomeric_details oligomeric_count"  # gemmi wants all
    return (
        loop("pdbx_struct_assembly", details, ["1 author_defined_assembly ? ? ?"])
        + loop(
            "pdbx_struct_assembly_gen",
            "assembly_id oper_expression asym_id_list",
            [f"1 '{expression}' {chains}" for expression, chains in generators],
        )
        + loop("pdbx_struct_oper_list", f"id type {CELLS}", rows)
    )


def cif_ncs(motions: dict[str, np.ndarray], code: str = "generate") -> str:
    rows = [f"{name} {code} {' '.join(map(text, m.ravel()))}" for name, m in motions.items()]
    return loop("struct_ncs_oper", f"id code {CELLS}", rows)


def remark_350(motions: list[np.ndarray], chains: str = "A, B") -> str:
    lines = ["REMARK 350 BIOMOLECULE: 1", f"REMARK 350 APPLY THE FOLLOWING TO CHAINS: {chains}"]
    for number, rows in enumerate(motions, start=1):
        for row, (x, y, z, shift) in enumerate(rows, start=1):
            lines.append(
                f"REMARK 350   BIOMT{row}{number:4d}{x:10.6f}{y:10.6f}{z:10.6f}{shift:15.5f}"
            )
    return "\n".join(lines) + "\n"


def mtrix(motions: list[np.ndarray], given: str = " ") -> str:
    return "".join(
        f"MTRIX{row}{number:4d}{x:10.6f}{y:10.6f}{z:10.6f}{shift:15.5f}    {given}\n"
        for number, rows in enumerate(motions, start=1)
        for row, (x, y, z, shift) in enumerate(rows, start=1)
    )


TURN_Z = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
MOTIONS = {str(i): motion(shift=(100.0 * i, 0, 0)) for i in range(2, 7)} | {
    "1": motion(),
    "P": motion(TURN_Z),
}


def two_chains() -> list[A]:
    return [
        *chain_of("ALA", "TRP", "GLY", label_asym="A"),
        *chain_of("SER", "VAL", chain="B", label_asym="B", at=40.0),
    ]
