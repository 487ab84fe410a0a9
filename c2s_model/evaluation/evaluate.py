"""Everything that is said of a built backbone when the true one is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from c2s_model.evaluation.chain_comparison import ChainComparison, compare_chains
from c2s_model.evaluation.chain_mapping import ChainMapping, map_chains
from c2s_model.evaluation.chains import CaChain, joined_letters, joined_xyz_A, read_chains
from c2s_model.evaluation.coverage import ChainCoverage, chain_coverage
from c2s_model.evaluation.gdt import HA_A, gdt
from c2s_model.evaluation.geometry import Geometry, geometry
from c2s_model.evaluation.lddt import Lddt, lddt_ca
from c2s_model.evaluation.one_to_one import RADII_A, Match, match_one_to_one
from c2s_model.evaluation.tm_score import tm_score, tm_superposed

FORMAT: Final = "c2s-evaluation/1"
"""Says that a JSON document is an evaluation."""
UNKNOWN: Final = ord("X")


class Placed(NamedTuple):
    """C-alphas matched one to one within a radius, and their amino acids.

    Parameters
    ----------
    radius_A : float
    match : Match
    n_same : int
        Pairs of the same known amino acid.
    """

    radius_A: float
    match: Match
    n_same: int

    def as_json(self) -> dict[str, object]:
        """Return the counts and shares."""
        n_pairs = len(self.match.pairs)
        return {
            "radius_A": self.radius_A,
            "pairs": n_pairs,
            "precision": self.match.precision,
            "recall": self.match.recall,
            "f1": self.match.f1,
            "mean_distance_A": None if n_pairs == 0 else self.match.mean_distance_A,
            "amino_accuracy": self.n_same / max(1, n_pairs),
            "amino_recall": self.n_same / max(1, self.match.n_target),
        }


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of one model against one target.

    Parameters
    ----------
    comparison : ChainComparison
    placed : tuple of Placed
        At 1, 2 and 3 A.
    mapping : ChainMapping
    tm_map_frame, tm_superposed, gdt_map_frame, gdt_ha_map_frame : float
        0 to 1.
    lddt : Lddt
    coverage : tuple of ChainCoverage
        By chain of the target.
    geometry : Geometry
        Of the model.
    """

    comparison: ChainComparison
    placed: tuple[Placed, ...]
    mapping: ChainMapping
    tm_map_frame: float
    tm_superposed: float
    gdt_map_frame: float
    gdt_ha_map_frame: float
    lddt: Lddt
    coverage: tuple[ChainCoverage, ...]
    geometry: Geometry

    @property
    def sequence_recall(self) -> float:
        """Share of the target's residues whose own residue the model has, named right, within 3 A.

        Own means mapped by number or alignment: a right amino acid at the right place that
        belongs elsewhere in the sequence does not count, unlike in amino_recall.
        """
        n_residues = sum(chain.n_residues for chain in self.coverage)
        return sum(chain.n_same for chain in self.coverage) / max(1, n_residues)

    def as_json(self) -> dict[str, object]:
        """Return a document of plain values; the whole target's comparison is at its top."""
        lddt = self.lddt.score
        return {
            "format": FORMAT,
            **self.comparison.whole.as_json(),
            "better": {"mode": self.comparison.mode, **self.comparison.better.as_json()},
            "unique_chains": list(self.comparison.unique_chains),
            "one_to_one": [placed.as_json() for placed in self.placed],
            "mapping": self.mapping.method,
            "n_mapped": len(self.mapping.pairs),
            "sequence_recall": self.sequence_recall,
            "tm_map_frame": self.tm_map_frame,
            "tm_superposed": self.tm_superposed,
            "gdt_map_frame": self.gdt_map_frame,
            "gdt_ha_map_frame": self.gdt_ha_map_frame,
            "lddt_ca": None if math.isnan(lddt) else lddt,
            "chains": [chain.as_json() for chain in self.coverage],
            "geometry": self.geometry._asdict(),
        }


def evaluate(target_path: Path | str, query_path: Path | str) -> Evaluation:
    """Evaluate a model file against the file of the known structure.

    Raises
    ------
    ModelError
        One of them is no model, or has no C-alpha.
    """
    return evaluate_chains(read_chains(target_path), read_chains(query_path))


def evaluate_chains(target: Sequence[CaChain], query: Sequence[CaChain]) -> Evaluation:
    """Evaluate chains as `c2s_model.evaluation.chains.read_chains` returns them."""
    target_xyz_A, query_xyz_A = joined_xyz_A(target), joined_xyz_A(query)
    mapping = map_chains(target, query)
    mapped_A = target_xyz_A[mapping.pairs[:, 0]], query_xyz_A[mapping.pairs[:, 1]]
    apart_A = np.linalg.norm(mapped_A[0] - mapped_A[1], axis=1)
    n_residues = len(target_xyz_A)
    return Evaluation(
        comparison=compare_chains(target, query),
        placed=tuple(_placed(target, query, radius_A) for radius_A in RADII_A),
        mapping=mapping,
        tm_map_frame=tm_score(apart_A, n_residues),
        tm_superposed=tm_superposed(*mapped_A, n_residues),
        gdt_map_frame=gdt(apart_A, n_residues),
        gdt_ha_map_frame=gdt(apart_A, n_residues, HA_A),
        lddt=lddt_ca(target_xyz_A, query_xyz_A, mapping.pairs),
        coverage=chain_coverage(target, query, mapping),
        geometry=geometry(query),
    )


def _placed(target: Sequence[CaChain], query: Sequence[CaChain], radius_A: float) -> Placed:
    match = match_one_to_one(joined_xyz_A(target), joined_xyz_A(query), radius_A)
    true = joined_letters(target)[match.pairs[:, 0]]
    named = joined_letters(query)[match.pairs[:, 1]]
    return Placed(radius_A, match, int(((true == named) & (true != UNKNOWN)).sum()))
