"""C-alpha chains made from nothing but numbers, and files of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from c2s_data.schema import AMINO_ACIDS
from c2s_model.evaluation.chains import NO_NUMBER, CaChain

LETTERS = "ARNDCQEGHILKMFPSTWYV"


def walk(rng: np.random.Generator, n: int, step_A: float = 3.8) -> NDArray[np.float64]:
    """Return a compact chain of C-alphas, (n, 3): random steps of 3.8 A, 3.5 A kept between any."""
    points = [np.array([50.0, -20.0, 7.5])]
    while len(points) < n:
        step = rng.normal(size=(200, 3)) - 0.08 * (points[-1] - np.mean(points, axis=0))
        tried = points[-1] + step_A * step / np.linalg.norm(step, axis=1, keepdims=True)
        away = np.linalg.norm(tried[:, None] - np.array(points)[None], axis=2).min(axis=1)
        points.append(tried[int(np.argmax(away > 3.5)) if (away > 3.5).any() else away.argmax()])
    return np.array(points)


def letters(rng: np.random.Generator, n: int) -> str:
    return "".join(rng.choice(list(LETTERS), n))


def ca_chain(
    name: str, sequence: str, xyz_A: NDArray[np.float64], numbers: Sequence[int] | None = None
) -> CaChain:
    n = len(sequence)
    numbers = np.arange(1, n + 1) if numbers is None else np.asarray(numbers)
    assert len(xyz_A) == n == len(numbers)
    return CaChain(
        name,
        (numbers << 8) + ord(" "),
        np.full(n, NO_NUMBER),
        np.array([AMINO_ACIDS[LETTERS.index(letter)] for letter in sequence]),
        sequence,
        np.asarray(xyz_A, np.float64),
        np.zeros(n),
        np.zeros(n, np.bool_),
    )


def part(chain: CaChain, rows: NDArray[np.int64] | slice, name: str | None = None) -> CaChain:
    """Return some residues of a chain under their own numbers."""
    rows = np.arange(len(chain))[rows]
    return ca_chain(
        name or chain.name,
        "".join(chain.letters[row] for row in rows),
        chain.xyz_A[rows],
        chain.number[rows] >> 8,
    )


def moved(chain: CaChain, by_A: NDArray[np.float64], name: str | None = None) -> CaChain:
    return ca_chain(name or chain.name, chain.letters, chain.xyz_A + by_A, chain.number >> 8)


def waves(n: int, amplitude_A: float) -> NDArray[np.float64]:
    """Return displacements that need no random numbers, (n, 3)."""
    row = np.arange(n)
    return amplitude_A * np.stack(
        [np.sin(1.7 * row), np.sin(2.3 * row + 1), np.sin(3.1 * row + 2)], axis=1
    )


def write_ca(path: Path, chains: Sequence[CaChain], *, hetero: bool = False) -> Path:
    """Write C-alphas as PDB or mmCIF, as the suffix says."""
    structure = gemmi.Structure()
    model = gemmi.Model("1")
    for chain in chains:
        made = gemmi.Chain(chain.name)
        for row, name in enumerate(chain.residue_name.tolist()):
            residue = gemmi.Residue()
            residue.name = name
            residue.seqid = gemmi.SeqId(int(chain.number[row] >> 8), " ")
            residue.het_flag = "H" if hetero else "A"
            residue.subchain = chain.name
            atom = gemmi.Atom()
            atom.name, atom.element = "CA", gemmi.Element("C")
            atom.pos = gemmi.Position(*chain.xyz_A[row])
            residue.add_atom(atom)
            made.add_residue(residue)
        model.add_chain(made)
    structure.add_model(model)
    if path.suffix == ".pdb":
        structure.write_pdb(str(path))
    else:
        structure.make_mmcif_document().write_file(str(path))
    return path
