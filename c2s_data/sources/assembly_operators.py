"""The rotations and translations that turn the deposited chains into the whole assembly.

They stand in ``_pdbx_struct_assembly_gen`` and ``_struct_ncs_oper`` (mmCIF), in REMARK 350 and
MTRIX (PDB). The expressions of mmCIF are read here: gemmi takes a product such as (1-60)(61-88)
for its first factor, and a range such as 1-100000000 for a list of so many names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import chain, islice, product
from typing import TYPE_CHECKING, Final, NamedTuple

import gemmi
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

MAX_OPERATORS: Final = 2000
"""More than any deposited assembly has: 1,680 of the virus in 1M4X."""
MAX_ROWS: Final = 50_000
"""Operators before those of equal motion are joined."""
MAX_FACTORS: Final = 8
MAX_SHIFT_A: Final = 1e6
_ROTATION_TOLERANCE: Final = 1e-3  # PDB files round to six decimals, some programs to four
_SAME: Final = 1e-4
_GENERATOR: Final = "_pdbx_struct_assembly_gen."
_CELLS: Final = tuple(
    f"{name}[{row}]{column}"
    for row in (1, 2, 3)
    for name, column in (*(("matrix", f"[{c}]") for c in (1, 2, 3)), ("vector", ""))
)


@dataclass(frozen=True, eq=False)
class Operator:
    """One rotation and translation, and the chains that it copies.

    Parameters
    ----------
    name : str
        Ends the names of the copied chains, as in A-2; no two operators of a model share it.
    matrix : (3, 4) float64
        Rotation and, in the last column, translation in A, for positions x, y, z.
    chains : frozenset of str
        Copied chains by label_asym_id (the author chain name in a PDB file).
    """

    name: str
    matrix: NDArray[np.float64]
    chains: frozenset[str]

    def apply(self, xyz_A: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the positions (n, 3), in A, of the copy."""
        return xyz_A @ self.matrix[:, :3].T + self.matrix[:, 3]


class FileOperators(NamedTuple):
    """The operators of assembly 1, or why the file's are not usable (`fault`, else empty)."""

    operators: tuple[Operator, ...]
    fault: str


class _Unusable(Exception):  # noqa: N818 - a finding about the file, never seen outside
    """Why an assembly cannot be used."""


def take_mmcif_operators(block: gemmi.cif.Block) -> FileOperators:
    """Read the operators of assembly 1 and take its generators out of the block.

    Taken out, they no longer reach gemmi, which would hold every name of a range in memory.
    """
    try:
        found = FileOperators(tuple(islice(_generated(block), MAX_ROWS + 1)), "")
    except _Unusable as fault:
        found = FileOperators((), str(fault))
    block.find_mmcif_category(_GENERATOR).erase()
    return found


def pdb_operators(structure: gemmi.Structure) -> FileOperators:
    """Read the operators of biomolecule 1 from REMARK 350."""
    name = _first_assembly([assembly.name for assembly in structure.assemblies])
    found = (
        Operator(operator.name, _matrix(operator.transform), frozenset(generator.chains))
        for assembly in structure.assemblies
        if assembly.name == name
        for generator in assembly.generators
        for operator in generator.operators
    )
    return FileOperators(tuple(islice(found, MAX_ROWS + 1)), "")


def usable_operators(read: FileOperators, structure: gemmi.Structure) -> FileOperators:
    """Join assembly and non-crystallographic symmetry, once each, under names of their own.

    Operators of ``_struct_ncs_oper`` or MTRIX count if their copies are not in the file (given =
    no), and apply to all chains. The identity is left out: the file holds it.

    Parameters
    ----------
    read
        As `take_mmcif_operators` or `pdb_operators` returns it.
    structure
        The same file, its chains named.
    """
    if read.fault:
        return read
    present = frozenset(residue.subchain for part in structure[0] for residue in part)
    copied = (Operator(op.id, _matrix(op.tr), present) for op in structure.ncs if not op.given)
    try:
        merged = _merged(chain(read.operators, copied), present)
    except _Unusable as fault:
        return FileOperators((), str(fault))
    return FileOperators(tuple(_named_apart(merged)), "")


def _generated(block: gemmi.cif.Block) -> Iterable[Operator]:
    rows = [
        [row.str(i) for i in range(3)]
        for row in block.find(_GENERATOR, ["assembly_id", "oper_expression", "asym_id_list"])
    ]
    first = _first_assembly([row[0] for row in rows])
    rows = [row for row in rows if row[0] == first]
    motions = _motions(block) if rows else {}
    for _, expression, asym_ids in rows:
        chains = frozenset(name.strip() for name in asym_ids.split(",")) - {""}
        for names in product(*_factors(expression)):
            unknown = [name for name in names if name not in motions]
            if unknown:
                raise _Unusable(f"it names operator {unknown[0]!r:.20}, which "
                                "_pdbx_struct_oper_list does not hold")  # fmt: skip
            yield Operator("_".join(names), _compose([motions[n] for n in names]), chains)


def _first_assembly(names: Sequence[str]) -> str:
    return "1" if "1" in names else next(iter(names), "")


def _factors(expression: str) -> list[list[str]]:
    """Return the lists of names whose product an expression such as (X0)(1-60,P) is."""
    factors = [_names(part) for part in expression.replace("(", ")").split(")") if part.strip()]
    if math.prod(map(len, factors)) > MAX_OPERATORS:
        raise _Unusable(f"it has more than {MAX_OPERATORS} operators: {expression!r:.40}")
    if len(factors) > MAX_FACTORS:
        raise _Unusable(f"it multiplies more than {MAX_FACTORS} operators: {expression!r:.40}")
    return factors if factors else [[]]


def _names(part: str) -> list[str]:
    names: list[str] = []
    for item in part.split(","):
        low, dash, high = (word.strip() for word in item.partition("-"))
        if not dash:
            names.append(low)
            continue
        if not (low.isdecimal() and high.isdecimal() and max(len(low), len(high)) < 19):
            raise _Unusable(f"its operators {item!r:.40} are no range of numbers")
        if int(high) - int(low) >= MAX_OPERATORS:
            raise _Unusable(f"it has more than {MAX_OPERATORS} operators: {item!r:.40}")
        names += map(str, range(int(low), int(high) + 1))
    return names


def _motions(block: gemmi.cif.Block) -> dict[str, NDArray[np.float64]]:
    motions = {}
    for row in block.find("_pdbx_struct_oper_list.", ["id", *_CELLS]):
        numbers = [gemmi.cif.as_number(row[i + 1]) for i in range(12)]
        motions[row.str(0)] = np.array(numbers, np.float64).reshape(3, 4)
    return motions


def _compose(motions: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the product of (3, 4) motions; the last is applied first, as mmCIF has it."""
    total = np.eye(3, 4)
    with np.errstate(all="ignore"):  # what is not finite is refused with the other operators
        for motion in motions:
            shift = total[:, :3] @ motion[:, 3] + total[:, 3]
            total = np.column_stack((total[:, :3] @ motion[:, :3], shift))
    return total


def _matrix(transform: gemmi.Transform) -> NDArray[np.float64]:
    return np.column_stack((np.array(transform.mat.tolist()), np.array(transform.vec.tolist())))


def _check_motion(operator: Operator) -> None:
    rotation, shift = operator.matrix[:, :3], operator.matrix[:, 3]
    with np.errstate(all="ignore"):
        error = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
        proper = error <= _ROTATION_TOLERANCE and float(np.linalg.det(rotation)) > 0
    if not proper:  # nan too
        raise _Unusable(f"its operator {operator.name!r:.20} is no proper rotation")
    if not np.abs(shift).max() <= MAX_SHIFT_A:
        raise _Unusable(f"its operator {operator.name!r:.20} moves the model by {shift} A")


def _merged(operators: Iterable[Operator], present: frozenset[str]) -> list[Operator]:
    """Join the chains of equal motions; the identity copies nothing."""
    merged: dict[bytes, Operator] = {}
    for number, operator in enumerate(operators):
        if number == MAX_ROWS:
            raise _Unusable(f"it copies chains in more than {MAX_ROWS} ways")
        _check_motion(operator)
        chains = operator.chains & present
        if not chains or np.allclose(operator.matrix, np.eye(3, 4), rtol=0, atol=_SAME):
            continue
        key = (np.round(operator.matrix, 3) + 0.0).tobytes()  # + 0.0 makes -0.0 positive
        before = merged.get(key, operator)
        merged[key] = replace(before, chains=chains | (before.chains & present))
    if len(merged) > MAX_OPERATORS:
        raise _Unusable(f"it has {len(merged)} operators, above the limit of {MAX_OPERATORS}")
    return list(merged.values())


def _named_apart(operators: Iterable[Operator]) -> Iterable[Operator]:
    taken = {"1"}  # the identity's name, which no copy carries
    number = 1
    for operator in operators:
        name = operator.name if len(operator.name) <= 8 and operator.name.isalnum() else ""
        if not name or name in taken:
            while str(number) in taken:
                number += 1
            name = str(number)
        taken.add(name)
        yield replace(operator, name=name)
