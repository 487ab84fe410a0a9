"""Reading every heavy atom of a large model, and expanding assemblies.

    python benchmarks/assembly.py

Models are made from one procedural protein: one of some 200,000 heavy atoms is read with and
without its heavy atoms; a unit of 590 residues is expanded by the sixty rotations of a capsid (as
1F2N), and one of 600 by 1,680 operators (as 1M4X).
"""

from __future__ import annotations

import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import gemmi
import numpy as np
from scipy.spatial.transform import Rotation

from c2s_data.assembly import copies_in_density, expand, expanded_bytes
from c2s_data.sources.amino_acid import unlabeled_residues
from c2s_data.sources.assembly_operators import Operator
from c2s_data.sources.atomic_model import read_atomic_model
from c2s_data.sources.heavy_atoms import heavy_atoms
from c2s_data.sources.polymer_residues import polymer_residues
from c2s_data.sources.procedural import procedural_protein

Result = TypeVar("Result")


def model_file(folder: Path, n_copies: int, n_chains: int | None = None) -> Path:
    """Write copies of a dimer, 60 A apart, and return the file."""
    unit, whole = procedural_protein(3, 118), gemmi.Structure()
    whole.add_model(gemmi.Model(1))
    for number in range(n_copies):
        shift = gemmi.Vec3(60.0 * (number % 10), 60.0 * (number // 10), 0)
        for chain in unit[0]:
            copy = chain.clone()
            copy.name = f"{chain.name}{number}"
            for residue in copy:
                residue.subchain = copy.name
            whole[0].add_chain(copy)
        for chain in list(whole[0])[-len(unit[0]) :]:
            for residue in chain:
                for atom in residue:
                    atom.pos += gemmi.Position(shift.x, shift.y, shift.z)
    for chain in list(whole[0])[n_chains:] if n_chains else ():
        whole[0].remove_chain(chain.name)
    whole.setup_entities()
    path = folder / f"{n_copies}.cif"
    whole.make_mmcif_document().write_file(str(path))
    return path


def seconds(
    function: Callable[..., Result], *values: object, **options: object
) -> tuple[float, Result]:
    start = time.perf_counter()
    result = function(*values, **options)
    return time.perf_counter() - start, result


def heavy_share(path: Path) -> tuple[float, float, int]:
    """Return seconds for the whole reading and for its heavy atoms, and how many these are."""
    total, model = seconds(read_atomic_model, path)
    structure = gemmi.read_structure(str(path))
    guessed = unlabeled_residues(structure[0])
    structure.setup_entities()
    found = polymer_residues(structure[0], guessed, {}, drop_zero_occupancy=False)
    spent, heavy = seconds(heavy_atoms, structure[0], found, drop_zero_occupancy=False)
    assert len(heavy) == len(model.heavy)
    return total, spent, len(heavy)


def operators(rotations: Rotation, shifts_A: np.ndarray, chains: frozenset[str]) -> list[Operator]:
    """Return every rotation after every shift, without the first of all."""
    found = [
        np.column_stack((turn, turn @ shift))
        for shift in shifts_A
        for turn in rotations.as_matrix()
    ]
    return [Operator(str(i), matrix, chains) for i, matrix in enumerate(found[1:], start=2)]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        total, spent, n = heavy_share(model_file(folder, 107))
        print(f"{n:,} heavy atoms: read in {total:.2f} s, of it heavy atoms {spent:.2f} s")
        model = read_atomic_model(model_file(folder, 3, n_chains=5))
    turns = Rotation.create_group("I")
    turns = turns[np.argsort(-np.trace(turns.as_matrix(), axis1=1, axis2=2))]
    chains = frozenset(model.residues.label_asym_id.tolist())
    print(f"{'residues':>9} {'operators':>9} {'chosen, s':>9} {'expanded, s':>11} {'peak, MB':>9}"
          f" {'foretold':>9}")  # fmt: skip
    for shifts in (np.zeros((1, 3)), np.arange(28)[:, None] * np.array([[0.0, 0.0, 900.0]])):
        applied = operators(turns, shifts + np.array([300.0, 100.0, 700.0]), chains)
        values = np.random.default_rng(0).random((100, 110, 120), np.float32)
        model = replace(model, operators=tuple(applied))
        choosing, _ = seconds(copies_in_density, model, values, (9.0,) * 3, (-500.0,) * 3)
        expanding, whole = seconds(expand, model, applied)
        tracemalloc.start()
        expand(model, applied)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(f"{len(whole.residues):>9,} {len(applied):>9,} {choosing:>9.2f} {expanding:>11.2f}"
              f" {peak / 1e6:>9.0f} {expanded_bytes(model, applied) / 1e6:>9.0f}")  # fmt: skip


if __name__ == "__main__":
    main()
