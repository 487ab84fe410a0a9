"""Which copies of an assembly would lie upon chains that are there already."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from c2s_data.errors import ModelError, ModelReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from c2s_data.sources.assembly_operators import Operator
    from c2s_data.sources.atomic_model import AtomicModel

MAX_COPIES: Final = 20_000
MAX_COMPARISONS: Final = 500_000
"""Of two copies; a capsid of sixty needs some twenty a copy at most."""
SAME_PLACE_A: Final = 1.0
SAME_SHARE: Final = 0.5
_SAMPLE: Final = 64
_NEAR_A: Final = 3.0
_NEAR_RADII: Final = 0.25


class DistinctCopies(NamedTuple):
    """Operators, their chains cut down to those whose copies lie apart, and the copies left out."""

    operators: tuple[Operator, ...]
    n_dropped: int


@dataclass(frozen=True, eq=False)
class _Chain:
    tree: cKDTree
    sample_xyz_A: NDArray[np.float64]  # at most 64 of its atoms
    center_xyz_A: NDArray[np.float64]
    reach_A: float
    """How far apart the centers of two copies may be that lie upon each other."""


def distinct_copies(model: AtomicModel, operators: Sequence[Operator]) -> DistinctCopies:
    """Leave out copies of which half the atoms lie within 1 A of atoms of another chain.

    Chains and earlier copies are compared in the frame of the chain deposited, so that each chain
    needs one search tree, whatever the number of its copies.

    Parameters
    ----------
    model
        As read.
    operators
        Applied in this order.

    Raises
    ------
    ModelError
        More than 20,000 copies, or so many near each other's place that comparing them would take
        minutes.
    """
    n_copies = sum(len(operator.chains) for operator in operators)
    if n_copies > MAX_COPIES:
        raise too_large(f"{n_copies:,} copies of chains, above the limit of {MAX_COPIES:,}")
    chains = _chains(model)
    there = _Placed(chains, n_copies)
    kept, n_dropped = [], 0
    for operator in operators:
        names = sorted(operator.chains & chains.keys())
        apart = [name for name in names if there.place(name, operator)]
        n_dropped += len(names) - len(apart)
        if apart:
            kept.append(replace(operator, chains=frozenset(apart)))
    return DistinctCopies(tuple(kept), n_dropped)


def too_large(fact: str) -> ModelError:
    """Return the error for an assembly out of proportion."""
    return ModelError(
        ModelReason.BAD_ASSEMBLY,
        f"the assembly has {fact}; take the deposited chains (assembly deposited)",
    )


def _chains(model: AtomicModel) -> dict[str, _Chain]:
    """Return the chains of the model that have atoms besides water."""
    labels = np.concatenate((model.heavy.label_asym_id, model.named.label_asym_id))
    xyz_A = np.concatenate((model.heavy.xyz_A, model.named.xyz_A))
    order = np.argsort(labels, kind="stable")
    names, first = np.unique(labels[order], return_index=True)
    return {
        str(name): _chain(xyz_A[rows])
        for name, rows in zip(names, np.split(order, first[1:]), strict=True)
    }


def _chain(xyz_A: NDArray[np.float64]) -> _Chain:
    center = xyz_A.mean(axis=0)
    radius = float(np.sqrt(((xyz_A - center) ** 2).sum(axis=1).mean()))
    sample = xyz_A[np.linspace(0, len(xyz_A) - 1, min(_SAMPLE, len(xyz_A))).astype(int)]
    return _Chain(cKDTree(xyz_A), sample, center, _NEAR_A + _NEAR_RADII * radius)


class _Placed:
    """The chains and copies placed so far."""

    def __init__(self, chains: dict[str, _Chain], n_copies: int) -> None:
        self._chains = chains
        self._who: list[tuple[_Chain, Operator | None]] = [(c, None) for c in chains.values()]
        self._center_xyz_A = np.full((len(chains) + n_copies, 3), np.inf)
        self._center_xyz_A[: len(chains)] = [c.center_xyz_A for c in chains.values()]
        self._n_compared = 0

    def place(self, name: str, operator: Operator) -> bool:
        """Place a copy, unless it lies upon what is there; return whether it was placed."""
        chain = self._chains[name]
        center = operator.apply(chain.center_xyz_A)
        n = len(self._who)
        distance = np.sqrt(((self._center_xyz_A[:n] - center) ** 2).sum(axis=1))
        sample = operator.apply(chain.sample_xyz_A)
        for number in np.flatnonzero(distance <= chain.reach_A):
            if self._same(sample, *self._who[number]):
                return False
        self._who.append((chain, operator))
        self._center_xyz_A[n] = center
        return True

    def _same(self, xyz_A: NDArray[np.float64], chain: _Chain, operator: Operator | None) -> bool:
        self._n_compared += 1
        if self._n_compared > MAX_COMPARISONS:
            raise too_large("too many copies about the same place to tell them apart")
        if operator is not None:
            rotation, shift = operator.matrix[:, :3], operator.matrix[:, 3]
            xyz_A = (xyz_A - shift) @ rotation  # the inverse: a rotation's is its transpose
        distance, _ = chain.tree.query(xyz_A, distance_upper_bound=SAME_PLACE_A)
        return float(np.isfinite(distance).mean()) >= SAME_SHARE
