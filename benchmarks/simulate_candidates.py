"""What a network would predict of a known structure, drawn at random: input to judge tracing by.

    python benchmarks/simulate_candidates.py MODEL [--missing 0.1] [--seed 0]

prints how many points one draw holds and how well they stand. The rules are fixed: a change of any
of them raises `VERSION`, which every table of results names.

1. Each C-alpha, N and C of the structure gets Gaussian noise on each axis.
2. Each kind of atom loses a share on its own: atoms at random, or stretches of residues whose
   length is geometric with mean 5.
3. Decoys are a share of the true number, 10 % for N and C: a random point 2.5 to 8 A from a random
   atom of any of the three kinds.
4. Some C-alphas that were found come twice, the second 1 to 3 A from the first.
5. Emissions are posteriors, softmax-like: the true amino acid sends a signal in 20 dimensions in
   which alike amino acids are half parallel, unit noise is added (of a duplicate: correlated 0.5
   with that of its original), and Bayes' rule with the background composition gives the
   probabilities. The strength of the signal is what makes the share of right arg-maxima (top-1)
   on the background composition the wished one. A decoy gets the emission of a random amino acid.
6. Probabilities of the points (p_ca, p of N and C) carry no information; rows are shuffled.

Nothing tells which candidates are bonded but where the points lie.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import gemmi
import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from c2s_data.schema import AMINO_ACIDS
from c2s_data.sources.residue_letter import AMINO_LETTERS, amino_letter
from c2s_model.backbone.candidates import AtomPoints, Candidates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from c2s_model.backbone.chain_trace import TraceResult

VERSION = 1
RIGHT_WITHIN_A = 3.0
STRETCH = 5.0
POINT_DECOYS = 0.1
DECOY_SHELL_A = (2.5, 8.0)
DUPLICATE_SHELL_A = (1.0, 3.0)
ALIKE = ("IVLM", "FYWH", "DN", "EQ", "KR", "ST", "AGC")
ALIKE_COSINE = 0.5
DUPLICATE_CORRELATION = 0.5
COMPOSITION = np.array(
    [0.0825, 0.0553, 0.0406, 0.0546, 0.0138, 0.0393, 0.0672, 0.0707, 0.0227, 0.0591,
     0.0965, 0.0580, 0.0241, 0.0386, 0.0474, 0.0664, 0.0535, 0.0110, 0.0292, 0.0686]
)  # fmt: skip
"""Share of each amino acid in Swiss-Prot, order of `schema.AMINO_ACIDS`; scaled to sum to 1."""
COMPOSITION /= COMPOSITION.sum()


@dataclass(frozen=True, eq=False)
class TrueChain:
    """A protein chain: codes (T,) int8 of its full sequence, -1 unknown, and what is modeled.

    ``residue`` (r,) counts positions in the sequence from 0; ``n_ca_c_xyz_A`` (r, 3 atoms, 3) holds
    NaN where an atom is absent.
    """

    name: str
    codes: NDArray[np.int8]
    residue: NDArray[np.int32]
    n_ca_c_xyz_A: NDArray[np.float64]


@dataclass(frozen=True)
class Conditions:
    """How good the predictions are: noise per axis in A, the other numbers are shares."""

    noise_A: float = 0.5
    missing: float = 0.05
    false: float = 0.05
    stretches: bool = False
    duplicates: float = 0.0
    top1: float = 0.9


@dataclass(frozen=True, eq=False)
class Simulated:
    """One draw."""

    candidates: Candidates
    n_points: AtomPoints
    c_points: AtomPoints


@dataclass(frozen=True)
class Score:
    """Shares of the true residues, those with a C-alpha in the structure.

    A true residue is **right** when a traced residue that sits on a candidate lies within 3 A of
    its C-alpha and bears its number: the same position in a chain of the same sequence, so that
    equal chains may stand for each other residue by residue. **by_chain** asks more: equal chains
    are assigned one to one, as a whole, where that gives most. **interpolated** counts true
    residues that are right only through a residue without a candidate. **precision** is the share
    of the traced residues on candidates that are right.
    """

    right: float
    by_chain: float
    interpolated: float
    precision: float


def true_chains(structure: gemmi.Structure) -> list[TrueChain]:
    """Return the protein chains of the first model, sequences from the file."""
    structure.setup_entities()
    structure.assign_label_seq_id()
    chains = []
    for chain in structure[0]:
        polymer = chain.get_polymer()
        if polymer.check_polymer_type() != gemmi.PolymerType.PeptideL:
            continue
        names = [
            gemmi.Entity.first_mon(name) for name in structure.get_entity_of(polymer).full_sequence
        ]
        letters = "".join(amino_letter(name) for name in names)
        codes = np.array([AMINO_LETTERS.find(letter) - 1 for letter in letters], np.int8)
        rows = [residue for residue in polymer.first_conformer() if "CA" in residue]
        residue = np.array([row.label_seq - 1 for row in rows], np.int32)
        xyz = np.array([[_point(row, name) for name in ("N", "CA", "C")] for row in rows])
        chains.append(TrueChain(chain.name, np.maximum(codes, -1), residue, xyz))
    return chains


def read_true_chains(path: Path) -> list[TrueChain]:
    return true_chains(gemmi.read_structure(str(path)))


def _point(residue: gemmi.Residue, name: str) -> tuple[float, float, float]:
    atom = residue.find_atom(name, "*")
    return tuple(atom.pos.tolist()) if atom else (np.nan,) * 3


def simulate(
    chains: Sequence[TrueChain], conditions: Conditions, rng: np.random.Generator
) -> Simulated:
    """Draw candidates, N and C points of all chains together."""
    atoms = np.concatenate([chain.n_ca_c_xyz_A for chain in chains])
    codes = np.concatenate([chain.codes[chain.residue] for chain in chains])
    lengths = [len(chain.residue) for chain in chains]
    found = [_found(lengths, conditions, rng) & np.isfinite(atoms[:, k, 0]) for k in range(3)]
    points = [
        atoms[found[k], k] + rng.normal(0, conditions.noise_A, (found[k].sum(), 3))
        for k in range(3)
    ]
    decoys = [
        _near(atoms[np.isfinite(atoms)].reshape(-1, 3), round(share * len(atoms)), rng)
        for share in (POINT_DECOYS, conditions.false, POINT_DECOYS)
    ]
    candidates = _candidates(points[1], codes[found[1]], decoys[1], conditions, rng)
    n_points = _atom_points(np.concatenate((points[0], decoys[0])), rng)
    c_points = _atom_points(np.concatenate((points[2], decoys[2])), rng)
    return Simulated(candidates, n_points, c_points)


def _found(
    lengths: Sequence[int], conditions: Conditions, rng: np.random.Generator
) -> NDArray[np.bool_]:
    if not conditions.stretches:
        return rng.random(sum(lengths)) >= conditions.missing
    # Two states along the chain: a stretch ends with 1 / mean, and begins as often as keeps the
    # share of missing residues.
    end = 1 / STRETCH
    begin = min(end * conditions.missing / (1 - conditions.missing), 1.0)
    found = []
    for length in lengths:
        missing = rng.random() < conditions.missing
        for draw in rng.random(length):
            found.append(not missing)
            missing = draw >= end if missing else draw < begin
    return np.array(found, np.bool_)


def _near(atoms: NDArray[np.float64], n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return atoms[rng.integers(len(atoms), size=n)] + _steps(n, DECOY_SHELL_A, rng)


def _steps(n: int, shell_A: tuple[float, float], rng: np.random.Generator) -> NDArray[np.float64]:
    direction = rng.normal(size=(n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return direction * rng.uniform(*shell_A, (n, 1))


def _candidates(
    xyz_A: NDArray[np.float64],
    codes: NDArray[np.int8],
    decoys_xyz_A: NDArray[np.float64],
    conditions: Conditions,
    rng: np.random.Generator,
) -> Candidates:
    # An unknown residue looks like any other.
    codes = np.where(codes < 0, rng.choice(20, len(codes), p=COMPOSITION), codes)
    codes = np.concatenate((codes, rng.choice(20, len(decoys_xyz_A), p=COMPOSITION)))
    noise = rng.normal(size=(len(codes), 20))
    twice = np.flatnonzero(rng.random(len(xyz_A)) < conditions.duplicates)
    again_A = xyz_A[twice] + _steps(len(twice), DUPLICATE_SHELL_A, rng)
    rho = DUPLICATE_CORRELATION
    noise_again = rho * noise[twice] + np.sqrt(1 - rho**2) * rng.normal(size=(len(twice), 20))
    xyz_A = np.concatenate((xyz_A, decoys_xyz_A, again_A))
    amino = posterior(
        np.concatenate((codes, codes[twice])),
        np.concatenate((noise, noise_again)),
        signal_of(conditions.top1),
    )
    order = rng.permutation(len(xyz_A))
    p = rng.beta(5, 2, len(xyz_A)).astype(np.float32)
    return Candidates(xyz_A[order], p, amino[order], None, np.full(len(p), 7, np.int32))


def _atom_points(xyz_A: NDArray[np.float64], rng: np.random.Generator) -> AtomPoints:
    p = np.sort(rng.beta(5, 2, len(xyz_A)).astype(np.float32))[::-1]
    return AtomPoints(xyz_A[rng.permutation(len(xyz_A))], p)


@cache
def _directions() -> NDArray[np.float64]:
    """Return unit vectors, one amino acid a row, with the wished cosines between them."""
    cosine = np.eye(20)
    for group in ALIKE:
        rows = [AMINO_LETTERS.index(letter) - 1 for letter in group]
        cosine[np.ix_(rows, rows)] += ALIKE_COSINE * (1 - np.eye(len(rows)))
    return np.linalg.cholesky(cosine)


def posterior(
    codes: NDArray[np.integer], noise: NDArray[np.float64], signal: float
) -> NDArray[np.float64]:
    """Return P(amino acid | seen), (n, 20), seen = signal * direction + noise."""
    seen = signal * _directions()[codes] + noise
    log_p = signal * seen @ _directions().T + np.log(COMPOSITION)
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


@cache
def signal_of(top1: float) -> float:
    """Return the strength of the signal that gives this share of right arg-maxima."""
    rng = np.random.default_rng(0)
    codes, noise = rng.choice(20, 20_000, p=COMPOSITION), rng.normal(size=(20_000, 20))
    low, high = 0.0, 20.0
    for _ in range(25):
        middle = (low + high) / 2
        right = (posterior(codes, noise, middle).argmax(axis=1) == codes).mean()
        low, high = (middle, high) if right < top1 else (low, middle)
    return (low + high) / 2


def score(trace: TraceResult, chains: Sequence[TrueChain]) -> Score:
    """Compare a trace with the truth; chain k of the trace was traced with sequence k."""
    alike = defaultdict(list)
    for number, chain in enumerate(chains):
        alike[chain.codes.tobytes()].append(number)
    right, through_nothing, by_chain = set(), set(), 0
    for group in alike.values():
        hits = np.zeros((len(group), len(group)))
        for row, number in enumerate(group):
            traced = trace.chains[number]
            for column, other in enumerate(group):
                at, near = _agreeing(traced.residue, traced.xyz_A, chains[other])
                on_candidate = traced.candidate[at] >= 0
                right.update((other, place) for place in near[on_candidate].tolist())
                through_nothing.update((other, place) for place in near[~on_candidate].tolist())
                hits[row, column] = on_candidate.sum()
        by_chain += hits[linear_sum_assignment(-hits)].sum()
    n_true = sum(len(chain.residue) for chain in chains)
    n_placed = sum(int((chain.candidate >= 0).sum()) for chain in trace.chains)
    return Score(
        right=len(right) / n_true,
        by_chain=float(by_chain) / n_true,
        interpolated=len(through_nothing - right) / n_true,
        precision=len(right) / max(n_placed, 1),
    )


def _agreeing(
    residue: NDArray[np.int32], xyz_A: NDArray[np.float64], chain: TrueChain
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows of the trace, and residue numbers of the chain, that lie within 3 A."""
    shared, mine, its = np.intersect1d(residue, chain.residue, return_indices=True)
    apart_A = np.linalg.norm(xyz_A[mine] - chain.n_ca_c_xyz_A[its, 1], axis=1)
    near = apart_A <= RIGHT_WITHIN_A
    return mine[near], shared[near]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    for name, default in Conditions().__dict__.items():
        if name != "stretches":
            parser.add_argument(f"--{name.replace('_A', '')}", type=float, default=default)
    parser.add_argument("--stretches", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    given = vars(parser.parse_args())
    model, seed = given.pop("model"), given.pop("seed")
    conditions = Conditions(noise_A=given.pop("noise"), **given)
    chains = read_true_chains(model)
    drawn = simulate(chains, conditions, np.random.default_rng(seed))
    true_A = np.concatenate([chain.n_ca_c_xyz_A[:, 1] for chain in chains])
    apart_A = cKDTree(drawn.candidates.xyz_A).query(true_A)[0]
    print(
        f"simulator version {VERSION}: {len(AMINO_ACIDS)} amino acids, {len(true_A)} residues, "
        f"{len(drawn.candidates)} candidates, {len(drawn.n_points)} N, {len(drawn.c_points)} C; "
        f"{(apart_A <= RIGHT_WITHIN_A).mean():.1%} of the C-alphas have one within 3 A"
    )


if __name__ == "__main__":
    main()
