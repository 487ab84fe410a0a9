"""How much of each chain of the target a model covers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from c2s_model.evaluation.chain_mapping import NEAR_A, ChainMapping
from c2s_model.evaluation.chains import CaChain


class ChainCoverage(NamedTuple):
    """One chain of the target.

    Parameters
    ----------
    chain : str
    query_chains : tuple of str
        Chains of the model that stand for it.
    n_residues, n_mapped, n_near : int
        Residues with a C-alpha; those that the model has; those it has within 3 A of their place.
    n_same : int
        Of the near ones, those of the right amino acid.
    """

    chain: str
    query_chains: tuple[str, ...]
    n_residues: int
    n_mapped: int
    n_near: int
    n_same: int

    def as_json(self) -> dict[str, object]:
        """Return the counts, and the shares of residues mapped and near."""
        return {
            **self._asdict(),
            "query_chains": list(self.query_chains),
            "mapped": self.n_mapped / self.n_residues,
            "coverage": self.n_near / self.n_residues,
        }


def chain_coverage(
    target: Sequence[CaChain], query: Sequence[CaChain], mapping: ChainMapping
) -> tuple[ChainCoverage, ...]:
    """Return the coverage of every chain, in the target's order."""
    found = []
    for number, chain in enumerate(target):
        mapped = [one for one in mapping.chains if one.target == number]
        n_mapped = n_near = n_same = 0
        for one in mapped:
            rows, columns = one.pairs.T
            other = query[one.query]
            apart_A = np.linalg.norm(chain.xyz_A[rows] - other.xyz_A[columns], axis=1)
            near = apart_A <= NEAR_A
            n_mapped += len(rows)
            n_near += int(near.sum())
            n_same += sum(
                chain.letters[row] == other.letters[column]
                for row, column in zip(rows[near].tolist(), columns[near].tolist(), strict=True)
            )
        names = tuple(dict.fromkeys(query[one.query].name for one in mapped))
        found.append(ChainCoverage(chain.name, names, len(chain), n_mapped, n_near, n_same))
    return tuple(found)
